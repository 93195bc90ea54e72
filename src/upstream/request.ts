/**
 * One request on one connection, and the reading of its answer (RFC 9112 6.3): head, body by its framing, what comes
 * too much and what comes too little, as nginx judges it.
 */

import { giveBuffer } from '../event/buffers.ts';
import { nowMilliseconds } from '../event/clock.ts';
import { CHUNKED_DATA, CHUNKED_DONE, CHUNKED_NEED_MORE, type ChunkedDecoder } from '../http/chunked.ts';
import type { HeaderBlock } from '../http/header-block.ts';
import { FAILED, NEED_MORE } from '../http/request-head.ts';
import { checkResponseHead, NO_VALID_HEADER } from '../http/response-head.ts';
import { describeError } from '../log/system-errors.ts';
import type { UpstreamRequest, UpstreamSettings } from './client.ts';
import type { ConnectionUser, UpstreamConnection } from './connection.ts';
import { describeConnectError, describeHandshakeError, describeTransferError } from './failure.ts';
import type { UpstreamFailure, UpstreamFailureKind, UpstreamReceiver } from './receiver.ts';

/** What is read next. */
const HEAD = 0;
/** A body of known length. */
const LENGTH = 1;
const CHUNKED = 2;
/** A body that ends with the connection. */
const UNTIL_CLOSE = 3;
/** After 101. */
const TUNNEL = 4;

type Reading = typeof HEAD | typeof LENGTH | typeof CHUNKED | typeof UNTIL_CLOSE | typeof TUNNEL;

const CLOSED_EARLY = 'upstream prematurely closed connection';
const TOO_MUCH = 'upstream sent more data than specified in "Content-Length" header';
const TIMED_OUT = 'upstream timed out (110: Connection timed out)';

export class HttpRequest implements UpstreamRequest, ConnectionUser {
  readonly serverName: string;
  readonly reused: boolean;
  connectTime = -1;
  headerTime = -1;
  bytesReceived = 0;
  responseLength = 0;
  over = false;

  readonly #connection: UpstreamConnection;
  readonly #receiver: UpstreamReceiver;
  readonly #settings: UpstreamSettings;
  readonly #headOnly: boolean;
  #startedAt = 0;
  #finishedAfter = -1;
  #written = 0;
  #unsent = 0;
  /** `endRequest` was called. */
  #asked = false;
  /** `write` has returned false. */
  #blocked = false;
  /** The timer runs for what is pending. */
  #sending = false;
  #reading: Reading = HEAD;
  #remaining = 0;
  #decoder: ChunkedDecoder | undefined = undefined;
  #interimBytes = 0;
  #paused = false;
  /** Where reading stopped because of a pause: our own buffer from there on, until it has been read to its end. */
  #held: Buffer | undefined = undefined;
  #heldPosition = 0;
  #heldEnd = 0;
  /** A buffer with a piece that is the receiver's for good: not to be given back. */
  #kept: Buffer | undefined = undefined;
  /** TLS hands over all it has decrypted, pause or not: what came after `#held`. */
  #backlog: { readonly buffer: Buffer; readonly length: number }[] | undefined = undefined;
  #consuming = false;
  /** The server has ended its direction, and that is to be looked at once what is held has been read. */
  #eof = false;

  constructor(
    connection: UpstreamConnection,
    serverName: string,
    receiver: UpstreamReceiver,
    settings: UpstreamSettings,
    headOnly: boolean,
    reused: boolean,
  ) {
    this.#connection = connection;
    this.serverName = serverName;
    this.#receiver = receiver;
    this.#settings = settings;
    this.#headOnly = headOnly;
    this.reused = reused;
    connection.user = this;
  }

  get address(): string {
    return this.#connection.address.text;
  }

