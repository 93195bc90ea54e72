/** Sets of bytes, as character classes of regular expressions are. */

/** 256 flags, one a byte: 1 where it is in the set. */
export type ByteSet = Uint8Array;

/** The bytes for which `contains` is true. */
export function byteSet(contains: (byte: number) => boolean): ByteSet {
  const set = new Uint8Array(256);
  for (let byte = 0; byte < 256; byte++) if (contains(byte)) set[byte] = 1;
  return set;
}

/** Adds every byte of `other`. */
export function addBytes(set: ByteSet, other: ByteSet): void {
  for (let byte = 0; byte < 256; byte++) if (other[byte] === 1) set[byte] = 1;
}

/** The bytes that are not in the set. */
export function complement(set: ByteSet): ByteSet {
  return byteSet((byte) => set[byte] === 0);
}

/** Adds the other case of each ASCII letter in the set; bytes above 127 have none, as in PCRE's default tables. */
export function addOtherCases(set: ByteSet): void {
  for (let upper = 65; upper <= 90; upper++) {
    if (set[upper] === 1) set[upper | 0x20] = 1;
    else if (set[upper | 0x20] === 1) set[upper] = 1;
  }
}

/** The set as a JavaScript character class, or as one character where it has only one. */
export function classSource(set: ByteSet): string {
  let source = '';
  let members = 0;
  for (let byte = 0; byte < 256; byte++) {
    if (set[byte] === 0) continue;
    let last = byte;
    while (last < 255 && set[last + 1] === 1) last++;
    members += last - byte + 1;
    source += characterSource(byte);
    if (last > byte + 1) source += '-';
    if (last > byte) source += characterSource(last);
    byte = last;
  }
  if (members === 0) return '[]';
  if (members === 256) return '[^]';
  return members === 1 ? source : `[${source}]`;
}

function characterSource(byte: number): string {
  const isPlain = (byte >= 48 && byte <= 57) || (byte >= 65 && byte <= 90) || (byte >= 97 && byte <= 122);
  // Slash, too, means nothing but itself: patterns of locations are full of it.
  if (isPlain || byte === 47 || byte === 95) return String.fromCharCode(byte);
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}

const isDigit = (byte: number): boolean => byte >= 48 && byte <= 57;
const isUpper = (byte: number): boolean => byte >= 65 && byte <= 90;
const isLower = (byte: number): boolean => byte >= 97 && byte <= 122;
const isAlpha = (byte: number): boolean => isUpper(byte) || isLower(byte);
const isGraphic = (byte: number): boolean => byte > 32 && byte < 127;
const isSpace = (byte: number): boolean => byte === 32 || (byte >= 9 && byte <= 13);

/** `\d`, `\w`, `\s`, `\h`, `\v` and `\N`, by letter. Their capitals are the complements. */
export const ESCAPED_CLASSES: Readonly<Record<string, ByteSet>> = {
  d: byteSet(isDigit),
  w: byteSet((byte) => isDigit(byte) || isAlpha(byte) || byte === 95),
  s: byteSet(isSpace),
  h: byteSet((byte) => byte === 9 || byte === 32 || byte === 0xa0),
  v: byteSet((byte) => (byte >= 10 && byte <= 13) || byte === 0x85),
};

/** The classes of POSIX brackets, `[[:alpha:]]`, by name. */
export const POSIX_CLASSES: Readonly<Record<string, ByteSet>> = {
  alpha: byteSet(isAlpha),
  lower: byteSet(isLower),
  upper: byteSet(isUpper),
  alnum: byteSet((byte) => isAlpha(byte) || isDigit(byte)),
  ascii: byteSet((byte) => byte < 128),
  blank: byteSet((byte) => byte === 9 || byte === 32),
  cntrl: byteSet((byte) => byte < 32 || byte === 127),
  digit: byteSet(isDigit),
  graph: byteSet(isGraphic),
  print: byteSet((byte) => isGraphic(byte) || byte === 32),
  punct: byteSet((byte) => isGraphic(byte) && !isAlpha(byte) && !isDigit(byte)),
  space: byteSet(isSpace),
  word: byteSet((byte) => isDigit(byte) || isAlpha(byte) || byte === 95),
  xdigit: byteSet((byte) => isDigit(byte) || (byte >= 65 && byte <= 70) || (byte >= 97 && byte <= 102)),
};
