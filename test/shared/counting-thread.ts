import { workerData } from 'node:worker_threads';
import {
  ACTIVE_CONNECTIONS,
  ConnectionCounters,
  READING,
  REQUESTS,
  WRITING,
} from '../../src/shared/counters.ts';

const { buffer, worker, times } = workerData as { buffer: SharedArrayBuffer; worker: number; times: number };
const counters = new ConnectionCounters(buffer, worker);
counters.add(ACTIVE_CONNECTIONS, 1);
counters.add(READING, 1);
for (let time = 0; time < times; time++) {
  counters.add(REQUESTS, 1);
  counters.move(READING, WRITING);
  counters.move(WRITING, READING);
}
