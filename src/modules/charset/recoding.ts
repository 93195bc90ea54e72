/** `charset_map`: tables between two charsets, and recoding by them. A Recoding is made once; a Recoder belongs to one body. */
import { latin1Text } from '../../http/latin1.ts';

/** What utf-8 has for a byte that cannot be read: nothing has it. */
const UNKNOWN = 63;
/** Bytes of the longest form of one character in utf-8 that nginx's tables can hold. */
const LONGEST = 3;

/** How one charset becomes another. */
export interface Recoding {
  /** The body's length changes. */
  readonly resizes: boolean;
  /** @returns what recodes one body, piece by piece */
  start(): Recoder;
}

/**
 * Recodes a piece.
 * @returns the recoded bytes: the same object where they are the same, else ones of their own
 */
export type Recoder = (piece: Buffer) => Buffer;

/** From one charset of single bytes to another. */
function singleByteRecoding(table: Uint8Array): Recoding {
  const recode: Recoder = (piece) => {
    let first = 0;
    while (first < piece.length && table[piece[first]] === piece[first]) first++;
    if (first === piece.length) return piece;
    const recoded = Buffer.from(piece);
    for (let index = first; index < recoded.length; index++) recoded[index] = table[recoded[index]];
    return recoded;
  };
  return { resizes: false, start: () => recode };
}

/** From a charset of single bytes to utf-8. @param table the bytes of each character */
function toUtf8Recoding(table: readonly Uint8Array[]): Recoding {
  const lengths = Uint8Array.from(table, ({ length }) => length);
  const recode: Recoder = (piece) => {
    let size = 0;
    let changed = false;
    for (let index = 0; index < piece.length; index++) {
      const byte = piece[index];
      size += lengths[byte];
      // nginx, too, passes on as it is what consists of characters of one byte.
      if (lengths[byte] !== 1) changed = true;
    }
    if (!changed) return piece;
    const recoded = Buffer.allocUnsafe(size);
    let position = 0;
    for (let index = 0; index < piece.length; index++) {
      const character = table[piece[index]];
      for (let at = 0; at < character.length; at++) recoded[position++] = character[at];
    }
    return recoded;
  };
  return { resizes: true, start: () => recode };
}

/**
 * From utf-8 to a charset of single bytes. A character that charset does not have becomes an HTML entity, what is no
 * utf-8 a question mark.
 * @param table the byte of each character up to U+FFFF, 0 for none
 */
function fromUtf8Recoding(table: ReadonlyMap<number, number>): Recoding {
  return {
    resizes: true,
    start() {
      let kept: Buffer | undefined;
      return (piece) => {
        const data = kept === undefined ? piece : Buffer.concat([kept, piece]);
        let first = 0;
        while (first < data.length && data[first] < 0x80) first++;
        if (first === data.length) {
          kept = undefined;
          return data;
        }
        let recoded = latin1Text(data, 0, first);
        let position = first;
        let copied = first;
        kept = undefined;
        while (position < data.length) {
          if (data[position] < 0x80) {
            position++;
            continue;
          }
          recoded += latin1Text(data, copied, position);
          const character = decode(data, position);
          if (character === INCOMPLETE) {
            kept = Buffer.from(data.subarray(position));
            copied = data.length;
            break;
          }
          position = decodedTo;
          copied = position;
          recoded += spell(character, table);
        }
        return Buffer.from(recoded + latin1Text(data, copied, data.length), 'latin1');
      };
    },
  };
}

function spell(character: number, table: ReadonlyMap<number, number>): string {
  if (character > 0x10ffff) return '?';
  const byte = table.get(character);
  return byte === undefined || byte === 0 ? `&#${character};` : String.fromCharCode(byte);
}

/** More bytes are needed to tell. */
const INCOMPLETE = -1;
const INVALID = 0xffffffff;
/** Behind what `decode` has read last. */
let decodedTo = 0;

/** Decodes one character that is not ASCII, as tolerantly as nginx does. */
function decode(data: Uint8Array, from: number): number {
  const lead = data[from];
  decodedTo = from + 1;
  if (lead < 0xc2 || lead >= 0xf8) return INVALID;
  const following = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
  if (data.length - from - 1 < following) return INCOMPLETE;
  let character = lead & (0x3f >> following);
  for (let index = 0; index < following; index++) {
    const byte = data[decodedTo++];
    if (byte < 0x80) return INVALID;
    character = character * 64 + (byte & 0x3f);
  }
  // A longer form than the character needs.
  const least = following === 3 ? 0xffff : following === 2 ? 0x7ff : 0x7f;
  return character > least ? character : INVALID;
}

/** One `charset_map` block, both ways. */
export interface CharsetTables {
  readonly forward: Recoding;
  readonly backward: Recoding;
}

/** Builds tables where both charsets have single bytes. @param pairs from and to */
export function buildSingleByteTables(pairs: Iterable<readonly [from: number, to: number]>): CharsetTables {
  const forward = new Uint8Array(256).fill(UNKNOWN);
  const backward = new Uint8Array(256).fill(UNKNOWN);
  for (let byte = 0; byte < 128; byte++) {
    forward[byte] = byte;
    backward[byte] = byte;
  }
  for (const [from, to] of pairs) {
    forward[from] = to;
    backward[to] = from;
  }
  return { forward: singleByteRecoding(forward), backward: singleByteRecoding(backward) };
}

/** Builds tables where the second charset is utf-8. @param pairs a byte, and the bytes of its character in utf-8 */
export function buildUtf8Tables(pairs: Iterable<readonly [from: number, to: Uint8Array]>): CharsetTables {
  const forward: Uint8Array[] = [];
  const backward = new Map<number, number>();
  for (let byte = 0; byte < 256; byte++) forward[byte] = Uint8Array.of(byte < 128 ? byte : UNKNOWN);
  for (const [from, to] of pairs) {
    forward[from] = to;
    backward.set(characterOf(to)!, from);
  }
  return { forward: toUtf8Recoding(forward), backward: fromUtf8Recoding(backward) };
}

/** The character that bytes of utf-8 begin with; undefined where a table cannot hold it. */
export function characterOf(bytes: Uint8Array): number | undefined {
  if (bytes.length === 0 || bytes.length > LONGEST) return undefined;
  const character = bytes[0] < 0x80 ? bytes[0] : decode(bytes, 0);
  return character >= 0 && character <= 0xffff ? character : undefined;
}
