import assert from 'node:assert/strict';
import { test } from 'node:test';
import { containsIgnoreCase, hasToken, listTokens } from '../../src/http/tokens.ts';

test('tokens are found in lists as wholes', () => {
  assert.ok(hasToken('close', 'close'));
  assert.ok(hasToken('keep-alive ,\tUpgrade', 'upgrade'));
  assert.ok(!hasToken('keep-alive, upgrades', 'upgrade'));
  assert.ok(!hasToken('', 'close'));
  assert.ok(!hasToken(',,', 'close'));
  assert.deepEqual(listTokens(' A, ,b-C ,'), ['a', 'b-c']);
  assert.deepEqual(listTokens(''), []);
});

test('words are found anywhere within bounds', () => {
  assert.ok(containsIgnoreCase('xCLOSEx', 'close'));
  assert.ok(!containsIgnoreCase('clos', 'close'));
  assert.ok(!containsIgnoreCase('close', 'close', 1));
  assert.ok(!containsIgnoreCase('close', 'close', 0, 4));
  assert.ok(!containsIgnoreCase('CL\xcfSE', 'cl\xefse'));
});
