import { PeerTable } from '../../../src/shared/peer-table.ts';
import { groupKey, peerKey, SlotDirectory, type SlotGeneration } from '../../../src/shared/slot-directory.ts';
import {
  type Balancer,
  type BalancingMethod,
  createBalancer,
  createSelection,
  type PeerDescription,
  type Selection,
} from '../../../src/upstream/balance/index.ts';

/** A table with one group in it, as the master makes it. */
export interface TestGroup {
  table: PeerTable;
  generation: SlotGeneration;
  slot: number;
  peers: PeerDescription[];
  balancer: Balancer;
}

/** Makes a group in a new table. Servers are 127.0.0.1:19181 and on, weight 1, max_fails 1, fail_timeout 10. */
export function createTestGroup(
  servers: readonly Partial<PeerDescription>[],
  method: BalancingMethod = { name: 'round_robin' },
  random?: () => number,
): TestGroup {
  const table = PeerTable.create({ capacity: 256, workers: 16 });
  const generation = new SlotDirectory(table).open();
  const slot = generation.slotOf(groupKey('backend'));
  const peers = servers.map((server, index): PeerDescription => {
    const address = server.address ?? `127.0.0.1:${19181 + index}`;
    return {
      address,
      name: address,
      weight: 1,
      maxFails: 1,
      failTimeout: 10,
      maxConns: 0,
      down: false,
      backup: false,
      slot: generation.slotOf(peerKey('backend', address, 0)),
      ...server,
    };
  });
  for (const peer of peers) {
    table.configure(peer.slot, slot, peer);
  }
  const balancer = createBalancer({ table, group: slot, peers, method, random });
  return { table, generation, slot, peers, balancer };
}

const selection = createSelection();

/** One request that succeeds at once; returns the peer's index. */
export function request(balancer: Balancer, key = '', now = 1000): number {
  balancer.begin(selection, key);
  const peer = balancer.choose(selection, now);
  balancer.release(selection, 'ok', now);
  return peer;
}

/** One request to the end, going on from peers in `refusing`; returns every peer's index, and -1 for none live. */
export function attempts(balancer: Balancer, refusing: readonly number[], key = '', now = 1000): number[] {
  const tried: number[] = [];
  balancer.begin(selection, key);
  do {
    const peer = balancer.choose(selection, now);
    tried.push(peer);
    if (peer < 0) {
      break;
    }
    const refused = refusing.includes(peer);
    balancer.release(selection, refused ? 'failed' : 'ok', now);
    if (!refused) {
      break;
    }
  } while (selection.tries > 0);
  return tried;
}

/** Begins a request and leaves it open. */
export function openRequest(balancer: Balancer, key = '', now = 1000): Selection {
  const open = createSelection();
  balancer.begin(open, key);
  balancer.choose(open, now);
  return open;
}
