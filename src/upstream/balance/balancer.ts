/** The balancing methods behind one interface: under the group's lock choose, count, and take note of outcomes. */

import { ACCESSED, CHECKED, EFFECTIVE_WEIGHT, FAILS, MAX_FAILS, WEIGHT } from '../../shared/peer-table.ts';
import { buildContinuum, findPoint, pickConsistentHash } from './consistent-hash.ts';
import { ADDRESS_HASH_START, pickAddressHash, pickKeyHash } from './hash.ts';
import { pickLeastConnections } from './least-connections.ts';
import {
  createPeerGroup,
  currentSet,
  forgetTried,
  type PeerGroup,
  type Pick,
  refresh,
} from './peer-group.ts';
import { buildRanges, pickRandom, pickRandomTwo } from './random.ts';
import { pickRoundRobin } from './round-robin.ts';
import type { AttemptOutcome, Balancer, BalancerOptions, Selection } from './types.ts';

/** Makes a selection; `Balancer.begin` makes it ready. One can be used for one request after another. */
export function createSelection(): Selection {
  return {
    peer: -1,
    tries: 0,
    preferred: -1,
    key: '',
    backup: false,
    tried: 0,
    triedBeyond: null,
    misses: 0,
    hash: 0,
    rehash: 0,
    line: -1,
  };
}

/** A method, bound to its group. */
interface Method {
  pick: Pick;
  /** What `selection.hash` begins as. */
  start: (key: string) => number;
  /** Weights have changed. */
  rebuild: () => void;
}

/**
 * Makes the balancer of a group, at link time.
 *
 * @throws RangeError where there is no server that is no backup
 */
export function createBalancer(options: BalancerOptions): Balancer {
  const { table } = options;
  const group = createPeerGroup(table, options.group, options.peers);
  const method = createMethod(group, options);
  const { pick } = method;

  return {
    peers: group.peers,
    single: group.single,

    begin(selection, key) {
      if (table.revision(group.slot) !== group.revision) {
        refresh(group);
        method.rebuild();
      }
      reset(selection, group, key, method.start(key));
    },

    choose(selection, now) {
      table.lock(group.slot);
      const position = pick(group, selection, now);
      if (position < 0) {
        table.unlock(group.slot);
        return -1;
      }
      const set = currentSet(group, selection);
      const line = set.lines[position];
      selection.line = line;
      selection.peer = set.indexes[position];
      table.count(line);
      table.unlock(group.slot);
      return selection.peer;
    },

    release(selection, outcome, now) {
      const { line } = selection;
      if (line < 0) {
        return false;
      }
      selection.line = -1;
      selection.peer = -1;
      table.lock(group.slot);
      const disabled = noteOutcome(group, line, outcome, now);
      table.uncount(line);
      table.unlock(group.slot);
      if (group.single) {
        selection.tries = 0;
      } else if (selection.tries > 0) {
        selection.tries--;
      }
      return disabled;
    },
  };
}

function createMethod(group: PeerGroup, options: BalancerOptions): Method {
  const { method, random = Math.random } = options;
  const nothing = (): void => {};
  const zero = (): number => 0;
  switch (method.name) {
    case 'round_robin':
      return { pick: pickRoundRobin, start: zero, rebuild: nothing };
    case 'least_conn':
      return { pick: pickLeastConnections, start: zero, rebuild: nothing };
    case 'ip_hash':
      return { pick: pickAddressHash, start: () => ADDRESS_HASH_START, rebuild: nothing };
    case 'hash': {
      if (!method.consistent) {
        return { pick: pickKeyHash, start: zero, rebuild: nothing };
      }
      let continuum = buildContinuum(group);
      return {
        pick: (view, selection, now) => pickConsistentHash(continuum, view, selection, now),
        start: (key) => findPoint(continuum, key),
        rebuild: () => {
          continuum = buildContinuum(group);
        },
      };
    }
    case 'random': {
      let ranges = buildRanges(group);
      const pick = method.two ? pickRandomTwo : pickRandom;
      return {
        pick: (view, selection, now) => pick(ranges, random, view, selection, now),
        start: zero,
        rebuild: () => {
          ranges = buildRanges(group);
        },
      };
    }
  }
}

function reset(selection: Selection, group: PeerGroup, key: string, hash: number): void {
  selection.peer = -1;
  selection.line = -1;
  selection.preferred = -1;
  selection.key = key;
  selection.backup = false;
  selection.misses = 0;
  selection.hash = hash;
  selection.rehash = 0;
  selection.tries = group.primary.tries + (group.backup === null ? 0 : group.backup.tries);
  if (
    group.wordsBeyond > 0 &&
    (selection.triedBeyond === null || selection.triedBeyond.length < group.wordsBeyond)
  ) {
    selection.triedBeyond = new Int32Array(group.wordsBeyond);
  }
  forgetTried(selection);
}

/** Under the group's lock. Returns whether the peer is out of service now. */
function noteOutcome(group: PeerGroup, line: number, outcome: AttemptOutcome, now: number): boolean {
  const { words } = group;
  if (outcome === 'failed') {
    group.table.countFailure(line);
  }
  if (group.single) {
    words[line + FAILS] = 0;
    return false;
  }
  if (outcome !== 'failed') {
    // The window was begun by a probe after the last failure, and the probe (or one since) went well.
    if (((words[line + ACCESSED] - words[line + CHECKED]) | 0) < 0) {
      words[line + FAILS] = 0;
    }
    return false;
  }
  const fails = words[line + FAILS] + 1;
  words[line + FAILS] = fails;
  words[line + ACCESSED] = now;
  words[line + CHECKED] = now;
  const maxFails = words[line + MAX_FAILS];
  if (maxFails === 0) {
    return false;
  }
  const lowered = words[line + EFFECTIVE_WEIGHT] - Math.trunc(words[line + WEIGHT] / maxFails);
  words[line + EFFECTIVE_WEIGHT] = Math.max(lowered, 0);
  return fails >= maxFails;
}
