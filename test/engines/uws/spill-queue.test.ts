/** What is kept of a body that nobody takes: order, memory and file, pauses at any moment. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { SpillQueue } from '../../../src/engines/uws/spill-queue.ts';

const KILOBYTE = 1024;
/** More than is kept in memory. */
const MANY = 3 * 1024;

describe('a queue that spills', () => {
  const directory = mkdtempSync(join(tmpdir(), 'portico-test-'));
  after(() => rmSync(directory, { recursive: true, force: true }));

  /** A queue, paused at first, and what it has told. */
  function makeQueue(where = directory) {
    let wake = () => {};
    const told = {
      bytes: [] as number[],
      files: 0,
      ended: false,
      failure: '',
      /** Called for each piece. */
      onPiece: () => {},
      /** Resolves when something has been told. */
      news: () =>
        new Promise<void>((resolve) => {
          wake = resolve;
        }),
    };
    const queue: SpillQueue = new SpillQueue(
      {
        tempPath: { directory: where, levels: [] },
        worker: 0,
        limit: Number.POSITIVE_INFINITY,
        deliver(piece) {
          for (let at = 0; at < piece.length; at += KILOBYTE) told.bytes.push(piece[at]!);
          told.onPiece();
          wake();
        },
        emptied: () => wake(),
        ended() {
          told.ended = true;
          wake();
        },
        spilled: () => told.files++,
        failed(reason) {
          told.failure = reason;
          wake();
        },
      },
      true,
    );
    return { queue, told };
  }

  const kilobyte = (number: number) => Buffer.alloc(KILOBYTE, number % 251);
  const numbers = (count: number) => Array.from({ length: count }, (_, number) => number % 251);

  test('delivers nothing while it is paused, though a file is being read', async () => {
    const { queue, told } = makeQueue();
    for (let number = 0; number < MANY; number++) queue.add(kilobyte(number));
    queue.end();
    assert.equal(told.files, 1);
    // What is in memory comes at once; then the file is read.
    queue.resume();
    queue.pause();
    const before = told.bytes.length;
    assert.ok(before < MANY);
    // Time for the read to end: another one of the same file system does.
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(told.bytes.length, before);
    queue.resume();
    while (!told.ended) await told.news();
    assert.deepEqual(told.bytes, numbers(MANY));
  });

  test('delivers all of it in order, however it is paused', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 2 * MANY }),
        fc.array(fc.integer({ min: 1, max: 700 }), { maxLength: 20 }),
        async (count, pauses) => {
          const { queue, told } = makeQueue();
          let next = pauses.shift() ?? Number.POSITIVE_INFINITY;
          told.onPiece = () => {
            if (told.bytes.length < next) return;
            next = told.bytes.length + (pauses.shift() ?? Number.POSITIVE_INFINITY);
            queue.pause();
            setImmediate(() => queue.resume());
          };
          for (let number = 0; number < count; number++) {
            queue.add(kilobyte(number));
            if (number === count >> 1) queue.resume();
          }
          queue.end();
          queue.resume();
          while (!told.ended) await told.news();
          assert.deepEqual(told.bytes, numbers(count));
        },
      ),
      { numRuns: 20, seed: 7 },
    );
  });

  test('says why it cannot keep what has come', () => {
    const { queue, told } = makeQueue('/dev/null/there');
    for (let number = 0; number < MANY && told.failure === ''; number++) queue.add(kilobyte(number));
    assert.match(told.failure, /"\/dev\/null\/there" failed \(20: Not a directory\)/);
    queue.resume();
    assert.deepEqual(told.bytes, []);
  });
});
