/** All bytes were read and the line is not complete. */
export const LINE_NEED_MORE = 0;
/** The request line is complete. */
export const LINE_COMPLETE = 1;
/** A byte that cannot be part of a method. */
export const LINE_INVALID_METHOD = 2;
/** Any other byte where it cannot be. */
export const LINE_INVALID_REQUEST = 3;
/** HTTP/2 or later in the line. */
export const LINE_INVALID_VERSION = 4;
/** No version, and the method is not GET. */
export const LINE_INVALID_09_METHOD = 5;

/** What `RequestLineScanner.scan` found. */
export type LineOutcome =
  | typeof LINE_NEED_MORE
  | typeof LINE_COMPLETE
  | typeof LINE_INVALID_METHOD
  | typeof LINE_INVALID_REQUEST
  | typeof LINE_INVALID_VERSION
  | typeof LINE_INVALID_09_METHOD;

const CR = 13;
const LF = 10;
const SPACE = 32;

const START = 0;
const METHOD = 1;
const BEFORE_TARGET = 2;
const SCHEME = 3;
const SCHEME_SLASHES = 4;
const BEFORE_AUTHORITY = 5;
const HOST_START = 6;
const HOST = 7;
const IP_LITERAL = 8;
const HOST_END = 9;
const PORT_START = 10;
const PORT = 11;
const TARGET = 12;
const AFTER_TARGET = 13;
const PROTOCOL = 14;
const MAJOR_START = 15;
const MAJOR = 16;
const MINOR_START = 17;
const MINOR = 18;
const AFTER_VERSION = 19;
const LINE_CR = 20;

/** Byte sets of the request line. */
const METHOD_BYTE = 1;
const LETTER = 2;
const DIGIT = 4;
const SCHEME_EXTRA = 8;
const HOST_EXTRA = 16;
const LITERAL_EXTRA = 32;

const BYTE_SETS = new Uint8Array(256);
function include(bytes: string, set: number): void {
  for (const byte of Buffer.from(bytes)) BYTE_SETS[byte] = BYTE_SETS[byte] | set;
}
include('ABCDEFGHIJKLMNOPQRSTUVWXYZ_-', METHOD_BYTE);
include('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz', LETTER);
include('0123456789', DIGIT);
include('+-.', SCHEME_EXTRA);
include('.-', HOST_EXTRA);
include(":-._~!$&'()*+,;=", LITERAL_EXTRA);

const HTTP_SLASH = Buffer.from('HTTP/');

/**
 * Reads a request line (RFC 9112 3) byte by byte, as strictly and as leniently as nginx: empty lines in front, any
 * number of spaces between the parts, a bare LF at the end, HTTP/0.9. A space or control character inside the
 * target is an error.
 *
 * Works on a growing array of bytes that keeps its offsets: the caller appends and calls `scan` again.
 */
export class RequestLineScanner {
  /** Offset of the first byte of the method; -1 while only empty lines were seen. */
  lineStart = -1;
  /** Offset after the last byte of the line, without CR and LF; -1 while the line is not complete. */
  lineEnd = -1;
  methodEnd = 0;
  /** Offsets of the authority (absolute form, CONNECT); -1 if there is none. */
  hostStart = -1;
  hostEnd = -1;
  /** Offsets of the path and query; -1 if the target has none (`http://host`, CONNECT), which means `/`. */
  targetStart = -1;
  targetEnd = -1;
  /** Offset of `HTTP/`, -1 in HTTP/0.9. */
  protocolStart = -1;
  /** Minor version of HTTP/1. */
  minor = 0;
  /** Offset after the last byte read. */
  position = 0;
  #state = START;
  #major = 0;
  #matched = 0;
  #connect = false;

  /** Whether nothing but empty lines was seen so far. */
  get atStart(): boolean {
    return this.#state === START;
  }

  /** Prepares for another request. */
  reset(): void {
    this.lineStart = -1;
    this.lineEnd = -1;
    this.methodEnd = 0;
    this.hostStart = -1;
    this.hostEnd = -1;
    this.targetStart = -1;
    this.targetEnd = -1;
    this.protocolStart = -1;
    this.minor = 0;
    this.#state = START;
    this.#major = 0;
    this.#matched = 0;
    this.#connect = false;
  }

