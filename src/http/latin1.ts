/** Byte strings: one character per byte, codes 0 to 255. */

/**
 * What Buffer has had since its beginnings, but its type declarations leave out; `toString('latin1')` and its like first
 * look their encoding up.
 */
interface Latin1Methods {
  latin1Slice(start: number, end: number): string;
  latin1Write(text: string, offset: number, length: number): number;
}

/** bytes[start, end) as a byte string. */
export function latin1Text(bytes: Buffer, start: number, end: number): string {
  return (bytes as unknown as Latin1Methods).latin1Slice(start, end);
}

/** Puts a byte string at the start of a buffer, as far as there is room. @returns how many bytes have been written */
export function writeLatin1(bytes: Buffer, text: string): number {
  return (bytes as unknown as Latin1Methods).latin1Write(text, 0, bytes.length);
}
