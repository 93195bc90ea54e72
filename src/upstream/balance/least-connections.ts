/**
 * `least_conn`: the peer with the fewest active connections for its weight; among several, the one whose turn it is by
 * smooth weighted round robin among them.
 */

import { ACTIVE, CURRENT_WEIGHT, EFFECTIVE_WEIGHT, WEIGHT } from '../../shared/peer-table.ts';
import {
  currentSet,
  isTried,
  isUsable,
  type PeerGroup,
  type PeerSet,
  preferredPosition,
  settle,
  switchToBackup,
} from './peer-group.ts';
import { pickRoundRobin } from './round-robin.ts';
import type { Selection } from './types.ts';

/** Chooses the least busy peer, among the backup servers when no primary one is usable. */
export function pickLeastConnections(group: PeerGroup, selection: Selection, now: number): number {
  if (group.single) {
    return pickRoundRobin(group, selection, now);
  }
  do {
    const position = pickFromSet(group, currentSet(group, selection), selection, now);
    if (position >= 0) {
      return position;
    }
  } while (switchToBackup(group, selection));
  return -1;
}

function pickFromSet(group: PeerGroup, set: PeerSet, selection: Selection, now: number): number {
  const { words } = group;
  const { lines, size } = set;

  const preferred = preferredPosition(group, selection, now);
  if (preferred >= 0) {
    return settle(selection, group, set, preferred, now);
  }

  let best = -1;
  let several = false;
  let fewest = 0;
  let weight = 0;
  for (let position = 0; position < size; position++) {
    const line = lines[position];
    if (isTried(selection, position) || !isUsable(words, line, now)) {
      continue;
    }
    const left = words[line + ACTIVE] * weight;
    const right = fewest * words[line + WEIGHT];
    if (best < 0 || left < right) {
      best = position;
      several = false;
      fewest = words[line + ACTIVE];
      weight = words[line + WEIGHT];
    } else if (left === right) {
      several = true;
    }
  }
  if (best < 0) {
    return -1;
  }

  if (several) {
    let total = 0;
    // The first of them is compared as it stood before this turn and with itself after it, so it is `best` at the start.
    let most = words[lines[best] + CURRENT_WEIGHT];
    for (let position = best; position < size; position++) {
      const line = lines[position];
      if (
        isTried(selection, position) ||
        words[line + ACTIVE] * weight !== fewest * words[line + WEIGHT] ||
        !isUsable(words, line, now)
      ) {
        continue;
      }
      const effective = words[line + EFFECTIVE_WEIGHT];
      const current = words[line + CURRENT_WEIGHT] + effective;
      words[line + CURRENT_WEIGHT] = current;
      total += effective;
      if (effective < words[line + WEIGHT]) {
        words[line + EFFECTIVE_WEIGHT] = effective + 1;
      }
      if (position === best) {
        most = current;
      } else if (current > most) {
        best = position;
        most = current;
        fewest = words[line + ACTIVE];
        weight = words[line + WEIGHT];
      }
    }
    const chosen = lines[best] + CURRENT_WEIGHT;
    words[chosen] -= total;
  }
  return settle(selection, group, set, best, now);
}
