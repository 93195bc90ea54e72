/**
 * What all workers know about upstream servers: one table in one SharedArrayBuffer.
 *
 * Layout, in int32 words. Lines are 16 words, one cache line. A slot is a line's number.
 *
 *     line 0            header: 0 magic, 1 capacity (lines), 2 workers, 3 lines ever used
 *     lines 1 to n      a group or a peer each, as the master gives them out (slot-directory.ts)
 *     after the lines   the ledger: (workers + 1) rows of `capacity` words. Row 0 is the master's, row w + 1 worker w's.
 *                       Word `slot` of a row: how many active connections that thread has counted for that peer
 *
 *     a group's line    0 lock, 1 acquisitions (lock.ts), 2 revision: changes with its peers' weight, down or number
 *                       15 kind
 *     a peer's line     0 active connections    6 current weight              12 requests, low 32 bits
 *                       1 fails                 7 down (0, 1, 8 = draining)   13 requests, high bits
 *                       2 checked (s)           8 max_fails                   14 failures (wraps)
 *                       3 accessed (s)          9 fail_timeout (s)            15 kind
 *                       4 weight               10 max_conns
 *                       5 effective weight     11 the group's slot
 *
 * A peer's line is written only under its group's lock. Times are seconds as int32; they are compared by their
 * difference, so that the wrap of 2038 does no harm.
 *
 * Worker threads die without warning, between any two stores. The ledger is the truth about active connections, and
 * word 0 of a peer is the sum of its column, kept so that choosing needs not add it up. `forfeit` clears the dead
 * worker's row and adds the columns up anew under the groups' locks, taking over those the worker died with. That is
 * exact whatever the worker was in the middle of, and needs no journal.
 *
 * Memory nobody has touched costs nothing: a table of the default size is 21 MB of address space and a few kB of memory.
 */

import { acquireLock, releaseLock, takeOverLock } from './lock.ts';

type SharedWords = Int32Array<SharedArrayBuffer>;

/** Int32 words in a line. */
export const LINE_WORDS = 16;

const MAGIC = 0x70656572;
const HEADER_CAPACITY = 1;
const HEADER_WORKERS = 2;
const HEADER_USED = 3;

const GROUP_REVISION = 2;

/** Word of a peer's line: active connections of all workers. */
export const ACTIVE = 0;
/** Word of a peer's line: failed attempts in the current `fail_timeout` window. */
export const FAILS = 1;
/** Word of a peer's line: when the window began or the peer was last probed, s. */
export const CHECKED = 2;
/** Word of a peer's line: when it last failed, s. */
export const ACCESSED = 3;
/** Word of a peer's line: `weight=`. */
export const WEIGHT = 4;
/** Word of a peer's line: the weight, lowered by failures, growing back by one with each choice. */
export const EFFECTIVE_WEIGHT = 5;
/** Word of a peer's line: the state of smooth weighted round robin. */
export const CURRENT_WEIGHT = 6;
/** Word of a peer's line: 0 = up, DOWN or DRAINING. */
export const DOWN_STATE = 7;
/** Word of a peer's line: `max_fails=`. */
export const MAX_FAILS = 8;
/** Word of a peer's line: `fail_timeout=`, s. */
export const FAIL_TIMEOUT = 9;
/** Word of a peer's line: `max_conns=`, 0 = no limit. */
export const MAX_CONNS = 10;
const PEER_GROUP = 11;
const REQUESTS_LOW = 12;
const REQUESTS_HIGH = 13;
const FAILURES = 14;
const KIND = 15;

const KIND_FREE = 0;
const KIND_GROUP = 1;
const KIND_PEER = 2;

/** Value of DOWN_STATE: the `down` parameter. */
export const DOWN = 1;
/** Value of DOWN_STATE: the `drain` parameter. */
export const DRAINING = 8;

/** The number of the master, where workers are numbered from 0. */
export const MASTER = -1;

/** The parameters of a `server` directive that balancing looks at. */
export interface PeerParameters {
  /** 1 or more. */
  weight: number;
  maxFails: number;
  /** Seconds. */
  failTimeout: number;
  /** 0 = no limit. */
  maxConns: number;
  down: boolean;
  draining?: boolean;
}

