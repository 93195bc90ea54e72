/**
 * Which server has which slot of the peer table. Kept by the master, which alone gives slots out and takes them back;
 * workers get the result as pairs.
 *
 * Each configuration in use is a generation. A key that two generations have in common keeps its slot, and with it the
 * server's connections, failures and place in the round robin: that is how state outlives a reload. A slot is free again
 * when no generation has its key and no connection is counted in it.
 */

import { ACTIVE, LINE_WORDS, type PeerTable } from './peer-table.ts';

/** Where linking finds slots: in the master a generation, in a worker the pairs it was sent. */
export interface SlotLookup {
  /**
   * @returns the slot of a `groupKey` or `peerKey`
   * @throws RangeError where the master's table is full, or the worker was not sent this key
   */
  slotOf(key: string): number;
}

/** The slots of one configuration. */
export interface SlotGeneration extends SlotLookup {
  /** The pairs of key and slot this generation has asked for so far, to be sent to workers. */
  entries(): [string, number][];
  /** Ends the generation: no worker uses this configuration any more, or it never came to that. Once is enough. */
  close(): void;
}

/** The key of a group. @param name its name, unique in a configuration: the `upstream` block's, or `host:port` */
export function groupKey(name: string): string {
  return name;
}

/**
 * The key of a peer.
 *
 * @param group the group's name
 * @param address as in `$upstream_addr`
 * @param ordinal 0 for the first peer of this address in the group, 1 for the second...
 */
export function peerKey(group: string, address: string, ordinal: number): string {
  return `${group}\0${address}\0${ordinal}`;
}

/** The lookup of a worker. */
export function slotLookup(entries: Iterable<readonly [string, number]>): SlotLookup {
  const slots = new Map(entries);
  return {
    slotOf(key) {
      const slot = slots.get(key);
      if (slot === undefined) {
        throw new RangeError(`no slot for "${key.replaceAll('\0', ' ')}"`);
      }
      return slot;
    },
  };
}

interface Holding {
  slot: number;
  /** How many generations have it. */
  holders: number;
}

/** The master's directory over one peer table. */
export class SlotDirectory {
  readonly #table: PeerTable;
  readonly #holdings = new Map<string, Holding>();
  readonly #free: number[] = [];
  /** Slots no generation has, with connections still counted in them. */
  #lingering: number[] = [];
  #next = 1;

  constructor(table: PeerTable) {
    this.#table = table;
  }

  /** How many slots are not free. */
  get size(): number {
    return this.#holdings.size + this.#lingering.length;
  }

  /** Every key in use and its slot, for metrics. */
  entries(): [string, number][] {
    return [...this.#holdings].map(([key, holding]) => [key, holding.slot]);
  }

  /** Begins a generation. */
  open(): SlotGeneration {
    const held = new Map<string, number>();
    let closed = false;
    return {
      slotOf: (key) => {
        if (closed) {
          throw new RangeError('the generation has ended');
        }
        let slot = held.get(key);
        if (slot === undefined) {
          slot = this.#acquire(key);
          held.set(key, slot);
        }
        return slot;
      },
      entries: () => [...held],
      close: () => {
        if (!closed) {
          closed = true;
          for (const key of held.keys()) {
            this.#release(key);
          }
          // Only when all are released: a group must not go before the peers that need it.
          this.#sweep();
        }
      },
    };
  }

  #acquire(key: string): number {
    const holding = this.#holdings.get(key);
    if (holding !== undefined) {
      holding.holders++;
      return holding.slot;
    }
    const slot = this.#take();
    this.#table.open(slot, key.includes('\0') ? 'peer' : 'group');
    this.#holdings.set(key, { slot, holders: 1 });
    return slot;
  }

  #take(): number {
    if (this.#lingering.length > 0) {
      this.#sweep();
    }
    const slot = this.#free.pop();
    if (slot !== undefined) {
      return slot;
    }
    if (this.#next >= this.#table.capacity) {
      throw new RangeError(`the peer table is full: ${this.#table.capacity - 1} servers and groups`);
    }
    return this.#next++;
  }

  #release(key: string): void {
    const holding = this.#holdings.get(key)!;
    if (--holding.holders > 0) {
      return;
    }
    this.#holdings.delete(key);
    this.#lingering.push(holding.slot);
  }

  #sweep(): void {
    const { words } = this.#table;
    // A group's line stays as long as a peer's connections are still to be uncounted under its lock.
    const needed = new Set<number>();
    for (const slot of this.#lingering) {
      if (!this.#table.isGroup(slot) && words[slot * LINE_WORDS + ACTIVE] !== 0) {
        needed.add(slot).add(this.#table.groupOf(slot));
      }
    }
    this.#lingering = this.#lingering.filter((slot) => {
      if (needed.has(slot) || this.#table.isLocked(slot)) {
        return true;
      }
      this.#table.close(slot);
      this.#free.push(slot);
      return false;
    });
  }
}
