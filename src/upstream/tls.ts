/** TLS towards upstream servers: what is prepared at link time, and the checks of a server's certificate. */
import { createHash, X509Certificate } from 'node:crypto';
import { isIPv4 } from 'node:net';
import {
  createSecureContext,
  type DetailedPeerCertificate,
  type SecureContext,
  type TLSSocket,
} from 'node:tls';
import { countIntermediates } from '../http/certificate-chain.ts';
import { certificateError } from '../http/certificate-errors.ts';
import { pemBlocks } from '../http/pem.ts';
import { refuseOthers, type TlsProtocol } from '../http/tls-protocols.ts';

/** What `createUpstreamTls` takes: the `proxy_ssl_*` settings of one location, all files read. */
export interface UpstreamTlsOptions {
  /** `proxy_ssl_ciphers`, OpenSSL's list: `DEFAULT`. */
  readonly ciphers: string;
  /** `proxy_ssl_protocols`. SSLv2 and SSLv3 are left out by the caller: nothing speaks them any more. */
  readonly protocols: readonly TlsProtocol[];
  /** `proxy_ssl_certificate`, PEM; undefined for none. */
  readonly certificate: Buffer | undefined;
  /** `proxy_ssl_certificate_key`, PEM, not encrypted. */
  readonly key: Buffer | undefined;
  /** `proxy_ssl_trusted_certificate`, PEM. */
  readonly trusted: Buffer | undefined;
  /** `proxy_ssl_crl`, PEM. */
  readonly revoked: Buffer | undefined;
  /** `proxy_ssl_verify`: the certificate and its name are checked. */
  readonly verify: boolean;
  /** `proxy_ssl_verify_depth`. */
  readonly verifyDepth: number;
  /** `proxy_ssl_server_name`: the name is sent (SNI). */
  readonly sendName: boolean;
  /** `proxy_ssl_session_reuse`. */
  readonly sessionReuse: boolean;
}

/** TLS of one location, ready for connections. */
export interface UpstreamTls {
  readonly context: SecureContext;
  readonly verify: boolean;
  readonly verifyDepth: number;
  readonly sendName: boolean;
  readonly sessionReuse: boolean;
  /** The same for the same settings: connections and sessions are shared only between equals. */
  readonly identity: string;
}

/**
 * Prepares TLS; at link time.
 * @throws Error with OpenSSL's words where a certificate, key, cipher list or CRL is not acceptable
 */
export function createUpstreamTls(options: UpstreamTlsOptions): UpstreamTls {
  return {
    context: createContext(options, refuseOthers(options.protocols)),
    verify: options.verify,
    verifyDepth: options.verifyDepth,
    sendName: options.sendName,
    sessionReuse: options.sessionReuse,
    identity: createHash('sha256').update(JSON.stringify(options)).digest('base64'),
  };
}

function createContext(options: UpstreamTlsOptions, secureOptions: number): SecureContext {
  return createSecureContext({
    ciphers: options.ciphers,
    minVersion: 'TLSv1',
    maxVersion: 'TLSv1.3',
    secureOptions,
    cert: options.certificate,
    key: options.key,
    // An empty list, because without one Node reads its own list of authorities, which nginx has not.
    ca: options.trusted === undefined ? [] : [options.trusted],
    crl:
      options.revoked === undefined ? undefined : pemBlocks(options.revoked.toString('latin1'), ['X509 CRL']),
  });
}

/** The name in a certificate's question: without the port that `$proxy_host` or `$http_host` may have. */
export function tlsHostName(name: string): string {
  const from = name.startsWith('[') ? Math.max(0, name.indexOf(']')) : 0;
  const colon = name.indexOf(':', from);
  return colon < 0 ? name : name.slice(0, colon);
}

/** The name to send to the server; undefined for none, as for IP addresses (RFC 6066 3). */
export function serverNameToSend(tls: UpstreamTls, name: string): string | undefined {
  return !tls.sendName || name === '' || name.startsWith('[') || isIPv4(name) ? undefined : name;
}

/**
 * Checks the server's certificate after the handshake, where `proxy_ssl_verify` says so.
 * @param name without a port
 * @returns nginx's words for what is wrong; undefined if nothing is
 */
export function checkCertificate(socket: TLSSocket, tls: UpstreamTls, name: string): string | undefined {
  if (!tls.verify) return undefined;
  // Node's type says Error; what it sets is the code.
  const problem = socket.authorizationError as unknown as string | Error | null | undefined;
  if (problem !== null && problem !== undefined) return verifyError(String(problem));
  // Node has no certificate of a resumed session. Its name was checked when the session began: sessions are remembered
  // by name, and only of connections that passed.
  if (socket.isSessionReused()) return undefined;
  const chain = socket.getPeerCertificate(true) as DetailedPeerCertificate | null | undefined;
  // An empty object where the server has shown none.
  if (chain?.raw !== undefined) {
    // OpenSSL looks for an issuer only so far.
    if (countIntermediates(chain) > tls.verifyDepth) return verifyError('UNABLE_TO_GET_ISSUER_CERT_LOCALLY');
    if (name !== '' && new X509Certificate(chain.raw).checkHost(name) !== undefined) return undefined;
  }
  return `upstream SSL certificate does not match "${name}"`;
}

function verifyError(name: string): string {
  const { code, text } = certificateError(name);
  return `upstream SSL certificate verify error: (${code}:${text})`;
}
