/** Names in certificates as text: RFC 2253, and the one line that OpenSSL used to print. */
import { type DerElement, readDerSequence } from '../../http/der.ts';
import { latin1Text } from '../../http/latin1.ts';

/** OpenSSL's short names of what names consist of. */
const SHORT_NAMES: ReadonlyMap<string, string> = new Map([
  ['2.5.4.3', 'CN'],
  ['2.5.4.4', 'SN'],
  ['2.5.4.5', 'serialNumber'],
  ['2.5.4.6', 'C'],
  ['2.5.4.7', 'L'],
  ['2.5.4.8', 'ST'],
  ['2.5.4.9', 'street'],
  ['2.5.4.10', 'O'],
  ['2.5.4.11', 'OU'],
  ['2.5.4.12', 'title'],
  ['2.5.4.13', 'description'],
  ['2.5.4.15', 'businessCategory'],
  ['2.5.4.16', 'postalAddress'],
  ['2.5.4.17', 'postalCode'],
  ['2.5.4.20', 'telephoneNumber'],
  ['2.5.4.41', 'name'],
  ['2.5.4.42', 'GN'],
  ['2.5.4.43', 'initials'],
  ['2.5.4.44', 'generationQualifier'],
  ['2.5.4.45', 'x500UniqueIdentifier'],
  ['2.5.4.46', 'dnQualifier'],
  ['2.5.4.65', 'pseudonym'],
  ['2.5.4.97', 'organizationIdentifier'],
  ['1.2.840.113549.1.9.1', 'emailAddress'],
  ['1.2.840.113549.1.9.2', 'unstructuredName'],
  ['0.9.2342.19200300.100.1.1', 'UID'],
  ['0.9.2342.19200300.100.1.3', 'mail'],
  ['0.9.2342.19200300.100.1.25', 'DC'],
  ['1.3.6.1.4.1.311.60.2.1.1', 'jurisdictionL'],
  ['1.3.6.1.4.1.311.60.2.1.2', 'jurisdictionST'],
  ['1.3.6.1.4.1.311.60.2.1.3', 'jurisdictionC'],
]);

const UTF8_STRING = 12;
const BMP_STRING = 30;
const UNIVERSAL_STRING = 28;
/** Strings of one byte a character: Numeric, Printable, T61, IA5, Visible, General. */
const BYTE_STRINGS = new Set([18, 19, 20, 22, 26, 27]);

interface Attribute {
  /** Object identifier in dots. */
  readonly type: string;
  readonly tag: number;
  readonly value: Buffer;
  /** Stands in the same set as the one before. */
  readonly joined: boolean;
}

/** The names of a certificate's subject and its issuer. */
interface CertificateNames {
  readonly subject: DerElement;
  readonly issuer: DerElement;
}

/**
 * Finds the names in a certificate (RFC 5280 4.1).
 * @param der the certificate
 */
export function certificateNames(der: Buffer): CertificateNames {
  const [certificate] = readDerSequence(der, { tag: 0, start: 0, end: der.length });
  const [body] = readDerSequence(der, certificate!);
  const parts = readDerSequence(der, body!);
  // [0] version, which may be missing, serial number, signature, issuer, validity, subject.
  const first = parts[0]!.tag === 0xa0 ? 1 : 0;
  return { issuer: parts[first + 2]!, subject: parts[first + 4]! };
}

function attributesOf(der: Buffer, name: DerElement): Attribute[] {
  return readDerSequence(der, name).flatMap((set) =>
    readDerSequence(der, set).map((pair, index): Attribute => {
      const [type, value] = readDerSequence(der, pair);
      return {
        type: objectIdentifier(der.subarray(type!.start, type!.end)),
        tag: value!.tag,
        value: der.subarray(value!.start, value!.end),
        joined: index > 0,
      };
    }),
  );
}

