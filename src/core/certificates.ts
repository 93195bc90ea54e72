/**
 * Certificates and keys that directives name, for both sides of TLS: pairs are read and compared, as nginx's
 * ngx_ssl_certificate does, and so are authorities and what they have revoked.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { ConfigError, type Statement } from '../config/statement.ts';
import { pemBlocks } from '../http/pem.ts';
import type { Link } from './link.ts';
import { certificatePath, noStartLine, opensslError, readPemFile, readPlainFile } from './pem-files.ts';
import type { CertificatePair } from './tls.ts';

const CERTIFICATE_LABELS = ['CERTIFICATE', 'X509 CERTIFICATE', 'TRUSTED CERTIFICATE'];

/** OpenSSL keeps one certificate and one key for each kind of key. */
interface Slot {
  certificate: X509Certificate | undefined;
  key: KeyObject | undefined;
}

/**
 * Reads certificates and their keys, PEM, which then are not encrypted any more.
 * @param passwords to be tried for keys that are encrypted
 * @throws ConfigError where one cannot be read, or they do not fit
 */
export function readPairs(
  certificates: readonly string[],
  keys: readonly string[],
  passwords: readonly string[],
  link: Link,
): readonly CertificatePair[] {
  const slots = new Map<string, Slot>();
  const slot = (kind: string): Slot => {
    let found = slots.get(kind);
    if (found === undefined) {
      found = { certificate: undefined, key: undefined };
      slots.set(kind, found);
    }
    return found;
  };
  return certificates.map((certificateFile, index) => {
    const certificateName = nameOf(certificateFile, link);
    const pem = readPemFile(
      certificateName,
      `cannot load certificate "${certificateName}": BIO_new_file() failed`,
      link,
    );
    const certificate = readCertificates(pem, certificateName)[0]!;
    const place = slot(certificate.publicKey.asymmetricKeyType ?? '');
    place.certificate = certificate;
    // A key that is there already and does not fit is forgotten, not an error.
    if (place.key !== undefined && !certificate.checkPrivateKey(place.key)) place.key = undefined;

    const keyName = nameOf(keys[index]!, link);
    const key = readKey(keyName, passwords, link);
    const keyPlace = slot(key.asymmetricKeyType ?? '');
    if (keyPlace.certificate !== undefined && !keyPlace.certificate.checkPrivateKey(key)) {
      throw new ConfigError(
        `SSL_CTX_use_PrivateKey("${keyName}") failed ` +
          '(SSL: error:05800074:x509 certificate routines::key values mismatch)',
      );
    }
    keyPlace.key = key;
    return {
      certificate: pem,
      key: Buffer.from(key.export({ type: 'pkcs8', format: 'pem' })),
      certificateName,
      keyName,
    };
  });
}

function nameOf(name: string, link: Link): string {
  return /^(data|engine|store):/.test(name) ? name : certificatePath(name, link);
}

/**
 * The certificates in a text of PEM, one at least.
 * @throws ConfigError
 */
export function readCertificates(pem: Buffer, name: string): readonly X509Certificate[] {
  const blocks = pemBlocks(pem.toString('latin1'), CERTIFICATE_LABELS);
  if (blocks.length === 0) {
    throw new ConfigError(
      `cannot load certificate "${name}": PEM_read_bio_X509_AUX() failed ${noStartLine('TRUSTED CERTIFICATE')}`,
    );
  }
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      const call = index === 0 ? 'PEM_read_bio_X509_AUX()' : 'PEM_read_bio_X509()';
      throw new ConfigError(
        `cannot load certificate "${name}": ${call} failed (SSL: ${opensslError(error)})`,
        {
          cause: error,
        },
      );
    }
  });
}

function readKey(name: string, passwords: readonly string[], link: Link): KeyObject {
  const failure = `cannot load certificate key "${name}"`;
  if (name.startsWith('engine:') || name.startsWith('store:')) {
    const kind = name.slice(0, name.indexOf(':'));
    throw new ConfigError(`${failure}: loading "${kind}:..." certificate keys is not supported`);
  }
  const key = readPemFile(name, `${failure}: BIO_new_file() failed`, link);
  for (let attempt = 0; ; attempt++) {
    try {
      // Without a password OpenSSL would ask for one.
      const passphrase = Buffer.from(passwords[attempt] ?? '', 'latin1');
      return createPrivateKey({ key, format: 'pem', passphrase });
    } catch (error) {
      if (attempt + 1 < passwords.length) continue;
      const what = opensslError(error);
      const detail = what.endsWith('DECODER routines::unsupported')
        ? ':No supported data to decode. Input type: PEM'
        : '';
      throw new ConfigError(`${failure}: PEM_read_bio_PrivateKey() failed (SSL: ${what}${detail})`, {
        cause: error,
      });
    }
  }
}

/**
 * The passwords of an `ssl_password_file` (`proxy_ssl_password_file`), one a line.
 * @throws ConfigError where it cannot be read
 */
export function readPasswords(statement: Statement | undefined, link: Link): readonly string[] {
  if (statement === undefined) return [];
  const text = readPlainFile(certificatePath(statement.args[0]!, link), statement, link).toString('latin1');
  return text
    .split('\n')
    .map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line))
    .filter((line) => line !== '');
}

/**
 * Reads a file of certificates of authorities.
 * @returns PEM; undefined for no file
 * @throws ConfigError where it cannot be read, or has none
 */
export function readAuthorities(name: string, link: Link): Buffer | undefined {
  if (name === '') return undefined;
  const path = certificatePath(name, link);
  const pem = readPemFile(path, `cannot load certificate "${path}": BIO_new_file() failed`, link);
  readCertificates(pem, path);
  return pem;
}

/**
 * Reads a file of what authorities have revoked.
 * @returns PEM; undefined for no file
 * @throws ConfigError where it cannot be read, or has no list
 */
export function readRevoked(name: string, link: Link): Buffer | undefined {
  if (name === '') return undefined;
  const path = certificatePath(name, link);
  const pem = readPemFile(path, `cannot load CRL "${path}": BIO_new_file() failed`, link);
  if (pemBlocks(pem.toString('latin1'), ['X509 CRL']).length === 0) {
    throw new ConfigError(
      `cannot load CRL "${path}": PEM_read_bio_X509_CRL() failed ${noStartLine('X509 CRL')}`,
    );
  }
  return pem;
}
