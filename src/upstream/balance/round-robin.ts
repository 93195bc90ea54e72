/**
 * Smooth weighted round robin, nginx's default, and what the other methods fall back to.
 *
 * With every choice each usable peer's current weight grows by its effective weight, and the peer with the most (the
 * first of several) is chosen and pays the sum of what was handed out. Weights 5, 1, 1 give a a b a c a a.
 */

import { CURRENT_WEIGHT, DOWN_STATE, DRAINING, EFFECTIVE_WEIGHT, WEIGHT } from '../../shared/peer-table.ts';
import {
  currentSet,
  isFull,
  isTried,
  isUsable,
  type PeerGroup,
  type PeerSet,
  preferredPosition,
  settle,
  switchToBackup,
} from './peer-group.ts';
import type { Selection } from './types.ts';

/** Chooses by round robin, among the backup servers when no primary one is usable. */
export function pickRoundRobin(group: PeerGroup, selection: Selection, now: number): number {
  if (group.single) {
    return pickSingle(group, selection, now);
  }
  do {
    const position = pickFromSet(group, currentSet(group, selection), selection, now);
    if (position >= 0) {
      return position;
    }
  } while (switchToBackup(group, selection));
  return -1;
}

/** The only server is chosen whatever its failures, and again after it failed. */
function pickSingle(group: PeerGroup, selection: Selection, now: number): number {
  const line = group.primary.lines[0];
  const state = group.words[line + DOWN_STATE];
  if (
    (state === 0 && !isFull(group.words, line)) ||
    (state === DRAINING && preferredPosition(group, selection, now) === 0)
  ) {
    return 0;
  }
  return -1;
}

function pickFromSet(group: PeerGroup, set: PeerSet, selection: Selection, now: number): number {
  const { words } = group;
  const { lines, size } = set;

  const preferred = preferredPosition(group, selection, now);
  if (preferred >= 0) {
    // A session's peer pays as if it had been its turn, but only once in a row: else its debt would starve it of other
    // requests for as long as the session lasts.
    const line = lines[preferred];
    if (words[line + CURRENT_WEIGHT] <= -(set.totalWeight - words[line + WEIGHT])) {
      return settle(selection, group, set, preferred, now);
    }
  }

  let best = -1;
  let most = 0;
  let total = 0;
  for (let position = 0; position < size; position++) {
    const line = lines[position];
    if (isTried(selection, position) || !isUsable(words, line, now)) {
      continue;
    }
    const effective = words[line + EFFECTIVE_WEIGHT];
    const current = words[line + CURRENT_WEIGHT] + effective;
    words[line + CURRENT_WEIGHT] = current;
    total += effective;
    if (effective < words[line + WEIGHT]) {
      words[line + EFFECTIVE_WEIGHT] = effective + 1;
    }
    if (best < 0 || current > most) {
      best = position;
      most = current;
    }
  }
  if (preferred >= 0) {
    best = preferred;
  }
  if (best < 0) {
    return -1;
  }
  const chosen = lines[best] + CURRENT_WEIGHT;
  words[chosen] -= total;
  return settle(selection, group, set, best, now);
}
