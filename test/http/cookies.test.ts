import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cookieValue } from '../../src/http/cookies.ts';
import { headerBlockOf } from '../../src/http/header-block.ts';

function cookie(name: string, ...lines: string[]): string | undefined {
  return cookieValue(headerBlockOf(lines.map((line) => ['Cookie', line] as const)), name);
}

test('a cookie is found by its name in any Cookie field', () => {
  assert.equal(cookie('b', 'a=1; b=2;c=3'), '2');
  assert.equal(cookie('c', 'a=1; b=2', 'C = 3 ;x'), '3 ');
  assert.equal(cookie('a', 'aa=1; a=2'), '2');
  assert.equal(cookie('a', 'b=a=1; a="x"'), '"x"');
  assert.equal(cookie('a', 'a='), '');
  assert.equal(cookie('a', 'a'), undefined);
  assert.equal(cookie('a', 'b=1'), undefined);
  assert.equal(cookie('a'), undefined);
  assert.equal(cookie('', '=1'), undefined);
});

test('after a name without a value the next cookie is passed over, as in nginx', () => {
  assert.equal(cookie('a', 'a;a=1'), undefined);
  assert.equal(cookie('a', 'a;b=2;a=1'), '1');
});
