/** Byte ranges (RFC 9110, 14): what a client asks for, and the multipart body that carries several of them. */

/** A part of a body: the bytes from `start` up to, and not including, `end`. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** No limit on the number of ranges: nginx's default of `max_ranges`. */
export const ANY_NUMBER_OF_RANGES = 2_147_483_647;

const UNIT = 'bytes=';
/** The largest offset nginx reads; beyond 2^53 numbers are rounded, which no body is long enough to notice. */
const LARGEST = 9_223_372_036_854_775_807n;

const SPACE = 32;
const COMMA = 44;
const MINUS = 45;

/** Whether a Range field is one of bytes, and not of a unit nobody knows: another one is ignored. */
export function isByteRangeField(value: string): boolean {
  return value.length > UNIT.length && value.slice(0, UNIT.length).toLowerCase() === UNIT;
}

/**
 * The ranges a Range field asks for, in its order.
 *
 * @param value for which `isByteRangeField` is true
 * @param length of the whole body, in bytes
 * @param maximum `max_ranges`; `ANY_NUMBER_OF_RANGES` leaves it to the size of the answer
 * @returns the ranges, at least one; `unsatisfiable` for 416; `whole` where the field is to be ignored: more ranges than
 *   allowed, or ranges that would be more to send than the whole body
 */
export function parseByteRanges(
  value: string,
  length: number,
  maximum: number,
): ByteRange[] | 'unsatisfiable' | 'whole' {
  const ranges: ByteRange[] = [];
  let total = 0;
  let position = UNIT.length;
  for (;;) {
    let start = 0;
    let end: number;
    position = skipSpaces(value, position);
    const isSuffix = value.charCodeAt(position) === MINUS;
    if (!isSuffix) {
      const digits = skipDigits(value, position);
      start = numberOf(value, position, digits);
      if (start < 0) return 'unsatisfiable';
      position = skipSpaces(value, digits);
      if (value.charCodeAt(position) !== MINUS) return 'unsatisfiable';
    }
    position++;
    if (!isSuffix) position = skipSpaces(value, position);
    if (!isSuffix && isEndOfRange(value, position)) end = length;
    else {
      const digits = skipDigits(value, position);
      const last = numberOf(value, position, digits);
      if (last < 0) return 'unsatisfiable';
      position = skipSpaces(value, digits);
      if (!isEndOfRange(value, position)) return 'unsatisfiable';
      if (isSuffix) {
        start = last < length ? length - last : 0;
        end = length;
      } else end = last >= length ? length : last + 1;
    }
    if (start < end) {
      total += end - start;
      if (ranges.length === maximum) return 'whole';
      ranges.push({ start, end });
    } else if (start === 0) return 'whole';
    if (value.charCodeAt(position) !== COMMA) break;
    position++;
  }
  if (ranges.length === 0) return 'unsatisfiable';
  if (ranges.length === 1) return ranges;
  if (total > length) return 'whole';
  // Each part has a head: many small ones cost more than they save.
  if (maximum === ANY_NUMBER_OF_RANGES && total + ranges.length * 256 > length + 4096) return 'whole';
  return ranges;
}

function skipSpaces(text: string, position: number): number {
  while (text.charCodeAt(position) === SPACE) position++;
  return position;
}

function skipDigits(text: string, position: number): number {
  for (let code = text.charCodeAt(position); code >= 48 && code <= 57; code = text.charCodeAt(position))
    position++;
  return position;
}

function isEndOfRange(text: string, position: number): boolean {
  return position === text.length || text.charCodeAt(position) === COMMA;
}

/** The number in `text[from, to)`; -1 where there is none, or one that is too large. */
function numberOf(text: string, from: number, to: number): number {
  if (from === to) return -1;
  const digits = text.slice(from, to);
  const value = Number(digits);
  return value > Number.MAX_SAFE_INTEGER && BigInt(digits) > LARGEST ? -1 : value;
}

/** The value of Content-Range for one range of a body of `length` bytes. */
export function contentRange({ start, end }: ByteRange, length: number): string {
  return `bytes ${start}-${end - 1}/${length}`;
}

/** A `multipart/byteranges` body (RFC 9110, 14.6), less the bytes of the ranges themselves. */
export interface MultipartRanges {
  /** For the head: `multipart/byteranges; boundary=...`. */
  readonly contentType: string;
  /** What comes before each range, in their order. */
  readonly before: readonly string[];
  /** What comes after the last. */
  readonly after: string;
  /** Of the whole body, in bytes. */
  readonly contentLength: number;
}

/**
 * @param length of the body the ranges are of, in bytes
 * @param contentType of that body, with its charset; '' for none
 * @param boundary what stands in no part of it, as far as one can tell
 */
export function multipartRanges(
  ranges: readonly ByteRange[],
  length: number,
  contentType: string,
  boundary: string,
): MultipartRanges {
  const head = `\r\n--${boundary}\r\n${contentType === '' ? '' : `Content-Type: ${contentType}\r\n`}`;
  const after = `\r\n--${boundary}--\r\n`;
  let contentLength = after.length;
  const before = ranges.map((range) => {
    const text = `${head}Content-Range: ${contentRange(range, length)}\r\n\r\n`;
    contentLength += text.length + range.end - range.start;
    return text;
  });
  return { contentType: `multipart/byteranges; boundary=${boundary}`, before, after, contentLength };
}
