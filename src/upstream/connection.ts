/**
 * One connection to one upstream server: the socket, its buffer, its timer, its place in the pool, and who has requests
 * on it (`request.ts`): one, or several in a line (`line.ts`), the first of which is the one whose answer is read.
 *
 * It reads without the streams' read path (`onread`) into a buffer of its own. A reader that still needs what it was
 * given takes the buffer over (`lend`), and the connection goes on with another one.
 */
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { giveBuffer, takeBuffer } from '../event/buffers.ts';
import { nowMilliseconds } from '../event/clock.ts';
import type { ConnectionLimit, Reusable } from '../event/connection-limit.ts';
import { DirectWriter } from '../event/direct-writer.ts';
import type { Timer, TimerWheel } from '../event/timers.ts';
import { type LocalAddress, type PeerAddress, parseLocalAddress } from './address.ts';
import { AnswerReader } from './answer-reader.ts';
import type { UpstreamSettings } from './client.ts';
import type { ConnectionPool, PoolBucket } from './pool.ts';
import type { HttpRequest } from './request.ts';
import { checkCertificate, serverNameToSend, tlsHostName, type UpstreamTls } from './tls.ts';

/** Where a connection belongs: shared by all connections of a group. */
export interface ConnectionHome {
  readonly limit: ConnectionLimit;
  readonly timers: TimerWheel;
  readonly pool: ConnectionPool;
}

/** More than this waiting to be sent, and the writer is asked to wait. */
const MOST_PENDING = 65_536;

export class UpstreamConnection implements Reusable {
  readonly address: PeerAddress;
  /** What else of a request it has to fit: see `ConnectionPool.take`. */
  readonly tag: string;
  readonly tlsIdentity: string;
  readonly tlsName: string;
  readonly localAddress: string;
  /** `nowMilliseconds` when it was made. */
  readonly createdAt = nowMilliseconds();
  /** Requests begun on it. */
  requests = 0;
  /** Whether the connection stands and TCP (but perhaps not TLS) is through. */
  connected = false;
  /** Whether the connection stands and can be written to. */
  ready = false;
  closed = false;
  /** Whose answer is read; undefined while it is idle, and when it is closed. */
  user: HttpRequest | undefined = undefined;
  /** The last in line behind the user, who may be it; undefined where the user does not share it. */
  last: HttpRequest | undefined = undefined;
  /** Answers will come that nobody waits for any more: it cannot be used again. */
  condemned = false;
  /** While a line is being sent: what is to be written. */
  gathered: string | undefined = undefined;
  /** What reads the answers on it, one after another. */
  readonly reader: AnswerReader = new AnswerReader(this);

  // Links of the pool, and of the queue of idle connections; theirs.
  readonly bucket: PoolBucket;
  older: UpstreamConnection | undefined = undefined;
  newer: UpstreamConnection | undefined = undefined;
  nextIdle: Reusable | undefined = undefined;
  previousIdle: Reusable | undefined = undefined;

  readonly #home: ConnectionHome;
  readonly #timer: Timer;
  readonly #tls: UpstreamTls | undefined;
  #socket: Socket | undefined = undefined;
  #direct: DirectWriter | undefined = undefined;
  #buffer: Buffer | undefined = undefined;
  /** The buffer is another one than the system knows of. */
  #swapped = false;
  #onTaken: (() => void) | undefined = undefined;
  /** It has a place of the worker's connections. */
  #counted = false;
  /** Nothing is being read: a user wanted no more. */
  #stopped = false;

  constructor(
    home: ConnectionHome,
    bucket: PoolBucket,
    settings: UpstreamSettings,
    tlsName: string,
    localAddress: string,
  ) {
    this.#home = home;
    this.address = bucket.address;
    this.bucket = bucket;
    this.tag = settings.tag;
    this.#tls = settings.tls;
    this.tlsIdentity = settings.tls === undefined ? '' : settings.tls.identity;
    this.tlsName = tlsName;
    this.localAddress = localAddress;
    this.#timer = home.timers.timer(expire, this);
  }

