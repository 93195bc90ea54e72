import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createKeptThings } from '../../src/worker/kept.ts';

function thing(closed: string[], name: string) {
  return () => ({ name, close: () => closed.push(name) });
}

test('a thing both generations ask for is handed on, and closed with the last of them', () => {
  const closed: string[] = [];
  const kept = createKeptThings();
  const first = kept.keep(1, 'a', thing(closed, 'a'));
  kept.keep(1, 'b', thing(closed, 'b'));
  assert.equal(kept.keep(2, 'a', thing(closed, 'another')), first);
  kept.release(1);
  assert.deepEqual(closed, ['b']);
  kept.release(2);
  assert.deepEqual(closed, ['b', 'a']);
  assert.equal(kept.size, 0);
});

test('a generation that comes to nothing closes only what it has made', () => {
  const closed: string[] = [];
  const kept = createKeptThings();
  kept.keep(1, 'a', thing(closed, 'a'));
  kept.keep(2, 'a', thing(closed, 'a'));
  kept.keep(2, 'c', thing(closed, 'c'));
  kept.release(2);
  assert.deepEqual(closed, ['c']);
  kept.release(2);
  assert.deepEqual(closed, ['c']);
});

test('at the end of the thread everything is closed, once', () => {
  const closed: string[] = [];
  const kept = createKeptThings();
  kept.keep(1, 'a', thing(closed, 'a'));
  kept.keep(2, 'a', thing(closed, 'a'));
  kept.releaseAll();
  kept.releaseAll();
  kept.release(1);
  assert.deepEqual(closed, ['a']);
});
