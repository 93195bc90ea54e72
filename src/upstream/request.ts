/**
 * One request: the question written, the time it may take, what is measured, and its end, whichever way. Its answer is
 * read by the connection's reader (`answer-reader.ts`). It has its connection for itself, or stands in a line of several
 * (`line.ts`), where it waits until the answers before its own are complete.
 */

import { giveBuffer } from '../event/buffers.ts';
import { nowMilliseconds } from '../event/clock.ts';
import { latin1Text } from '../http/latin1.ts';
import { describeError } from '../log/system-errors.ts';
import { HEAD, TUNNEL } from './answer-reader.ts';
import type { UpstreamRequest, UpstreamSettings } from './client.ts';
import type { UpstreamConnection } from './connection.ts';
import { describeConnectError, describeHandshakeError, describeTransferError } from './failure.ts';
import {
  closeAndMove,
  closeRanks,
  failAll,
  isWanted,
  LONGEST_WAIT,
  moveBehind,
  moveLine,
  sendLine,
} from './line.ts';
import type { PoolBucket } from './pool.ts';
import type { UpstreamFailure, UpstreamFailureKind, UpstreamReceiver } from './receiver.ts';

/** What a request takes from the attempts it is one of. */
export interface Asker {
  readonly settings: UpstreamSettings;
  readonly headOnly: boolean;
  readonly localAddress: string;
  readonly tlsName: string;
}

const TIMED_OUT = 'upstream timed out (110: Connection timed out)';

/** Told to those behind a request whose answer has failed. */
const LEFT_BEHIND: UpstreamFailure = {
  kind: 'error',
  message:
    'upstream connection was lost with the answer before, sending the request again ' +
    'while reading response header from upstream',
  level: 'info',
  stale: true,
  handshake: false,
  behind: true,
};

/** Whoever is not there any more. */
const NOBODY: UpstreamReceiver = {
  connected: () => {},
  interim: () => {},
  head: () => {},
  data: () => true,
  end: () => {},
  fail: () => {},
  drain: () => {},
  log: () => {},
};

export class HttpRequest implements UpstreamRequest {
  readonly asker: Asker;
  readonly bucket: PoolBucket;
  /** Hears what comes; nobody does once the request is given up. */
  receiver: UpstreamReceiver;
  /** Undefined while the request waits for the end of the turn. */
  connection: UpstreamConnection | undefined;
  /** The next in line. */
  behind: HttpRequest | undefined = undefined;
  /** It has stood behind another one, whose answer is complete. */
  followed = false;
  /** It has been moved: nobody is to wait with it or for it. */
  alone = false;
  reused: boolean;
  connectTime = -1;
  headerTime = -1;
  bytesReceived = 0;
  responseLength = 0;
  over = false;
  /** The buffer the last piece lies in, where the receiver still uses that: to be given back. */
  lastPiece: Buffer | undefined = undefined;

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
  /** When all answers before this one were complete. */
  #dueAt = 0;
  /** Since when nothing has come, where others wait behind. */
  #quietSince = 0;

  /** @param connection for this request only; undefined for one that may share a connection */
  constructor(
    asker: Asker,
    bucket: PoolBucket,
    receiver: UpstreamReceiver,
    connection: UpstreamConnection | undefined,
    reused: boolean,
  ) {
    this.asker = asker;
    this.bucket = bucket;
    this.receiver = receiver;
    this.connection = connection;
    this.reused = reused;
    if (connection !== undefined) {
      connection.user = this;
      connection.reader.begin();
    }
  }

  get address(): string {
    return this.bucket.address.text;
  }

