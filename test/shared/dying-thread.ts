import { parentPort, workerData } from 'node:worker_threads';
import { ACTIVE, CURRENT_WEIGHT, LINE_WORDS, PeerTable } from '../../src/shared/peer-table.ts';

const { buffer, worker, group, slot, stage } = workerData as {
  buffer: SharedArrayBuffer;
  worker: number;
  group: number;
  slot: number;
  stage: string;
};
const table = PeerTable.attach(buffer, worker);
const line = slot * LINE_WORDS;

/** Tells the test where this thread is, and stays there until it is terminated. */
function stay(): never {
  parentPort!.postMessage(stage);
  for (;;) {
    // A busy loop: a thread in the middle of its work, not one that waits.
  }
}

if (stage === 'once') {
  parentPort!.postMessage(stage);
  table.lock(group);
  table.count(line);
  table.uncount(line);
  table.unlock(group);
} else if (stage === 'outside') {
  table.lock(group);
  table.count(line);
  table.unlock(group);
  stay();
} else {
  if (stage === 'uncounted ledger') {
    table.lock(group);
    table.count(line);
    table.unlock(group);
  }
  table.lock(group);
  if (stage !== 'locked') {
    table.words[line + CURRENT_WEIGHT] += 5;
  }
  if (stage === 'active' || stage === 'ledger') {
    Atomics.add(table.words, line + ACTIVE, 1);
  }
  if (stage === 'ledger') {
    table.words[table.ledger + slot]++;
  }
  if (stage === 'uncounted ledger') {
    table.words[table.ledger + slot]--;
  }
  stay();
}