/** A peer's line, read for a metric or a page. Words are read one by one, not under the lock. */
export interface PeerState {
  /** Active connections. */
  active: number;
  /** Failed attempts in the current window. */
  fails: number;
  /** Seconds. */
  checked: number;
  /** Seconds. */
  accessed: number;
  weight: number;
  effectiveWeight: number;
  currentWeight: number;
  down: boolean;
  draining: boolean;
  maxFails: number;
  failTimeout: number;
  maxConns: number;
  /** Attempts since the slot was given out, below 2^53. */
  requests: number;
  /** Failed attempts since the slot was given out, modulo 2^32. */
  failures: number;
}

/** One thread's view of the table. */
export class PeerTable {
  /** The memory: send it to a worker (`workerData`) and `attach` there. */
  readonly buffer: SharedArrayBuffer;
  /** All of it as words; a slot's line begins at `slot * LINE_WORDS`. */
  readonly words: SharedWords;
  /** How many lines there are, the header's included. */
  readonly capacity: number;
  /** How many workers the ledger has room for. */
  readonly workers: number;
  /** This thread's number: a worker's, or MASTER. */
  readonly worker: number;
  /** This thread's number as the owner of a lock. */
  readonly owner: number;
  /** Where this thread's row of the ledger begins. */
  readonly ledger: number;

