/**
 * Reads the answers on one connection, one after another (RFC 9112 6.3): head, body by its framing, what comes too much
 * and what comes too little, as nginx judges it. Whose answer it is says the connection (`user`); the head of a line
 * leaves the rest of what has come to the one behind it.
 */

import { giveBuffer } from '../event/buffers.ts';
import { nowMilliseconds } from '../event/clock.ts';
import { CHUNKED_DATA, CHUNKED_DONE, CHUNKED_NEED_MORE, ChunkedDecoder } from '../http/chunked.ts';
import type { HeaderBlock } from '../http/header-block.ts';
import { FAILED, NEED_MORE } from '../http/request-head.ts';
import {
  checkResponseHead,
  NO_VALID_HEADER,
  type ResponseFraming,
  ResponseHeadParser,
} from '../http/response-head.ts';
import type { UpstreamConnection } from './connection.ts';
import { advance, closeAndMove, moveBehind, moveLine } from './line.ts';
import type { HttpRequest } from './request.ts';

/** What is read next. */
export const HEAD = 0;
/** A body of known length. */
const LENGTH = 1;
const CHUNKED = 2;
/** A body that ends with the connection. */
const UNTIL_CLOSE = 3;
/** After 101. */
export const TUNNEL = 4;

type Reading = typeof HEAD | typeof LENGTH | typeof CHUNKED | typeof UNTIL_CLOSE | typeof TUNNEL;

// What reading a piece has come to.
/** The answer has ended, whichever way, and nobody is behind it. */
const OVER = 0;
/** The answer goes on: with what comes next, or when the receiver wants more. */
const GOES_ON = 1;
/** The head has been read; its body begins at `#position`. */
const BODY = 2;
/** The next answer begins at `#position`. */
const NEXT = 3;

type Outcome = typeof OVER | typeof GOES_ON | typeof BODY | typeof NEXT;

/** The rest of an answer nobody wants is read up to so many bytes, for the sake of those behind it. */
const MOST_DROPPED = 65_536;

const CLOSED_EARLY = 'upstream prematurely closed connection';
const TOO_MUCH = 'upstream sent more data than specified in "Content-Length" header';

export class AnswerReader {
  reading: Reading = HEAD;
  /** The receiver wants no more for now. */
  paused = false;

  readonly #connection: UpstreamConnection;
  readonly #parser = new ResponseHeadParser(0);
  readonly #framing: ResponseFraming = { contentLength: -1, chunked: false, connectionClose: false };
  #decoder: ChunkedDecoder | undefined = undefined;
  #decoderLimit = -1;
  /** Bytes of the body still to come. */
  #remaining = 0;
  #interimBytes = 0;
  /** Bytes of an answer nobody wants. */
  #dropped = 0;
  /** Where the answer goes on in the buffer being read. */
  #position = 0;
  /** When what is being read came. */
  #now = 0;
  /** Where reading stopped because of a pause: our own buffer from there on, until it has been read to its end. */
  #held: Buffer | undefined = undefined;
  #heldPosition = 0;
  #heldEnd = 0;
  /** A buffer with a piece that is a receiver's for good: not to be given back. */
  #kept: Buffer | undefined = undefined;
  /** TLS hands over all it has decrypted, pause or not: what came after `#held`. */
  #backlog: { readonly buffer: Buffer; readonly length: number }[] | undefined = undefined;
  #consuming = false;
  /** The server has ended its direction, and that is to be looked at once what is held has been read. */
  #eof = false;

  constructor(connection: UpstreamConnection) {
    this.#connection = connection;
  }

  /** The connection's user is another one: an answer begins. */
  begin(): void {
    this.reading = HEAD;
    this.paused = false;
    this.#interimBytes = 0;
    this.#dropped = 0;
  }

  /** Whether the rest of the user's answer is so short that it may be read although nobody wants it. */
  get restIsShort(): boolean {
    if (this.reading === LENGTH) return this.#remaining <= MOST_DROPPED;
    return this.reading === HEAD || this.reading === CHUNKED;
  }

