/**
 * A group as a balancing method sees it: where its peers' lines are in the shared table, split into primary and backup
 * servers, and which of them may be chosen.
 */

import {
  ACTIVE,
  CHECKED,
  DOWN_STATE,
  DRAINING,
  FAIL_TIMEOUT,
  FAILS,
  LINE_WORDS,
  MAX_CONNS,
  MAX_FAILS,
  type PeerTable,
  WEIGHT,
} from '../../shared/peer-table.ts';
import type { PeerDescription, Selection } from './types.ts';

/** The primary or the backup servers of a group. A position is a peer's place among them. */
export interface PeerSet {
  /** How many peers. */
  readonly size: number;
  /** By position: where the peer's line begins in the table. */
  readonly lines: Int32Array;
  /** By position: the index in the balancer's `peers`. */
  readonly indexes: Int32Array;
  /** By position: the weights as of the last `refresh`. Hash methods and random choose by them. */
  readonly weights: Int32Array;
  /** Their sum, servers that are down included, as nginx has it. */
  totalWeight: number;
  /** How many servers are not down. */
  tries: number;
}

/** The group's peers and the table they are in. */
export interface PeerGroup {
  readonly table: PeerTable;
  readonly words: Int32Array<SharedArrayBuffer>;
  /** The group's slot. */
  readonly slot: number;
  readonly peers: readonly PeerDescription[];
  readonly primary: PeerSet;
  /** null where there are no backup servers. */
  readonly backup: PeerSet | null;
  /** One server and no backup. */
  readonly single: boolean;
  /** By index in `peers`: its position in its set. */
  readonly positions: Int32Array;
  /** How many int32 beyond the first the bits of the larger set take. */
  readonly wordsBeyond: number;
  /** The table's revision of the group that `weights`, `totalWeight` and `tries` are from. */
  revision: number;
}

/**
 * Makes the view of a group.
 *
 * @throws RangeError where there is no primary server, or a peer's slot has not been configured
 */
export function createPeerGroup(
  table: PeerTable,
  slot: number,
  peers: readonly PeerDescription[],
): PeerGroup {
  const positions = new Int32Array(peers.length);
  const primary = createPeerSet(peers, false, positions);
  const backup = createPeerSet(peers, true, positions);
  if (primary.size === 0) {
    throw new RangeError('a group needs a server that is no backup');
  }
  const group: PeerGroup = {
    table,
    words: table.words,
    slot,
    peers,
    primary,
    backup: backup.size > 0 ? backup : null,
    single: primary.size === 1 && backup.size === 0,
    positions,
    wordsBeyond: ((Math.max(primary.size, backup.size) + 31) >> 5) - 1,
    revision: 0,
  };
  refresh(group);
  return group;
}

function createPeerSet(peers: readonly PeerDescription[], backup: boolean, positions: Int32Array): PeerSet {
  const indexes: number[] = [];
  for (let index = 0; index < peers.length; index++) {
    if (peers[index].backup === backup) {
      positions[index] = indexes.length;
      indexes.push(index);
    }
  }
  return {
    size: indexes.length,
    lines: Int32Array.from(indexes, (index) => peers[index].slot * LINE_WORDS),
    indexes: Int32Array.from(indexes),
    weights: new Int32Array(indexes.length),
    totalWeight: 0,
    tries: 0,
  };
}

/** Reads weights and states from the table anew. */
export function refresh(group: PeerGroup): void {
  group.table.lock(group.slot);
  try {
    group.revision = group.table.revision(group.slot);
    refreshSet(group.words, group.primary);
    if (group.backup !== null) {
      refreshSet(group.words, group.backup);
    }
  } finally {
    group.table.unlock(group.slot);
  }
}

function refreshSet(words: Int32Array<SharedArrayBuffer>, set: PeerSet): void {
  set.totalWeight = 0;
  set.tries = 0;
  for (let position = 0; position < set.size; position++) {
    const line = set.lines[position];
    const weight = words[line + WEIGHT];
    if (weight < 1) {
      throw new RangeError(`the peer in slot ${line / LINE_WORDS} has not been configured`);
    }
    set.weights[position] = weight;
    set.totalWeight += weight;
    if (words[line + DOWN_STATE] === 0) {
      set.tries++;
    }
  }
}

