import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { attachSessionTable, SMALLEST_SESSION_TABLE } from '../../src/shared/session-table.ts';
import { startThread } from './thread.ts';

const id = (number: number) => Buffer.from(`id ${number}`.padEnd(32));

describe('a table of TLS sessions', () => {
  test('remembers sessions until their time is over', () => {
    let now = 1000;
    const table = attachSessionTable(new SharedArrayBuffer(SMALLEST_SESSION_TABLE), 1, () => now);
    table.add(id(1), Buffer.from('one'), 10);
    table.add(id(2), Buffer.from('two'), 20);
    assert.equal(String(table.find(id(1))), 'one');
    now = 1010;
    assert.equal(table.find(id(1)), undefined);
    assert.equal(String(table.find(id(2))), 'two');
    assert.equal(table.find(id(3)), undefined);
    assert.equal(table.find(Buffer.alloc(0)), undefined);
    assert.equal(table.find(Buffer.alloc(33)), undefined);
  });

  test('a session of the same id takes the place of the one before', () => {
    const table = attachSessionTable(new SharedArrayBuffer(SMALLEST_SESSION_TABLE), 1);
    table.add(id(1), Buffer.from('old'), 10);
    table.add(id(1), Buffer.from('new'), 10);
    assert.equal(String(table.find(id(1))), 'new');
  });

  test('what is too long is not remembered', () => {
    const table = attachSessionTable(new SharedArrayBuffer(SMALLEST_SESSION_TABLE), 1);
    table.add(id(1), Buffer.alloc(4096, 'x'), 10);
    table.add(id(2), Buffer.alloc(4097, 'x'), 10);
    assert.equal(table.find(id(1))?.length, 4096);
    assert.equal(table.find(id(2)), undefined);
  });

  test('finds what was added last, whole or not at all, however much has been added', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(300), fc.integer({ min: 1, max: 1500 })), { maxLength: 400 }),
        (additions) => {
          const table = attachSessionTable(new SharedArrayBuffer(SMALLEST_SESSION_TABLE), 1);
          const added = new Map<number, Buffer>();
          for (const [number, length] of additions) {
            const session = Buffer.alloc(length, number & 255);
            table.add(id(number), session, 1000);
            added.delete(number);
            added.set(number, session);
            assert.deepEqual(table.find(id(number)), session);
          }
          for (const [number, session] of added) {
            const found = table.find(id(number));
            if (found !== undefined) assert.deepEqual(found, session);
          }
        },
      ),
      { seed: 4, numRuns: 30 },
    );
  });

  test('keeps a thousand sessions in a quarter of a megabyte', () => {
    const table = attachSessionTable(new SharedArrayBuffer(256 * 1024), 1);
    const ids = Array.from({ length: 1000 }, () => randomBytes(32));
    for (const one of ids) table.add(one, Buffer.alloc(130, 'x'), 100);
    const found = ids.filter((one) => table.find(one) !== undefined).length;
    assert.ok(found > 900, `${found} of 1000`);
  });

  test('threads add and find beside each other', async () => {
    const memory = new SharedArrayBuffer(SMALLEST_SESSION_TABLE);
    const threads = [1, 2, 3].map((owner) =>
      startThread(new URL('./session-thread.ts', import.meta.url), { memory, owner, times: 5000 }),
    );
    assert.deepEqual(await Promise.all(threads.map(({ exit }) => exit)), [0, 0, 0]);
  });
});
