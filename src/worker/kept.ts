/**
 * Things that outlive a configuration: `Runtime.keep`. Each knows the generations that have asked for it and is closed
 * when the last of them is let go, so that what an unchanged `upstream` holds is handed from one to the next.
 */

interface Kept {
  readonly thing: { close(): void };
  readonly generations: Set<number>;
}

/** The kept things of one thread. */
export interface KeptThings {
  /** The thing of that key, made the first time, for a generation. */
  keep<Thing extends { close(): void }>(generation: number, key: string, create: () => Thing): Thing;
  /** Closes what no other generation has asked for. */
  release(generation: number): void;
  /** Closes everything, for the end of the thread. */
  releaseAll(): void;
  /** How many things there are. */
  readonly size: number;
}

/** The registry of one thread; it needs only one. */
export function createKeptThings(): KeptThings {
  const kept = new Map<string, Kept>();
  return {
    keep<Thing extends { close(): void }>(generation: number, key: string, create: () => Thing): Thing {
      let entry = kept.get(key);
      if (entry === undefined) {
        entry = { thing: create(), generations: new Set() };
        kept.set(key, entry);
      }
      entry.generations.add(generation);
      // A key stands for one kind of thing: whoever asks again is whoever made it.
      return entry.thing as Thing;
    },
    release(generation) {
      for (const [key, entry] of kept) {
        if (!entry.generations.delete(generation) || entry.generations.size > 0) continue;
        kept.delete(key);
        entry.thing.close();
      }
    },
    releaseAll() {
      for (const { thing } of kept.values()) thing.close();
      kept.clear();
    },
    get size() {
      return kept.size;
    },
  };
}