  /**
   * Bytes have come: the first `length` of `buffer`, which is used again when this returns, unless it was lent.
   * @returns false to stop reading until the connection's `resume`
   */
  bytes(buffer: Buffer, length: number): boolean {
    const connection = this.#connection;
    connection.user!.bytesReceived += length;
    if (this.paused) {
      connection.lend(buffer);
      if (this.#held === undefined) this.#hold(buffer, 0, length);
      else {
        this.#backlog ??= [];
        this.#backlog.push({ buffer, length });
      }
      return false;
    }
    this.#now = nowMilliseconds();
    if (!this.#consume(buffer, 0, length)) {
      this.#kept = undefined;
      return true;
    }
    connection.user!.arm();
    return !this.paused;
  }

  /** The server has ended its direction. */
  ended(): void {
    if (this.paused) this.#eof = true;
    else this.#atEnd();
  }

  pause(): void {
    this.paused = true;
    this.#connection.pause();
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    const connection = this.#connection;
    // Called from within `head`: reading goes on when that returns.
    if (this.#consuming) {
      connection.resume();
      return;
    }
    this.#now = nowMilliseconds();
    if (!this.#consumeHeld()) return;
    if (this.#eof) {
      this.#atEnd();
      return;
    }
    connection.resume();
    connection.user!.arm();
  }

  /** As `resume`; what is held stays in use. */
  resumeKeeping(): void {
    this.#kept = this.#held;
    this.resume();
  }

  /**
   * Reads buffer[position, end), answer after answer, stopping where a receiver wants no more; the rest is then held.
   * @returns whether somebody waits for more
   */
  #consume(buffer: Buffer, position: number, end: number): boolean {
    this.#consuming = true;
    this.#position = position;
    let outcome: Outcome;
    do outcome = this.#readAnswer(this.#connection.user!, buffer, end);
    while (outcome === NEXT);
    this.#consuming = false;
    return outcome === GOES_ON;
  }

  #readAnswer(request: HttpRequest, buffer: Buffer, end: number): Outcome {
    if (this.reading === HEAD) {
      const outcome = this.#readHead(request, buffer, end);
      if (outcome !== BODY) return outcome;
    }
    switch (this.reading) {
      case LENGTH:
        return this.#readLength(request, buffer, end);
      case CHUNKED:
        return this.#readChunks(request, buffer, end);
      default: {
        const position = this.#position;
        if (position < end && this.#deliver(request, buffer, position, end, false)) {
          this.#hold(buffer, end, end);
        }
        return this.#connection.user === request ? GOES_ON : OVER;
      }
    }
  }

