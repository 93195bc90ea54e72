/**
 * Reads what a TLS client offers before OpenSSL does: the name it asks for, so that its server's certificates can be
 * taken from the start, and what OpenSSL's bindings in Node.js do not tell (RFC 8446 4.1.2, RFC 5246 7.4.1.2).
 */
import { latin1Text } from '../../http/latin1.ts';

/** What a ClientHello says. Lists of numbers are as they were sent, two bytes each, as latin1. */
export interface ClientHello {
  /** SNI (RFC 6066 3); '' for none. */
  readonly serverName: string;
  readonly cipherSuites: string;
  /** supported_groups. */
  readonly groups: string;
  readonly signatureAlgorithms: string;
  /** The session_ticket extension (RFC 5077), or TLS 1.3: sessions can be given to it as tickets. */
  readonly takesTickets: boolean;
  /** Its ticket, or the name of its session in TLS 1.3; '' for none. */
  readonly ticket: string;
}

/** More bytes are needed. */
export const INCOMPLETE = 'incomplete';

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
/** OpenSSL's limit for a ClientHello. */
const LONGEST = 131_396;

const SERVER_NAME = 0;
const SUPPORTED_GROUPS = 10;
const SIGNATURE_ALGORITHMS = 13;
const SESSION_TICKET = 35;
const PRE_SHARED_KEY = 41;
const SUPPORTED_VERSIONS = 43;

/**
 * Reads a ClientHello.
 * @param bytes all that the client has sent so far, at least one byte
 * @returns undefined where it is something else, or broken: OpenSSL will say how
 */
export function readClientHello(bytes: Buffer): ClientHello | typeof INCOMPLETE | undefined {
  const message = handshakeMessage(bytes);
  if (typeof message === 'string' || message === undefined) return message;
  try {
    return parse(message);
  } catch (error) {
    // Lengths that point past the end.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** The first handshake message, without its header; it may lie in several records. */
function handshakeMessage(bytes: Buffer): Buffer | typeof INCOMPLETE | undefined {
  const pieces: Buffer[] = [];
  let gathered = 0;
  let wanted = 4;
  for (let start = 0; gathered < wanted; ) {
    if (bytes.length < start + 5)
      return bytes[start] === HANDSHAKE || start === bytes.length ? INCOMPLETE : undefined;
    if (bytes[start] !== HANDSHAKE) return undefined;
    const length = bytes.readUInt16BE(start + 3);
    if (length === 0) return undefined;
    const piece = bytes.subarray(start + 5, start + 5 + length);
    if (gathered === 0 && piece.length > 0 && piece[0] !== CLIENT_HELLO) return undefined;
    pieces.push(piece);
    gathered += piece.length;
    if (wanted === 4 && gathered >= 4) {
      const head = pieces.length === 1 ? piece : Buffer.concat(pieces);
      wanted = 4 + head.readUIntBE(1, 3);
      if (wanted > LONGEST) return undefined;
    }
    if (piece.length < length && gathered < wanted) return INCOMPLETE;
    start += 5 + length;
  }
  const all = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  return all.subarray(4, wanted);
}

/** @throws RangeError where a length is wrong */
function parse(message: Buffer): ClientHello {
  let at = 34;
  at += 1 + message.readUInt8(at);
  const suites = message.readUInt16BE(at);
  const cipherSuites = text(message, at + 2, suites);
  at += 2 + suites;
  at += 1 + message.readUInt8(at);

  let serverName = '';
  let groups = '';
  let signatureAlgorithms = '';
  let takesTickets = false;
  let ticket = '';
  // Extensions are missing altogether from very old clients.
  const end = at >= message.length ? at : at + 2 + message.readUInt16BE(at);
  for (at += 2; at < end; ) {
    const type = message.readUInt16BE(at);
    const length = message.readUInt16BE(at + 2);
    at += 4;
    switch (type) {
      case SERVER_NAME:
        // A list of which only one entry is ever used: type host_name, length, name.
        if (length > 5 && message.readUInt8(at + 2) === 0) {
          serverName = text(message, at + 5, message.readUInt16BE(at + 3));
        }
        break;
      case SUPPORTED_GROUPS:
        groups = text(message, at + 2, message.readUInt16BE(at));
        break;
      case SIGNATURE_ALGORITHMS:
        signatureAlgorithms = text(message, at + 2, message.readUInt16BE(at));
        break;
      case SESSION_TICKET:
        takesTickets = true;
        if (ticket === '') ticket = text(message, at, length);
        break;
      case SUPPORTED_VERSIONS:
        for (let index = at + 1; index < at + length - 1; index += 2) {
          if (message.readUInt16BE(index) === 0x0304) takesTickets = true;
        }
        break;
      case PRE_SHARED_KEY:
        ticket = text(message, at + 4, message.readUInt16BE(at + 2));
        break;
    }
    at += length;
  }
  return { serverName, cipherSuites, groups, signatureAlgorithms, takesTickets, ticket };
}

function text(message: Buffer, start: number, length: number): string {
  if (start + length > message.length) throw new RangeError('a length points past the end');
  return latin1Text(message, start, start + length);
}
