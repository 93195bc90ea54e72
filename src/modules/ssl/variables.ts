/** The variables of the ssl module. All are empty (not found) where the client speaks plain HTTP. */
import type { X509Certificate } from 'node:crypto';
import type { Exchange } from '../../core/exchange.ts';
import type { TlsConnection } from '../../core/tls.ts';
import type { VariableDefinition, VariableDefinitions } from '../../core/variables.ts';
import type { DerElement } from '../../http/der.ts';
import { escapeUri } from '../../http/uri-escape.ts';
import { certificateNames, onelineName, rfc2253Name } from './distinguished-name.ts';

const DAY = 86_400;

/** Something known of the connection; '' is not found. */
function ofConnection(get: (tls: TlsConnection) => string): VariableDefinition {
  return {
    get({ connection: { tls } }) {
      const value = tls === undefined ? '' : get(tls);
      return value === '' ? undefined : value;
    },
    changeable: true,
  };
}

/** Something about the client's certificate. */
function ofCertificate(get: (certificate: X509Certificate) => string): VariableDefinition {
  return {
    get: (exchange) => {
      const certificate = exchange.connection.tls?.clientCertificate;
      return certificate === undefined ? undefined : get(certificate);
    },
    // Each look at a certificate goes through OpenSSL.
    cached: true,
    changeable: true,
  };
}

function ofName(
  part: 'subject' | 'issuer',
  write: (der: Buffer, name: DerElement) => string,
): VariableDefinition {
  return ofCertificate(({ raw }) => write(raw, certificateNames(raw)[part]));
}

function clientVerify(tls: TlsConnection): string {
  if (tls.clientCertificate === undefined) return 'NONE';
  const error = tls.clientCertificateError;
  return error === undefined ? 'SUCCESS' : `FAILED:${error.text}`;
}

function daysLeft({ validTo }: X509Certificate): string {
  const end = Date.parse(validTo) / 1000;
  const now = Math.floor(Date.now() / 1000);
  if (Number.isNaN(end)) return '';
  return end < now + DAY ? '0' : String(Math.floor((end - now) / DAY));
}

/** Never: there is neither early data nor ECH. */
function nothing(_exchange: Exchange): undefined {
  return undefined;
}

export const sslVariables: VariableDefinitions = {
  ssl_protocol: ofConnection(({ protocol }) => protocol),
  ssl_cipher: ofConnection(({ cipher }) => cipher),
  ssl_ciphers: ofConnection(({ ciphers }) => ciphers),
  ssl_curve: ofConnection(({ curve }) => curve),
  ssl_curves: ofConnection(({ curves }) => curves),
  ssl_sigalgs: ofConnection(({ signatureAlgorithms }) => signatureAlgorithms),
  ssl_session_id: ofConnection(({ sessionId }) => sessionId),
  ssl_session_reused: ofConnection(({ sessionReused }) => (sessionReused ? 'r' : '.')),
  ssl_early_data: { get: nothing, changeable: true },
  ssl_server_name: ofConnection(({ serverName }) => serverName),
  ssl_alpn_protocol: ofConnection(({ alpnProtocol }) => alpnProtocol),
  ssl_ech_status: { get: nothing, changeable: true },
  ssl_ech_outer_server_name: { get: nothing, changeable: true },

  ssl_client_verify: ofConnection(clientVerify),
  ssl_client_cert: ofCertificate((certificate) => certificate.toString().trimEnd().replaceAll('\n', '\n\t')),
  ssl_client_raw_cert: ofCertificate((certificate) => certificate.toString()),
  ssl_client_escaped_cert: ofCertificate((certificate) => escapeUri(certificate.toString(), 'uri-component')),
  ssl_client_s_dn: ofName('subject', rfc2253Name),
  ssl_client_i_dn: ofName('issuer', rfc2253Name),
  ssl_client_s_dn_legacy: ofName('subject', onelineName),
  ssl_client_i_dn_legacy: ofName('issuer', onelineName),
  ssl_client_serial: ofCertificate(({ serialNumber }) => serialNumber),
  ssl_client_fingerprint: ofCertificate(({ fingerprint }) => fingerprint.replaceAll(':', '').toLowerCase()),
  ssl_client_v_start: ofCertificate(({ validFrom }) => validFrom),
  ssl_client_v_end: ofCertificate(({ validTo }) => validTo),
  ssl_client_v_remain: ofCertificate(daysLeft),
};
