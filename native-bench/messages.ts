/**
 * The two messages of the WebSocket workloads, as frames that are made once (RFC 6455, section 5.2), and
 * the requests that open a WebSocket. Neither the load nor the server that echoes builds or parses
 * anything per message: a proxy is to be weighed, and not they.
 */
import { createHash } from 'node:crypto';

/** Where a proxy has the server that echoes. */
export const WEBSOCKET_PATH = '/websocket';

/** What a message says: 32 bytes, a chat line or a price. */
const text = Buffer.from('Thirty-two bytes, said and heard', 'latin1');

/** FIN and the opcode of text. */
const TEXT = 0x81;
const MASKED = 0x80;
/** Any will do; a real client takes another one for each frame. */
const mask = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);

/** The message as a server sends it. */
export const serverFrame: Buffer = Buffer.concat([Buffer.from([TEXT, text.length]), text]);

/** The message as a client sends it: masked. Long as every other client's frame of that message. */
export const clientFrame: Buffer = Buffer.concat([
  Buffer.from([TEXT, MASKED | text.length]),
  mask,
  text.map((byte, index) => byte ^ mask[index & 3]),
]);

const key = Buffer.from('a key of a bench').toString('base64');

/** A client's request for a WebSocket. */
export const upgradeRequest: string = [
  `GET ${WEBSOCKET_PATH} HTTP/1.1`,
  'Host: 127.0.0.1',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  `Sec-WebSocket-Key: ${key}`,
  '\r\n',
].join('\r\n');

/** The server's consent to a key (section 4.2.2). */
export function upgradeAnswer(key: string): string {
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  return [
    'HTTP/1.1 101 Switching Protocols',
    'Connection: Upgrade',
    'Upgrade: websocket',
    `Sec-WebSocket-Accept: ${accept}`,
    '\r\n',
  ].join('\r\n');
}

const consent = /^Sec-WebSocket-Accept: \S+$/m.exec(upgradeAnswer(key))?.[0] ?? '';

/**
 * Where the frames begin in what a client has got so far.
 * @returns undefined while the head has not all come
 * @throws Error when it is not the server's consent
 */
export function upgradedAt(received: Buffer): number | undefined {
  const end = received.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const head = received.toString('latin1', 0, end);
  const agreed = head.startsWith('HTTP/1.1 101 ') && head.toLowerCase().includes(consent.toLowerCase());
  if (!agreed) throw new Error(head.split('\r\n', 1)[0]);
  return end + 4;
}
