/** Which of many ranges an address is in: sorted boundaries and a binary search. For `geo`. */

/** The family of an address: 32 or 128 bits. */
export type AddressFamily = 'IPv4' | 'IPv6';

/** All addresses from `first` to `last`, both included. */
export interface AddressRange<Value> {
  readonly first: bigint;
  readonly last: bigint;
  readonly value: Value;
}

/** Words of 32 bits in an address of a family. */
const WORDS = { IPv4: 1, IPv6: 4 };

/** Ranges of one family. Immutable. */
export class AddressTable<Value> {
  /** First address of each range, highest word first; the first of them is 0. A range ends where the next begins. */
  readonly #starts: Uint32Array;
  readonly #values: readonly Value[];

  /**
   * @param ranges any two of them are apart, or one is inside the other, which then holds for what is inside it; of two
   *   that are the same the last one counts
   * @param outside the value of addresses that are in none
   */
  constructor(family: AddressFamily, ranges: readonly AddressRange<Value>[], outside: Value) {
    const words = WORDS[family];
    const { starts, values } = flatten(ranges, outside, (1n << BigInt(words * 32)) - 1n);
    this.#starts = new Uint32Array(starts.length * words);
    this.#values = values;
    for (const [index, start] of starts.entries()) {
      for (let word = 0; word < words; word++) {
        this.#starts[index * words + word] = Number((start >> BigInt((words - 1 - word) * 32)) & 0xffffffffn);
      }
    }
  }

  /** @param address IPv4, as signed or unsigned 32 bits */
  findIPv4(address: number): Value {
    const starts = this.#starts;
    const wanted = address >>> 0;
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (starts[middle]! <= wanted) low = middle;
      else high = middle;
    }
    return this.#values[low]!;
  }

  /** @param groups IPv6: 8 groups of 16 bits */
  findIPv6(groups: Uint16Array): Value {
    const starts = this.#starts;
    let low = 0;
    let high = this.#values.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (isAtMost(starts, middle * 4, groups)) low = middle;
      else high = middle;
    }
    return this.#values[low]!;
  }
}

function isAtMost(starts: Uint32Array, offset: number, groups: Uint16Array): boolean {
  for (let word = 0; word < 4; word++) {
    const start = starts[offset + word]!;
    const wanted = groups[word * 2]! * 0x10000 + groups[word * 2 + 1]!;
    if (start !== wanted) return start < wanted;
  }
  return true;
}

/** Makes nested ranges into a sequence of them that covers all addresses. */
function flatten<Value>(
  ranges: readonly AddressRange<Value>[],
  outside: Value,
  highest: bigint,
): { starts: bigint[]; values: Value[] } {
  // Outer ranges before those inside them; the sort keeps the order of equal ones.
  const sorted = [...ranges].sort((one, other) => {
    if (one.first !== other.first) return one.first < other.first ? -1 : 1;
    return one.last === other.last ? 0 : one.last > other.last ? -1 : 1;
  });
  const starts = [0n];
  const values = [outside];
  const open: AddressRange<Value>[] = [];
  const from = (start: bigint, value: Value): void => {
    const last = starts.length - 1;
    if (starts[last] === start) values[last] = value;
    else if (values[last] !== value) {
      starts.push(start);
      values.push(value);
    }
  };
  const close = (before: bigint): void => {
    for (let top = open.at(-1); top !== undefined && top.last < before; top = open.at(-1)) {
      open.pop();
      if (top.last < highest) from(top.last + 1n, open.at(-1)?.value ?? outside);
    }
  };
  for (const range of sorted) {
    close(range.first);
    from(range.first, range.value);
    open.push(range);
  }
  close(highest + 1n);
  return { starts, values };
}
