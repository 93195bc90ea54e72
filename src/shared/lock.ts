/**
 * A lock between threads: two neighbouring int32 words of a shared table.
 *
 *     word 0   lock          0 = free; else the owner's number (1 to 2^30 - 1), plus WAITERS when a thread may sleep on it
 *     word 1   acquisitions  counts up with every acquisition (wraps), so that a waiter can see progress
 *
 * Sections under such a lock are short and synchronous: no await, no call into anything that may throw, no allocation.
 *
 * Why waiting always ends, even where threads are terminated at any instruction:
 * - An owner that ends normally frees the lock. One that dies leaves its number in the word; the master breaks the
 *   lock when it sees the thread's `exit` (`takeOverLock`).
 * - A thread that dies between freeing the lock and waking a sleeper, or having been woken and not yet having taken the
 *   lock, would leave the others asleep beside a free lock. So nobody sleeps longer than SLEEP_MILLISECONDS at a time.
 * - A waiter (the master may be one, and would then not see the `exit`) that has seen the same owner in the same
 *   acquisition for STALL_SLEEPS sleeps in a row, a whole second for a section of well under a microsecond, takes the
 *   lock from it. Should that owner live after all, `releaseLock` notices that the lock is no longer its own and leaves
 *   it alone; tables guarded by such a lock keep their counts with atomic additions, so that none is lost then either.
 * - A thread that finds its own number there has been thrown out of an earlier section (stack overflow) and goes on.
 */

/** Set beside the owner's number when another thread may be asleep on the lock. */
const WAITERS = 0x40000000;
const OWNER_MASK = 0x3fffffff;

/** How often a thread looks again before it goes to sleep: a few microseconds, several uncontended sections. */
const SPINS = 60;
const SLEEP_MILLISECONDS = 10;
const STALL_SLEEPS = 100;

/** How many int32 words a lock takes. */
export const LOCK_WORDS = 2;

/**
 * Takes the lock at `index` for `owner`, waiting for it if need be. The calling thread blocks meanwhile.
 *
 * @param words the shared table
 * @param index where the lock's two words begin
 * @param owner the calling thread's number, 1 or more; no two live threads use the same
 */
export function acquireLock(words: Int32Array<SharedArrayBuffer>, index: number, owner: number): void {
  if (Atomics.compareExchange(words, index, 0, owner) !== 0) {
    acquireContended(words, index, owner);
  }
  words[index + 1] = (words[index + 1] + 1) | 0;
}

function acquireContended(words: Int32Array<SharedArrayBuffer>, index: number, owner: number): void {
  for (let spin = 0; spin < SPINS; spin++) {
    const seen = Atomics.load(words, index);
    if (seen === 0 && Atomics.compareExchange(words, index, 0, owner) === 0) {
      return;
    }
    if ((seen & OWNER_MASK) === owner) {
      return;
    }
  }

  let stalled = 0;
  let acquisitions = Atomics.load(words, index + 1);
  for (;;) {
    let seen = Atomics.load(words, index);
    if (seen === 0) {
      // Others may be asleep too, and this thread cannot know: it takes the lock with the flag set, which costs at
      // most one needless wake-up.
      if (Atomics.compareExchange(words, index, 0, owner | WAITERS) === 0) {
        return;
      }
      continue;
    }
    if ((seen & OWNER_MASK) === owner) {
      return;
    }
    if ((seen & WAITERS) === 0) {
      if (Atomics.compareExchange(words, index, seen, seen | WAITERS) !== seen) {
        continue;
      }
      seen |= WAITERS;
    }
    const outcome = Atomics.wait(words, index, seen, SLEEP_MILLISECONDS);
    const now = Atomics.load(words, index + 1);
    if (outcome !== 'timed-out' || now !== acquisitions) {
      stalled = 0;
      acquisitions = now;
      continue;
    }
    if (++stalled >= STALL_SLEEPS && Atomics.compareExchange(words, index, seen, owner | WAITERS) === seen) {
      return;
    }
  }
}

/** Frees the lock at `index`, if it is still `owner`'s, and wakes one thread that waits for it. */
export function releaseLock(words: Int32Array<SharedArrayBuffer>, index: number, owner: number): void {
  const seen = Atomics.compareExchange(words, index, owner, 0);
  if (seen === (owner | WAITERS) && Atomics.compareExchange(words, index, seen, 0) === seen) {
    Atomics.notify(words, index, 1);
  }
}

/**
 * Takes the lock at `index` from a thread that is known to be dead.
 *
 * @returns whether the dead thread held it; if so it now belongs to `owner`, who repairs what the lock guards and calls
 *   `releaseLock`
 */
export function takeOverLock(
  words: Int32Array<SharedArrayBuffer>,
  index: number,
  dead: number,
  owner: number,
): boolean {
  for (;;) {
    const seen = Atomics.load(words, index);
    if ((seen & OWNER_MASK) !== dead) {
      return false;
    }
    if (Atomics.compareExchange(words, index, seen, owner | WAITERS) === seen) {
      return true;
    }
  }
}
