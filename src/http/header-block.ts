import { type KnownHeaderId, knownHeaderId } from './header-names.ts';

const CR = 13;
const LF = 10;
const SPACE = 32;
const COLON = 58;

/** What a byte may be in a header name. */
export const NAME_NONE = 0;
/** Letters, digits, '-': always allowed. */
export const NAME_PLAIN = 1;
/** '_': allowed by `underscores_in_headers on`, and in responses. */
export const NAME_UNDERSCORE = 2;
/** Other visible bytes: the name is "invalid", which `ignore_invalid_headers` decides about. */
export const NAME_INVALID = 4;

/** Class of every byte in a header name; NAME_NONE for controls, space, DEL and ':'. */
export const NAME_CLASS = new Uint8Array(256);
for (let byte = 0x21; byte < 256; byte++) NAME_CLASS[byte] = NAME_INVALID;
for (const byte of Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-')) {
  NAME_CLASS[byte] = NAME_PLAIN;
}
NAME_CLASS[0x5f] = NAME_UNDERSCORE;
NAME_CLASS[COLON] = NAME_NONE;
NAME_CLASS[0x7f] = NAME_NONE;

/** Entries per field in the index: where its line starts, where its value starts, its known-name identifier. */
const STRIDE = 3;

/**
 * The header fields of one message in their order: one string and an index into it, never keys and values.
 * Immutable.
 *
 * The promise everything else rests on: `source.slice(start, end)` is made of lines of exactly
 * `Name: value\r\n`, where the name is not empty and has no control character, space, DEL or ':', and the value
 * has no NUL, CR or LF and neither begins nor ends with a space. Each line was checked, so any run of whole
 * lines can be forwarded as it is.
 *
 * Slices share memory with `source` (the head as it was received): copy what outlives the request.
 */
export class HeaderBlock {
  /** The string all offsets point into. */
  readonly source: string;
  /** Offset in `source` of the first line. */
  readonly start: number;
  /** Offset in `source` just after the last line. */
  readonly end: number;
  /** Number of fields. */
  readonly count: number;
  /** Line start, value start and identifier of every field, then `end`, which stands for the next line start. */
  readonly #index: number[];
  // Identifiers present, and present more than once: 0..30 in the low masks, 31..61 in the high ones.
  readonly #low: number;
  readonly #high: number;
  readonly #repeatedLow: number;
  readonly #repeatedHigh: number;

  /** Only for the scanners of this folder: they are what makes the promise true. */
  constructor(
    source: string,
    index: number[],
    low: number,
    high: number,
    repeatedLow: number,
    repeatedHigh: number,
  ) {
    this.source = source;
    this.count = (index.length - 1) / STRIDE;
    this.start = index[0];
    this.end = index[index.length - 1];
    this.#index = index;
    this.#low = low;
    this.#high = high;
    this.#repeatedLow = repeatedLow;
    this.#repeatedHigh = repeatedHigh;
  }

  /** All lines; no empty line at the end. */
  get text(): string {
    return this.source.slice(this.start, this.end);
  }

