/**
 * `worker_connections`: the number of connections one worker may have open, to clients and to upstreams together.
 *
 * Idle connections (a client's between two requests, an upstream's in a pool) stand in a queue, oldest first. When
 * the worker has used nearly all of its connections it closes some of these before it refuses anything, as nginx
 * does.
 */

/** A connection that may be closed at any moment while it stands in the queue, because nothing is under way on it. */
export interface Reusable {
  /** Closes the connection because the worker needs its place. Must lead to `release`. */
  closeIdle(): void;
  /** Links of the queue; the queue's own. Undefined at first. */
  nextIdle: Reusable | undefined;
  previousIdle: Reusable | undefined;
}

/** At most this many idle connections are closed for one that comes in (nginx: 32). */
const REUSED_AT_ONCE = 32;

export class ConnectionLimit {
  /** `worker_connections`. A reload may change it; connections above a lower limit stay. */
  limit: number;
  /** Connections open now. */
  used = 0;
  /** Of these, idle ones. */
  idle = 0;
  #oldest: Reusable | undefined;
  #newest: Reusable | undefined;
  #warned = -1;
  readonly #report: (level: 'warn' | 'alert', message: string) => void;

  /**
   * @param limit `worker_connections`
   * @param report writes to the error log of the worker
   */
  constructor(limit: number, report: (level: 'warn' | 'alert', message: string) => void) {
    this.limit = limit;
    this.#report = report;
  }

  /**
   * Counts one more connection.
   * @returns false at the limit, having said so in the error log: the caller refuses
   */
  acquire(): boolean {
    if (this.limit - this.used <= this.limit >> 4 && this.#oldest !== undefined) this.#closeSomeIdle();
    if (this.used >= this.limit) {
      this.#report('alert', `${this.limit} worker_connections are not enough`);
      return false;
    }
    this.used++;
    return true;
  }

  /** One connection fewer. */
  release(): void {
    this.used--;
  }

  /** The connection has nothing under way from now on. */
  enterIdle(connection: Reusable): void {
    connection.previousIdle = this.#newest;
    connection.nextIdle = undefined;
    if (this.#newest === undefined) this.#oldest = connection;
    else this.#newest.nextIdle = connection;
    this.#newest = connection;
    this.idle++;
  }

  /** The connection is busy again, or gone. Must stand in the queue. */
  leaveIdle(connection: Reusable): void {
    const { nextIdle, previousIdle } = connection;
    if (previousIdle === undefined) this.#oldest = nextIdle;
    else previousIdle.nextIdle = nextIdle;
    if (nextIdle === undefined) this.#newest = previousIdle;
    else nextIdle.previousIdle = previousIdle;
    connection.nextIdle = undefined;
    connection.previousIdle = undefined;
    this.idle--;
  }

  /** Closes every idle connection: for a worker that shuts down. */
  closeAllIdle(): void {
    while (this.#oldest !== undefined) this.#closeOldest();
  }

  #closeSomeIdle(): void {
    // Once a second is enough to say so, as in nginx.
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#warned) {
      this.#warned = second;
      this.#report('warn', `${this.limit} worker_connections are not enough, reusing connections`);
    }
    const count = Math.min(Math.max(this.idle >> 3, 1), REUSED_AT_ONCE);
    for (let closed = 0; closed < count && this.#oldest !== undefined; closed++) this.#closeOldest();
  }

  /** The connection is out of the queue before it hears of it, so that closing need not know why it happens. */
  #closeOldest(): void {
    const connection = this.#oldest!;
    this.leaveIdle(connection);
    connection.closeIdle();
  }
}
