/** What is to be known of a TLS session as OpenSSL serializes it (SSL_SESSION, ASN.1). */
import { type DerElement, DerTag, readDer, readDerSequence } from './der.ts';

const PEER_CERTIFICATE = 0xa3;
const KEY_EXCHANGE_GROUP = 0xb3;

/** Of one session. */
export interface SessionFacts {
  /** Hexadecimal; '' where it has none. */
  readonly id: string;
  /** The other side's certificate is in it. */
  readonly hasCertificate: boolean;
  /** Number of the group (curve) of the key exchange; 0 for none. */
  readonly group: number;
}

const UNKNOWN: SessionFacts = { id: '', hasCertificate: true, group: 0 };

/** Reads a session; one that is not understood has no id, and may have a certificate. */
export function readSession(der: Buffer): SessionFacts {
  try {
    // Versions of the format and of TLS, cipher, id, key, then what is there, each with its tag.
    const parts = readDerSequence(der, readDer(der, 0));
    const id = parts[3];
    if (id?.tag !== DerTag.octetString) return UNKNOWN;
    const group = parts.find(({ tag }) => tag === KEY_EXCHANGE_GROUP);
    return {
      id: der.toString('hex', id.start, id.end),
      hasCertificate: parts.some(({ tag }) => tag === PEER_CERTIFICATE),
      group: group === undefined ? 0 : integer(der, readDer(der, group.start)),
    };
  } catch (error) {
    if (error instanceof RangeError) return UNKNOWN;
    throw error;
  }
}

function integer(der: Buffer, { start, end }: DerElement): number {
  let value = 0;
  for (let at = start; at < end; at++) value = value * 256 + der[at]!;
  return value;
}
