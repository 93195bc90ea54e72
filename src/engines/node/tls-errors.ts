/** Errors of TLS with clients, as nginx logs them: ngx_ssl_connection_error. */

/** What clients get wrong, by the names of Node's codes without `ERR_SSL_`. Anything else is serious. */
const COMMON = new Set([
  'BAD_CHANGE_CIPHER_SPEC',
  'NO_SUITABLE_KEY_SHARE',
  'BAD_KEY_SHARE',
  'BAD_EXTENSION',
  'BAD_DIGEST_LENGTH',
  'MISSING_SIGALGS_EXTENSION',
  'BAD_PACKET_LENGTH',
  'NO_SUITABLE_SIGNATURE_ALGORITHM',
  'BAD_KEY_UPDATE',
  'BLOCK_CIPHER_PAD_IS_WRONG',
  'CCS_RECEIVED_EARLY',
  'DECODE_ERROR',
  'DATA_BETWEEN_CCS_AND_FINISHED',
  'DATA_LENGTH_TOO_LONG',
  'DIGEST_CHECK_FAILED',
  'ENCRYPTED_LENGTH_TOO_LONG',
  'ERROR_IN_RECEIVED_CIPHER_LIST',
  'EXCESSIVE_MESSAGE_SIZE',
  'GOT_A_FIN_BEFORE_A_CCS',
  'HTTPS_PROXY_REQUEST',
  'HTTP_REQUEST',
  'LENGTH_MISMATCH',
  'LENGTH_TOO_SHORT',
  'NO_RENEGOTIATION',
  'NO_CIPHERS_PASSED',
  'NO_CIPHERS_SPECIFIED',
  'BAD_CIPHER',
  'NO_COMPRESSION_SPECIFIED',
  'NO_SHARED_CIPHER',
  'PACKET_LENGTH_TOO_LONG',
  'RECORD_LENGTH_MISMATCH',
  'CLIENTHELLO_TLSEXT',
  'PARSE_TLSEXT',
  'CALLBACK_FAILED',
  'NO_APPLICATION_PROTOCOL',
  'UNEXPECTED_MESSAGE',
  'UNEXPECTED_RECORD',
  'UNKNOWN_PROTOCOL',
  'NO_COMMON_SIGNATURE_ALGORITHMS',
  'INVALID_COMPRESSION_LIST',
  'MISSING_KEY_SHARE',
  'UNSUPPORTED_PROTOCOL',
  'NO_SHARED_GROUP',
  'NO_SHARED_GROUPS',
  'WRONG_VERSION_NUMBER',
  'TOO_MUCH_SKIPPED_EARLY_DATA',
  'BAD_LENGTH',
  'DECRYPTION_FAILED_OR_BAD_RECORD_MAC',
  'APPLICATION_DATA_AFTER_CLOSE_NOTIFY',
  'APPLICATION_DATA_ON_SHUTDOWN',
  'BAD_LEGACY_VERSION',
  'MIXED_HANDSHAKE_AND_NON_HANDSHAKE_DATA',
  'RECORD_TOO_SMALL',
  'SSL3_SESSION_ID_TOO_LONG',
  'BAD_ECPOINT',
  'RECORD_LAYER_FAILURE',
  'RENEGOTIATE_EXT_TOO_LONG',
  'RENEGOTIATION_ENCODING_ERR',
  'RENEGOTIATION_MISMATCH',
  'UNSAFE_LEGACY_RENEGOTIATION_DISABLED',
  'SCSV_RECEIVED_WHEN_RENEGOTIATING',
  'INAPPROPRIATE_FALLBACK',
  'NO_SHARED_SIGNATURE_ALGORITHMS',
  'CERT_CB_ERROR',
  'VERSION_TOO_LOW',
  'BAD_RECORD_TYPE',
]);

/** Whether an error is TLS's, and not the system's. */
export function isTlsError(error: Error): boolean {
  return ((error as { code?: string }).code ?? '').startsWith('ERR_');
}

/** The level at which an error of OpenSSL's is logged. */
export function tlsErrorLevel(error: Error): 'info' | 'crit' {
  const code = (error as { code?: string }).code ?? '';
  if (!code.startsWith('ERR_SSL_')) return 'crit';
  const reason = code.slice('ERR_SSL_'.length);
  // Whatever the client says in an alert is the client's.
  return reason.includes('ALERT') || COMMON.has(reason) ? 'info' : 'crit';
}
