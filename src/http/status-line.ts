/** All bytes were read and the line is not complete. */
export const STATUS_NEED_MORE = 0;
/** The status line is complete. */
export const STATUS_COMPLETE = 1;
/** This is not a status line. */
export const STATUS_INVALID = 2;
/** What `StatusLineScanner.scan` found. */
export type StatusOutcome = typeof STATUS_NEED_MORE | typeof STATUS_COMPLETE | typeof STATUS_INVALID;

const CR = 13;
const LF = 10;
const SPACE = 32;

const PROTOCOL = 0;
const MAJOR_START = 1;
const MAJOR = 2;
const MINOR_START = 3;
const MINOR = 4;
const STATUS = 5;
const AFTER_STATUS = 6;
const REASON = 7;
const LINE_CR = 8;

const HTTP_SLASH = Buffer.from('HTTP/');

/**
 * Reads a status line (RFC 9112 4) byte by byte, by nginx's rules: any version, spaces in front of the three
 * digits, a reason phrase or none, or a `.` and more digits as IIS sends, CRLF or a bare LF.
 *
 * Works on a growing array of bytes that keeps its offsets: the caller appends and calls `scan` again.
 */
export class StatusLineScanner {
  major = 0;
  minor = 0;
  status = 0;
  /** Offset of the first digit of the status code. */
  statusStart = 0;
  /** Offset after the last byte of the line, without CR and LF. */
  lineEnd = 0;
  /** Offset after the last byte read. */
  position = 0;
  #state = PROTOCOL;
  #matched = 0;

  /** Prepares for another response. */
  reset(): void {
    this.major = 0;
    this.minor = 0;
    this.status = 0;
    this.#state = PROTOCOL;
    this.#matched = 0;
  }

  /** Reads bytes[position, end) up to the end of the line. */
  scan(bytes: Uint8Array, position: number, end: number): StatusOutcome {
    let state = this.#state;
    for (let p = position; p < end; p++) {
      const byte = bytes[p];
      const digit = byte >= 48 && byte <= 57 ? byte - 48 : -1;
      switch (state) {
        case PROTOCOL:
          if (byte !== HTTP_SLASH[this.#matched]) return STATUS_INVALID;
          this.#matched++;
          if (this.#matched === HTTP_SLASH.length) state = MAJOR_START;
          break;
        case MAJOR_START:
          if (digit < 1) return STATUS_INVALID;
          this.major = digit;
          state = MAJOR;
          break;
        case MAJOR:
          if (byte === 0x2e) {
            state = MINOR_START;
            break;
          }
          if (digit < 0 || this.major > 99) return STATUS_INVALID;
          this.major = this.major * 10 + digit;
          break;
        case MINOR_START:
          if (digit < 0) return STATUS_INVALID;
          this.minor = digit;
          state = MINOR;
          break;
        case MINOR:
          if (byte === SPACE) {
            this.#matched = 0;
            state = STATUS;
            break;
          }
          if (digit < 0 || this.minor > 99) return STATUS_INVALID;
          this.minor = this.minor * 10 + digit;
          break;
        case STATUS:
          if (byte === SPACE) break;
          if (digit < 0) return STATUS_INVALID;
          this.status = this.status * 10 + digit;
          this.#matched++;
          if (this.#matched === 3) {
            this.statusStart = p - 2;
            state = AFTER_STATUS;
          }
          break;
        case AFTER_STATUS:
        case REASON:
          if (byte === LF) return this.#complete(p, p + 1);
          if (byte === CR) {
            this.lineEnd = p;
            state = LINE_CR;
          } else if (state === AFTER_STATUS) {
            if (byte !== SPACE && byte !== 0x2e) return STATUS_INVALID;
            state = REASON;
          }
          break;
        default:
          if (byte !== LF) return STATUS_INVALID;
          return this.#complete(this.lineEnd, p + 1);
      }
    }
    this.position = end;
    this.#state = state;
    return STATUS_NEED_MORE;
  }

  #complete(lineEnd: number, position: number): StatusOutcome {
    this.lineEnd = lineEnd;
    this.position = position;
    return STATUS_COMPLETE;
  }
}
