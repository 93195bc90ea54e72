import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ACCEPTED,
  ACTIVE_CONNECTIONS,
  ConnectionCounters,
  createConnectionCounters,
  HANDLED,
  READING,
  REQUESTS,
  WAITING,
  WRITING,
} from '../../src/shared/counters.ts';
import { until } from '../support/wait.ts';
import { startThread } from './thread.ts';

test('counters are the sum over the threads, and moves between gauges keep the sum', () => {
  const master = createConnectionCounters(2);
  const workers = [new ConnectionCounters(master.buffer, 0), new ConnectionCounters(master.buffer, 1)];
  for (const counters of [master, ...workers]) {
    counters.add(ACCEPTED, 2);
    counters.add(HANDLED, 1);
    counters.add(REQUESTS, 2 ** 40);
    counters.add(ACTIVE_CONNECTIONS, 1);
    counters.add(READING, 1);
    counters.move(READING, WRITING);
    counters.move(WRITING, WAITING);
  }
  workers[0].move(WAITING, READING);
  assert.deepEqual(workers[1].read(), {
    accepted: 6,
    handled: 3,
    requests: 3 * 2 ** 40,
    active: 3,
    reading: 1,
    writing: 0,
    waiting: 2,
  });
});

test('a number without a line is refused', () => {
  const { buffer } = createConnectionCounters(2);
  for (const worker of [2, -2, 0.5, Number.NaN]) {
    assert.throws(() => new ConnectionCounters(buffer, worker), RangeError);
  }
});

test('threads count beside each other without losing any, and a terminated one leaves its totals but no gauges', async () => {
  const counters = createConnectionCounters(4);
  const threads = [0, 1, 2, 3].map((worker) =>
    startThread(new URL('./counting-thread.ts', import.meta.url), {
      buffer: counters.buffer,
      worker,
      times: worker === 3 ? Number.POSITIVE_INFINITY : 200_000,
    }),
  );
  await Promise.all(threads.slice(0, 3).map((thread) => thread.exit));
  // The others may be done before it begins.
  await until('the last one to count', () => counters.read().requests > 600_000);
  await threads[3].worker.terminate();
  const last = new ConnectionCounters(counters.buffer, 3);
  const before = last.read();
  counters.forget(3);
  const after = counters.read();
  assert.ok(after.requests > 600_000);
  assert.equal(after.requests, before.requests);
  assert.deepEqual([after.active, after.reading, after.writing, after.waiting], [3, 3, 0, 0]);
});