/** The set a request chooses from at present. */
export function currentSet(group: PeerGroup, selection: Selection): PeerSet {
  return selection.backup && group.backup !== null ? group.backup : group.primary;
}

/**
 * Goes on to the backup servers, all of them untried.
 *
 * @returns whether there are any and the request was not there already
 */
export function switchToBackup(group: PeerGroup, selection: Selection): boolean {
  if (selection.backup || group.backup === null) {
    return false;
  }
  selection.backup = true;
  forgetTried(selection);
  return true;
}

/** Makes every peer of the set untried. */
export function forgetTried(selection: Selection): void {
  selection.tried = 0;
  selection.triedBeyond?.fill(0);
}

/** Whether this request has tried the peer at `position` of its current set. */
export function isTried(selection: Selection, position: number): boolean {
  if (position < 32) {
    return ((selection.tried >>> position) & 1) !== 0;
  }
  return ((selection.triedBeyond![(position >>> 5) - 1] >>> (position & 31)) & 1) !== 0;
}

/** Notes that this request tries the peer at `position` of its current set. */
export function markTried(selection: Selection, position: number): void {
  if (position < 32) {
    selection.tried |= 1 << position;
  } else {
    selection.triedBeyond![(position >>> 5) - 1] |= 1 << (position & 31);
  }
}

/** Whether the peer at `line` has reached `max_conns`. */
export function isFull(words: Int32Array<SharedArrayBuffer>, line: number): boolean {
  const limit = words[line + MAX_CONNS];
  return limit !== 0 && words[line + ACTIVE] >= limit;
}

/** Whether the peer at `line` has failed `max_fails` times and its `fail_timeout` is not over. */
export function isDisabled(words: Int32Array<SharedArrayBuffer>, line: number, now: number): boolean {
  const maxFails = words[line + MAX_FAILS];
  return (
    maxFails !== 0 &&
    words[line + FAILS] >= maxFails &&
    ((now - words[line + CHECKED]) | 0) <= words[line + FAIL_TIMEOUT]
  );
}

/** Whether the peer at `line` takes requests: up, not disabled, not full. */
export function isUsable(words: Int32Array<SharedArrayBuffer>, line: number, now: number): boolean {
  return words[line + DOWN_STATE] === 0 && !isDisabled(words, line, now) && !isFull(words, line);
}

/**
 * Where the peer a session is bound to stands in the current set, if it can be used: then it may also be draining.
 *
 * @returns the position, or -1
 */
export function preferredPosition(group: PeerGroup, selection: Selection, now: number): number {
  const index = selection.preferred;
  if (index < 0 || group.peers[index].backup !== selection.backup) {
    return -1;
  }
  const { words } = group;
  const position = group.positions[index];
  const line = currentSet(group, selection).lines[position];
  const state = words[line + DOWN_STATE];
  if (
    isTried(selection, position) ||
    (state !== 0 && state !== DRAINING) ||
    isDisabled(words, line, now) ||
    isFull(words, line)
  ) {
    return -1;
  }
  return position;
}

/**
 * Notes that the peer at `position` is tried now; where its `fail_timeout` is over this begins a new window, and lets
 * the attempt decide whether a disabled peer is back.
 *
 * @returns the position
 */
export function settle(
  selection: Selection,
  group: PeerGroup,
  set: PeerSet,
  position: number,
  now: number,
): number {
  markTried(selection, position);
  const { words } = group;
  const line = set.lines[position];
  if (((now - words[line + CHECKED]) | 0) > words[line + FAIL_TIMEOUT]) {
    words[line + CHECKED] = now;
  }
  return position;
}

/** How a method chooses: under the group's lock. Returns a position in the set that is then current, or -1. */
export type Pick = (group: PeerGroup, selection: Selection, now: number) => number;
