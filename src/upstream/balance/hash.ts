/**
 * `ip_hash` and `hash key`: a number made of the client's address or of a key picks a peer by weight, servers that are
 * down included, so that keys stay where they are when a server goes and comes back. When the pick cannot be used the
 * number is hashed on; after 20 such misses round robin decides.
 */

import { parseAddress } from './address-bytes.ts';
import { CRC32_START, crc32Finish, crc32Update } from './crc32.ts';
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

/** After more misses than this the hash and random methods leave the choice to round robin. */
export const MOST_MISSES = 20;

/** Where `ip_hash` begins. */
export const ADDRESS_HASH_START = 89;

/** 16 bytes for `parseAddress`; used within one call only. */
const bytes = new Uint8Array(16);

/** Chooses by the first three octets of an IPv4 address or a whole IPv6 one; other clients count as 0.0.0. */
export function pickAddressHash(group: PeerGroup, selection: Selection, now: number): number {
  const set = currentSet(group, selection);
  if (selection.misses > MOST_MISSES || set.size < 2) {
    return pickRoundRobin(group, selection, now);
  }
  const preferred = preferredPosition(group, selection, now);
  if (preferred >= 0) {
    return settle(selection, group, set, preferred, now);
  }
  const length = parseAddress(selection.key, bytes) === 16 ? 16 : 3;
  let hash = selection.hash;
  do {
    for (let index = 0; index < length; index++) {
      hash = (hash * 113 + bytes[index]) % 6271;
    }
    const position = positionOf(set, hash % set.totalWeight);
    if (!isTried(selection, position) && isUsable(group.words, set.lines[position], now)) {
      selection.hash = hash;
      return settle(selection, group, set, position, now);
    }
  } while (++selection.misses <= MOST_MISSES);
  return pickRoundRobin(group, selection, now);
}

/** Chooses by CRC-32 of the key, as Cache::Memcached does: each further round puts its number before the key. */
export function pickKeyHash(group: PeerGroup, selection: Selection, now: number): number {
  const set = currentSet(group, selection);
  if (selection.misses > MOST_MISSES || set.size < 2 || selection.key === '') {
    return pickRoundRobin(group, selection, now);
  }
  const preferred = preferredPosition(group, selection, now);
  if (preferred >= 0) {
    return settle(selection, group, set, preferred, now);
  }
  do {
    const start = selection.rehash > 0 ? crc32Update(CRC32_START, String(selection.rehash)) : CRC32_START;
    const crc = crc32Finish(crc32Update(start, selection.key));
    selection.rehash++;
    selection.hash = (selection.hash + ((crc >>> 16) & 0x7fff)) >>> 0;
    const position = positionOf(set, selection.hash % set.totalWeight);
    if (!isTried(selection, position) && isUsable(group.words, set.lines[position], now)) {
      return settle(selection, group, set, position, now);
    }
  } while (++selection.misses <= MOST_MISSES);
  return pickRoundRobin(group, selection, now);
}

/** The peer that `number`, below the sum of the weights, falls on. */
function positionOf(set: PeerSet, number: number): number {
  let rest = number;
  let position = 0;
  while (rest >= set.weights[position]) {
    rest -= set.weights[position];
    position++;
  }
  return position;
}
