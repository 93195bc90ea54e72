import { workerData } from 'node:worker_threads';
import { attachSessionTable } from '../../src/shared/session-table.ts';

const { memory, owner, times } = workerData as { memory: SharedArrayBuffer; owner: number; times: number };
const table = attachSessionTable(memory, owner);
for (let time = 0; time < times; time++) {
  const key = time % 40;
  const id = Buffer.alloc(32, key);
  // A session says whose it is in every byte: one that is torn would be told by that.
  table.add(id, Buffer.alloc(20 + ((time * owner) % 700), key), 100);
  const found = table.find(id);
  if (found?.some((byte) => byte !== key)) throw new Error('a session of another id, or half of one');
}