function objectIdentifier(bytes: Buffer): string {
  const numbers: number[] = [];
  let number = 0;
  for (const byte of bytes) {
    number = number * 128 + (byte & 0x7f);
    if (byte < 0x80) {
      numbers.push(number);
      number = 0;
    }
  }
  const [first = 0, ...rest] = numbers;
  const root = Math.min(2, Math.floor(first / 40));
  return [root, first - root * 40, ...rest].join('.');
}

/**
 * A name as RFC 2253 writes it, most special part first: XN_FLAG_RFC2253 of OpenSSL.
 * @returns a byte string; characters beyond ASCII are escaped, byte by byte of UTF-8
 */
export function rfc2253Name(der: Buffer, name: DerElement): string {
  let text = '';
  const attributes = attributesOf(der, name);
  for (let index = attributes.length - 1; index >= 0; index--) {
    const { type, tag, value } = attributes[index]!;
    const shortName = SHORT_NAMES.get(type);
    if (text !== '') text += attributes[index + 1]!.joined ? '+' : ',';
    text += `${shortName ?? type}=${shortName === undefined ? dumped(tag, value) : escaped(tag, value)}`;
  }
  return text;
}

/** What has no name is shown as its DER. */
function dumped(tag: number, value: Buffer): string {
  const { length } = value;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return `#${Buffer.from([tag, ...size])
    .toString('hex')
    .toUpperCase()}${value.toString('hex').toUpperCase()}`;
}

/** The text of a value in UTF-8. */
function decode(tag: number, value: Buffer): Buffer | undefined {
  if (tag === UTF8_STRING) return value;
  if (BYTE_STRINGS.has(tag)) return Buffer.from(latin1Text(value, 0, value.length), 'utf8');
  if (tag === BMP_STRING && value.length % 2 === 0) {
    return Buffer.from(Buffer.from(value).swap16().toString('utf16le'), 'utf8');
  }
  if (tag === UNIVERSAL_STRING && value.length % 4 === 0) {
    let text = '';
    for (let at = 0; at < value.length; at += 4) {
      const code = value.readUInt32BE(at);
      if (code > 0x10ffff) return undefined;
      text += String.fromCodePoint(code);
    }
    return Buffer.from(text, 'utf8');
  }
  return undefined;
}

function escaped(tag: number, value: Buffer): string {
  const bytes = decode(tag, value);
  if (bytes === undefined) return dumped(tag, value);
  let text = '';
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index]!;
    const character = String.fromCharCode(byte);
    const isFirst = index === 0;
    const isLast = index === bytes.length - 1;
    if (byte < 0x20 || byte >= 0x7f) text += `\\${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    else if (',+"\\<>;'.includes(character)) text += `\\${character}`;
    else if ((isFirst && (character === '#' || character === ' ')) || (isLast && character === ' ')) {
      text += `\\${character}`;
    } else text += character;
  }
  return text;
}

/** A name in one line, `/CN=x/O=y`: X509_NAME_oneline of OpenSSL. */
export function onelineName(der: Buffer, name: DerElement): string {
  let text = '';
  for (const { type, tag, value } of attributesOf(der, name)) {
    text += `/${SHORT_NAMES.get(type) ?? type}=`;
    // Of a universal string that is in Latin letters only those are shown.
    const narrow = tag === UNIVERSAL_STRING && value.length % 4 === 0 && isNarrow(value);
    for (let index = narrow ? 3 : 0; index < value.length; index += narrow ? 4 : 1) {
      const byte = value[index]!;
      text +=
        byte < 0x20 || byte > 0x7e
          ? `\\x${byte.toString(16).toUpperCase().padStart(2, '0')}`
          : String.fromCharCode(byte);
    }
  }
  return text;
}

function isNarrow(value: Buffer): boolean {
  for (let at = 0; at < value.length; at += 4)
    if (value[at] !== 0 || value[at + 1] !== 0 || value[at + 2] !== 0) return false;
  return true;
}
