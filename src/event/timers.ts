/**
 * The timers of one thread: one coarse wheel, turned by one Node timer, for all its connections.
 *
 * Connections set a timeout for nearly everything they do and almost none of them ever expires. So what has to be
 * cheap is setting one, moving it and taking it away:
 *
 * - Time is counted in ticks of `TICK` milliseconds. The wheel has `SLOTS` slots; a timer due at tick `t` stands in
 *   the list of slot `t % SLOTS`. The lists are linked through the timers themselves, so nothing is allocated.
 * - Moving a timer to a later deadline only writes the deadline. The timer stays where it is, and when its slot comes
 *   round and the deadline has not been reached, it is put into the slot it belongs to by then. A connection that
 *   re-arms its 60 s timeout with every packet is touched by the wheel once a minute.
 * - A deadline further away than one turn of the wheel (about 100 s) waits in the last slot of the turn and is looked
 *   at once a turn, so days cost nothing either.
 *
 * A timer is early by no more than what the turn of the event loop that set it had already lasted, and late by one tick at
 * most, plus whatever the event loop was held up.
 */
import { nowMilliseconds } from './clock.ts';

/** Milliseconds of one tick. */
export const TICK = 25;

/** A power of two. One turn lasts SLOTS * TICK = 102.4 s: longer than the timeouts of an ordinary configuration. */
const SLOTS = 4096;
const SLOT_MASK = SLOTS - 1;

/** With nothing due soon, the wheel sleeps up to this many ticks at once, rather than wake the thread for every one. */
const LONGEST_SLEEP = 40;

/** `queuedTick` of a timer that is in no list. */
const NOT_QUEUED = -1;

/** What the wheel needs from the thread it runs on. The defaults are Node's; tests bring their own. */
export interface TimerWheelOptions {
  /**
   * Whether an armed timer keeps a thread alive that has nothing else to do, as a Node timer does. Default false: a
   * timeout without a connection that it belongs to is no reason to stay.
   */
  readonly keepAlive?: boolean;
  /** Monotonic milliseconds. Default `performance.now()`. */
  readonly now?: () => number;
  /** Calls `wake` once after so many milliseconds; returns what takes the call back. Default `setTimeout`. */
  readonly schedule?: (wake: () => void, milliseconds: number) => () => void;
}

/**
 * One timeout of one owner, made once and armed again and again.
 *
 * ```ts
 * const timer = wheel.timer((connection: Connection) => connection.close(), connection);
 * timer.start(60_000); // in a minute
 * timer.start(60_000); // no, a minute from now
 * timer.stop();
 * ```
 */
export interface Timer {
  /**
   * Calls the callback once, `milliseconds` from now. An armed timer is moved, sooner or later. Zero, or less, means
   * the next tick.
   */
  start(milliseconds: number): void;
  /** Takes the timer back; its callback is not called, not even if it is already late. Harmless when not armed. */
  stop(): void;
  /** Whether the callback is still to come. False again by the time it is called. */
  readonly armed: boolean;
}

/** The timers of one thread. */
export interface TimerWheel {
  /**
   * A new timer, not armed.
   * @param callback called with `owner` when the time has come
   * @param owner handed to the callback, so that thousands of owners share one function
   */
  timer<Owner>(callback: (owner: Owner) => void, owner: Owner): Timer;
  timer(callback: () => void): Timer;
  /** How many timers are armed. */
  readonly armed: number;
  /** Takes back every timer, and stops the Node timer. The wheel can be used again after that. */
  stopAll(): void;
}

class WheelTimer implements Timer {
  readonly #wheel: Wheel;
  readonly callback: (owner: unknown) => void;
  readonly owner: unknown;
  /** The tick before which the callback must not be called. */
  deadlineTick = 0;
  /** The tick whose slot the timer stands in; at most the deadline's. NOT_QUEUED: in none. */
  queuedTick = NOT_QUEUED;
  next: WheelTimer | undefined = undefined;
  previous: WheelTimer | undefined = undefined;

  constructor(wheel: Wheel, callback: (owner: unknown) => void, owner: unknown) {
    this.#wheel = wheel;
    this.callback = callback;
    this.owner = owner;
  }

  get armed(): boolean {
    return this.queuedTick !== NOT_QUEUED;
  }

  start(milliseconds: number): void {
    const wheel = this.#wheel;
    const deadlineTick = wheel.tickAt(milliseconds);
    this.deadlineTick = deadlineTick;
    if (this.queuedTick !== NOT_QUEUED) {
      if (deadlineTick >= this.queuedTick) return;
      wheel.unlink(this);
    }
    wheel.link(this);
  }

  stop(): void {
    // Not left behind in its slot, because it would keep its owner from being collected until the wheel comes by.
    if (this.queuedTick !== NOT_QUEUED) this.#wheel.unlink(this);
  }
}

class Wheel implements TimerWheel {
  readonly #slots: (WheelTimer | undefined)[] = new Array<WheelTimer | undefined>(SLOTS).fill(undefined);
  readonly #now: () => number;
  /** As `#now`, but not looked at again in the same turn of the event loop. */
  readonly #turnNow: () => number;
  readonly #schedule: (wake: () => void, milliseconds: number) => () => void;
  readonly #wake: () => void;
  /** The last tick whose slot has been emptied. */
  #doneTick = 0;
  /** The tick the thread is to be woken at. Infinity: the Node timer does not run. */
  #wakeTick = Number.POSITIVE_INFINITY;
  #cancelWake: (() => void) | undefined;
  #turning = false;
  armed = 0;

