/**
 * bytes[start, end) as a byte string: one character per byte, codes 0 to 255. Buffer has had this method since
 * its beginnings, but its type declarations leave it out; `toString('latin1')` first looks its encoding up.
 */
export function latin1Text(bytes: Buffer, start: number, end: number): string {
  return (bytes as unknown as { latin1Slice(start: number, end: number): string }).latin1Slice(start, end);
}
