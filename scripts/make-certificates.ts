/**
 * Makes certificates for trying out TLS on this machine: an authority of its own, and, signed by it, an RSA and an ECDSA
 * certificate of `localhost`, and one of a client. config/tls.conf uses them.
 *
 *     node scripts/make-certificates.ts [directory]
 *
 * They go to config/certificates unless told otherwise. Those that are there and valid for another two
 * months are left alone.
 */
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Certificate, createCertificate } from './x509.ts';

const HOSTS = ['localhost', 'portico.test', '*.portico.test', '127.0.0.1'];
const DAY = 86_400_000;
/** They are made anew when they are valid for less than this: setup.sh asks 65 days before. */
const MARGIN = 65 * DAY;

/** Whether all that is made is there and stays valid for a while. */
function isFresh(directory: string): boolean {
  return ['authority', 'server-rsa', 'server-ecdsa', 'client'].every((name) => {
    const file = join(directory, `${name}.crt`);
    if (!existsSync(file) || !existsSync(join(directory, `${name}.key`))) return false;
    return Date.parse(new X509Certificate(readFileSync(file)).validTo) > Date.now() + MARGIN;
  });
}

/**
 * Makes what is missing.
 * @returns whether anything was made
 */
export function makeCertificates(directory: string): boolean {
  if (isFresh(directory)) return false;
  mkdirSync(directory, { recursive: true });
  const validTo = new Date(Date.now() + 365 * DAY);
  const authority = createCertificate({ name: 'Portico test authority', authority: true, validTo });
  const write = (file: string, { certificate, key }: Certificate) => {
    writeFileSync(join(directory, `${file}.key`), key, { mode: 0o600 });
    writeFileSync(join(directory, `${file}.crt`), certificate);
  };
  write('authority', authority);
  for (const algorithm of ['rsa', 'ecdsa'] as const) {
    const server = { name: 'localhost', hosts: HOSTS, issuer: authority, algorithm, validTo };
    write(`server-${algorithm}`, createCertificate(server));
  }
  // The last one: setup.sh looks for its certificate.
  write('client', createCertificate({ name: 'client', issuer: authority, validTo }));
  return true;
}

if (import.meta.main) {
  const directory = process.argv[2] ?? fileURLToPath(new URL('../config/certificates', import.meta.url));
  console.log(
    makeCertificates(directory) ? `made certificates in ${directory}` : `${directory} is up to date`,
  );
}
