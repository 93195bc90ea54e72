/**
 * `keepalive_pipeline`: the requests to one server that come in one turn of the event loop, and how they are put behind
 * each other. Node hands over what several clients have sent in callbacks of their own, all in the same poll phase; the
 * check phase, where `setImmediate` calls, is the first moment at which all of them are known.
 *
 * Requests are only put behind requests of the same turn, so nobody waits for an answer that is under way already; the
 * exception is a worker that may open no further connection.
 */
import { nowMilliseconds } from '../event/clock.ts';
import { type ConnectionHome, UpstreamConnection } from './connection.ts';
import { joinLine, lineLength, sendLine } from './line.ts';
import type { PoolBucket } from './pool.ts';
import type { HttpRequest } from './request.ts';

/** For so long, in milliseconds, a server gets no lines that has made others wait, or closed the connection. */
const RESTRAINT = 10_000;

export class RequestTurn {
  /** `keepalive_pipeline`: most requests outstanding on one connection. */
  readonly limit: number;
  /** The open connections to the server, idle or not. */
  readonly connections = new Set<UpstreamConnection>();
  readonly #home: ConnectionHome;
  readonly #bucket: PoolBucket;
  #waiting: HttpRequest[] = [];
  #restrainedUntil = 0;

  constructor(home: ConnectionHome, bucket: PoolBucket, limit: number) {
    this.#home = home;
    this.#bucket = bucket;
    this.limit = limit;
  }

  /** The request is sent at the end of the turn. */
  add(request: HttpRequest): void {
    if (this.#waiting.length === 0) setImmediate(flush, this);
    this.#waiting.push(request);
  }

  /** The server gets no lines for a while. */
  restrain(): void {
    this.#restrainedUntil = nowMilliseconds() + RESTRAINT;
  }

  /** The end of the turn. */
  flush(): void {
    let waiting = this.#waiting;
    this.#waiting = [];
    const limit = this.#restrainedUntil > 0 && this.#restrainedUntil > nowMilliseconds() ? 1 : this.limit;
    while (waiting.length > 0) waiting = this.#sendSome(waiting, limit);
  }

  /** Sends the first of them, and all that may share a connection with it. @returns the others */
  #sendSome(waiting: HttpRequest[], limit: number): HttpRequest[] {
    const [first] = waiting;
    const others: HttpRequest[] = [];
    let count = 0;
    for (let index = 0; index < waiting.length; index++) {
      const request = waiting[index];
      if (request.over) continue;
      if (request === first || this.#goTogether(first, request)) waiting[count++] = request;
      else others.push(request);
    }
    // As few connections as will do, and on each about as many.
    const share = Math.ceil(count / Math.ceil(count / limit));
    for (let index = 0; index < count; ) {
      const most = Math.min(share, count - index);
      index += this.#send(waiting, index, most);
    }
    return others;
  }

  /** @returns how many of up to `most` requests have got a connection */
  #send(requests: readonly HttpRequest[], index: number, most: number): number {
    const first = requests[index];
    const { settings, tlsName, localAddress } = first.asker;
    const { pool } = this.#home;
    const identity = settings.tls === undefined ? '' : settings.tls.identity;
    const idle = pool.take(this.#bucket, settings.tag, identity, tlsName, localAddress);
    let connection = idle ?? this.#busy(first, identity);
    if (connection === undefined) {
      connection = new UpstreamConnection(this.#home, this.#bucket, settings, tlsName, localAddress);
    }
    const end = index + this.#room(connection, most);
    for (let at = index; at < end; at++) {
      const request = requests[at];
      joinLine(connection, request);
      request.getConnection(connection, idle !== undefined);
    }
    if (connection.ready) sendLine(connection, first);
    else if (!connection.opened) first.open();
    return end - index;
  }

  /** How many of `most` requests a connection may take: at least the one it was chosen for. */
  #room(connection: UpstreamConnection, most: number): number {
    const left = this.#home.pool.settings.requests - connection.requests;
    const places = connection.user === undefined ? most : this.limit - lineLength(connection);
    return Math.max(1, Math.min(most, left, places));
  }

  /**
   * Where no further connection can be opened: the one with the shortest line that has room.
   * @returns undefined where one can be opened, or none has room
   */
  #busy({ asker }: HttpRequest, tlsIdentity: string): UpstreamConnection | undefined {
    const { settings, tlsName, localAddress } = asker;
    const { pool } = this.#home;
    let found: UpstreamConnection | undefined;
    let shortest = this.limit;
    for (const connection of this.connections) {
      if (!connection.crowdedOut) return undefined;
      if (connection.last === undefined || connection.condemned || connection.user!.alone) continue;
      if (connection.requests >= pool.settings.requests) continue;
      if (!pool.fits(connection, settings.tag, tlsIdentity, tlsName, localAddress)) continue;
      const length = lineLength(connection);
      if (length >= shortest) continue;
      found = connection;
      shortest = length;
    }
    return found;
  }

  /** Whether one connection will do for both. */
  #goTogether(one: HttpRequest, other: HttpRequest): boolean {
    if (one.alone || other.alone) return false;
    const { asker } = one;
    const { settings } = asker;
    const identity = settings.tls?.identity;
    return (
      other.asker.tlsName === asker.tlsName &&
      other.asker.localAddress === asker.localAddress &&
      (other.asker.settings === settings ||
        (other.asker.settings.tls?.identity === identity &&
          (!this.#home.pool.settings.local || other.asker.settings.tag === settings.tag)))
    );
  }
}

function flush(turn: RequestTurn): void {
  turn.flush();
}
