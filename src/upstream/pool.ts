/**
 * Idle connections to the servers of one group, in one worker (`keepalive`): the most recently used first, at most
 * `size` of them, the oldest closed for a new one. A pool outlives reloads that leave its group alone.
 */
import type { ConnectionLimit } from '../event/connection-limit.ts';
import type { PeerAddress } from './address.ts';
import type { UpstreamConnection } from './connection.ts';
import type { RequestTurn } from './turn.ts';

/** `keepalive` and its companions. */
export interface PoolSettings {
  /** `keepalive N`: most idle connections; 0 keeps none. */
  readonly size: number;
  /** `keepalive N local`: a connection is used again only by the location that made it. */
  readonly local: boolean;
  /** `keepalive_requests`: after so many requests a connection is closed. */
  readonly requests: number;
  /** `keepalive_time`, ms: after so long a connection is closed once it is idle. */
  readonly time: number;
  /** `keepalive_timeout`, ms: how long a connection may be idle. */
  readonly timeout: number;
  /** `keepalive_pipeline`: most requests outstanding on one connection; 0: one after another. */
  readonly pipeline: number;
}

/** What nginx does where an `upstream` block says nothing. */
export const DEFAULT_POOL: PoolSettings = {
  size: 32,
  local: true,
  requests: 1000,
  time: 3_600_000,
  timeout: 60_000,
  pipeline: 0,
};

/** What a server named only by a URL gets: nothing is kept. */
export const NO_POOL: PoolSettings = {
  size: 0,
  local: true,
  requests: 1000,
  time: 3_600_000,
  timeout: 60_000,
  pipeline: 0,
};

/** TLS sessions remembered for each group; the oldest goes. */
const MOST_SESSIONS = 256;

/** The connections to one address. */
export interface PoolBucket {
  readonly address: PeerAddress;
  /** The idle ones, oldest first. */
  readonly idle: UpstreamConnection[];
  /** With `keepalive_pipeline`: puts requests behind each other; else undefined. */
  turn: RequestTurn | undefined;
}

export class ConnectionPool {
  readonly settings: PoolSettings;
  /** How many connections are idle in it. */
  count = 0;
  /** Nothing is kept any more. */
  closed = false;
  readonly #limit: ConnectionLimit;
  readonly #buckets = new Map<string, PoolBucket>();
  readonly #sessions = new Map<string, Buffer>();
  #oldest: UpstreamConnection | undefined;
  #newest: UpstreamConnection | undefined;

  constructor(settings: PoolSettings, limit: ConnectionLimit) {
    this.settings = settings;
    this.#limit = limit;
  }

  /** Where the connections to an address belong: the same object as long as the pool lives. */
  bucket(address: PeerAddress): PoolBucket {
    let bucket = this.#buckets.get(address.text);
    if (bucket === undefined) {
      bucket = { address, idle: [], turn: undefined };
      this.#buckets.set(address.text, bucket);
    }
    return bucket;
  }

  /**
   * Takes out the most recently used connection that fits.
   * @param tag of the location, see `UpstreamSettings.tag`
   * @param tlsIdentity '' for none
   */
  take(
    bucket: PoolBucket,
    tag: string,
    tlsIdentity: string,
    tlsName: string,
    localAddress: string,
  ): UpstreamConnection | undefined {
    const { idle } = bucket;
    for (let index = idle.length - 1; index >= 0; index--) {
      const connection = idle[index];
      if (!this.fits(connection, tag, tlsIdentity, tlsName, localAddress)) continue;
      if (index === idle.length - 1) idle.pop();
      else idle.splice(index, 1);
      this.#unlink(connection);
      this.#limit.leaveIdle(connection);
      return connection;
    }
    return undefined;
  }

  /** Whether a request with these may go over a connection; see `take`. */
  fits(
    connection: UpstreamConnection,
    tag: string,
    tlsIdentity: string,
    tlsName: string,
    localAddress: string,
  ): boolean {
    return (
      connection.tlsIdentity === tlsIdentity &&
      connection.tlsName === tlsName &&
      connection.localAddress === localAddress &&
      (!this.settings.local || connection.tag === tag)
    );
  }

  /** Whether a connection on which a request has ended well may be kept. @param now ms, `nowMilliseconds` */
  accepts(connection: UpstreamConnection, now: number): boolean {
    const { settings } = this;
    return (
      !this.closed &&
      settings.size > 0 &&
      connection.requests < settings.requests &&
      now - connection.createdAt <= settings.time
    );
  }

  /** Keeps a connection that `accepts` has said yes to. It arms its own timer. */
  put(connection: UpstreamConnection): void {
    if (this.count >= this.settings.size) this.#oldest!.closeIdleInPool();
    connection.bucket.idle.push(connection);
    connection.older = this.#newest;
    connection.newer = undefined;
    if (this.#newest === undefined) this.#oldest = connection;
    else this.#newest.newer = connection;
    this.#newest = connection;
    this.count++;
    this.#limit.enterIdle(connection);
  }

  /** Takes out one connection that is about to be closed. @param queued whether it still stands in the idle queue */
  remove(connection: UpstreamConnection, queued: boolean): void {
    const { idle } = connection.bucket;
    idle.splice(idle.indexOf(connection), 1);
    this.#unlink(connection);
    if (queued) this.#limit.leaveIdle(connection);
  }

  /** A TLS session to go on with. */
  session(key: string): Buffer | undefined {
    return this.#sessions.get(key);
  }

  /** Remembers a TLS session. @param session undefined forgets it */
  rememberSession(key: string, session: Buffer | undefined): void {
    this.#sessions.delete(key);
    if (session === undefined) return;
    if (this.#sessions.size >= MOST_SESSIONS) this.#sessions.delete(this.#sessions.keys().next().value!);
    this.#sessions.set(key, session);
  }

  /**
   * Closes the idle connections, and keeps none from now on; those in use are closed when their request has ended.
   * For a group that is no longer configured, and for a worker that drains.
   */
  close(): void {
    this.closed = true;
    while (this.#oldest !== undefined) this.#oldest.closeIdleInPool();
    this.#sessions.clear();
  }

  #unlink(connection: UpstreamConnection): void {
    const { older, newer } = connection;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    connection.older = undefined;
    connection.newer = undefined;
    this.count--;
  }
}
