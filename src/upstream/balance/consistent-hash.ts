/**
 * `hash key consistent`: ketama. Every server has 160 points per weight on a circle of 2^32; a key belongs to the first
 * point at or after its own CRC-32. A server that goes takes only its own keys away. The points are those of
 * Cache::Memcached::Fast: a chain of checksums beginning with host, zero byte and port.
 */

import { CURRENT_WEIGHT, EFFECTIVE_WEIGHT, WEIGHT } from '../../shared/peer-table.ts';
import { CRC32_START, crc32Finish, crc32Update, crc32UpdateInt32 } from './crc32.ts';
import { MOST_MISSES } from './hash.ts';
import { currentSet, isTried, isUsable, type PeerGroup, preferredPosition, settle } from './peer-group.ts';
import { pickRoundRobin } from './round-robin.ts';
import type { Selection } from './types.ts';

const POINTS_PER_WEIGHT = 160;

/** The circle: points in order, and the server each belongs to. */
export interface Continuum {
  /** Point values, ascending, each once. */
  readonly values: Uint32Array;
  /** By point: which server. */
  readonly servers: Int32Array;
  /** By position in the primary set: which server the peer is an address of. */
  readonly serverOf: Int32Array;
}

/** Places a group's primary servers on the circle. A name with several addresses is one server. */
export function buildContinuum(group: PeerGroup): Continuum {
  const set = group.primary;
  const numbers = new Map<string, number>();
  const serverOf = Int32Array.from(set.indexes, (index) => {
    const { name } = group.peers[index];
    const number = numbers.get(name) ?? numbers.size;
    numbers.set(name, number);
    return number;
  });

  // Point and server in one number sort fast, and servers that share a point stay in the order of the configuration:
  // the first has it. 2^32 points by 2^21 servers is what a float64 holds exactly.
  const points = new Float64Array(set.totalWeight * POINTS_PER_WEIGHT);
  let count = 0;
  for (let position = 0; position < set.size; position++) {
    const base = serverState(group.peers[set.indexes[position]].name);
    let previous = 0;
    for (let left = set.weights[position] * POINTS_PER_WEIGHT; left > 0; left--) {
      previous = crc32Finish(crc32UpdateInt32(base, previous));
      points[count++] = previous * 0x20_0000 + serverOf[position];
    }
  }
  points.sort();

  const values = new Uint32Array(count);
  const servers = new Int32Array(count);
  let kept = 0;
  for (let index = 0; index < count; index++) {
    const value = Math.floor(points[index] / 0x20_0000);
    if (kept === 0 || values[kept - 1] !== value) {
      values[kept] = value;
      servers[kept++] = points[index] % 0x20_0000;
    }
  }
  return { values: values.slice(0, kept), servers: servers.slice(0, kept), serverOf };
}

/** The checksum state after host, zero byte and port. A Unix socket's path is all host, as is a name without a port. */
function serverState(name: string): number {
  let host = name;
  let port = '';
  if (/^unix:/i.test(name)) {
    host = name.slice(5);
  } else {
    const parts = /^(.*):(\d*)$/s.exec(name);
    if (parts !== null) {
      host = parts[1];
      port = parts[2];
    }
  }
  return crc32Update(CRC32_START, `${host}\0${port}`);
}

/** The index of the first point at or after the key's checksum; the number of points if there is none. */
export function findPoint(continuum: Continuum, key: string): number {
  const { values } = continuum;
  const hash = crc32Finish(crc32Update(CRC32_START, key));
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle] < hash) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/**
 * Chooses the server at the key's point or after it, and among its addresses by round robin. `selection.hash` is the
 * index of the point, from `findPoint`.
 */
export function pickConsistentHash(
  continuum: Continuum,
  group: PeerGroup,
  selection: Selection,
  now: number,
): number {
  const { servers, serverOf } = continuum;
  if (
    selection.misses > MOST_MISSES ||
    group.single ||
    selection.key === '' ||
    // Round robin has found no primary server; the points are theirs alone.
    selection.backup ||
    servers.length === 0
  ) {
    return pickRoundRobin(group, selection, now);
  }
  const { words } = group;
  const set = currentSet(group, selection);
  const preferred = preferredPosition(group, selection, now);
  if (preferred >= 0) {
    return settle(selection, group, set, preferred, now);
  }
  do {
    const server = servers[selection.hash % servers.length];
    let best = -1;
    let most = 0;
    let total = 0;
    for (let position = 0; position < set.size; position++) {
      const line = set.lines[position];
      if (serverOf[position] !== server || isTried(selection, position) || !isUsable(words, line, now)) {
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
    if (best >= 0) {
      const chosen = set.lines[best] + CURRENT_WEIGHT;
      words[chosen] -= total;
      return settle(selection, group, set, best, now);
    }
    selection.hash++;
  } while (++selection.misses <= MOST_MISSES);
  return pickRoundRobin(group, selection, now);
}