  get action(): string {
    const { connection } = this;
    const isRead = connection !== undefined && (connection.user === this || connection.closed);
    const reading = isRead ? connection.reader.reading : HEAD;
    if (reading === TUNNEL) return 'proxying upgraded connection';
    if (reading !== HEAD) return 'reading upstream';
    if (this.#asked || this.bytesReceived > 0) return 'reading response header from upstream';
    return this.connectTime >= 0 ? 'sending request to upstream' : this.#connectingAction();
  }

  get responseTime(): number {
    return this.#finishedAfter >= 0 ? this.#finishedAfter : nowMilliseconds() - this.#startedAt;
  }

  get pending(): number {
    return this.over || this.connection === undefined ? 0 : this.connection.pending;
  }

  get bytesSent(): number {
    // What is pending on a shared connection may be others'.
    return Math.max(0, this.#written - (this.over ? this.#unsent : (this.connection?.pending ?? 0)));
  }

  get crowded(): boolean {
    return this.behind !== undefined;
  }

  /** Whether nothing of the request is left to be sent. */
  get sentWhole(): boolean {
    return this.#asked && this.connection!.pending === 0;
  }

  // ---- for the one who asks ----

  start(): void {
    if (this.over) return;
    const now = nowMilliseconds();
    this.#startedAt = now;
    const { connection } = this;
    if (connection === undefined) {
      this.bucket.turn!.add(this);
      return;
    }
    connection.requests++;
    if (this.reused) {
      this.connectTime = 0;
      this.receiver.connected(true);
    } else this.open();
  }

  write(chunk: string | Buffer): boolean {
    if (this.over || chunk.length === 0) return true;
    const connection = this.connection!;
    this.#written += chunk.length;
    if (connection.gathered !== undefined) {
      connection.gathered += typeof chunk === 'string' ? chunk : latin1Text(chunk, 0, chunk.length);
      return true;
    }
    const room = connection.write(chunk);
    if (connection.pending > 0 || connection.reader.reading === TUNNEL) this.arm();
    if (!room) this.#blocked = true;
    return room;
  }

  endRequest(): void {
    if (this.over || this.#asked) return;
    this.#asked = true;
    if (this.connection!.gathered === undefined) this.arm();
  }

  end(): void {
    if (!this.over) this.connection!.end();
  }

  pause(): void {
    if (this.over || this.connection?.user !== this) return;
    const { reader } = this.connection;
    if (reader.paused) return;
    reader.pause();
    this.arm();
  }

  resume(): void {
    if (!this.over) {
      if (this.connection?.user === this) this.connection.reader.resume();
    } else if (this.lastPiece !== undefined) {
      giveBuffer(this.lastPiece);
      this.lastPiece = undefined;
    }
  }

  resumeKeeping(): void {
    this.lastPiece = undefined;
    if (!this.over && this.connection?.user === this) this.connection.reader.resumeKeeping();
  }

  abandon(): void {
    if (this.over) return;
    this.#finish(nowMilliseconds());
    const { connection } = this;
    if (connection === undefined) return;
    this.receiver = NOBODY;
    if (connection.last === undefined || !isWanted(connection)) {
      connection.close();
    } else if (connection.user === this && connection.ready) {
      const { reader } = connection;
      if (!reader.restIsShort) closeAndMove(connection);
      else if (reader.paused) reader.resumeKeeping();
    }
  }

  // ---- for the line ----

  /** It has been given a connection. */
  getConnection(connection: UpstreamConnection, reused: boolean): void {
    this.connection = connection;
    this.reused = reused;
  }

  /** Opens its connection, for itself and those behind it. */
  open(): void {
    const connection = this.connection!;
    const { settings } = this.asker;
    const opened = connection.open(settings, () => {
      const address = connection.localAddress;
      this.receiver.log('error', `invalid local address "${address}" while connecting to upstream`);
    });
    if (!opened) this.failed('internal', '', 'crit');
    else if (!connection.closed) connection.startTimer(settings.connectTimeout);
  }

  /** The connection stands: the question can be written. @param now ms, `nowMilliseconds` */
  mayBeSent(now: number): void {
    if (this.over) return;
    this.connectTime = this.reused ? 0 : now - this.#startedAt;
    this.#dueAt = now;
    this.receiver.connected(this.reused);
  }

  /** The answer before this one's is complete. @param now ms, `nowMilliseconds` */
  follow(now: number): void {
    this.followed = true;
    this.#dueAt = now;
  }

  /** Its connection cannot be used for it any more, and nothing of its answer has come: it is sent again. */
  move(): void {
    if (this.over) return;
    this.receiver.log(
      'info',
      'upstream connection is not used any further, sending the request again ' +
        'while reading response header from upstream',
    );
    this.connection = undefined;
    this.connectTime = -1;
    this.#asked = false;
    this.#written = 0;
    this.followed = false;
    this.alone = true;
    this.bucket.turn!.add(this);
  }

  /** Its connection has failed. */
  tellFailure(failure: UpstreamFailure): void {
    if (this.over) return;
    this.#finish(nowMilliseconds());
    this.receiver.fail(failure);
  }

  // ---- for the connection ----

  /** The connection stands, TLS and all. */
  established(): void {
    const connection = this.connection!;
    connection.stopTimer();
    if (connection.last !== undefined) {
      closeRanks(connection);
      sendLine(connection, connection.user!);
      return;
    }
    this.connectTime = nowMilliseconds() - this.#startedAt;
    this.receiver.connected(false);
  }

  /** `proxy_ssl_verify` has refused the server. @param reason nginx's words */
  refused(reason: string): void {
    this.failed('error', `${reason} while SSL handshaking to upstream`, 'error', true);
  }

  /** The connection could not be made, or broke. */
  broken(error: NodeJS.ErrnoException): void {
    const connection = this.connection!;
    if (!connection.ready) {
      if (error.syscall === 'bind') {
        const text = `bind(${connection.localAddress}) failed (${describeError(error)})`;
        this.failed('internal', `${text} while connecting to upstream`, 'crit');
        return;
      }
      const { connected, address } = connection;
      const { message, level } = connected
        ? describeHandshakeError(error)
        : describeConnectError(error, address);
      this.failed('error', `${message} while ${this.#connectingAction()}`, level, connected);
      return;
    }
    const { reading } = connection.reader;
    if (this.followed && reading === HEAD && this.bytesReceived === 0) {
      moveLine(connection);
      return;
    }
    const { message, level } = describeTransferError(error);
    const action =
      error.syscall === 'read' && reading === HEAD ? 'reading response header from upstream' : this.action;
    this.failed('error', `${message} while ${action}`, level);
  }

  /** All that was written has been taken by the system, some time after `write`. */
  flushed(): void {
    this.arm();
    if (!this.#blocked) return;
    this.#blocked = false;
    this.receiver.drain();
  }

  /** The time set with `arm` is over. */
  expired(): void {
    const connection = this.connection!;
    if (!connection.ready) {
      this.failed('timeout', `${TIMED_OUT} while ${this.#connectingAction()}`, 'error', connection.connected);
      return;
    }
    if (this.#sending) {
      // Taken, or some of it: what was written in one small piece says so only here.
      if (connection.pending === 0 || connection.progressed) this.arm();
      else this.failed('timeout', `${TIMED_OUT} while ${this.#sendingAction()}`);
      return;
    }
    if (this.behind !== undefined && this.#leaveOthers(connection)) return;
    this.failed('timeout', `${TIMED_OUT} while ${this.action}`);
  }

  // ---- for the reader ----

  /** The final head has come. @param now ms, `nowMilliseconds` */
  headCame(now: number): void {
    this.headerTime = now - this.#startedAt;
  }

  /** The answer is complete. @param now ms, `nowMilliseconds` */
  answered(now: number): void {
    if (!this.over) this.#finish(now);
  }

  /**
   * The connection, or the answer on it, has failed: it is closed, and everybody on it told.
   * @param message nginx's words, `while ...` included
   */
  failed(
    kind: UpstreamFailureKind,
    message: string,
    level: UpstreamFailure['level'] = 'error',
    handshake = false,
  ): void {
    const connection = this.connection!;
    const { ready } = connection;
    const { over, behind } = this;
    const failure: UpstreamFailure = {
      kind,
      message,
      level,
      stale: (this.reused || this.followed) && kind === 'error' && this.bytesReceived === 0,
      handshake,
      behind: false,
    };
    if (!over) this.#finish(nowMilliseconds());
    this.behind = undefined;
    connection.close();
    if (!over) this.receiver.fail(failure);
    // A connection that was never made is nobody's in particular.
    failAll(behind, ready ? LEFT_BEHIND : failure);
  }

  /** Sets the timer to what is waited for now. */
  arm(): void {
    const connection = this.connection!;
    const { settings } = this.asker;
    const { paused, reading } = connection.reader;
    // Once the answer has begun it is the answer that is waited for.
    this.#sending = connection.pending > 0 && (reading === HEAD || reading === TUNNEL);
    if (this.#sending) {
      // So that `progressed` counts from now.
      void connection.progressed;
      // In a tunnel the server's silence counts all the same.
      const silence = reading === TUNNEL && !paused ? settings.readTimeout : Number.POSITIVE_INFINITY;
      connection.startTimer(Math.min(settings.sendTimeout, silence));
      return;
    }
    const isQuiet = paused || !(this.#asked || reading !== HEAD);
    if (this.behind !== undefined) {
      const now = nowMilliseconds();
      this.#quietSince = now;
      const patience = Math.max(0, this.#dueAt + LONGEST_WAIT - now);
      connection.startTimer(isQuiet ? patience : Math.min(settings.readTimeout, patience));
    } else if (isQuiet) connection.stopTimer();
    else connection.startTimer(settings.readTimeout);
  }

  // ---- small things ----

  /**
   * Those behind have waited long enough.
   * @returns false where it is this one's own time that is over
   */
  #leaveOthers(connection: UpstreamConnection): boolean {
    const now = nowMilliseconds();
    if (now - this.#dueAt < LONGEST_WAIT) return false;
    if (this.over) {
      // Nobody waits for its end.
      closeAndMove(connection);
      return true;
    }
    moveBehind(connection, true);
    this.arm();
    const left = this.asker.settings.readTimeout - (now - this.#quietSince);
    if (!connection.reader.paused) connection.startTimer(left);
    return true;
  }

  /** Every end leads through here. */
  #finish(now: number): void {
    this.over = true;
    this.#unsent = this.connection === undefined ? 0 : this.connection.pending;
    this.#finishedAfter = this.#startedAt === 0 ? 0 : now - this.#startedAt;
  }

  #connectingAction(): string {
    return this.connection?.connected ? 'SSL handshaking to upstream' : 'connecting to upstream';
  }

  #sendingAction(): string {
    return this.connection!.reader.reading === TUNNEL
      ? 'proxying upgraded connection'
      : 'sending request to upstream';
  }
}
