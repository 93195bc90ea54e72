import {
  describeInvalidLine,
  FIELD_INVALID,
  FIELD_LINE,
  FIELD_NEED_MORE,
  FieldLineScanner,
} from './field-lines.ts';
import { EMPTY_HEADER_BLOCK, type HeaderBlock, HeaderBlockBuilder } from './header-block.ts';
import { knownHeaderId } from './header-names.ts';
import { latin1Text } from './latin1.ts';

/** All bytes were read; the message goes on. */
export const CHUNKED_NEED_MORE = 0;
/** buffer[dataStart, dataEnd) is body. */
export const CHUNKED_DATA = 1;
/** The message ended at `position`. */
export const CHUNKED_DONE = 2;
/** Not a chunked body, or trailers that are not acceptable (`message`). */
export const CHUNKED_INVALID = 3;
/** What `ChunkedDecoder.next` returns. */
export type ChunkedOutcome =
  | typeof CHUNKED_NEED_MORE
  | typeof CHUNKED_DATA
  | typeof CHUNKED_DONE
  | typeof CHUNKED_INVALID;

const CR = 13;
const LF = 10;

const CHUNK_START = 0;
const CHUNK_SIZE = 1;
const EXTENSION = 2;
const SIZE_CR = 3;
const DATA = 4;
const DATA_END = 5;
const DATA_CR = 6;
const TRAILER_START = 7;
const TRAILER_END_CR = 8;
const TRAILER = 9;
const TRAILER_CR = 10;
const KEPT_TRAILERS = 11;
const DONE = 12;
const INVALID = 13;

// 2^63 / 16: the next digit would overflow nginx's signed 64 bits.
const LARGEST_PREFIX = 2 ** 59;
const NO_BYTES: Buffer = Buffer.alloc(0);

/**
 * Takes the chunked transfer coding (RFC 9112 7.1) off a body as it arrives, without copying the body. As strict as
 * nginx: every line ends with CRLF, a size has at least one digit and nothing but an extension behind it.
 *
 * ```ts
 * let position = start;
 * for (;;) {
 *   const outcome = decoder.next(buffer, position, end);
 *   position = decoder.position;
 *   if (outcome !== CHUNKED_DATA) break;
 *   take(buffer.subarray(decoder.dataStart, decoder.dataEnd));
 * }
 * ```
 */
export class ChunkedDecoder {
  /** Offset in the buffer after the last byte read. After CHUNKED_DONE: where the next message starts. */
  position = 0;
  /** After CHUNKED_DATA: the body bytes in the buffer, at least one. */
  dataStart = 0;
  dataEnd = 0;
  /**
   * Bytes of the current chunk that are still to come. With what was received before, this is what
   * `client_max_body_size` is compared with.
   */
  remaining = 0;
  /** Trailer fields; after CHUNKED_DONE, if they were to be kept. */
  trailers: HeaderBlock = EMPTY_HEADER_BLOCK;
  /** After CHUNKED_INVALID: the error log message if trailers were the reason, else ''. */
  message = '';
  #state = CHUNK_START;
  readonly #trailerLimit: number;
  #kept: Buffer = NO_BYTES;
  #keptLength = 0;
  #keptScanned = 0;
  #scanner: FieldLineScanner | null = null;
  #builder: HeaderBlockBuilder | null = null;

  /**
   * @param trailerLimit most bytes of trailers to keep (`proxy_buffer_size` with `proxy_pass_trailers`); 0: they are
   *   skipped, whatever their size
   */
  constructor(trailerLimit = 0) {
    this.#trailerLimit = trailerLimit;
  }

  /** Prepares for another message. */
  reset(): void {
    this.#state = CHUNK_START;
    this.remaining = 0;
    this.trailers = EMPTY_HEADER_BLOCK;
    this.message = '';
    this.#forgetTrailers();
  }

