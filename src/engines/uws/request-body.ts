/** The body of one request as uWebSockets.js delivers it: kept until somebody wants it, and while they want no more. */
import type { BodyReceiver } from '../../core/carrier.ts';
import type { Exchange } from '../../core/exchange.ts';
import { log } from '../../core/log.ts';
import type { TempPath } from '../../core/temp-file.ts';
import { type QueueOwner, SpillQueue } from './spill-queue.ts';

/** What a request's body needs of its connection. */
export interface BodyConnection {
  /** Stops reading, as far as that can be done at present. */
  pauseReading(): void;
  resumeReading(): void;
  /** Starts, moves or (0) stops the timeout of the body, in milliseconds. */
  armBodyTimer(milliseconds: number): void;
  /** The body is complete, or given up. */
  bodyOver(): void;
  /** The answer is the last one on its connection. */
  closeAfter(): void;
}

export class RequestBodySource implements QueueOwner {
  readonly limit = Number.POSITIVE_INFINITY;
  /** All of it has come. */
  complete = false;

  private readonly connection: BodyConnection;
  private readonly exchange: Exchange;
  private readonly queue: SpillQueue;
  private receiver: BodyReceiver | undefined = undefined;
  /** Of a body in chunks, in bytes; 0 for no limit. */
  private greatest = 0;
  private timeout = 0;
  private paused = true;
  /** Nobody wants it any more. */
  private dropping = false;
  /** It could not be kept, before anybody had asked for it: the status to answer with. */
  private failure = 0;
  /** The receiver has heard of the end. */
  private over = false;

  constructor(connection: BodyConnection, exchange: Exchange) {
    this.connection = connection;
    this.exchange = exchange;
    this.queue = new SpillQueue(this, true);
  }

  get tempPath(): TempPath {
    return this.exchange.location.tempPath;
  }

  get worker(): number {
    return this.exchange.site.runtime.worker;
  }

  /** Takes a piece, which is void once this has returned. */
  take(chunk: ArrayBuffer, last: boolean): void {
    const { byteLength: length } = chunk;
    this.exchange.bodyBytesReceived += length;
    if (last) this.complete = true;
    if (this.over) return;
    if (!this.dropping && this.isTooLarge) this.refuse();
    if (this.dropping) {
      if (last) this.finish();
      return;
    }
    if (!last) {
      if (this.paused) this.connection.pauseReading();
      else this.connection.armBodyTimer(this.timeout);
    }
    if (length > 0) this.queue.add(Buffer.from(new Uint8Array(chunk)));
    if (last) this.queue.end();
  }

  /** Begins to deliver: carrier.ts, `Carrier.readBody`. */
  start(receiver: BodyReceiver, limit: number, timeout: number): void {
    if (this.failure !== 0) {
      receiver.fail(this.failure);
      return;
    }
    this.receiver = receiver;
    this.greatest = this.exchange.chunked ? limit : 0;
    this.timeout = timeout;
    if (this.isTooLarge) this.refuse();
    else this.resume();
  }

  /** `client_max_body_size`, for a body whose length nobody has told. */
  private get isTooLarge(): boolean {
    return this.greatest > 0 && this.exchange.bodyBytesReceived > this.greatest;
  }

  private refuse(): void {
    const { exchange } = this;
    log(
      exchange,
      'error',
      `client intended to send too large chunked body: ${exchange.bodyBytesReceived}+0 bytes`,
    );
    this.fail(413);
  }

  pause(): void {
    if (this.over || this.paused) return;
    this.paused = true;
    this.queue.pause();
    this.connection.armBodyTimer(0);
    if (!this.complete) this.connection.pauseReading();
  }

  resume(): void {
    if (!this.paused || this.over || this.receiver === undefined) return;
    this.paused = false;
    this.queue.resume();
  }

  /** From now on the body is dropped, what has come of it too. */
  discard(): void {
    if (this.over) return;
    this.drop();
    if (this.complete) this.finish();
    else this.connection.resumeReading();
  }

  /** The client has not sent anything for `client_body_timeout`. */
  timedOut(): void {
    if (this.over) return;
    log(this.exchange, 'info', 'client timed out (110: Connection timed out)');
    this.connection.closeAfter();
    this.fail(408);
  }

  /** The client has closed its connection in the middle of the body. */
  clientGone(): void {
    this.fail(0);
  }

  /** Nothing more is delivered. */
  stop(): void {
    this.over = true;
    this.receiver = undefined;
    this.queue.close();
  }

  // ---- of the queue ----

  deliver(piece: Buffer): void {
    this.receiver?.data(piece);
  }

  emptied(): void {
    if (this.complete || this.over) return;
    this.connection.armBodyTimer(this.timeout);
    this.connection.resumeReading();
  }

  ended(): void {
    this.finish();
  }

  spilled(path: string): void {
    log(this.exchange, 'warn', `a client request body is buffered to a temporary file ${path}`);
  }

  failed(reason: string): void {
    log(this.exchange, 'crit', reason);
    if (this.receiver === undefined) this.failure = 500;
    this.fail(500);
  }

  private finish(): void {
    const { receiver } = this;
    this.stop();
    this.connection.armBodyTimer(0);
    // Who asks for a body that could not be kept is to hear of it.
    if (this.failure === 0) this.connection.bodyOver();
    receiver?.end();
  }

  /** Keeps nothing, and waits for nothing but the end. */
  private drop(): void {
    this.receiver = undefined;
    this.dropping = true;
    this.paused = false;
    this.queue.close();
    this.connection.armBodyTimer(0);
  }

  private fail(status: number): void {
    if (this.over || this.dropping) return;
    const { receiver } = this;
    this.drop();
    if (this.complete) this.finish();
    else this.connection.resumeReading();
    receiver?.fail(status);
  }
}
