import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Statement } from '../../src/config/statement.ts';
import { murmurHash2, readShares } from '../../src/modules/split-clients.ts';

function block(...lines: [share: string, value: string][]): Statement {
  const children = lines.map(([name, value]) => ({ name, args: [value], file: 'x', line: 1 }));
  return { name: 'split_clients', args: ['$a', '$b'], file: 'x', line: 1, endLine: 9, block: children };
}

test('the hash is MurmurHash2', () => {
  // Values of the reference implementation with a seed of 0, by nginx's own.
  assert.equal(murmurHash2(''), 0);
  assert.equal(murmurHash2('a'), 0x92685f5e);
  assert.equal(murmurHash2('abc'), 0x13577c9b);
  assert.equal(murmurHash2('abcd'), 0x26873021);
});

test('shares are limits of the hash, in the order of the file, and the last of a hundred percent is the rest', () => {
  assert.deepEqual(readShares(block(['0.5%', 'a'], ['20%', 'b'], ['*', 'c'])), [
    { limit: 21474836, value: 'a' },
    { limit: 21474836 + 858993459, value: 'b' },
    { limit: 0, value: 'c' },
  ]);
  assert.deepEqual(readShares(block(['50%', 'a'], ['50%', 'b'])), [
    { limit: 2147483647, value: 'a' },
    { limit: 0, value: 'b' },
  ]);
});

test('what is no share is refused', () => {
  assert.throws(() => readShares(block(['50', 'a'])), /invalid percent value "50"/);
  assert.throws(() => readShares(block(['0%', 'a'])), /invalid percent value "0%"/);
  assert.throws(() => readShares(block(['1.234%', 'a'])), /invalid percent value "1\.234%"/);
  assert.throws(() => readShares(block(['60%', 'a'], ['50%', 'b'])), /percent total is greater than 100%/);
  assert.throws(() => readShares(block(['*', 'a'], ['1%', 'b'])), /percent total is greater than 100%/);
});