  /** Reads bytes[position, end) up to the end of the line. */
  scan(bytes: Uint8Array, position: number, end: number): LineOutcome {
    let state = this.#state;
    for (let p = position; p < end; p++) {
      const byte = bytes[p];
      const sets = BYTE_SETS[byte];
      switch (state) {
        case START:
          if (byte === CR || byte === LF) break;
          this.lineStart = p;
          if ((sets & METHOD_BYTE) === 0) return LINE_INVALID_METHOD;
          state = METHOD;
          break;
        case METHOD:
          if ((sets & METHOD_BYTE) !== 0) break;
          if (byte !== SPACE) return LINE_INVALID_METHOD;
          this.methodEnd = p;
          this.#connect = isWord(bytes, this.lineStart, p, 'CONNECT');
          state = this.#connect ? BEFORE_AUTHORITY : BEFORE_TARGET;
          break;
        case BEFORE_TARGET:
          if (byte === SPACE) break;
          if (byte === 0x2f) {
            this.targetStart = p;
            state = TARGET;
          } else if ((sets & LETTER) !== 0) {
            state = SCHEME;
          } else {
            return LINE_INVALID_REQUEST;
          }
          break;
        case SCHEME:
          if ((sets & (LETTER | DIGIT | SCHEME_EXTRA)) !== 0) break;
          if (byte !== 0x3a) return LINE_INVALID_REQUEST;
          this.#matched = 0;
          state = SCHEME_SLASHES;
          break;
        case SCHEME_SLASHES:
          if (byte !== 0x2f) return LINE_INVALID_REQUEST;
          this.#matched++;
          if (this.#matched === 2) state = HOST_START;
          break;
        case BEFORE_AUTHORITY:
        case HOST_START:
          if (byte === SPACE && state === BEFORE_AUTHORITY) break;
          this.hostStart = p;
          if (byte === 0x5b) {
            state = IP_LITERAL;
            break;
          }
          state = this.#afterHostByte(byte, sets, p);
          if (state < 0) return LINE_INVALID_REQUEST;
          break;
        case HOST:
          state = this.#afterHostByte(byte, sets, p);
          if (state < 0) return LINE_INVALID_REQUEST;
          break;
        case IP_LITERAL:
          if ((sets & (LETTER | DIGIT | LITERAL_EXTRA)) !== 0) break;
          if (byte !== 0x5d) return LINE_INVALID_REQUEST;
          state = HOST_END;
          break;
        case HOST_END:
          state = this.#afterHost(byte, p);
          if (state < 0) return LINE_INVALID_REQUEST;
          break;
        case PORT_START:
        case PORT:
          if ((sets & DIGIT) !== 0) {
            state = PORT;
            break;
          }
          if (this.#connect) {
            // authority-form (RFC 9112 3.2.3): the port is required and nothing follows it.
            if (state === PORT_START || byte !== SPACE) return LINE_INVALID_REQUEST;
            this.hostEnd = p;
            state = AFTER_TARGET;
            break;
          }
          state = this.#afterAuthority(byte, p);
          if (state < 0) return LINE_INVALID_REQUEST;
          break;
        case TARGET:
          if (byte > SPACE && byte !== 0x7f) break;
          this.targetEnd = p;
          if (byte === SPACE) {
            state = AFTER_TARGET;
          } else if (byte === LF) {
            return this.#complete(p, p + 1);
          } else if (byte === CR) {
            this.lineEnd = p;
            state = LINE_CR;
          } else {
            return LINE_INVALID_REQUEST;
          }
          break;
        case AFTER_TARGET:
          if (byte === SPACE) break;
          if (byte === LF) return this.#complete(p, p + 1);
          if (byte === CR) {
            this.lineEnd = p;
            state = LINE_CR;
          } else if (byte === 0x48) {
            this.protocolStart = p;
            this.#matched = 1;
            state = PROTOCOL;
          } else {
            return LINE_INVALID_REQUEST;
          }
          break;
        case PROTOCOL:
          if (byte !== HTTP_SLASH[this.#matched]) return LINE_INVALID_REQUEST;
          this.#matched++;
          if (this.#matched === HTTP_SLASH.length) state = MAJOR_START;
          break;
        case MAJOR_START:
        case MAJOR:
          if (byte === 0x2e && state === MAJOR) {
            state = MINOR_START;
            break;
          }
          if ((sets & DIGIT) === 0 || (state === MAJOR_START && byte === 0x30)) return LINE_INVALID_REQUEST;
          this.#major = this.#major * 10 + (byte - 0x30);
          if (this.#major > 1) return LINE_INVALID_VERSION;
          state = MAJOR;
          break;
        case MINOR_START:
          if ((sets & DIGIT) === 0) return LINE_INVALID_REQUEST;
          this.minor = byte - 0x30;
          state = MINOR;
          break;
        case MINOR:
          if ((sets & DIGIT) !== 0) {
            if (this.minor > 99) return LINE_INVALID_REQUEST;
            this.minor = this.minor * 10 + (byte - 0x30);
            break;
          }
          if (byte === LF) return this.#complete(p, p + 1);
          if (byte === CR) {
            this.lineEnd = p;
            state = LINE_CR;
          } else if (byte === SPACE) {
            state = AFTER_VERSION;
          } else {
            return LINE_INVALID_REQUEST;
          }
          break;
        case AFTER_VERSION:
          if (byte === SPACE) break;
          if (byte === LF) return this.#complete(p, p + 1);
          if (byte !== CR) return LINE_INVALID_REQUEST;
          this.lineEnd = p;
          state = LINE_CR;
          break;
        default:
          if (byte !== LF) {
            this.lineEnd = -1;
            return LINE_INVALID_REQUEST;
          }
          return this.#complete(this.lineEnd, p + 1);
      }
    }
    this.position = end;
    this.#state = state;
    return LINE_NEED_MORE;
  }

  #afterHostByte(byte: number, sets: number, at: number): number {
    return (sets & (LETTER | DIGIT | HOST_EXTRA)) !== 0 ? HOST : this.#afterHost(byte, at);
  }

  #afterHost(byte: number, at: number): number {
    if (byte === 0x3a) return PORT_START;
    return this.#connect ? -1 : this.#afterAuthority(byte, at);
  }

  #afterAuthority(byte: number, at: number): number {
    this.hostEnd = at;
    if (byte === SPACE) return AFTER_TARGET;
    if (byte !== 0x2f && byte !== 0x3f) return -1;
    this.targetStart = at;
    return TARGET;
  }

  #complete(lineEnd: number, position: number): LineOutcome {
    this.lineEnd = lineEnd;
    this.position = position;
    return LINE_COMPLETE;
  }
}

function isWord(bytes: Uint8Array, start: number, end: number, word: string): boolean {
  if (end - start !== word.length) return false;
  for (let i = 0; i < word.length; i++) if (bytes[start + i] !== word.charCodeAt(i)) return false;
  return true;
}
