import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LINE_WORDS, PeerTable } from '../../src/shared/peer-table.ts';
import {
  groupKey,
  peerKey,
  SlotDirectory,
  type SlotGeneration,
  slotLookup,
} from '../../src/shared/slot-directory.ts';

const PARAMETERS = { weight: 2, maxFails: 1, failTimeout: 10, maxConns: 0, down: false };

test('a server that two generations share keeps its slot and its state', () => {
  const table = PeerTable.create({ capacity: 16, workers: 2 });
  const directory = new SlotDirectory(table);
  const first = directory.open();
  const group = first.slotOf(groupKey('app'));
  const kept = first.slotOf(peerKey('app', '127.0.0.1:1', 0));
  const gone = first.slotOf(peerKey('app', '127.0.0.1:2', 0));
  table.configure(kept, group, PARAMETERS);
  table.configure(gone, group, PARAMETERS);
  table.count(kept * LINE_WORDS);

  const second = directory.open();
  assert.equal(second.slotOf(groupKey('app')), group);
  assert.equal(second.slotOf(peerKey('app', '127.0.0.1:1', 0)), kept);
  const added = second.slotOf(peerKey('app', '127.0.0.1:1', 1));
  assert.ok(![group, kept, gone].includes(added));
  assert.equal(directory.size, 4);
  first.close();
  first.close();
  assert.equal(directory.size, 3);
  assert.equal(table.read(kept).active, 1);
  assert.deepEqual(
    second.entries().map(([, slot]) => slot),
    [group, kept, added],
  );
  assert.deepEqual(directory.entries(), second.entries());
});

test('a generation that never came into use gives back what it had asked for', () => {
  const directory = new SlotDirectory(PeerTable.create({ capacity: 16, workers: 2 }));
  const generation = directory.open();
  generation.slotOf(groupKey('app'));
  generation.slotOf(peerKey('app', 'a', 0));
  generation.close();
  assert.equal(directory.size, 0);
  assert.throws(() => generation.slotOf(groupKey('app')), RangeError);
});

test('a slot with a connection in it, and its group, are not given to others', () => {
  const table = PeerTable.create({ capacity: 3, workers: 2 });
  const directory = new SlotDirectory(table);
  const first = directory.open();
  const group = first.slotOf(groupKey('app'));
  const peer = first.slotOf(peerKey('app', 'a', 0));
  table.configure(peer, group, PARAMETERS);
  table.lock(group);
  table.count(peer * LINE_WORDS);
  table.unlock(group);
  first.close();
  assert.equal(directory.size, 2);
  const second = directory.open();
  assert.throws(() => second.slotOf(groupKey('other')), /peer table is full: 2/);
  table.lock(group);
  table.uncount(peer * LINE_WORDS);
  table.unlock(group);
  second.slotOf(groupKey('other'));
  const again = second.slotOf(peerKey('other', 'a', 0));
  assert.equal(directory.size, 2);
  assert.equal(table.read(again).weight, 0);
});

test('a slot given out anew has nothing of the server before', () => {
  const table = PeerTable.create({ capacity: 3, workers: 2 });
  const directory = new SlotDirectory(table);
  const first = directory.open();
  const group = first.slotOf(groupKey('app'));
  const peer = first.slotOf(peerKey('app', 'a', 0));
  table.configure(peer, group, PARAMETERS);
  table.count(peer * LINE_WORDS);
  table.uncount(peer * LINE_WORDS);
  first.close();
  const second = directory.open();
  const slots = [second.slotOf(groupKey('new')), second.slotOf(peerKey('new', 'b', 0))];
  assert.deepEqual(slots.sort(), [1, 2]);
  const state = table.read(second.slotOf(peerKey('new', 'b', 0)));
  assert.ok(Object.values(state).every((value) => value === 0 || value === false));
});

test('a worker finds what it was sent, and a missing key is an error that names it', () => {
  const lookup = slotLookup([[peerKey('app', 'a:1', 0), 5]]);
  assert.equal(lookup.slotOf(peerKey('app', 'a:1', 0)), 5);
  assert.throws(() => lookup.slotOf(peerKey('app', 'b:1', 0)), /no slot for "app b:1 0"/);
});

test('over any history of generations no two keys share a slot and none is lost', () => {
  const keys = fc.uniqueArray(fc.integer({ min: 0, max: 11 }), { maxLength: 12 });
  fc.assert(
    fc.property(fc.array(fc.tuple(keys, fc.boolean()), { maxLength: 25 }), (history) => {
      const directory = new SlotDirectory(PeerTable.create({ capacity: 26, workers: 1 }));
      const open: [SlotGeneration, number[]][] = [];
      for (const [wanted, closeOldest] of history) {
        const before = new Map(directory.entries());
        const generation = directory.open();
        for (const key of wanted) {
          generation.slotOf(groupKey('g'));
          generation.slotOf(peerKey('g', String(key), 0));
        }
        for (const [key, slot] of directory.entries()) {
          assert.equal(before.get(key) ?? slot, slot);
        }
        open.push([generation, wanted]);
        if (closeOldest) {
          open.shift()![0].close();
        }
        const inUse = new Set(open.flatMap(([, list]) => list));
        assert.equal(directory.size, inUse.size + (inUse.size > 0 ? 1 : 0));
        const slots = directory.entries().map(([, slot]) => slot);
        assert.equal(new Set(slots).size, slots.length);
      }
      for (const [generation] of open) {
        generation.close();
      }
      assert.equal(directory.size, 0);
    }),
    { seed: 7 },
  );
});
