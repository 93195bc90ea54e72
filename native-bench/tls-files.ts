/**
 * What TLS needs: one certificate for all proxies, and a client that offers one of everything, so that no
 * proxy can choose what is cheaper, or dearer, than what the others chose.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCertificate } from '../scripts/x509.ts';

/** The one cipher suite and key exchange of TLS 1.3 that the load offers, by OpenSSL's names. */
export const CIPHER_SUITE = 'TLS_AES_128_GCM_SHA256';
export const KEY_EXCHANGE = 'X25519';

/** Where they are. */
export interface TlsFiles {
  /** ECDSA P-256, signed by itself. */
  readonly certificate: string;
  readonly key: string;
  /** Both in one file, as HAProxy reads them. */
  readonly both: string;
  /** For the environment variable OPENSSL_CONF of a client: wrk has no option for what it offers. */
  readonly clientConfiguration: string;
}

/** The files in this directory, made when they are not there. */
export function tlsFiles(directory: string): TlsFiles {
  const files: TlsFiles = {
    certificate: join(directory, 'tls.crt'),
    key: join(directory, 'tls.key'),
    both: join(directory, 'tls.pem'),
    clientConfiguration: join(directory, 'openssl.cnf'),
  };
  if (existsSync(files.clientConfiguration)) return files;
  const { certificate, key } = createCertificate({ name: 'localhost', hosts: ['localhost', '127.0.0.1'] });
  writeFileSync(files.certificate, certificate);
  writeFileSync(files.key, key, { mode: 0o600 });
  writeFileSync(files.both, certificate + key, { mode: 0o600 });
  const configuration = [
    'openssl_conf = program',
    '[program]',
    'ssl_conf = tls',
    '[tls]',
    'system_default = client',
    '[client]',
    'MinProtocol = TLSv1.3',
    `Ciphersuites = ${CIPHER_SUITE}`,
    `Groups = ${KEY_EXCHANGE}`,
  ];
  writeFileSync(files.clientConfiguration, `${configuration.join('\n')}\n`);
  return files;
}