  constructor(options: TimerWheelOptions) {
    this.#now = options.now ?? (() => performance.now());
    this.#turnNow = options.now ?? nowMilliseconds;
    this.#schedule = options.schedule ?? nodeTimer(options.keepAlive === true);
    this.#wake = () => {
      this.#cancelWake = undefined;
      this.#wakeTick = Number.POSITIVE_INFINITY;
      this.#turn();
    };
  }

  timer(callback: (owner: never) => void, owner?: unknown): Timer {
    return new WheelTimer(this, callback as (owner: unknown) => void, owner);
  }

  /** The first tick that is not earlier than so many milliseconds from now. */
  tickAt(milliseconds: number): number {
    return Math.ceil((this.#turnNow() + (milliseconds > 0 ? milliseconds : 0)) / TICK);
  }

  link(timer: WheelTimer): void {
    // Nothing has turned the wheel while it was empty.
    if (this.armed === 0 && !this.#turning) this.#doneTick = Math.floor(this.#now() / TICK);
    // Never the slot just being emptied, neither by a late timer nor by one more than a turn away.
    let tick = timer.deadlineTick;
    if (tick <= this.#doneTick) tick = this.#doneTick + 1;
    else if (tick >= this.#doneTick + SLOTS) tick = this.#doneTick + SLOTS - 1;
    const slot = tick & SLOT_MASK;
    const first = this.#slots[slot];
    timer.queuedTick = tick;
    timer.previous = undefined;
    timer.next = first;
    if (first !== undefined) first.previous = timer;
    this.#slots[slot] = timer;
    this.armed++;
    if (tick < this.#wakeTick && !this.#turning) this.#sleepUntil(tick);
  }

  unlink(timer: WheelTimer): void {
    const { next, previous } = timer;
    if (previous === undefined) this.#slots[timer.queuedTick & SLOT_MASK] = next;
    else previous.next = next;
    if (next !== undefined) next.previous = previous;
    timer.next = undefined;
    timer.previous = undefined;
    timer.queuedTick = NOT_QUEUED;
    this.armed--;
    if (this.armed === 0 && !this.#turning) this.#sleepForever();
  }

  stopAll(): void {
    for (let slot = 0; slot < SLOTS; slot++) {
      for (let timer = this.#slots[slot]; timer !== undefined; timer = this.#slots[slot]) this.unlink(timer);
    }
  }

  /** Empties the slots of all ticks that have passed. */
  #turn(): void {
    const nowTick = Math.floor(this.#now() / TICK);
    // After a pause of more than a turn every slot is due, but each only once.
    if (nowTick - this.#doneTick > SLOTS) this.#doneTick = nowTick - SLOTS;
    let errors: unknown[] | undefined;
    this.#turning = true;
    while (this.#doneTick < nowTick && this.armed > 0) {
      const slot = ++this.#doneTick & SLOT_MASK;
      // From the front each time, because a callback may stop or start any other timer.
      for (let timer = this.#slots[slot]; timer !== undefined; timer = this.#slots[slot]) {
        this.unlink(timer);
        if (timer.deadlineTick > nowTick) {
          this.link(timer);
          continue;
        }
        try {
          timer.callback(timer.owner);
        } catch (error) {
          errors ??= [];
          errors.push(error);
        }
      }
    }
    this.#doneTick = Math.max(this.#doneTick, nowTick);
    this.#turning = false;
    if (this.armed > 0) this.#sleepUntil(this.#nextTick());
    else this.#sleepForever();
    if (errors !== undefined) {
      throw errors.length === 1 ? errors[0] : new AggregateError(errors, 'several timer callbacks failed');
    }
  }

  /** The next tick with a timer in its slot, looking no further than LONGEST_SLEEP. */
  #nextTick(): number {
    let tick = this.#doneTick + 1;
    const last = this.#doneTick + LONGEST_SLEEP;
    while (tick < last && this.#slots[tick & SLOT_MASK] === undefined) tick++;
    return tick;
  }

  #sleepUntil(tick: number): void {
    // A first timer far away: wake on the way, so that this one obeys LONGEST_SLEEP too.
    const wakeTick = Math.min(tick, this.#doneTick + LONGEST_SLEEP);
    if (wakeTick >= this.#wakeTick) return;
    this.#cancelWake?.();
    this.#wakeTick = wakeTick;
    // To the boundary of the tick, not a tick from now: otherwise a timer could be two ticks late.
    const milliseconds = Math.max(1, Math.ceil(wakeTick * TICK - this.#now()));
    this.#cancelWake = this.#schedule(this.#wake, milliseconds);
  }

  #sleepForever(): void {
    this.#cancelWake?.();
    this.#cancelWake = undefined;
    this.#wakeTick = Number.POSITIVE_INFINITY;
  }
}

function nodeTimer(keepAlive: boolean): (wake: () => void, milliseconds: number) => () => void {
  return (wake, milliseconds) => {
    const timeout = setTimeout(wake, milliseconds);
    if (!keepAlive) timeout.unref();
    return () => clearTimeout(timeout);
  };
}

/**
 * The timers of a thread; it needs only one such wheel.
 *
 * If callbacks throw, the others of the same tick are called all the same. Then the error is thrown from the event
 * loop (several as an AggregateError), where it is an uncaught exception like that of a Node timer.
 */
export function createTimerWheel(options: TimerWheelOptions = {}): TimerWheel {
  return new Wheel(options);
}
