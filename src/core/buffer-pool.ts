/** Buffers of one size that are lent for as long as a piece of a file is under way, shared by all of a thread. */

/** Bytes of a buffer. */
export const BUFFER_SIZE = 128 * 1024;

/** As many are kept for the next who asks; 4 MB a thread. */
const KEPT = 32;

const free: Buffer[] = [];

/** A buffer whose contents are anything; `returnBuffer` gives it back. */
export function takeBuffer(): Buffer {
  return free.pop() ?? Buffer.allocUnsafeSlow(BUFFER_SIZE);
}

/** Gives a buffer back, which nobody reads or writes any more. One that is not given back is merely collected. */
export function returnBuffer(buffer: Buffer): void {
  if (free.length < KEPT) free.push(buffer);
}
