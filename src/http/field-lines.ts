import { NAME_CLASS, NAME_INVALID, NAME_NONE, NAME_UNDERSCORE } from './header-block.ts';
import { latin1Text } from './latin1.ts';

const CR = 13;
const LF = 10;
const SPACE = 32;
const COLON = 58;
const SLASH = 47;

/** All bytes were read and the line is not complete. */
export const FIELD_NEED_MORE = 0;
/** One field line is complete: its offsets are set. */
export const FIELD_LINE = 1;
/** The empty line after the last field was read. */
export const FIELDS_END = 2;
/** A byte that makes the whole head invalid; `errorAt` says which. */
export const FIELD_INVALID = 3;

/** What `FieldLineScanner.scan` found. */
export type FieldOutcome =
  | typeof FIELD_NEED_MORE
  | typeof FIELD_LINE
  | typeof FIELDS_END
  | typeof FIELD_INVALID;

const LINE_START = 0;
const NAME = 1;
const BEFORE_VALUE = 2;
const VALUE = 3;
const AFTER_VALUE = 4;
const SKIPPED_LINE = 5;
const LINE_CR = 6;
const END_CR = 7;

/**
 * Reads header field lines byte by byte, with nginx's rules for what is tolerated: a bare LF ends a line, several
 * CRs before the LF are one, a line without ':' is a field with an empty value, spaces (not tabs) around the
 * value are dropped. There is no line folding: a line that begins with a space or tab is invalid, and so are
 * control characters and spaces in a name, and NUL or a bare CR in a value.
 *
 * Works on a growing array of bytes that keeps its offsets: the caller appends and calls `scan` again.
 */
export class FieldLineScanner {
  /** Offset where the current or last line starts; -1 before the first. */
  nameStart = -1;
  nameEnd = 0;
  valueStart = 0;
  valueEnd = 0;
  /** Whether the name has a byte that names should not have (`ignore_invalid_headers`). */
  invalidName = false;
  /** After FIELD_INVALID: offset of the byte that nginx names in its message. */
  errorAt = 0;
  /** Offset after the last byte read. */
  position = 0;
  #state = LINE_START;
  readonly #fromUpstream: boolean;

  /** @param fromUpstream skip repeated `HTTP/1.x ...` lines, which some upstream servers send */
  constructor(fromUpstream: boolean) {
    this.#fromUpstream = fromUpstream;
  }

  /** Whether the scanner stands between two lines. */
  get betweenLines(): boolean {
    return this.#state === LINE_START;
  }

  /** Prepares for another message. */
  reset(): void {
    this.nameStart = -1;
    this.#state = LINE_START;
  }

  /**
   * Reads bytes[position, end) up to the end of one line.
   *
   * @param underscores whether '_' is an ordinary name byte (`underscores_in_headers`)
   */
  scan(bytes: Uint8Array, position: number, end: number, underscores: boolean): FieldOutcome {
    let state = this.#state;
    const invalidClasses = underscores ? NAME_INVALID : NAME_INVALID | NAME_UNDERSCORE;
    let p = position;
    for (; p < end; p++) {
      const byte = bytes[p];
      switch (state) {
        case LINE_START: {
          this.nameStart = p;
          this.invalidName = false;
          if (byte === CR) {
            this.valueEnd = p;
            state = END_CR;
            break;
          }
          if (byte === LF) return this.#finish(p + 1, LINE_START, FIELDS_END);
          const nameClass = NAME_CLASS[byte];
          if (nameClass === NAME_NONE) return this.#invalid(p);
          if ((nameClass & invalidClasses) !== 0) this.invalidName = true;
          state = NAME;
          break;
        }
        case NAME: {
          const nameClass = NAME_CLASS[byte];
          if (nameClass !== NAME_NONE) {
            if (
              byte === SLASH &&
              this.#fromUpstream &&
              p - this.nameStart === 4 &&
              isHttpWord(bytes, this.nameStart)
            ) {
              state = SKIPPED_LINE;
            } else if ((nameClass & invalidClasses) !== 0) {
              this.invalidName = true;
            }
            break;
          }
          this.nameEnd = p;
          if (byte === COLON) {
            state = BEFORE_VALUE;
            break;
          }
          this.valueStart = p;
          this.valueEnd = p;
          if (byte === CR) {
            state = LINE_CR;
            break;
          }
          if (byte === LF) return this.#finish(p + 1, LINE_START, FIELD_LINE);
          return this.#invalid(p);
        }
        case BEFORE_VALUE:
          if (byte === SPACE) break;
          if (byte === 0) return this.#invalid(p);
          this.valueStart = p;
          this.valueEnd = p;
          if (byte === LF) return this.#finish(p + 1, LINE_START, FIELD_LINE);
          state = byte === CR ? LINE_CR : VALUE;
          break;
        case VALUE:
          if (byte > SPACE) break;
          if (byte === SPACE) {
            this.valueEnd = p;
            state = AFTER_VALUE;
          } else if (byte === CR) {
            this.valueEnd = p;
            state = LINE_CR;
          } else if (byte === LF) {
            this.valueEnd = p;
            return this.#finish(p + 1, LINE_START, FIELD_LINE);
          } else if (byte === 0) {
            return this.#invalid(p);
          }
          break;
        case AFTER_VALUE:
          if (byte === SPACE) break;
          if (byte === CR) state = LINE_CR;
          else if (byte === LF) return this.#finish(p + 1, LINE_START, FIELD_LINE);
          else if (byte === 0) return this.#invalid(p);
          else state = VALUE;
          break;
        case SKIPPED_LINE:
          if (byte === LF) state = LINE_START;
          break;
        case LINE_CR:
          if (byte === LF) return this.#finish(p + 1, LINE_START, FIELD_LINE);
          if (byte !== CR) return this.#invalid(this.valueEnd);
          break;
        default:
          if (byte === LF) return this.#finish(p + 1, LINE_START, FIELDS_END);
          return this.#invalid(this.valueEnd);
      }
    }
    return this.#finish(p, state, FIELD_NEED_MORE);
  }

  #finish(position: number, state: number, outcome: FieldOutcome): FieldOutcome {
    this.position = position;
    this.#state = state;
    return outcome;
  }

  #invalid(errorAt: number): FieldOutcome {
    this.errorAt = errorAt;
    return FIELD_INVALID;
  }
}

function isHttpWord(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 72 && bytes[at + 1] === 84 && bytes[at + 2] === 84 && bytes[at + 3] === 80;
}

/**
 * The part of an "invalid header" message in quotes: the line as far as it was good, then the byte that was not,
 * as `\x0d...`.
 */
export function describeInvalidLine(bytes: Buffer, scanner: FieldLineScanner): string {
  const good = latin1Text(bytes, scanner.nameStart, scanner.errorAt);
  const bad = bytes[scanner.errorAt].toString(16).padStart(2, '0');
  return `${good}\\x${bad}...`;
}
