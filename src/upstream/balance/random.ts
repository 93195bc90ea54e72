/**
 * `random` and `random two [least_conn]`: a peer by chance, by weight; of two, the less busy for its weight. Picks that
 * cannot be used are drawn again; after 20 such misses round robin decides.
 */

import { ACTIVE, WEIGHT } from '../../shared/peer-table.ts';
import { MOST_MISSES } from './hash.ts';
import {
  currentSet,
  isTried,
  isUsable,
  type PeerGroup,
  type PeerSet,
  preferredPosition,
  settle,
} from './peer-group.ts';
import { pickRoundRobin } from './round-robin.ts';
import type { Selection } from './types.ts';

/** Where each peer's share of the weights begins, by position. */
function rangeStarts(set: PeerSet): Float64Array {
  const starts = new Float64Array(set.size);
  let sum = 0;
  for (let position = 0; position < set.size; position++) {
    starts[position] = sum;
    sum += set.weights[position];
  }
  return starts;
}

/** What drawing needs of a group's two sets, made anew whenever weights change. */
export interface RandomRanges {
  readonly primary: Float64Array;
  readonly backup: Float64Array;
}

/** Lays a group's weights end to end. */
export function buildRanges(group: PeerGroup): RandomRanges {
  return {
    primary: rangeStarts(group.primary),
    backup: group.backup === null ? new Float64Array(0) : rangeStarts(group.backup),
  };
}

function draw(starts: Float64Array, totalWeight: number, random: () => number): number {
  const number = Math.floor(random() * totalWeight);
  let low = 0;
  let high = starts.length;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (number < starts[middle]) {
      high = middle;
    } else {
      low = middle;
    }
  }
  return low;
}

/** Chooses by chance. */
export function pickRandom(
  ranges: RandomRanges,
  random: () => number,
  group: PeerGroup,
  selection: Selection,
  now: number,
): number {
  const set = currentSet(group, selection);
  if (selection.misses > MOST_MISSES || set.size < 2) {
    return pickRoundRobin(group, selection, now);
  }
  const preferred = preferredPosition(group, selection, now);
  if (preferred >= 0) {
    return settle(selection, group, set, preferred, now);
  }
  const starts = set === group.primary ? ranges.primary : ranges.backup;
  do {
    const position = draw(starts, set.totalWeight, random);
    if (!isTried(selection, position) && isUsable(group.words, set.lines[position], now)) {
      return settle(selection, group, set, position, now);
    }
  } while (++selection.misses <= MOST_MISSES);
  return pickRoundRobin(group, selection, now);
}

/** Chooses two different peers by chance, and of them the one with fewer active connections for its weight. */
export function pickRandomTwo(
  ranges: RandomRanges,
  random: () => number,
  group: PeerGroup,
  selection: Selection,
  now: number,
): number {
  const set = currentSet(group, selection);
  if (selection.misses > MOST_MISSES || set.size < 2) {
    return pickRoundRobin(group, selection, now);
  }
  const preferred = preferredPosition(group, selection, now);
  if (preferred >= 0) {
    return settle(selection, group, set, preferred, now);
  }
  const { words } = group;
  const starts = set === group.primary ? ranges.primary : ranges.backup;
  let first = -1;
  do {
    const position = draw(starts, set.totalWeight, random);
    const line = set.lines[position];
    if (position === first || isTried(selection, position) || !isUsable(words, line, now)) {
      selection.misses++;
      continue;
    }
    if (first < 0) {
      first = position;
      continue;
    }
    const other = set.lines[first];
    const busier =
      words[line + ACTIVE] * words[other + WEIGHT] > words[other + ACTIVE] * words[line + WEIGHT];
    return settle(selection, group, set, busier ? first : position, now);
  } while (selection.misses <= MOST_MISSES);
  return pickRoundRobin(group, selection, now);
}
