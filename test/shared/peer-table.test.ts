import assert from 'node:assert/strict';
import { test } from 'node:test';
import { acquireLock, releaseLock, takeOverLock } from '../../src/shared/lock.ts';
import { ACTIVE, CURRENT_WEIGHT, LINE_WORDS, MASTER, PeerTable } from '../../src/shared/peer-table.ts';
import { groupKey, peerKey, SlotDirectory } from '../../src/shared/slot-directory.ts';
import { messageOf, startThread } from './thread.ts';

const PARAMETERS = { weight: 2, maxFails: 1, failTimeout: 10, maxConns: 5, down: false };
const DYING = new URL('./dying-thread.ts', import.meta.url);

function createTable(peers = 2): { table: PeerTable; group: number; slots: number[] } {
  const table = PeerTable.create({ capacity: 64, workers: 8 });
  const generation = new SlotDirectory(table).open();
  const group = generation.slotOf(groupKey('app'));
  const slots = Array.from({ length: peers }, (_, index) => generation.slotOf(peerKey('app', `${index}`, 0)));
  for (const slot of slots) {
    table.configure(slot, group, PARAMETERS);
  }
  return { table, group, slots };
}

test('parameters are read as they were written, and change one by one', () => {
  const { table, group, slots } = createTable();
  const state = table.read(slots[0]);
  assert.deepEqual(
    [state.weight, state.effectiveWeight, state.maxFails, state.failTimeout, state.maxConns, state.down],
    [2, 2, 1, 10, 5, false],
  );
  const revision = table.revision(group);
  table.configure(slots[0], group, { maxConns: 7 });
  assert.equal(table.revision(group), revision);
  table.configure(slots[0], group, { draining: true });
  assert.equal(table.read(slots[0]).draining, true);
  table.configure(slots[0], group, { down: true });
  table.configure(slots[0], group, { weight: 3 });
  assert.equal(table.revision(group), revision + 3);
  const changed = table.read(slots[0]);
  assert.deepEqual(
    [changed.weight, changed.effectiveWeight, changed.maxConns, changed.down, changed.draining],
    [3, 3, 7, true, false],
  );
  assert.throws(() => table.configure(group, group, PARAMETERS), RangeError);
  assert.throws(() => table.configure(slots[0], slots[1], PARAMETERS), RangeError);
});

test('a buffer that is no peer table, and a worker it has no row for, are refused', () => {
  const { table } = createTable();
  assert.throws(() => PeerTable.attach(new SharedArrayBuffer(4096), 0), RangeError);
  assert.throws(() => PeerTable.attach(new SharedArrayBuffer(0), 0), RangeError);
  assert.throws(() => PeerTable.attach(table.buffer, 8), RangeError);
  assert.equal(PeerTable.attach(table.buffer, 7).worker, 7);
  assert.equal(table.worker, MASTER);
});

test('requests are counted beyond 32 bits', () => {
  const { table, slots } = createTable();
  const line = slots[0] * LINE_WORDS;
  table.words[line + 12] = -2;
  for (let turn = 0; turn < 4; turn++) {
    table.count(line);
    table.uncount(line);
  }
  assert.equal(table.read(slots[0]).requests, 2 ** 32 + 2);
});

test('a connection that was not counted cannot be uncounted', () => {
  const { table, slots } = createTable();
  const worker = PeerTable.attach(table.buffer, 0);
  worker.count(slots[0] * LINE_WORDS);
  table.uncount(slots[0] * LINE_WORDS);
  assert.equal(table.read(slots[0]).active, 1);
  worker.uncount(slots[0] * LINE_WORDS);
  worker.uncount(slots[0] * LINE_WORDS);
  assert.equal(table.read(slots[0]).active, 0);
});

test('forfeit gives back what the dead worker had counted, once, and nothing of the others', () => {
  const { table, slots } = createTable(3);
  const workers = [0, 1, 2].map((worker) => PeerTable.attach(table.buffer, worker));
  for (const worker of workers) {
    for (const [index, slot] of slots.entries()) {
      for (let times = 0; times <= index; times++) {
        worker.count(slot * LINE_WORDS);
      }
    }
  }
  assert.equal(table.forfeit(1), 6);
  assert.equal(table.forfeit(1), 0);
  assert.deepEqual(
    slots.map((slot) => table.read(slot).active),
    [2, 4, 6],
  );
  assert.equal(table.counted(1, slots[2]), 0);
  assert.equal(table.counted(2, slots[2]), 3);
});

test('wherever in a section a worker dies, its lock is freed and the count is exact', async () => {
  for (const stage of ['locked', 'weights', 'active', 'ledger', 'uncounted ledger', 'outside']) {
    const { table, group, slots } = createTable();
    const other = PeerTable.attach(table.buffer, 1);
    other.count(slots[0] * LINE_WORDS);
    const thread = startThread(DYING, { buffer: table.buffer, worker: 3, group, slot: slots[0], stage });
    assert.equal(await messageOf(thread), stage);
    // A thread that wants the lock meanwhile sleeps until the master has freed it.
    const waiting = startThread(DYING, {
      buffer: table.buffer,
      worker: 4,
      group,
      slot: slots[1],
      stage: 'once',
    });
    await messageOf(waiting);
    await thread.worker.terminate();
    assert.equal(table.breakLocks(3), stage === 'outside' ? 0 : 1, stage);
    table.forfeit(3);
    assert.equal(await waiting.exit, 0);
    assert.equal(table.read(slots[0]).active, 1, stage);
    assert.equal(table.read(slots[1]).active, 0);
    assert.equal(table.counted(3, slots[0]), 0);
    assert.equal(table.words[slots[0] * LINE_WORDS + CURRENT_WEIGHT], 0);
    assert.equal(Atomics.load(table.words, group * LINE_WORDS), 0);
  }
});

test('a lock whose owner makes no progress for a second is taken from it, which then leaves it alone', () => {
  const { table, group } = createTable();
  const { words } = table;
  const index = group * LINE_WORDS;
  acquireLock(words, index, 40);
  const begun = performance.now();
  acquireLock(words, index, 41);
  const waited = performance.now() - begun;
  assert.ok(waited >= 900, `${waited} ms`);
  releaseLock(words, index, 40);
  assert.notEqual(words[index], 0);
  releaseLock(words, index, 41);
  assert.equal(words[index], 0);
});

test('a thread that was thrown out of a section can take the lock again', () => {
  const { table, group } = createTable();
  table.lock(group);
  table.lock(group);
  table.unlock(group);
  assert.equal(table.words[group * LINE_WORDS], 0);
});

test('only a dead owner loses its lock to the master', () => {
  const { table, group } = createTable();
  const index = group * LINE_WORDS;
  acquireLock(table.words, index, 40);
  assert.equal(takeOverLock(table.words, index, 41, 1), false);
  assert.equal(takeOverLock(table.words, index, 40, 1), true);
  assert.equal(takeOverLock(table.words, index, 40, 1), false);
  table.unlock(group);
  assert.equal(table.words[index + ACTIVE], 0);
});

test('an untouched table of the default size costs next to no memory', () => {
  const before = process.memoryUsage().rss;
  const table = PeerTable.create();
  assert.ok(table.buffer.byteLength > 20_000_000);
  assert.ok(process.memoryUsage().rss - before < 4_000_000);
});
