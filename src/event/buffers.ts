/**
 * The buffers connections read into: 64 kB each, handed from connection to connection. Pages nobody has written to cost
 * no memory, so a connection that brings little costs one page.
 */

/** Bytes of one buffer. */
export const READ_BUFFER_SIZE = 65_536;

/** Buffers kept for the next connection; more are left to the garbage collector. */
const MOST_SPARE = 64;

const spare: Buffer[] = [];

/** A buffer nobody else has. Its content is whatever it was. */
export function takeBuffer(): Buffer {
  return spare.pop() ?? Buffer.allocUnsafeSlow(READ_BUFFER_SIZE);
}

/** Gives a buffer back. Nobody may look at it any more. */
export function giveBuffer(buffer: Buffer): void {
  if (spare.length < MOST_SPARE && buffer.length === READ_BUFFER_SIZE) spare.push(buffer);
}
