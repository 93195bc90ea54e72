/**
 * CRC-32 (the polynomial of zlib and PNG) of byte strings, which the hash methods place keys by.
 *
 * node:zlib has it too, but reads strings as UTF-8, and costs more than this for keys as short as these are.
 */

const TABLE = new Uint32Array(256);
for (let byte = 0; byte < 256; byte++) {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) {
    value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  }
  TABLE[byte] = value;
}

/** The state before the first byte. */
export const CRC32_START = -1;

/** Takes the bytes of `text` (one per char) into the state `crc`; returns the new state. */
export function crc32Update(crc: number, text: string): number {
  let state = crc;
  for (let index = 0; index < text.length; index++) {
    state = (state >>> 8) ^ TABLE[(state ^ text.charCodeAt(index)) & 255];
  }
  return state;
}

/** Takes the four bytes of `value`, lowest first, into the state `crc`; returns the new state. */
export function crc32UpdateInt32(crc: number, value: number): number {
  let state = crc;
  for (let shift = 0; shift < 32; shift += 8) {
    state = (state >>> 8) ^ TABLE[(state ^ (value >>> shift)) & 255];
  }
  return state;
}

/** The checksum a state stands for: 0 to 2^32 - 1. */
export function crc32Finish(crc: number): number {
  return ~crc >>> 0;
}