  private constructor(buffer: SharedArrayBuffer, worker: number) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer);
    this.capacity = this.words[HEADER_CAPACITY];
    this.workers = this.words[HEADER_WORKERS];
    this.worker = worker;
    this.owner = ownerOf(worker);
    this.ledger = this.row(worker);
  }

  /**
   * Makes an empty table; in the master.
   *
   * @param options.capacity how many lines, default 65536; servers and groups of all configurations in use have to fit
   * @param options.workers how many worker numbers there can be, default 64
   */
  static create(options: { capacity?: number; workers?: number } = {}): PeerTable {
    const { capacity = 65_536, workers = 64 } = options;
    const words = capacity * LINE_WORDS + (workers + 1) * capacity;
    const buffer = new SharedArrayBuffer(words * 4);
    const header = new Int32Array(buffer, 0, LINE_WORDS);
    header[0] = MAGIC;
    header[HEADER_CAPACITY] = capacity;
    header[HEADER_WORKERS] = workers;
    header[HEADER_USED] = 1;
    return new PeerTable(buffer, MASTER);
  }

  /**
   * The view of worker number `worker`. A worker that takes the place of a dead one may have its number, once the master
   * has called `forfeit` for it.
   *
   * @throws RangeError where the buffer is no peer table, or has no row for this worker
   */
  static attach(buffer: SharedArrayBuffer, worker: number): PeerTable {
    const header = new Int32Array(buffer, 0, Math.min(LINE_WORDS, buffer.byteLength >> 2));
    if (header[0] !== MAGIC) {
      throw new RangeError('not a peer table');
    }
    if (!Number.isInteger(worker) || worker < MASTER || worker >= header[HEADER_WORKERS]) {
      throw new RangeError(`the peer table has no room for worker ${worker}`);
    }
    return new PeerTable(buffer, worker);
  }

  /** Takes a group's lock. Short synchronous sections only, see lock.ts. */
  lock(group: number): void {
    acquireLock(this.words, group * LINE_WORDS, this.owner);
  }

  /** Frees a group's lock. */
  unlock(group: number): void {
    releaseLock(this.words, group * LINE_WORDS, this.owner);
  }

  /** A number that changes whenever a peer of the group gets another weight, or goes down or up. */
  revision(group: number): number {
    return this.words[group * LINE_WORDS + GROUP_REVISION];
  }

  /** Counts one active connection and one request for the peer at `line`. Under its group's lock. */
  count(line: number): void {
    const { words } = this;
    // Atomic although the lock is held: see lock.ts on a lock taken from a live thread.
    Atomics.add(words, line + ACTIVE, 1);
    const own = this.ledger + line / LINE_WORDS;
    words[own] = words[own] + 1;
    const requests = (words[line + REQUESTS_LOW] + 1) | 0;
    words[line + REQUESTS_LOW] = requests;
    if (requests === 0) {
      words[line + REQUESTS_HIGH] = words[line + REQUESTS_HIGH] + 1;
    }
  }

  /** Takes back one active connection that this thread counted for the peer at `line`. Under its group's lock. */
  uncount(line: number): void {
    const { words } = this;
    const own = this.ledger + line / LINE_WORDS;
    const counted = words[own];
    if (counted > 0) {
      words[own] = counted - 1;
      Atomics.sub(words, line + ACTIVE, 1);
    }
  }

  /** Counts a failed attempt for metrics; balancing has FAILS. Under the group's lock. */
  countFailure(line: number): void {
    this.words[line + FAILURES] = (this.words[line + FAILURES] + 1) | 0;
  }

  /**
   * Writes a peer's parameters; in the master. Its state (active connections, failures) stays; with another weight the
   * group's round robin goes on from the new one. Workers see it at once.
   *
   * @param slot the peer's slot
   * @param group its group's slot
   * @param parameters all of them for a new peer; later, those that change
   * @throws RangeError for a new peer without parameters or a slot of the wrong kind
   */
  configure(slot: number, group: number, parameters: Partial<PeerParameters>): void {
    const { words } = this;
    const line = slot * LINE_WORDS;
    if (words[line + KIND] !== KIND_PEER || words[group * LINE_WORDS + KIND] !== KIND_GROUP) {
      throw new RangeError(`slot ${slot} is not a peer's or slot ${group} is not a group's`);
    }
    const weight = parameters.weight ?? words[line + WEIGHT];
    if (weight < 1) {
      throw new RangeError(`the peer in slot ${slot} needs a weight`);
    }
    let state = words[line + DOWN_STATE];
    if (parameters.down !== undefined || parameters.draining !== undefined) {
      const down = parameters.down ?? state === DOWN;
      const draining = parameters.draining ?? state === DRAINING;
      state = down ? DOWN : draining ? DRAINING : 0;
    }
    this.lock(group);
    words[line + PEER_GROUP] = group;
    if (words[line + WEIGHT] !== weight || words[line + DOWN_STATE] !== state) {
      if (words[line + WEIGHT] !== weight) {
        words[line + WEIGHT] = weight;
        words[line + EFFECTIVE_WEIGHT] = weight;
      }
      words[line + DOWN_STATE] = state;
      const revision = group * LINE_WORDS + GROUP_REVISION;
      words[revision] = (words[revision] + 1) | 0;
    }
    words[line + MAX_FAILS] = parameters.maxFails ?? words[line + MAX_FAILS];
    words[line + FAIL_TIMEOUT] = parameters.failTimeout ?? words[line + FAIL_TIMEOUT];
    words[line + MAX_CONNS] = parameters.maxConns ?? words[line + MAX_CONNS];
    this.unlock(group);
  }

  /** Reads a peer's line; anywhere. */
  read(slot: number): PeerState {
    const { words } = this;
    const line = slot * LINE_WORDS;
    return {
      active: Atomics.load(words, line + ACTIVE),
      fails: Atomics.load(words, line + FAILS),
      checked: Atomics.load(words, line + CHECKED),
      accessed: Atomics.load(words, line + ACCESSED),
      weight: Atomics.load(words, line + WEIGHT),
      effectiveWeight: Atomics.load(words, line + EFFECTIVE_WEIGHT),
      currentWeight: Atomics.load(words, line + CURRENT_WEIGHT),
      down: Atomics.load(words, line + DOWN_STATE) === DOWN,
      draining: Atomics.load(words, line + DOWN_STATE) === DRAINING,
      maxFails: Atomics.load(words, line + MAX_FAILS),
      failTimeout: Atomics.load(words, line + FAIL_TIMEOUT),
      maxConns: Atomics.load(words, line + MAX_CONNS),
      requests: this.readRequests(line),
      failures: Atomics.load(words, line + FAILURES) >>> 0,
    };
  }

  /** How many active connections a worker's ledger has for a peer; anywhere. */
  counted(worker: number, slot: number): number {
    return Atomics.load(this.words, this.row(worker) + slot);
  }

  /**
   * Frees every group lock a dead worker holds, after putting right what it was in the middle of: active connections
   * are added up anew, and the group's round robin begins a new cycle. In the master, after the thread's `exit`.
   *
   * @returns how many locks it held: 0 or 1
   */
  breakLocks(worker: number): number {
    return this.recover(worker, false);
  }

  /**
   * Gives back every active connection a dead worker had counted, and frees its locks. In the master, after the thread's
   * `exit` and before another thread gets its number. Doing it twice does nothing more.
   *
   * @returns how many connections its ledger had
   */
  forfeit(worker: number): number {
    let forfeited = 0;
    const row = this.row(worker);
    const used = this.words[HEADER_USED];
    for (let slot = 1; slot < used; slot++) {
      forfeited += this.words[row + slot];
    }
    this.recover(worker, true);
    return forfeited;
  }

  /** Makes a line a group's or a peer's, empty; for the slot directory. */
  open(slot: number, kind: 'group' | 'peer'): void {
    const line = slot * LINE_WORDS;
    this.words.fill(0, line, line + LINE_WORDS);
    for (let worker = MASTER; worker < this.workers; worker++) {
      // Only where needed: a store would make the page of every row cost memory.
      if (this.words[this.row(worker) + slot] !== 0) {
        this.words[this.row(worker) + slot] = 0;
      }
    }
    this.words[line + KIND] = kind === 'group' ? KIND_GROUP : KIND_PEER;
    if (slot >= this.words[HEADER_USED]) {
      this.words[HEADER_USED] = slot + 1;
    }
  }

  /** Makes a line free; for the slot directory. */
  close(slot: number): void {
    this.words[slot * LINE_WORDS + KIND] = KIND_FREE;
  }

  /** Whether a slot is a group's; for the slot directory. */
  isGroup(slot: number): boolean {
    return this.words[slot * LINE_WORDS + KIND] === KIND_GROUP;
  }

  /** The slot of a peer's group; for the slot directory. */
  groupOf(slot: number): number {
    return this.words[slot * LINE_WORDS + PEER_GROUP];
  }

  /** Whether a slot is a group's and its lock is taken; for the slot directory. */
  isLocked(slot: number): boolean {
    return this.isGroup(slot) && Atomics.load(this.words, slot * LINE_WORDS) !== 0;
  }

  private row(worker: number): number {
    return this.capacity * LINE_WORDS + (worker + 1) * this.capacity;
  }

  private readRequests(line: number): number {
    const { words } = this;
    for (;;) {
      const high = Atomics.load(words, line + REQUESTS_HIGH);
      const low = Atomics.load(words, line + REQUESTS_LOW) >>> 0;
      if (Atomics.load(words, line + REQUESTS_HIGH) === high) {
        return high * 0x1_0000_0000 + low;
      }
    }
  }

  private recover(dead: number, clear: boolean): number {
    const { words } = this;
    const groups = new Map<number, number[]>();
    const used = words[HEADER_USED];
    for (let slot = 1; slot < used; slot++) {
      const line = slot * LINE_WORDS;
      if (words[line + KIND] === KIND_GROUP) {
        groups.set(slot, []);
      }
    }
    for (let slot = 1; slot < used; slot++) {
      const line = slot * LINE_WORDS;
      if (words[line + KIND] === KIND_PEER) {
        groups.get(words[line + PEER_GROUP])?.push(slot);
      }
    }
    let held = 0;
    for (const [group, slots] of groups) {
      const taken = takeOverLock(words, group * LINE_WORDS, ownerOf(dead), this.owner);
      if (taken) {
        held++;
      } else if (clear) {
        this.lock(group);
      } else {
        continue;
      }
      for (const slot of slots) {
        if (clear) {
          words[this.row(dead) + slot] = 0;
        }
        const line = slot * LINE_WORDS;
        let active = 0;
        for (let worker = MASTER; worker < this.workers; worker++) {
          active += words[this.row(worker) + slot];
        }
        Atomics.store(words, line + ACTIVE, active);
        if (taken) {
          words[line + CURRENT_WEIGHT] = 0;
          words[line + EFFECTIVE_WEIGHT] = words[line + WEIGHT];
        }
      }
      this.unlock(group);
    }
    return held;
  }
}

function ownerOf(worker: number): number {
  return worker + 2;
}