  /**
   * Begins to connect; the user hears of the outcome.
   * @param invalidLocal called where `localAddress` is none: the connection is made without it, as nginx does
   * @returns false where the worker has no connection left, which the limit has logged
   */
  open(settings: UpstreamSettings, invalidLocal: () => void): boolean {
    const { limit } = this.#home;
    if (!limit.acquire()) {
      this.closed = true;
      this.user = undefined;
      return false;
    }
    this.#counted = true;
    this.bucket.turn?.connections.add(this);
    let local: LocalAddress | undefined;
    if (this.localAddress !== '' && this.address.path === '') {
      local = parseLocalAddress(this.localAddress);
      if (local === undefined) invalidLocal();
    }
    const { address } = this;
    const options = {
      onread: {
        buffer: () => this.#nextBuffer() as Buffer,
        callback: (length: number, buffer: Uint8Array) => this.#read(length, buffer as Buffer),
      },
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: settings.socketKeepalive,
      ...(address.path === ''
        ? {
            host: address.host,
            port: address.port,
            localAddress: local?.host,
            localPort: local?.port || undefined,
          }
        : { path: pathOf(address.path) }),
    };
    const socket =
      this.#tls === undefined ? connect(options as NetConnectOpts) : this.#openTls(this.#tls, options);
    this.#socket = socket;
    this.#direct = new DirectWriter(socket, this);
    socket.on('connect', () => {
      this.connected = true;
      if (this.#tls === undefined) this.#stand();
    });
    socket.on('end', () => this.#ended());
    socket.on('error', (error) => this.#broken(error));
    socket.on('close', () => {
      // Not before: until now the system may have written to it.
      if (this.#buffer !== undefined) giveBuffer(this.#buffer);
      this.#buffer = undefined;
      // Destroyed by Node without an error, which leaves the user nothing to hear but this.
      if (!this.closed) this.#broken(closedError());
    });
    return true;
  }

  /** @returns whether there is room for more; else `flushed` will be called */
  write(chunk: string | Buffer): boolean {
    const direct = this.#direct!;
    if (!(typeof chunk === 'string' ? direct.writeText(chunk) : direct.writeBuffer(chunk))) {
      this.#onTaken ??= () => this.onDrain();
      this.#socket!.write(chunk, 'latin1', this.#onTaken);
    }
    return this.pending <= MOST_PENDING;
  }

  /** Whether it stands, or is about to. */
  get opened(): boolean {
    return this.#socket !== undefined;
  }

  /** Bytes written that the system has not taken yet. */
  get pending(): number {
    return this.#socket === undefined ? 0 : this.#socket.writableLength + this.#direct!.waiting;
  }

  /** Whether the system has taken some of what is pending since the last call. */
  get progressed(): boolean {
    return this.#direct?.progressed ?? false;
  }

  /** Ends our direction. */
  end(): void {
    this.#socket?.end();
  }

  /** Stops reading. */
  pause(): void {
    this.#stopped = true;
    this.#socket?.pause();
  }

  /** Reads again. */
  resume(): void {
    this.#stopped = false;
    if (!this.closed) this.#socket?.resume();
  }

  /** The buffer being read is the reader's from now on, to be given to `giveBuffer` one day, or not. */
  lend(buffer: Buffer): void {
    if (buffer !== this.#buffer) return;
    this.#buffer = takeBuffer();
    this.#swapped = true;
  }

  startTimer(milliseconds: number): void {
    this.#timer.start(milliseconds);
  }

  stopTimer(): void {
    this.#timer.stop();
  }

  /** The worker has no place left for another connection, and none that is idle to close for it. */
  get crowdedOut(): boolean {
    const { limit } = this.#home;
    return limit.used >= limit.limit && limit.idle === 0;
  }

  /**
   * The user has done with it.
   * @param reusable whether nothing stands against another request
   */
  release(reusable: boolean, now: number): void {
    const { pool } = this.#home;
    if (reusable && !this.closed && pool.accepts(this, now)) {
      this.user = undefined;
      this.last = undefined;
      // While it is idle it has to hear of the server closing it.
      if (this.#stopped) this.resume();
      pool.put(this);
      this.#timer.start(pool.settings.timeout);
    } else this.close();
  }

  /** Closes it at once; harmless when closed. Not for an idle one. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.user = undefined;
    this.last = undefined;
    this.#timer.stop();
    if (this.#counted) this.#home.limit.release();
    this.bucket.turn?.connections.delete(this);
    this.#socket?.destroy();
  }

  /** The worker needs its place; it is out of the queue already. */
  closeIdle(): void {
    this.#home.pool.remove(this, false);
    this.close();
  }

  /** Closes it while it is idle. */
  closeIdleInPool(): void {
    this.#home.pool.remove(this, true);
    this.close();
  }

  /** The timer's call. */
  expired(): void {
    if (this.user === undefined) this.closeIdleInPool();
    else this.user.expired();
  }

  #openTls(tls: UpstreamTls, options: object): TLSSocket {
    const { pool } = this.#home;
    const name = tlsHostName(this.tlsName);
    const sessionKey = `${this.address.text} ${this.tlsIdentity} ${name}`;
    const socket = connectTls({
      ...options,
      secureContext: tls.context,
      servername: serverNameToSend(tls, name),
      session: tls.sessionReuse ? pool.session(sessionKey) : undefined,
      // The checks are nginx's, and made when the handshake is through.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
    } as ConnectionOptions);
    let session: Buffer | undefined;
    socket.on('secureConnect', () => {
      if (this.closed) return;
      const reason = checkCertificate(socket, tls, name);
      if (reason === undefined) {
        if (session !== undefined) pool.rememberSession(sessionKey, session);
        this.#stand();
        return;
      }
      pool.rememberSession(sessionKey, undefined);
      this.user?.refused(reason);
    });
    if (tls.sessionReuse) {
      // Before the handshake is through in TLS 1.2, after it in 1.3.
      socket.on('session', (given) => {
        session = given;
        if (this.ready && !this.closed && !pool.closed) pool.rememberSession(sessionKey, given);
      });
    }
    return socket;
  }

  #stand(): void {
    if (this.closed) return;
    this.ready = true;
    this.user?.established();
  }

  #nextBuffer(): Buffer | undefined {
    if (this.#buffer === undefined) {
      if (this.closed) return undefined;
      this.#buffer = takeBuffer();
      return this.#buffer;
    }
    // Undefined tells Node to go on with the one it has.
    if (!this.#swapped) return undefined;
    this.#swapped = false;
    return this.#buffer;
  }

  #read(length: number, buffer: Buffer): boolean {
    if (this.closed) return false;
    if (this.user === undefined) {
      // Nobody has asked for anything.
      this.closeIdleInPool();
      return false;
    }
    if (this.reader.bytes(buffer, length)) return true;
    this.#stopped = true;
    return false;
  }

  #ended(): void {
    if (this.closed) return;
    if (this.user === undefined) this.closeIdleInPool();
    // In the middle of the TLS handshake.
    else if (!this.ready) this.#broken(closedError());
    else this.reader.ended();
  }

  #broken(error: NodeJS.ErrnoException): void {
    if (this.closed) return;
    const { user } = this;
    if (user === undefined) this.closeIdleInPool();
    else user.broken(error);
  }

  /** The system has taken what was written. */
  onDrain(): void {
    if (!this.closed && this.pending === 0) this.user?.flushed();
  }
}

function expire(connection: UpstreamConnection): void {
  connection.expired();
}

/** The path of a Unix socket for Node, which wants Unicode where we have bytes. */
function pathOf(path: string): string {
  return Buffer.from(path, 'latin1').toString();
}

/** What Node has no error for: the connection is simply gone. */
function closedError(): NodeJS.ErrnoException {
  return Object.assign(new Error('the connection was closed'), { code: 'ECONNRESET' });
}
