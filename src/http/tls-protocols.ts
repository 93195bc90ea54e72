/** The versions of TLS, as `ssl_protocols` and `$ssl_protocol` spell them. */
import { constants } from 'node:crypto';

/** A version of TLS that can be spoken. */
export type TlsProtocol = 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3';

/** All of them, oldest first. */
export const TLS_PROTOCOLS: readonly TlsProtocol[] = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'];

const REFUSED: Readonly<Record<TlsProtocol, number>> = {
  TLSv1: constants.SSL_OP_NO_TLSv1,
  'TLSv1.1': constants.SSL_OP_NO_TLSv1_1,
  'TLSv1.2': constants.SSL_OP_NO_TLSv1_2,
  'TLSv1.3': constants.SSL_OP_NO_TLSv1_3,
};

/** OpenSSL's options (SSL_OP_NO_*) that leave only these. */
export function refuseOthers(protocols: readonly TlsProtocol[]): number {
  let options = 0;
  for (const protocol of TLS_PROTOCOLS) if (!protocols.includes(protocol)) options |= REFUSED[protocol];
  return options;
}