  get action(): string {
    if (this.#reading === TUNNEL) return 'proxying upgraded connection';
    if (this.#reading !== HEAD) return 'reading upstream';
    if (this.#asked || this.bytesReceived > 0) return 'reading response header from upstream';
    return this.connectTime >= 0 ? 'sending request to upstream' : this.#connectingAction();
  }

  get responseTime(): number {
    return this.#finishedAfter >= 0 ? this.#finishedAfter : this.#sinceStart();
  }

  get bytesSent(): number {
    return this.#written - (this.over ? this.#unsent : this.#connection.pending);
  }

  get pending(): number {
    return this.over ? 0 : this.#connection.pending;
  }

  // ---- for the one who asks ----

  start(): void {
    if (this.over) return;
    const connection = this.#connection;
    this.#startedAt = nowMilliseconds();
    connection.requests++;
    if (this.reused) {
      this.connectTime = 0;
      this.#receiver.connected(true);
      return;
    }
    const opened = connection.open(this.#settings, () => {
      this.#receiver.log(
        'error',
        `invalid local address "${connection.localAddress}" while connecting to upstream`,
      );
    });
    if (!opened) this.#fail('internal', '', 'crit', false);
    else if (!this.over) connection.startTimer(this.#settings.connectTimeout);
  }

  write(chunk: string | Buffer): boolean {
    if (this.over || chunk.length === 0) return true;
    const connection = this.#connection;
    this.#written += chunk.length;
    const room = connection.write(chunk);
    if (connection.pending > 0 || this.#reading === TUNNEL) this.#arm();
    if (!room) this.#blocked = true;
    return room;
  }

  endRequest(): void {
    if (this.over || this.#asked) return;
    this.#asked = true;
    this.#arm();
  }

  end(): void {
    if (!this.over) this.#connection.end();
  }

  pause(): void {
    if (this.over || this.#paused) return;
    this.#paused = true;
    this.#connection.pause();
    this.#arm();
  }

  resume(): void {
    if (this.over) {
      this.#giveBack();
      return;
    }
    if (!this.#paused) return;
    this.#paused = false;
    // Called from within `head`: reading goes on when that returns.
    if (this.#consuming) {
      this.#connection.resume();
      return;
    }
    if (!this.#consumeHeld()) return;
    if (this.#eof) {
      this.#atEnd();
      return;
    }
    this.#connection.resume();
    this.#arm();
  }

  resumeKeeping(): void {
    this.#kept = this.#held;
    this.resume();
  }

  abandon(): void {
    if (this.over) return;
    this.#finish();
    this.#connection.close();
  }

  // ---- for the connection ----

  established(): void {
    this.connectTime = this.#sinceStart();
    this.#connection.stopTimer();
    this.#receiver.connected(false);
  }

  refused(reason: string): void {
    this.#fail('error', `${reason} while SSL handshaking to upstream`, 'error', true);
  }

  bytes(buffer: Buffer, length: number): boolean {
    this.bytesReceived += length;
    if (this.#paused) {
      this.#connection.lend(buffer);
      if (this.#held === undefined) this.#hold(buffer, 0, length);
      else {
        this.#backlog ??= [];
        this.#backlog.push({ buffer, length });
      }
      return false;
    }
    this.#consume(buffer, 0, length);
    if (this.over) return true;
    this.#arm();
    return !this.#paused;
  }

  ended(): void {
    if (this.#paused) this.#eof = true;
    else this.#atEnd();
  }

  broken(error: NodeJS.ErrnoException): void {
    if (this.connectTime < 0) {
      if (error.syscall === 'bind') {
        const text = `bind(${this.#connection.localAddress}) failed (${describeError(error)})`;
        this.#fail('internal', `${text} while connecting to upstream`, 'crit', false);
        return;
      }
      const { connected, address } = this.#connection;
      const { message, level } = connected
        ? describeHandshakeError(error)
        : describeConnectError(error, address);
      this.#fail('error', `${message} while ${this.#connectingAction()}`, level, connected);
      return;
    }
    const { message, level } = describeTransferError(error);
    const action =
      error.syscall === 'read' && this.#reading === HEAD
        ? 'reading response header from upstream'
        : this.action;
    this.#fail('error', `${message} while ${action}`, level, false);
  }

  flushed(): void {
    if (this.over) return;
    this.#arm();
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#receiver.drain();
  }

  expired(): void {
    const connection = this.#connection;
    if (this.connectTime < 0) {
      this.#fail('timeout', `${TIMED_OUT} while ${this.#connectingAction()}`, 'error', connection.connected);
      return;
    }
    if (this.#sending) {
      // Taken, or some of it: what was written in one small piece says so only here.
      if (connection.pending === 0 || connection.progressed) this.#arm();
      else this.#fail('timeout', `${TIMED_OUT} while ${this.#sendingAction()}`, 'error', false);
      return;
    }
    this.#fail('timeout', `${TIMED_OUT} while ${this.action}`, 'error', false);
  }

  // ---- reading ----

  /** Reads buffer[position, end), stopping where the receiver wants no more; the rest is then held. */
  #consume(buffer: Buffer, position: number, end: number): void {
    this.#consuming = true;
    if (this.#reading === HEAD) {
      position = this.#readHead(buffer, position, end);
      if (position < 0) {
        this.#consuming = false;
        return;
      }
    }
    switch (this.#reading) {
      case LENGTH:
        this.#readLength(buffer, position, end);
        break;
      case CHUNKED:
        this.#readChunks(buffer, position, end);
        break;
      default:
        if (position < end && this.#deliver(buffer, position, end)) this.#hold(buffer, end, end);
    }
    this.#consuming = false;
  }

  /** @returns where the body begins, or -1 where there is nothing more to read by now */
  #readHead(buffer: Buffer, position: number, end: number): number {
    const { parser, framing } = this.#connection;
    parser.limit = this.#settings.bufferSize;
    for (;;) {
      if (position === end) return -1;
      const outcome = parser.parse(buffer, position, end);
      if (outcome === NEED_MORE) return -1;
      if (outcome === FAILED) return this.#badHead(parser.error!.message);
      position = parser.consumed;
      const { head } = parser;
      const { status } = head;
      if (status >= 200 || status === 101 || status < 100) break;
      this.#interimBytes += head.byteLength;
      if (this.#interimBytes > this.#settings.bufferSize)
        return this.#badHead('upstream sent too big early hints');
      if (status === 103) {
        this.#receiver.interim(head);
        if (this.over) return -1;
      }
    }

    const { head, bodyPrefix } = parser;
    if (head.version === 9)
      this.#receiver.log('error', `${NO_VALID_HEADER} while reading response header from upstream`);
    const problem = checkResponseHead(head, framing);
    if (problem !== undefined) return this.#badHead(problem.message);
    this.headerTime = this.#sinceStart();
    const { status } = head;
    let empty = false;
    if (status === 101) this.#reading = TUNNEL;
    else if (this.#headOnly || status === 204 || status === 304 || framing.contentLength === 0) {
      empty = true;
      this.#reading = LENGTH;
    } else if (framing.chunked) {
      this.#reading = CHUNKED;
      this.#decoder = this.#connection.decoder(this.#settings.trailerLimit);
    } else if (framing.contentLength > 0) {
      this.#reading = LENGTH;
      this.#remaining = framing.contentLength;
    } else this.#reading = UNTIL_CLOSE;

    this.#receiver.head(head);
    if (this.over) return -1;
    if (empty) {
      if (position < end) this.#warn(TOO_MUCH);
      if (!this.over) this.#complete(position === end, undefined);
      return -1;
    }
    // No status line: what was taken for one is body.
    if (bodyPrefix !== null && !this.#paused) {
      this.responseLength += bodyPrefix.length;
      if (!this.#receiver.data(bodyPrefix)) this.#stop();
      if (this.over) return -1;
    }
    if (this.#paused) {
      this.#hold(buffer, position, end);
      return -1;
    }
    return position;
  }

  #badHead(message: string): -1 {
    this.#fail('invalid_header', `${message} while reading response header from upstream`, 'error', false);
    return -1;
  }

  #readLength(buffer: Buffer, position: number, end: number): void {
    if (position === end) return;
    const size = Math.min(end - position, this.#remaining);
    this.#remaining -= size;
    const excess = end - position > size;
    if (excess) this.#warn(TOO_MUCH);
    const stopped = this.#deliver(buffer, position, position + size);
    if (this.over) return;
    if (this.#remaining === 0) {
      // The last piece may still be in use; the connection goes on with another buffer.
      if (stopped) this.#hold(buffer, end, end);
      this.#complete(!excess, undefined);
    } else if (stopped) this.#hold(buffer, end, end);
  }

  #readChunks(buffer: Buffer, position: number, end: number): void {
    const decoder = this.#decoder!;
    let stopped = false;
    for (;;) {
      const outcome = decoder.next(buffer, position, end);
      position = decoder.position;
      if (outcome === CHUNKED_DATA) {
        stopped = this.#deliver(buffer, decoder.dataStart, decoder.dataEnd);
        if (this.over) return;
        if (!stopped) continue;
        // What ends the body is looked at all the same where it is at hand: the connection is then free early.
        if (!endsHere(buffer, position, end)) {
          this.#hold(buffer, position, end);
          return;
        }
        continue;
      }
      if (outcome === CHUNKED_NEED_MORE) {
        if (stopped) this.#hold(buffer, end, end);
        return;
      }
      if (outcome !== CHUNKED_DONE) {
        const message = decoder.message === '' ? 'upstream sent invalid chunked response' : decoder.message;
        this.#fail('error', `${message} while reading upstream`, 'error', false);
        return;
      }
      const excess = position < end;
      if (excess) {
        const kept = this.#settings.trailerLimit > 0;
        this.#warn(kept ? 'upstream sent data after trailers' : 'upstream sent data after final chunk');
      }
      if (this.over) return;
      if (stopped) this.#hold(buffer, end, end);
      this.#complete(!excess, decoder.trailers.count > 0 ? decoder.trailers : undefined);
      return;
    }
  }

  /** Hands over a piece of body. @returns whether reading has to stop here */
  #deliver(buffer: Buffer, start: number, end: number): boolean {
    this.responseLength += end - start;
    if (!this.#receiver.data(buffer.subarray(start, end)) && !this.over) this.#stop();
    return this.#paused;
  }

  #stop(): void {
    this.#paused = true;
  }

  /** Keeps a buffer, from `position` on unread. */
  #hold(buffer: Buffer, position: number, end: number): void {
    this.#connection.lend(buffer);
    this.#held = buffer;
    this.#heldPosition = position;
    this.#heldEnd = end;
  }

  /** Reads on in what is held. @returns false where that has ended the request, or reading has stopped again */
  #consumeHeld(): boolean {
    while (this.#held !== undefined) {
      const buffer = this.#held;
      this.#held = undefined;
      this.#consume(buffer, this.#heldPosition, this.#heldEnd);
      if (this.#held !== buffer && this.#kept !== buffer) giveBuffer(buffer);
      if (this.over || this.#paused) return false;
      const next = this.#backlog?.shift();
      if (next !== undefined) this.#hold(next.buffer, 0, next.length);
    }
    return true;
  }

  #giveBack(): void {
    if (this.#held !== undefined && this.#held !== this.#kept) giveBuffer(this.#held);
    this.#held = undefined;
  }

  /** The server has ended its direction, and everything before that has been read. */
  #atEnd(): void {
    if (this.over) return;
    switch (this.#reading) {
      case HEAD:
        this.#fail('error', `${CLOSED_EARLY} while reading response header from upstream`, 'error', false);
        break;
      case UNTIL_CLOSE:
        this.#complete(false, undefined);
        break;
      case TUNNEL:
        // Only their direction: ours goes on until it is ended or given up.
        this.#receiver.end(undefined);
        break;
      default:
        this.#fail('error', `${CLOSED_EARLY} while reading upstream`, 'error', false);
    }
  }

  // ---- ends ----

  #complete(reusable: boolean, trailers: HeaderBlock | undefined): void {
    const connection = this.#connection;
    this.#finish();
    connection.release(
      reusable &&
        this.#asked &&
        this.#unsent === 0 &&
        !connection.framing.connectionClose &&
        this.#backlog === undefined,
      this.#startedAt + this.#finishedAfter,
    );
    this.#receiver.end(trailers);
  }

  #fail(
    kind: UpstreamFailureKind,
    message: string,
    level: UpstreamFailure['level'],
    handshake: boolean,
  ): void {
    if (this.over) return;
    this.#finish();
    this.#connection.close();
    this.#receiver.fail({
      kind,
      message,
      level,
      stale: this.reused && kind === 'error' && this.bytesReceived === 0,
      handshake,
    });
  }

  /** Every end leads through here. */
  #finish(): void {
    this.over = true;
    this.#unsent = this.#connection.pending;
    this.#finishedAfter = this.#startedAt === 0 ? 0 : this.#sinceStart();
  }

  // ---- small things ----

  #warn(message: string): void {
    this.#receiver.log('warn', `${message} while reading upstream`);
  }

  #connectingAction(): string {
    return this.#connection.connected ? 'SSL handshaking to upstream' : 'connecting to upstream';
  }

  #sendingAction(): string {
    return this.#reading === TUNNEL ? 'proxying upgraded connection' : 'sending request to upstream';
  }

  #sinceStart(): number {
    return nowMilliseconds() - this.#startedAt;
  }

  /** Sets the timer to what is waited for now. */
  #arm(): void {
    const connection = this.#connection;
    this.#sending = connection.pending > 0;
    if (this.#sending) {
      // So that `progressed` counts from now.
      void connection.progressed;
      connection.startTimer(this.#settings.sendTimeout);
    } else if (this.#paused || !(this.#asked || this.#reading !== HEAD)) connection.stopTimer();
    else connection.startTimer(this.#settings.readTimeout);
  }
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
