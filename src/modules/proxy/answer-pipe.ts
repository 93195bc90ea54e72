/**
 * The body of an upstream server's answer on its way to a client that does not keep up. Made when that turns out: until
 * then, and whenever the client has caught up, pieces go from one connection to the other without a copy; while it has
 * not, the server waits, or its answer is read ahead (`proxy_buffering`).
 */
import type { Exchange } from '../../core/exchange.ts';
import { endExchange } from '../../core/send.ts';
import type { Timer } from '../../event/timers.ts';
import type { UpstreamRequest } from '../../upstream/client.ts';
import { AnswerSpool, type SpoolLimits, type SpoolOwner } from './answer-spool.ts';

/**
 * How long, in milliseconds, a server waits for a client that is just catching up, before its answer is read ahead.
 * Waiting costs nothing; reading ahead copies what is read.
 */
const PATIENCE = 100;

export class AnswerPipe implements SpoolOwner {
  private readonly exchange: Exchange;
  private readonly request: UpstreamRequest;
  private readonly limits: SpoolLimits;
  private readonly buffering: boolean;
  private readonly failed: () => void;
  /** The last piece is with the client's connection: the server waits. */
  private pieceInUse = false;
  private patience: Timer | undefined = undefined;
  private spool: AnswerSpool | undefined = undefined;
  private complete = false;

  /**
   * @param buffering whether the answer may be read ahead
   * @param failed called where what has been read ahead cannot be had back; the reason is in the error log
   */
  constructor(
    exchange: Exchange,
    request: UpstreamRequest,
    limits: SpoolLimits,
    buffering: boolean,
    failed: () => void,
  ) {
    this.exchange = exchange;
    this.request = request;
    this.limits = limits;
    this.buffering = buffering;
    this.failed = failed;
  }

  /** Takes a piece from the server. @returns as `UpstreamReceiver.data` */
  data(chunk: Buffer): boolean {
    const { exchange, spool } = this;
    if (spool !== undefined) return spool.add(chunk);
    const { output } = exchange;
    const room = output.write(chunk);
    if (!this.buffering) output.flush();
    if (!room) this.wait();
    return room;
  }

  /** The piece just written is in use until the client has taken it. */
  wait(): void {
    const { exchange } = this;
    this.pieceInUse = true;
    exchange.onDrain ??= () => this.clientTakesMore();
    if (!this.buffering) return;
    // Others have to wait for the answer's end, too (`keepalive_pipeline`): it is read without delay.
    if (this.request.crowded) {
      queueMicrotask(() => this.readAhead());
      return;
    }
    this.patience ??= exchange.site.runtime.timers.timer(readAhead, this);
    this.patience.start(PATIENCE);
  }

  /** The server's answer is complete: the exchange ends when the client has all that is waiting. */
  end(): void {
    this.complete = true;
    this.patience?.stop();
    if (this.spool === undefined) endExchange(this.exchange);
  }

  /** Forgets what is waiting. Harmless at any time. */
  close(): void {
    this.patience?.stop();
    this.pieceInUse = false;
    this.spool?.close();
    this.spool = undefined;
  }

  /** The client is slow: its answer is read ahead. */
  readAhead(): void {
    if (!this.pieceInUse || this.complete) return;
    this.pieceInUse = false;
    this.spool = new AnswerSpool(this.exchange, this, this.limits);
    // The piece stays where it is, in the hands of the client's connection.
    this.request.resumeKeeping();
  }

  spoolHasRoom(): void {
    this.request.resume();
  }

  spoolIsEmpty(): void {
    this.spool?.close();
    this.spool = undefined;
    if (this.complete) endExchange(this.exchange);
  }

  spoolFailed(): void {
    this.failed();
  }

  /** The client has taken all that was written. */
  private clientTakesMore(): void {
    if (this.spool !== undefined) {
      this.spool.drained();
      return;
    }
    if (!this.pieceInUse) return;
    this.pieceInUse = false;
    this.patience?.stop();
    this.request.resume();
  }
}

function readAhead(pipe: AnswerPipe): void {
  pipe.readAhead();
}