  #readHead(request: HttpRequest, buffer: Buffer, end: number): Outcome {
    const connection = this.#connection;
    const parser = this.#parser;
    const framing = this.#framing;
    const { bufferSize, trailerLimit } = request.asker.settings;
    parser.limit = bufferSize;
    for (;;) {
      if (this.#position === end) return GOES_ON;
      const outcome = parser.parse(buffer, this.#position, end);
      if (outcome === NEED_MORE) return GOES_ON;
      if (outcome === FAILED) return badHead(request, parser.error!.message);
      this.#position = parser.consumed;
      const { head } = parser;
      const { status } = head;
      if (status >= 200 || status === 101 || status < 100) break;
      this.#interimBytes += head.byteLength;
      if (this.#interimBytes > bufferSize) return badHead(request, 'upstream sent too big early hints');
      if (status === 103) {
        request.receiver.interim(head);
        if (connection.user !== request) return OVER;
      }
    }

    const { head, bodyPrefix } = parser;
    if (head.version === 9)
      request.receiver.log('error', `${NO_VALID_HEADER} while reading response header from upstream`);
    const problem = checkResponseHead(head, framing);
    if (problem !== undefined) return badHead(request, problem.message);
    const { status } = head;
    const { contentLength } = framing;
    let empty = false;
    if (status === 101) this.reading = TUNNEL;
    else if (request.asker.headOnly || status === 204 || status === 304 || contentLength === 0) {
      empty = true;
      this.reading = LENGTH;
    } else if (framing.chunked) {
      this.reading = CHUNKED;
      this.#startDecoder(trailerLimit);
    } else if (contentLength > 0) {
      this.reading = LENGTH;
      this.#remaining = contentLength;
    } else this.reading = UNTIL_CLOSE;

    if (request.behind !== undefined) {
      // There will be no further answer on this connection.
      const last = framing.connectionClose || this.reading === UNTIL_CLOSE || this.reading === TUNNEL;
      if (last) moveBehind(connection, !request.reused && !request.followed);
    }
    request.headCame(this.#now);
    request.receiver.head(head, contentLength);
    if (connection.user !== request) return OVER;
    if (request.over && !empty && !this.restIsShort) {
      closeAndMove(connection);
      return OVER;
    }
    if (empty) {
      if (this.#position < end) this.#excess(request, TOO_MUCH);
      if (connection.user !== request) return OVER;
      return this.#complete(request, buffer, end, false, undefined);
    }
    // No status line: what was taken for one is body.
    if (bodyPrefix !== null && !this.paused) {
      request.responseLength += bodyPrefix.length;
      if (!request.receiver.data(bodyPrefix, 0, bodyPrefix.length, false)) this.paused = true;
      if (connection.user !== request) return OVER;
    }
    if (this.paused) {
      this.#hold(buffer, this.#position, end);
      return GOES_ON;
    }
    return BODY;
  }

  #readLength(request: HttpRequest, buffer: Buffer, end: number): Outcome {
    const position = this.#position;
    if (position === end) return GOES_ON;
    const size = Math.min(end - position, this.#remaining);
    this.#remaining -= size;
    this.#position += size;
    const whole = this.#remaining === 0;
    if (this.#position < end) this.#excess(request, TOO_MUCH);
    const stopped = this.#deliver(request, buffer, position, position + size, whole);
    if (this.#connection.user !== request) return OVER;
    if (whole) return this.#complete(request, buffer, end, stopped, undefined);
    if (stopped) this.#hold(buffer, end, end);
    return GOES_ON;
  }

  #readChunks(request: HttpRequest, buffer: Buffer, end: number): Outcome {
    const decoder = this.#decoder!;
    let stopped = false;
    for (;;) {
      const outcome = decoder.next(buffer, this.#position, end);
      this.#position = decoder.position;
      if (outcome === CHUNKED_DATA) {
        stopped = this.#deliver(request, buffer, decoder.dataStart, decoder.dataEnd, false);
        if (this.#connection.user !== request) return OVER;
        if (!stopped) continue;
        // What ends the body is looked at all the same where it is at hand: the connection is then free early.
        if (!endsHere(buffer, this.#position, end)) {
          this.#hold(buffer, this.#position, end);
          return GOES_ON;
        }
        continue;
      }
      if (outcome === CHUNKED_NEED_MORE) {
        if (stopped) this.#hold(buffer, end, end);
        return GOES_ON;
      }
      if (outcome !== CHUNKED_DONE) {
        const message = decoder.message === '' ? 'upstream sent invalid chunked response' : decoder.message;
        request.failed('error', `${message} while reading upstream`);
        return OVER;
      }
      if (this.#position < end) {
        const kept = request.asker.settings.trailerLimit > 0;
        this.#excess(
          request,
          kept ? 'upstream sent data after trailers' : 'upstream sent data after final chunk',
        );
        if (this.#connection.user !== request) return OVER;
      }
      const { trailers } = decoder;
      return this.#complete(request, buffer, end, stopped, trailers.count > 0 ? trailers : undefined);
    }
  }

  /** Hands over a piece of body. @returns whether reading has to stop here */
  #deliver(request: HttpRequest, buffer: Buffer, start: number, end: number, last: boolean): boolean {
    if (request.over) {
      this.#dropped += end - start;
      if (this.#dropped > MOST_DROPPED) closeAndMove(this.#connection);
      return false;
    }
    request.responseLength += end - start;
    const more = request.receiver.data(buffer, start, end, last);
    // Who has been given up meanwhile does not stop those behind.
    if (!more && !request.over) this.paused = true;
    return this.paused;
  }

  /** The answer is complete, and ends at `#position`. @param stopped its last piece is still in use */
  #complete(
    request: HttpRequest,
    buffer: Buffer,
    end: number,
    stopped: boolean,
    trailers: HeaderBlock | undefined,
  ): Outcome {
    const connection = this.#connection;
    const { behind } = request;
    if (stopped) {
      // The connection goes on with another buffer; this one is free when the last piece is, if it has no other.
      connection.lend(buffer);
      if (behind === undefined && this.#kept !== buffer) request.lastPiece = buffer;
      this.#kept = buffer;
    }
    const rest = end - this.#position;
    if (behind === undefined) {
      request.answered(this.#now);
      const reusable =
        rest === 0 &&
        !this.#framing.connectionClose &&
        !this.#eof &&
        (this.#backlog === undefined || this.#backlog.length === 0) &&
        !connection.condemned &&
        request.sentWhole;
      connection.release(reusable, this.#now);
      request.receiver.end(trailers);
      return OVER;
    }
    let waiting = rest;
    if (this.#backlog !== undefined) for (const { length } of this.#backlog) waiting += length;
    request.bytesReceived -= waiting;
    behind.bytesReceived += waiting;
    advance(connection, this.#now);
    request.answered(this.#now);
    request.receiver.end(trailers);
    return connection.user === behind ? NEXT : OVER;
  }

  /** More has come than the answer has. Not so where others wait behind it, or have waited until they were moved. */
  #excess(request: HttpRequest, message: string): void {
    if (request.behind !== undefined || this.#connection.condemned) return;
    request.receiver.log('warn', `${message} while reading upstream`);
  }

  #startDecoder(trailerLimit: number): void {
    if (this.#decoder !== undefined && this.#decoderLimit === trailerLimit) {
      this.#decoder.reset();
      return;
    }
    this.#decoder = new ChunkedDecoder(trailerLimit);
    this.#decoderLimit = trailerLimit;
  }

  /** Keeps a buffer, from `position` on unread. */
  #hold(buffer: Buffer, position: number, end: number): void {
    this.#connection.lend(buffer);
    this.#held = buffer;
    this.#heldPosition = position;
    this.#heldEnd = end;
  }

  /** Reads on in what is held. @returns false where that has ended the last answer, or reading has stopped again */
  #consumeHeld(): boolean {
    while (this.#held !== undefined) {
      const buffer = this.#held;
      this.#held = undefined;
      const goesOn = this.#consume(buffer, this.#heldPosition, this.#heldEnd);
      if (this.#held !== buffer && this.#kept !== buffer) giveBuffer(buffer);
      if (!goesOn) this.#kept = undefined;
      if (!goesOn || this.paused) return false;
      const next = this.#backlog?.shift();
      if (next !== undefined) this.#hold(next.buffer, 0, next.length);
    }
    return true;
  }

  /** The server has ended its direction, and everything before that has been read. */
  #atEnd(): void {
    const connection = this.#connection;
    const request = connection.user;
    if (request === undefined) return;
    switch (this.reading) {
      case HEAD:
        if (request.followed && request.bytesReceived === 0) moveLine(connection);
        else request.failed('error', `${CLOSED_EARLY} while reading response header from upstream`);
        break;
      case UNTIL_CLOSE:
        request.answered(nowMilliseconds());
        connection.close();
        request.receiver.end(undefined);
        break;
      case TUNNEL:
        // Only their direction: ours goes on until it is ended or given up.
        request.receiver.end(undefined);
        break;
      default:
        request.failed('error', `${CLOSED_EARLY} while reading upstream`);
    }
  }
}

function badHead(request: HttpRequest, message: string): Outcome {
  request.failed('invalid_header', `${message} while reading response header from upstream`);
  return OVER;
}

/** Whether a chunked body ends right here, without trailers: CRLF, a last chunk, and an empty line. */
function endsHere(buffer: Buffer, position: number, end: number): boolean {
  return (
    end - position === 7 &&
    buffer[position] === 13 &&
    buffer[position + 1] === 10 &&
    buffer[position + 2] === 48 &&
    buffer[position + 3] === 13 &&
    buffer[position + 4] === 10 &&
    buffer[position + 5] === 13 &&
    buffer[position + 6] === 10
  );
}
