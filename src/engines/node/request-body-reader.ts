/** The body of one request as it comes off a connection: takes the framing away and hands the pieces on. */
import type { BodyReceiver } from '../../core/carrier.ts';
import type { Exchange } from '../../core/exchange.ts';
import { log } from '../../core/log.ts';
import { CHUNKED_DATA, CHUNKED_DONE, CHUNKED_NEED_MORE, ChunkedDecoder } from '../../http/chunked.ts';
import type { RequestFraming } from '../../http/request-check.ts';
import type { ClientConnection } from './connection.ts';

const NOTHING: Buffer = Buffer.alloc(0);

export class RequestBodyReader {
  private readonly connection: ClientConnection;
  private readonly exchange: Exchange;
  /** Undefined for a body of known length. */
  private readonly decoder: ChunkedDecoder | undefined;
  /** Bytes still to come of a body of known length. */
  private remaining: number;
  private received = 0;
  private limit = 0;
  private timeout = 0;
  private receiver: BodyReceiver | undefined = undefined;
  /** Bytes that came before anybody wanted them, or while the receiver paused. */
  private held: Buffer | undefined = undefined;
  private paused = false;
  private delivering = false;
  private stopped = false;
  private dropping = false;

  constructor(connection: ClientConnection, exchange: Exchange, framing: RequestFraming) {
    this.connection = connection;
    this.exchange = exchange;
    this.decoder = framing.chunked ? new ChunkedDecoder() : undefined;
    this.remaining = framing.contentLength;
  }

  /** Nobody has asked to wait, or to be spared. */
  get reading(): boolean {
    return this.receiver !== undefined && !this.paused;
  }

  /** Keeps what came along with the head. */
  preread(chunk: Buffer): void {
    this.held = chunk;
  }

  /** Begins to deliver: carrier.ts, `Carrier.readBody`. */
  start(receiver: BodyReceiver, limit: number, timeout: number): void {
    this.receiver = receiver;
    this.limit = limit;
    this.timeout = timeout;
    const { held, connection } = this;
    this.held = undefined;
    connection.armBodyTimer(timeout);
    if (held !== undefined) this.handOn(held);
    if (!this.paused && !this.stopped) connection.socket.resume();
  }

  /**
   * Takes a chunk off the socket.
   * @returns what follows the body where it is complete (maybe nothing, but defined); undefined where more is to come;
   *   null where it is dropped and turns out to be no body
   */
  take(chunk: Buffer): Buffer | undefined | null {
    if (this.dropping) return this.drop(chunk);
    if (this.receiver === undefined || this.paused) {
      this.held = this.held === undefined ? this.connection.keep(chunk) : Buffer.concat([this.held, chunk]);
      this.connection.socket.pause();
      return undefined;
    }
    this.connection.armBodyTimer(this.timeout);
    return this.deliver(chunk);
  }

  pause(): void {
    this.paused = true;
    this.connection.armBodyTimer(0);
    this.connection.socket.pause();
  }

  resume(): void {
    if (!this.paused || this.stopped) return;
    this.paused = false;
    this.connection.armBodyTimer(this.timeout);
    const { held } = this;
    this.held = undefined;
    if (held !== undefined && !this.delivering) this.handOn(held);
    if (!this.paused && !this.stopped) this.connection.socket.resume();
  }

  /** The client has not sent anything for `client_body_timeout`. */
  timedOut(): void {
    log(this.exchange, 'info', 'client timed out (110: Connection timed out)');
    this.connection.answer.closeAfter();
    this.fail(408);
  }

  /** The client has closed its connection in the middle of the body. */
  clientGone(): void {
    this.fail(0);
  }

  /** Nothing more is delivered. */
  stop(): void {
    this.stopped = true;
    this.receiver = undefined;
    this.held = undefined;
  }

