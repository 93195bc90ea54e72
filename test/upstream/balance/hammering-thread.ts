import { parentPort, workerData } from 'node:worker_threads';
import { PeerTable } from '../../../src/shared/peer-table.ts';
import {
  type BalancingMethod,
  createBalancer,
  createSelection,
  type PeerDescription,
} from '../../../src/upstream/balance/index.ts';

/** What a hammering thread is told to do. */
export interface HammerOrders {
  buffer: SharedArrayBuffer;
  worker: number;
  group: number;
  peers: PeerDescription[];
  method: BalancingMethod;
  /** How many requests; Infinity = until terminated or told to stop. */
  requests: number;
  /** Its first int32 is not 0 once the thread is to stop. */
  stop: SharedArrayBuffer;
  /** How many are open at a time. */
  open: number;
  /** Share of attempts that fail. */
  failing: number;
}

const orders = workerData as HammerOrders;
const table = PeerTable.attach(orders.buffer, orders.worker);
const balancer = createBalancer({ table, group: orders.group, peers: orders.peers, method: orders.method });
const selections = Array.from({ length: orders.open }, createSelection);
const counts = orders.peers.map(() => 0);
let seed = orders.worker + 1;
let lowest = 0;
const stop = new Int32Array(orders.stop);

function random(): number {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
  return seed / 4_294_967_296;
}

parentPort!.postMessage('begun');
for (let request = 0; request < orders.requests && Atomics.load(stop, 0) === 0; request++) {
  const selection = selections[request % selections.length];
  const now = 1000 + Math.floor(request / 500);
  const outcome = random() < orders.failing ? 'failed' : random() < 0.1 ? 'next' : 'ok';
  balancer.release(selection, outcome, now);
  balancer.begin(selection, `10.0.${request & 255}.1`);
  const peer = balancer.choose(selection, now);
  if (peer >= 0) {
    counts[peer]++;
    lowest = Math.min(lowest, table.read(orders.peers[peer].slot).active - 1);
  }
}
for (const selection of selections) {
  balancer.release(selection, 'ok', 2000);
}
parentPort!.postMessage({ counts, lowest });