  /** Reads buffer[position, end) up to the next piece of body, the end of the message, or `end`. */
  next(buffer: Buffer, position: number, end: number): ChunkedOutcome {
    let state = this.#state;
    let p = position;
    while (p < end) {
      if (state === DATA) {
        this.dataStart = p;
        p = Math.min(end, p + this.remaining);
        this.dataEnd = p;
        this.remaining -= p - this.dataStart;
        return this.#stop(p, this.remaining === 0 ? DATA_END : DATA, CHUNKED_DATA);
      }
      if (state === KEPT_TRAILERS) return this.#keepTrailers(buffer, p, end);
      if (state === DONE) return this.#stop(p, DONE, CHUNKED_DONE);
      const byte = buffer[p++];
      switch (state) {
        case CHUNK_START: {
          const digit = hexDigit(byte);
          if (digit < 0) return this.#stop(p, INVALID, CHUNKED_INVALID);
          this.remaining = digit;
          state = CHUNK_SIZE;
          break;
        }
        case CHUNK_SIZE: {
          if (this.remaining >= LARGEST_PREFIX) return this.#stop(p, INVALID, CHUNKED_INVALID);
          const digit = hexDigit(byte);
          if (digit >= 0) this.remaining = this.remaining * 16 + digit;
          else if (byte === CR) state = SIZE_CR;
          else if (byte === 0x3b || byte === 0x20 || byte === 0x09) state = EXTENSION;
          else return this.#stop(p, INVALID, CHUNKED_INVALID);
          break;
        }
        case EXTENSION:
          if (byte === CR) state = SIZE_CR;
          else if (byte === LF) return this.#stop(p, INVALID, CHUNKED_INVALID);
          break;
        case SIZE_CR:
          if (byte !== LF) return this.#stop(p, INVALID, CHUNKED_INVALID);
          if (this.remaining > 0) state = DATA;
          else state = this.#trailerLimit > 0 ? KEPT_TRAILERS : TRAILER_START;
          break;
        case DATA_END:
          if (byte !== CR) return this.#stop(p, INVALID, CHUNKED_INVALID);
          state = DATA_CR;
          break;
        case DATA_CR:
          if (byte !== LF) return this.#stop(p, INVALID, CHUNKED_INVALID);
          state = CHUNK_START;
          break;
        case TRAILER_START:
          if (byte === LF) return this.#stop(p, INVALID, CHUNKED_INVALID);
          state = byte === CR ? TRAILER_END_CR : TRAILER;
          break;
        case TRAILER_END_CR:
          if (byte !== LF) return this.#stop(p, INVALID, CHUNKED_INVALID);
          return this.#stop(p, DONE, CHUNKED_DONE);
        case TRAILER:
          if (byte === CR) state = TRAILER_CR;
          else if (byte === LF) return this.#stop(p, INVALID, CHUNKED_INVALID);
          break;
        case TRAILER_CR:
          if (byte !== LF) return this.#stop(p, INVALID, CHUNKED_INVALID);
          state = TRAILER_START;
          break;
        default:
          return this.#stop(p - 1, INVALID, CHUNKED_INVALID);
      }
    }
    if (state === DONE) return this.#stop(p, DONE, CHUNKED_DONE);
    if (state === INVALID) return this.#stop(p, INVALID, CHUNKED_INVALID);
    return this.#stop(p, state, CHUNKED_NEED_MORE);
  }

  #stop(position: number, state: number, outcome: ChunkedOutcome): ChunkedOutcome {
    this.position = position;
    this.#state = state;
    return outcome;
  }

  /** Trailer fields are read like header fields (a bare LF will do), from a copy of their own. */
  #keepTrailers(buffer: Buffer, position: number, end: number): ChunkedOutcome {
    this.#scanner ??= new FieldLineScanner(true);
    this.#builder ??= new HeaderBlockBuilder();
    const scanner = this.#scanner;
    const taken = Math.min(end - position, this.#trailerLimit - this.#keptLength);
    const keptLength = this.#keptLength + taken;
    if (keptLength > this.#kept.length) {
      const grown = Buffer.allocUnsafeSlow(
        Math.min(Math.max(keptLength, this.#kept.length * 2, 256), this.#trailerLimit),
      );
      this.#kept.copy(grown, 0, 0, this.#keptLength);
      this.#kept = grown;
    }
    const kept = this.#kept;
    buffer.copy(kept, this.#keptLength, position, position + taken);
    this.#keptLength = keptLength;
    for (;;) {
      const outcome = scanner.scan(kept, this.#keptScanned, keptLength, true);
      if (outcome === FIELD_LINE) {
        this.#keptScanned = scanner.position;
        this.#builder.addChecked(
          latin1Text(kept, scanner.nameStart, scanner.nameEnd),
          latin1Text(kept, scanner.valueStart, scanner.valueEnd),
          knownHeaderId(kept, scanner.nameStart, scanner.nameEnd),
        );
        continue;
      }
      if (outcome === FIELD_INVALID) {
        this.message = `upstream sent invalid trailer: "${describeInvalidLine(kept, scanner)}"`;
        return this.#stop(position, INVALID, CHUNKED_INVALID);
      }
      if (outcome === FIELD_NEED_MORE) {
        this.#keptScanned = keptLength;
        if (keptLength < this.#trailerLimit) {
          return this.#stop(position + taken, KEPT_TRAILERS, CHUNKED_NEED_MORE);
        }
        this.message = 'upstream sent too big trailers';
        return this.#stop(position + taken, INVALID, CHUNKED_INVALID);
      }
      this.trailers = this.#builder.build();
      const after = position + taken - (keptLength - scanner.position);
      this.#forgetTrailers();
      return this.#stop(after, DONE, CHUNKED_DONE);
    }
  }

  #forgetTrailers(): void {
    this.#kept = NO_BYTES;
    this.#keptLength = 0;
    this.#keptScanned = 0;
    this.#scanner = null;
    this.#builder = null;
  }
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const letter = byte | 0x20;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
}

/** What goes in front of a chunk of this many bytes (more than 0): `1f\r\n`. */
export function chunkPrefix(size: number): string {
  return `${size.toString(16)}\r\n`;
}

/** What goes behind the bytes of a chunk. */
export const CHUNK_END = '\r\n';

/** What ends a chunked body without trailers. */
export const LAST_CHUNK = '0\r\n\r\n';

/** What ends a chunked body with these trailer fields. */
export function lastChunkWithTrailers(trailers: HeaderBlock): string {
  return `0\r\n${trailers.text}\r\n`;
}