  /**
   * From now on the body is dropped, what has come of it too.
   * @returns false where that is not a body
   */
  discard(): boolean {
    this.receiver = undefined;
    this.paused = false;
    this.dropping = true;
    const { held } = this;
    this.held = undefined;
    if (held === undefined) return true;
    const rest = this.drop(held);
    if (rest === null) return false;
    if (rest !== undefined) this.connection.bodyComplete(rest);
    return true;
  }

  /** Drops a piece of the body. @returns what follows the body where it is complete; null where it is none */
  drop(chunk: Buffer): Buffer | undefined | null {
    if (this.decoder === undefined) {
      if (chunk.length < this.remaining) {
        this.remaining -= chunk.length;
        return undefined;
      }
      return chunk.subarray(this.remaining);
    }
    let position = 0;
    for (;;) {
      const outcome = this.decoder.next(chunk, position, chunk.length);
      position = this.decoder.position;
      if (outcome === CHUNKED_DATA) continue;
      if (outcome === CHUNKED_NEED_MORE) return undefined;
      if (outcome === CHUNKED_DONE) return chunk.subarray(position);
      return null;
    }
  }

  private handOn(chunk: Buffer): void {
    const rest = this.deliver(chunk);
    if (rest !== undefined) this.connection.bodyComplete(rest);
  }

  private deliver(chunk: Buffer): Buffer | undefined {
    this.delivering = true;
    const rest =
      this.decoder === undefined ? this.deliverKnown(chunk) : this.deliverChunked(chunk, this.decoder);
    this.delivering = false;
    return rest;
  }

  private deliverKnown(chunk: Buffer): Buffer | undefined {
    const { receiver } = this;
    if (chunk.length < this.remaining) {
      this.remaining -= chunk.length;
      this.exchange.bodyBytesReceived += chunk.length;
      if (receiver !== undefined) this.connection.deliver(receiver, chunk);
      return undefined;
    }
    const length = this.remaining;
    this.remaining = 0;
    this.exchange.bodyBytesReceived += length;
    if (receiver !== undefined) {
      this.connection.deliver(receiver, length === chunk.length ? chunk : chunk.subarray(0, length));
    }
    return this.complete(length === chunk.length ? NOTHING : chunk.subarray(length));
  }

  private deliverChunked(chunk: Buffer, decoder: ChunkedDecoder): Buffer | undefined {
    let position = 0;
    for (;;) {
      if (this.stopped) return undefined;
      if (this.paused) {
        // The receiver has had enough in the middle of the chunk.
        if (position < chunk.length) this.held = this.connection.keep(chunk.subarray(position));
        return undefined;
      }
      const outcome = decoder.next(chunk, position, chunk.length);
      this.exchange.bodyBytesReceived += decoder.position - position;
      position = decoder.position;
      if (outcome === CHUNKED_DATA) {
        const length = decoder.dataEnd - decoder.dataStart;
        if (this.limit > 0 && this.received + length + decoder.remaining > this.limit) {
          log(
            this.exchange,
            'error',
            `client intended to send too large chunked body: ${this.received + length}+${decoder.remaining} bytes`,
          );
          this.fail(413);
          return undefined;
        }
        this.received += length;
        if (this.receiver !== undefined) {
          this.connection.deliver(this.receiver, chunk.subarray(decoder.dataStart, decoder.dataEnd));
        }
      } else if (outcome === CHUNKED_NEED_MORE) {
        return undefined;
      } else if (outcome === CHUNKED_DONE) {
        return this.complete(position === chunk.length ? NOTHING : chunk.subarray(position));
      } else {
        log(this.exchange, 'error', 'client sent invalid chunked body');
        this.fail(400);
        return undefined;
      }
    }
  }

  /** The connection's state must have moved on before the receiver hears, for it may answer at once. */
  private complete(rest: Buffer): undefined {
    const { receiver } = this;
    this.connection.armBodyTimer(0);
    this.receiver = undefined;
    this.connection.bodyComplete(rest);
    receiver?.end();
    return undefined;
  }

  private fail(status: number): void {
    const { receiver } = this;
    this.connection.armBodyTimer(0);
    this.receiver = undefined;
    receiver?.fail(status);
  }
}
