/**
 * The process's connection and request counters, as `stub_status` shows them: one table in one SharedArrayBuffer.
 *
 * Layout: a line of 64 bytes per thread, so that no two threads write to the same cache line. Line 0 is the master's, line
 * w + 1 worker w's. A line is eight float64:
 *
 *     0 accepted   1 handled   2 requests   3 active   4 reading   5 writing   6 waiting   7 unused
 *
 * A line has one writer, so its numbers need no atomics: an aligned 64-bit store is seen whole or not at all on the 64-bit
 * machines Node 24 runs on. Float64 counts exactly to 2^53. Reading adds the lines up; the sum is of no single moment.
 */

const LINE = 8;

/** Counter: connections accepted. */
export const ACCEPTED = 0;
/** Counter: connections handled; fewer than accepted where `worker_connections` was reached. */
export const HANDLED = 1;
/** Counter: client requests. */
export const REQUESTS = 2;
/** Gauge: client connections open, idle ones too. */
export const ACTIVE_CONNECTIONS = 3;
/** Gauge: connections where a request header is being read. */
export const READING = 4;
/** Gauge: connections where a request is being answered. */
export const WRITING = 5;
/** Gauge: idle connections, waiting for a request. */
export const WAITING = 6;

/** One of the counters and gauges above. */
export type ConnectionCounter = 0 | 1 | 2 | 3 | 4 | 5 | 6;

/** The sums over all threads, dead ones' totals too. */
export interface ConnectionTotals {
  accepted: number;
  handled: number;
  requests: number;
  active: number;
  reading: number;
  writing: number;
  waiting: number;
}

/** One thread's view of the counters. */
export class ConnectionCounters {
  /** The memory: send it to a worker and make its view there. */
  readonly buffer: SharedArrayBuffer;
  readonly #values: Float64Array<SharedArrayBuffer>;
  readonly #line: number;

  /**
   * @param buffer from `createConnectionCounters(...).buffer`
   * @param worker the thread's number; -1 = the master. One thread at a time has a number
   * @throws RangeError where there is no line for this worker
   */
  constructor(buffer: SharedArrayBuffer, worker: number) {
    this.buffer = buffer;
    this.#values = new Float64Array(buffer);
    this.#line = this.#lineOf(worker);
  }

  /** Adds to one of this thread's counters. Gauges go down with a negative amount. */
  add(counter: ConnectionCounter, amount: number): void {
    const index = this.#line + counter;
    this.#values[index] = this.#values[index] + amount;
  }

  /** Moves one connection between two gauges, as READING to WRITING. */
  move(from: ConnectionCounter, to: ConnectionCounter): void {
    this.add(from, -1);
    this.add(to, 1);
  }

  /** Adds the threads up; anywhere. */
  read(): ConnectionTotals {
    return {
      accepted: this.#sum(ACCEPTED),
      handled: this.#sum(HANDLED),
      requests: this.#sum(REQUESTS),
      active: this.#sum(ACTIVE_CONNECTIONS),
      reading: this.#sum(READING),
      writing: this.#sum(WRITING),
      waiting: this.#sum(WAITING),
    };
  }

  /** Sets a dead worker's gauges to 0; its totals stay. In the master, after the thread's `exit`. */
  forget(worker: number): void {
    const line = this.#lineOf(worker);
    this.#values.fill(0, line + ACTIVE_CONNECTIONS, line + WAITING + 1);
  }

  #lineOf(worker: number): number {
    const line = (worker + 1) * LINE;
    if (!Number.isInteger(worker) || worker < -1 || line >= this.#values.length) {
      throw new RangeError(`no counters for worker ${worker}`);
    }
    return line;
  }

  #sum(counter: ConnectionCounter): number {
    const values = this.#values;
    let sum = 0;
    for (let index: number = counter; index < values.length; index += LINE) {
      sum += values[index];
    }
    return sum;
  }
}

/**
 * Makes the counters; in the master.
 *
 * @param workers how many worker numbers there can be
 * @returns the master's view
 */
export function createConnectionCounters(workers = 64): ConnectionCounters {
  return new ConnectionCounters(new SharedArrayBuffer((workers + 1) * LINE * 8), -1);
}
