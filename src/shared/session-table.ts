/**
 * TLS sessions that servers remember for their clients (`ssl_session_cache`), shared by all threads.
 *
 * Sessions are written one behind the other into a ring of bytes, so that the oldest is overwritten first, as nginx gives
 * up its oldest when its memory is full. An index finds them by their ids; what it says is believed only where the record
 * in the ring says the same and has not been overwritten.
 *
 *     int32 words
 *     0, 1       lock (lock.ts)
 *     2, 3       how many bytes have ever been written to the ring: low and high part (base 2^30)
 *     8 ...      index: for each bucket WAYS entries of two words: position in the ring, as words 2 and 3 have it, plus 1
 *     ...        ring: records, each at a multiple of 8, whole or not at all:
 *                  word 0: length of the id, length of the session << 8; word 1: expiry in seconds since the epoch;
 *                  id; session
 */
import { acquireLock, LOCK_WORDS, releaseLock } from './lock.ts';

const POSITION = LOCK_WORDS;
const INDEX = 8;
const WAYS = 4;
const BASE = 2 ** 30;
const HEADER = 8;
const LONGEST_ID = 32;
/** As nginx: a session with a client's certificate in it is some kilobytes long. */
const LONGEST_SESSION = 4096;
/** Bytes of the ring for each entry of the index. */
const EXPECTED = 96;

/** The fewest bytes a table can be made of. */
export const SMALLEST_SESSION_TABLE = 32_768;

/** A table of sessions in one piece of shared memory. */
export interface SessionTable {
  /**
   * Remembers a session; one that is too long is not remembered.
   * @param lifetime in seconds
   */
  add(id: Uint8Array, session: Uint8Array, lifetime: number): void;
  /** The session of that id; undefined where there is none, or its time is over. */
  find(id: Uint8Array): Buffer | undefined;
}

/**
 * Attaches to a table, which is ready when its memory is all zeros.
 * @param memory at least SMALLEST_SESSION_TABLE bytes
 * @param owner the calling thread's number for the lock, 1 or more
 * @param now the time in seconds since the epoch
 */
export function attachSessionTable(
  memory: SharedArrayBuffer,
  owner: number,
  now: () => number = () => Math.floor(Date.now() / 1000),
): SessionTable {
  const words = new Int32Array(memory);
  const bytes = Buffer.from(memory);

  const entries = Math.floor(memory.byteLength / (EXPECTED + 8));
  const buckets = Math.max(1, 2 ** Math.floor(Math.log2(entries / WAYS)));
  const ringStart = (INDEX + buckets * WAYS * 2) * 4;
  const ring = (memory.byteLength - ringStart) & ~7;
  const copy = Buffer.allocUnsafeSlow(LONGEST_SESSION);

  function written(): number {
    return words[POSITION]! + words[POSITION + 1]! * BASE;
  }

  /** Where in the index the entries for an id begin. */
  function bucketOf(id: Uint8Array): number {
    // FNV-1a: ids are random, but a client may send what it likes.
    let hash = 0x811c9dc5;
    for (const byte of id) hash = Math.imul(hash ^ byte, 0x01000193);
    return INDEX + ((hash ^ (hash >>> 15)) & (buckets - 1)) * WAYS * 2;
  }

  function positionAt(entry: number): number {
    return words[entry]! + words[entry + 1]! * BASE - 1;
  }

  function setPosition(entry: number, position: number): void {
    words[entry] = (position + 1) % BASE;
    words[entry + 1] = Math.floor((position + 1) / BASE);
  }

  /** Whether what was written there is there still. */
  function isThere(position: number, end: number): boolean {
    return position >= 0 && position < end && position >= end - ring;
  }

  /** Byte offset of the record that an entry of the index stands for, if it is of that id; else -1. */
  function recordAt(entry: number, id: Uint8Array, end: number): number {
    const position = positionAt(entry);
    if (!isThere(position, end)) return -1;
    const at = ringStart + (position % ring);
    const isIts =
      (words[at >> 2]! & 0xff) === id.length &&
      bytes.compare(id, 0, id.length, at + HEADER, at + HEADER + id.length) === 0;
    return isIts ? at : -1;
  }

  /** Byte offset of the record of an id; -1 where there is none. */
  function locate(id: Uint8Array): number {
    const bucket = bucketOf(id);
    const end = written();
    for (let way = 0; way < WAYS; way++) {
      const at = recordAt(bucket + way * 2, id, end);
      if (at >= 0) return at;
    }
    return -1;
  }

  /** The entry of the index that a session of that id is to have: its own, or the oldest of its bucket. */
  function entryFor(id: Uint8Array): number {
    const bucket = bucketOf(id);
    const end = written();
    let oldest = bucket;
    for (let way = 0; way < WAYS; way++) {
      const entry = bucket + way * 2;
      if (recordAt(entry, id, end) >= 0) return entry;
      // One that has been overwritten is older than any.
      if (positionAt(entry) < positionAt(oldest)) oldest = entry;
    }
    return oldest;
  }

  return {
    add(id, session, lifetime) {
      if (id.length === 0 || id.length > LONGEST_ID || session.length > LONGEST_SESSION) return;
      const size = (HEADER + id.length + session.length + 7) & ~7;
      const expiry = now() + lifetime;
      acquireLock(words, 0, owner);
      const entry = entryFor(id);
      let position = written();
      // A record that does not fit before the end of the ring begins at its start.
      const left = ring - (position % ring);
      if (left < size) position += left;
      const at = ringStart + (position % ring);
      words[at >> 2] = id.length | (session.length << 8);
      words[(at >> 2) + 1] = expiry | 0;
      bytes.set(id, at + HEADER);
      bytes.set(session, at + HEADER + id.length);
      const end = position + size;
      words[POSITION] = end % BASE;
      words[POSITION + 1] = Math.floor(end / BASE);
      setPosition(entry, position);
      releaseLock(words, 0, owner);
    },

    find(id) {
      if (id.length === 0 || id.length > LONGEST_ID) return undefined;
      const time = now();
      acquireLock(words, 0, owner);
      let length = 0;
      const at = locate(id);
      if (at >= 0 && words[(at >> 2) + 1]! >>> 0 > time) {
        length = words[at >> 2]! >>> 8;
        // Others write here: it is copied under the lock, to memory that was there before. What a thread has left half
        // written when it died may have any length.
        if (length > LONGEST_SESSION) length = 0;
        const start = at + HEADER + id.length;
        bytes.copy(copy, 0, start, start + length);
      }
      releaseLock(words, 0, owner);
      return length === 0 ? undefined : Buffer.from(copy.subarray(0, length));
    },
  };
}
