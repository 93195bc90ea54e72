/**
 * Makes X.509 certificates and lists of revoked ones (RFC 5280) for test hosts, which node:crypto can read but not make.
 * Nothing here is for certificates that anybody is to rely on.
 *
 * ```ts
 * const authority = createCertificate({ name: 'Example CA', authority: true });
 * const server = createCertificate({ name: 'localhost', hosts: ['localhost', '127.0.0.1'], issuer: authority });
 * server.certificate; // PEM
 * ```
 */
import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';

/** What a certificate is to be. */
export interface CertificateOptions {
  /** Common name of the subject. */
  readonly name: string;
  /** Names and addresses of the host. */
  readonly hosts?: readonly string[];
  /** `ecdsa` (P-256) unless told. */
  readonly algorithm?: 'ecdsa' | 'rsa';
  /** It may issue others. */
  readonly authority?: boolean;
  /** Who issues it; itself unless told. */
  readonly issuer?: Certificate;
  /** Valid from and until; from yesterday for 30 days unless told. */
  readonly validFrom?: Date;
  readonly validTo?: Date;
}

/** A certificate and its key. */
export interface Certificate {
  readonly name: string;
  readonly serialNumber: Buffer;
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
  readonly privateKey: KeyObject;
}

const DAY = 86_400_000;

// ---- DER ----

function element(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(contents);
  const { length } = body;
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), body]);
}

const sequence = (...parts: readonly Uint8Array[]) => element(0x30, ...parts);
const octets = (bytes: Uint8Array) => element(0x04, bytes);
const bits = (bytes: Uint8Array) => element(0x03, Buffer.from([0]), bytes);

/** A positive number. */
function integer(bytes: Uint8Array): Buffer {
  return element(0x02, bytes[0]! >= 0x80 ? Buffer.from([0]) : Buffer.alloc(0), bytes);
}

function objectIdentifier(dots: string): Buffer {
  const [first = 0, second = 0, ...rest] = dots.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const number of rest) {
    const digits = [number & 0x7f];
    for (let left = number >> 7; left > 0; left >>= 7) digits.unshift((left & 0x7f) | 0x80);
    bytes.push(...digits);
  }
  return element(0x06, Buffer.from(bytes));
}

/** UTCTime until 2049, as RFC 5280 wants it, GeneralizedTime after. */
function time(date: Date): Buffer {
  const digits = date.toISOString().replace(/[-:T]|\.\d+/g, '');
  return date.getUTCFullYear() < 2050
    ? element(0x17, Buffer.from(digits.slice(2)))
    : element(0x18, Buffer.from(digits));
}

function distinguishedName(commonName: string): Buffer {
  return sequence(
    element(0x31, sequence(objectIdentifier('2.5.4.3'), element(0x0c, Buffer.from(commonName)))),
  );
}

function extension(type: string, critical: boolean, value: Buffer): Buffer {
  const flag = critical ? [element(0x01, Buffer.from([0xff]))] : [];
  return sequence(objectIdentifier(type), ...flag, octets(value));
}

function pem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g)!;
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

function signatureAlgorithm(key: KeyObject): Buffer {
  return key.asymmetricKeyType === 'ec'
    ? sequence(objectIdentifier('1.2.840.10045.4.3.2'))
    : sequence(objectIdentifier('1.2.840.113549.1.1.11'), element(0x05));
}

function signed(body: Buffer, key: KeyObject): Buffer {
  return sequence(body, signatureAlgorithm(key), bits(sign('sha256', body, key)));
}

// ---- certificates ----

function extensions({ hosts = [], authority = false }: CertificateOptions): Buffer[] {
  const constraints = authority ? sequence(element(0x01, Buffer.from([0xff]))) : sequence();
  const list = [extension('2.5.29.19', true, constraints)];
  // keyCertSign and cRLSign, or digitalSignature and keyEncipherment.
  const usage = authority ? Buffer.from([1, 0x06]) : Buffer.from([5, 0xa0]);
  list.push(extension('2.5.29.15', true, element(0x03, usage)));
  if (hosts.length > 0) {
    const names = hosts.map((host) => {
      const family = isIP(host);
      if (family === 6) throw new Error(`IPv6 addresses cannot be in a certificate here: ${host}`);
      return family === 4
        ? element(0x87, Buffer.from(host.split('.').map(Number)))
        : element(0x82, Buffer.from(host));
    });
    list.push(extension('2.5.29.17', false, sequence(...names)));
  }
  return list;
}

/** Makes a certificate with a new key. */
export function createCertificate(options: CertificateOptions): Certificate {
  const { name, issuer, algorithm = 'ecdsa' } = options;
  const { privateKey } =
    algorithm === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signer = issuer?.privateKey ?? privateKey;
  const serialNumber = randomBytes(15);
  // Not 0 in front, which DER would leave out.
  serialNumber[0]! |= 0x40;
  const validFrom = options.validFrom ?? new Date(Date.now() - DAY);
  const validTo = options.validTo ?? new Date(Date.now() + 30 * DAY);
  const body = sequence(
    element(0xa0, integer(Buffer.from([2]))),
    integer(serialNumber),
    signatureAlgorithm(signer),
    distinguishedName(issuer?.name ?? name),
    sequence(time(validFrom), time(validTo)),
    distinguishedName(name),
    createPublicKey(privateKey).export({ type: 'spki', format: 'der' }),
    element(0xa3, sequence(...extensions(options))),
  );
  return {
    name,
    serialNumber,
    certificate: pem('CERTIFICATE', signed(body, signer)),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    privateKey,
  };
}

/** Makes the list of the certificates that an authority has revoked, in PEM. */
export function createRevocationList(authority: Certificate, revoked: readonly Certificate[]): string {
  const now = new Date(Date.now() - 1000);
  const entries = revoked.map(({ serialNumber }) => sequence(integer(serialNumber), time(now)));
  const body = sequence(
    integer(Buffer.from([1])),
    signatureAlgorithm(authority.privateKey),
    distinguishedName(authority.name),
    time(now),
    time(new Date(Date.now() + DAY)),
    ...(entries.length > 0 ? [sequence(...entries)] : []),
  );
  return pem('X509 CRL', signed(body, authority.privateKey));
}