  /** The whole lines of the fields from..to-1, ready to be forwarded. */
  lines(from: number, to = this.count): string {
    return this.source.slice(this.#index[from * STRIDE], this.#index[to * STRIDE] ?? this.end);
  }

  /** Offset in `source` where the line of field i starts; for i === count, `end`. */
  lineStart(i: number): number {
    return this.#index[i * STRIDE];
  }

  /** Offset in `source` just after the line of field i, CRLF included. */
  lineEnd(i: number): number {
    return this.#index[i * STRIDE + STRIDE];
  }

  /** Offset in `source` where the value of field i starts; it ends two before `lineEnd(i)`. */
  valueStart(i: number): number {
    return this.#index[i * STRIDE + 1];
  }

  /** Name of field i as received. */
  name(i: number): string {
    return this.source.slice(this.#index[i * STRIDE], this.#index[i * STRIDE + 1] - 2);
  }

  /** Value of field i. */
  value(i: number): string {
    return this.source.slice(this.#index[i * STRIDE + 1], this.#index[i * STRIDE + STRIDE] - 2);
  }

  /** Identifier of the name of field i, `KnownHeader.other` (0) if it is none of the known names. */
  id(i: number): KnownHeaderId {
    return this.#index[i * STRIDE + 2] as KnownHeaderId;
  }

  /** Whether field i has this name, in either case. Allocates nothing. */
  nameIs(i: number, lowerCaseName: string): boolean {
    const start = this.#index[i * STRIDE];
    const length = this.#index[i * STRIDE + 1] - 2 - start;
    if (length !== lowerCaseName.length) return false;
    for (let j = 0; j < length; j++) {
      let code = this.source.charCodeAt(start + j);
      if (code >= 65 && code <= 90) code |= 0x20;
      if (code !== lowerCaseName.charCodeAt(j)) return false;
    }
    return true;
  }

  /** Index of the first field with this name at or after `from`, -1 if there is none. */
  find(lowerCaseName: string, from = 0): number {
    for (let i = from; i < this.count; i++) if (this.nameIs(i, lowerCaseName)) return i;
    return -1;
  }

  /** Value of the first field with this name. */
  get(lowerCaseName: string): string | undefined {
    const i = this.find(lowerCaseName);
    return i < 0 ? undefined : this.value(i);
  }

  /** Values of all fields with this name, in order. */
  getAll(lowerCaseName: string): string[] {
    const values: string[] = [];
    for (let i = this.find(lowerCaseName); i >= 0; i = this.find(lowerCaseName, i + 1)) {
      values.push(this.value(i));
    }
    return values;
  }

  /** Whether there is a field with this known name. */
  hasKnown(id: KnownHeaderId): boolean {
    return (id < 31 ? this.#low & (1 << id) : this.#high & (1 << (id - 31))) !== 0;
  }

  /** Whether there are two or more fields with this known name. */
  isRepeated(id: KnownHeaderId): boolean {
    return (id < 31 ? this.#repeatedLow & (1 << id) : this.#repeatedHigh & (1 << (id - 31))) !== 0;
  }

  /** Whether there is a field with any of the known names in these masks (see `headerMasks`). */
  hasAny(masks: HeaderMasks): boolean {
    return ((this.#low & masks.low) | (this.#high & masks.high)) !== 0;
  }

  /** Whether any of the known names in these masks (see `headerMasks`) occurs more than once. */
  repeatsAny(masks: HeaderMasks): boolean {
    return ((this.#repeatedLow & masks.low) | (this.#repeatedHigh & masks.high)) !== 0;
  }

  /** Index of the first field with this known name at or after `from`, or -1: at once when there is none. */
  known(id: KnownHeaderId, from = 0): number {
    if (!this.hasKnown(id)) return -1;
    const index = this.#index;
    for (let i = from * STRIDE + 2; i < index.length; i += STRIDE)
      if (index[i] === id) return (i - 2) / STRIDE;
    return -1;
  }

  /** Value of the first field with this known name. */
  knownValue(id: KnownHeaderId): string | undefined {
    const i = this.known(id);
    return i < 0 ? undefined : this.value(i);
  }

  /** All values of this name joined: `; ` for $http_cookie, `, ` for other variables. Undefined without any. */
  joined(lowerCaseName: string, separator: string): string | undefined {
    let i = this.find(lowerCaseName);
    if (i < 0) return undefined;
    let text = this.value(i);
    while ((i = this.find(lowerCaseName, i + 1)) >= 0) text += separator + this.value(i);
    return text;
  }

  /** Name of field i as variables spell it: lower case, '_' for '-'. */
  nameAsVariable(i: number): string {
    return this.name(i).toLowerCase().replaceAll('-', '_');
  }

  /** Index of the first field at or after `from` whose name as a variable is this (`user_agent`), or -1. */
  findVariable(variableName: string, from = 0): number {
    const { source, count } = this;
    const length = variableName.length;
    const index = this.#index;
    next: for (let i = from; i < count; i++) {
      const start = index[i * STRIDE];
      if (index[i * STRIDE + 1] - 2 - start !== length) continue;
      for (let j = 0; j < length; j++) {
        let code = source.charCodeAt(start + j);
        if (code >= 65 && code <= 90) code |= 0x20;
        else if (code === 45) code = 95;
        if (code !== variableName.charCodeAt(j)) continue next;
      }
      return i;
    }
    return -1;
  }

  /** Value of $http_NAME or $sent_http_NAME: all values joined, undefined if there is no such field. */
  variable(variableName: string, separator = ', '): string | undefined {
    let i = this.findVariable(variableName);
    if (i < 0) return undefined;
    let text = this.value(i);
    while ((i = this.findVariable(variableName, i + 1)) >= 0) text += separator + this.value(i);
    return text;
  }
}

/** A set of known names as two bit masks. */
export interface HeaderMasks {
  readonly low: number;
  readonly high: number;
}

/** The masks of a set of known names, made once, for `hasAny` and `repeatsAny`. */
export function headerMasks(ids: readonly KnownHeaderId[]): HeaderMasks {
  let low = 0;
  let high = 0;
  for (const id of ids) {
    if (id < 31) low |= 1 << id;
    else high |= 1 << (id - 31);
  }
  return { low, high };
}

/**
 * The quick way: reads header fields from bytes[position, end) up to and including the empty line, provided
 * that every line is already as a HeaderBlock promises. Returns undefined when anything is missing or unusual,
 * which says nothing yet: the caller then reads the same bytes with a FieldLineScanner, which decides.
 *
 * @param base offset in `bytes` of what will be offset 0 of the block's source
 * @param allowed classes of bytes (NAME_PLAIN ...) that names may have
 * @returns the fields without a source; `fields.end` is the offset in `bytes` just after the empty line
 */
export function scanFields(
  bytes: Uint8Array,
  position: number,
  end: number,
  base: number,
  allowed: number,
): ScannedFields | undefined {
  const index: number[] = [];
  let low = 0;
  let high = 0;
  let repeatedLow = 0;
  let repeatedHigh = 0;
  let classes = 0;
  // A line has at least three bytes more than are looked at without asking for `end`: ':', ' ', CR, LF.
  const last = end - 1;
  let p = position;
  while (p < last) {
    const lineStart = p;
    let nameClass = NAME_CLASS[bytes[p]];
    if (nameClass === NAME_NONE) {
      if (bytes[p] !== CR || bytes[p + 1] !== LF) return undefined;
      index.push(p - base);
      return { index, low, high, repeatedLow, repeatedHigh, classes, end: p + 2 };
    }
    do {
      classes |= nameClass;
      p++;
      if (p === last) return undefined;
      nameClass = NAME_CLASS[bytes[p]];
    } while (nameClass !== NAME_NONE);
    if ((classes & ~allowed) !== 0 || bytes[p] !== COLON || bytes[p + 1] !== SPACE) return undefined;
    const id = knownHeaderId(bytes, lineStart, p);
    p += 2;
    const valueStart = p;
    for (;;) {
      // One comparison passes over everything but controls; of those only CR, LF and NUL matter.
      while (p < last && bytes[p] > CR) p++;
      if (p >= last) return undefined;
      const byte = bytes[p];
      if (byte === CR) break;
      if (byte === LF || byte === 0) return undefined;
      p++;
    }
    if (bytes[p + 1] !== LF) return undefined;
    if (p > valueStart && (bytes[valueStart] === SPACE || bytes[p - 1] === SPACE)) return undefined;
    p += 2;
    if (id !== 0) {
      if (id < 31) {
        repeatedLow |= low & (1 << id);
        low |= 1 << id;
      } else {
        repeatedHigh |= high & (1 << (id - 31));
        high |= 1 << (id - 31);
      }
    }
    index.push(lineStart - base, valueStart - base, id);
  }
  return undefined;
}

/** What `scanFields` found; becomes a block once the source string has been made. */
export interface ScannedFields {
  readonly index: number[];
  readonly low: number;
  readonly high: number;
  readonly repeatedLow: number;
  readonly repeatedHigh: number;
  /** All name byte classes that occurred. */
  readonly classes: number;
  /** Offset in the bytes just after the empty line. */
  readonly end: number;
}

/** Builds a block line by line, for senders and for heads that need rewriting into the canonical form. */
export class HeaderBlockBuilder {
  #text = '';
  readonly #index: number[] = [];
  #low = 0;
  #high = 0;
  #repeatedLow = 0;
  #repeatedHigh = 0;

  /** Adds a field that has been checked to fit on a line; `id` is its known name. */
  addChecked(name: string, value: string, id: KnownHeaderId): void {
    const start = this.#text.length;
    this.#text += `${name}: ${value}\r\n`;
    this.#index.push(start, start + name.length + 2, id);
    if (id === 0) return;
    if (id < 31) {
      this.#repeatedLow |= this.#low & (1 << id);
      this.#low |= 1 << id;
    } else {
      this.#repeatedHigh |= this.#high & (1 << (id - 31));
      this.#high |= 1 << (id - 31);
    }
  }

  /** Adds a field. Spaces around the value are dropped. Throws RangeError if it could not stand on one line. */
  add(name: string, value: string): void {
    const bytes = Buffer.from(name, 'latin1');
    let valid = name.length > 0;
    for (const byte of bytes) if (NAME_CLASS[byte] === NAME_NONE) valid = false;
    if (!valid) throw new RangeError(`invalid header name ${JSON.stringify(name)}`);
    if (value.includes('\r') || value.includes('\n') || value.includes('\0')) {
      throw new RangeError(`invalid value of header ${name}`);
    }
    this.addChecked(name, trimSpaces(value), knownHeaderId(bytes, 0, bytes.length));
  }

  /** The block of all fields added so far. The builder must not be used any more. */
  build(): HeaderBlock {
    this.#index.push(this.#text.length);
    return new HeaderBlock(
      this.#text,
      this.#index,
      this.#low,
      this.#high,
      this.#repeatedLow,
      this.#repeatedHigh,
    );
  }
}

function trimSpaces(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && value.charCodeAt(start) === SPACE) start++;
  while (end > start && value.charCodeAt(end - 1) === SPACE) end--;
  return start === 0 && end === value.length ? value : value.slice(start, end);
}

/** A block without fields. */
export const EMPTY_HEADER_BLOCK: HeaderBlock = new HeaderBlock('', [0], 0, 0, 0, 0);

/**
 * Indexes text that is already canonical: lines of exactly `Name: value\r\n`, without an empty line.
 * Undefined if any line is not.
 */
export function parseHeaderBlock(text: string): HeaderBlock | undefined {
  const source = `${text}\r\n`;
  const bytes = Buffer.from(source, 'latin1');
  const fields = scanFields(bytes, 0, bytes.length, 0, NAME_PLAIN | NAME_UNDERSCORE | NAME_INVALID);
  if (fields === undefined || fields.end !== source.length) return undefined;
  return new HeaderBlock(
    source,
    fields.index,
    fields.low,
    fields.high,
    fields.repeatedLow,
    fields.repeatedHigh,
  );
}

/** A block of these fields. Throws RangeError if a name or value could not stand on one line. */
export function headerBlockOf(fields: readonly (readonly [name: string, value: string])[]): HeaderBlock {
  const builder = new HeaderBlockBuilder();
  for (const [name, value] of fields) builder.add(name, value);
  return builder.build();
}
