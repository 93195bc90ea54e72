import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { LINE_WORDS } from '../../../src/shared/peer-table.ts';
import type { BalancingMethod } from '../../../src/upstream/balance/index.ts';
import { messageOf, startThread, type TestThread } from '../../shared/thread.ts';
import { createTestGroup, request, type TestGroup } from './group.ts';
import type { HammerOrders } from './hammering-thread.ts';

const HAMMERING = new URL('./hammering-thread.ts', import.meta.url);

interface Result {
  counts: number[];
  lowest: number;
}

async function hammer(
  group: TestGroup,
  method: BalancingMethod,
  worker: number,
  orders: Pick<HammerOrders, 'requests' | 'open' | 'failing'>,
  stop: SharedArrayBuffer = new SharedArrayBuffer(4),
): Promise<{ thread: TestThread; result: Promise<Result> }> {
  const thread = startThread(HAMMERING, {
    ...orders,
    stop,
    buffer: group.table.buffer,
    worker,
    group: group.slot,
    peers: group.peers,
    method,
  } satisfies HammerOrders);
  await messageOf(thread);
  return { thread, result: messageOf(thread) as Promise<Result> };
}

function activeOf(group: TestGroup): number[] {
  return group.peers.map((peer) => group.table.read(peer.slot).active);
}

test('threads together give every server its exact share', async () => {
  const weights = [5, 1, 3, 1];
  const method: BalancingMethod = { name: 'round_robin' };
  const group = createTestGroup(weights.map((weight) => ({ weight })));
  const running = await Promise.all(
    [0, 1, 2, 3].map((worker) => hammer(group, method, worker, { requests: 50_000, open: 7, failing: 0 })),
  );
  const results = await Promise.all(running.map(({ result }) => result));
  await Promise.all(running.map(({ thread }) => thread.exit));
  assert.deepEqual(
    weights.map((_, peer) => results.reduce((sum, { counts }) => sum + counts[peer], 0)),
    weights.map((weight) => weight * 20_000),
  );
  assert.deepEqual(activeOf(group), [0, 0, 0, 0]);
  assert.deepEqual(
    group.peers.map((peer) => group.table.read(peer.slot).requests),
    weights.map((weight) => weight * 20_000),
  );
});

test('threads together never open more than max_conns', async () => {
  const method: BalancingMethod = { name: 'least_conn' };
  const group = createTestGroup([{ maxConns: 5 }, { maxConns: 3 }], method);
  const running = await Promise.all(
    [0, 1, 2].map((worker) => hammer(group, method, worker, { requests: 50_000, open: 6, failing: 0 })),
  );
  let done = false;
  const finished = Promise.all(running.map(({ thread }) => thread.exit)).then(() => {
    done = true;
  });
  while (!done) {
    const [first, second] = activeOf(group);
    assert.ok(first >= 0 && first <= 5 && second >= 0 && second <= 3);
    await delay(1);
  }
  await finished;
  assert.deepEqual(activeOf(group), [0, 0]);
});

test('threads terminated in the middle of their work leave no count behind', async () => {
  const methods: BalancingMethod[] = [
    { name: 'round_robin' },
    { name: 'least_conn' },
    { name: 'random', two: true },
  ];
  for (const method of methods) {
    const group = createTestGroup(
      [{ weight: 3, maxConns: 20 }, { maxFails: 2 }, { maxFails: 0 }, { backup: true }],
      method,
    );
    const stop = new SharedArrayBuffer(4);
    const survivor = await hammer(
      group,
      method,
      0,
      { requests: Number.POSITIVE_INFINITY, open: 5, failing: 0.2 },
      stop,
    );
    for (let round = 0; round < 2; round++) {
      const doomed = await Promise.all(
        [1, 2, 3].map((worker) =>
          hammer(group, method, worker, { requests: Number.POSITIVE_INFINITY, open: 9, failing: 0.2 }),
        ),
      );
      for (const [index, { thread }] of doomed.entries()) {
        await thread.worker.terminate();
        group.table.forfeit(index + 1);
        assert.ok(activeOf(group).every((active) => active >= 0));
        for (const peer of group.peers) {
          assert.equal(group.table.counted(index + 1, peer.slot), 0);
        }
      }
    }
    Atomics.store(new Int32Array(stop), 0, 1);
    const { lowest } = await survivor.result;
    await survivor.thread.exit;
    assert.equal(lowest, 0);
    assert.deepEqual(activeOf(group), [0, 0, 0, 0], JSON.stringify(method));
    assert.equal(Atomics.load(group.table.words, group.slot * LINE_WORDS), 0);
    assert.notEqual(request(group.balancer, '10.0.0.1', 5000), -1);
  }
});
