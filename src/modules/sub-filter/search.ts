/**
 * Searching a stream for several strings at once, letters in either case. As nginx searches: the leftmost match wins,
 * and of those that begin at the same place the one given first; one that only the next piece can decide is waited for,
 * even where another one, given later, is complete.
 */

/** What `sub_filter` looks for, with what tells in a few steps where it cannot begin. Made once, used by many streams. */
export interface Patterns {
  /** In lower case, ordered by the byte at `shortest - 1`, and then as they were given. */
  readonly bytes: readonly Uint8Array[];
  /** Where each stood among those given. */
  readonly origins: readonly number[];
  /** Lengths. */
  readonly shortest: number;
  readonly longest: number;
  /** By a byte: how far it is from the end of the nearest window, of the shortest pattern's length, that has it. */
  readonly shifts: Uint8Array;
  /** By a byte at the end of such a window: the first pattern that fits, and, at the next position, the one behind. */
  readonly starts: Uint16Array;
}

/** Prepares patterns, none of which is empty. @param texts byte strings */
export function compilePatterns(texts: readonly string[]): Patterns {
  const given = texts.map((text) => Uint8Array.from(text, (byte) => LOWER[byte.charCodeAt(0)]));
  const shortest = Math.min(...given.map(({ length }) => length));
  const longest = Math.max(...given.map(({ length }) => length));
  const origins = given.map((_, index) => index);
  // The sort is stable.
  origins.sort((left, right) => given[left][shortest - 1] - given[right][shortest - 1]);
  const bytes = origins.map((origin) => given[origin]);
  const shifts = new Uint8Array(256).fill(Math.min(shortest, 255));
  const starts = new Uint16Array(257).fill(bytes.length);
  for (let index = bytes.length - 1; index >= 0; index--) {
    const pattern = bytes[index];
    for (let distance = 0; distance < Math.min(shortest, 255); distance++) {
      const byte = pattern[shortest - 1 - distance];
      shifts[byte] = Math.min(shifts[byte], distance);
    }
    starts.fill(index, 0, pattern[shortest - 1] + 1);
  }
  return { bytes, origins, shortest, longest, shifts, starts };
}

/** Every byte in lower case. */
const LOWER = Uint8Array.from({ length: 256 }, (_, byte) => (byte >= 65 && byte <= 90 ? byte | 0x20 : byte));

const DIFFERENT = 0;
const COMPLETE = 1;
/** The bytes end before the pattern does. */
const CUT = 2;

function compare(data: Uint8Array, start: number, pattern: Uint8Array): number {
  const end = Math.min(pattern.length, data.length - start);
  for (let index = 0; index < end; index++) {
    if (LOWER[data[start + index]] !== pattern[index]) return DIFFERENT;
  }
  return end === pattern.length ? COMPLETE : CUT;
}

/** The search through one stream. */
export class StreamSearch {
  /** What of the bytes has been dealt with after `next`: a match begins there, or nothing before it can be one. */
  matchStart = 0;
  matchEnd = 0;

  private readonly patterns: Patterns;
  /** Patterns that are not to be found again. */
  private readonly done: Uint8Array | undefined;
  /** The pattern that was cut off at the beginning of the bytes that were kept. */
  private resumeAt = 0;

  /** @param once every pattern is found once */
  constructor(patterns: Patterns, once: boolean) {
    this.patterns = patterns;
    this.done = once ? new Uint8Array(patterns.bytes.length) : undefined;
  }

  /**
   * Looks for the next match.
   * @param data the bytes not dealt with, those that were kept first
   * @param from where to begin
   * @returns which of the given patterns it is, from `matchStart` to `matchEnd`; -1 where there is none: then what
   *   begins at `matchStart` has to be kept, and the next search to begin with it
   */
  next(data: Uint8Array, from: number): number {
    const { bytes, shortest, shifts, starts, origins } = this.patterns;
    const { done } = this;
    const { length } = data;
    let offset = from + shortest - 1;
    let resumeAt = this.resumeAt;
    this.resumeAt = 0;
    while (offset < length) {
      const byte = LOWER[data[offset]];
      const shift = shifts[byte];
      if (shift > 0) {
        offset += shift;
        resumeAt = 0;
        continue;
      }
      const start = offset - shortest + 1;
      const behind = starts[byte + 1];
      for (let index = Math.max(starts[byte], resumeAt); index < behind; index++) {
        if (done !== undefined && done[index] === 1) continue;
        const outcome = compare(data, start, bytes[index]);
        if (outcome === DIFFERENT) continue;
        this.matchStart = start;
        if (outcome === CUT) {
          this.resumeAt = index;
          return -1;
        }
        this.matchEnd = start + bytes[index].length;
        if (done !== undefined) done[index] = 1;
        return origins[index];
      }
      offset++;
      resumeAt = 0;
    }
    this.matchStart = this.firstPossible(data, Math.max(from, offset - shortest + 1));
    return -1;
  }

  /** Where, of the last few bytes, a match can begin that more bytes would complete. */
  private firstPossible(data: Uint8Array, from: number): number {
    const { bytes } = this.patterns;
    let start = from;
    for (; start < data.length; start++) {
      for (let index = 0; index < bytes.length; index++) {
        if (compare(data, start, bytes[index]) === CUT) return start;
      }
    }
    return data.length;
  }
}
