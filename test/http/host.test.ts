import assert from 'node:assert/strict';
import { test } from 'node:test';
import { validateHost } from '../../src/http/host.ts';

function read(value: string): string {
  const into = { host: '', port: 0 };
  return validateHost(value, into) ? `${into.host} ${into.port}` : 'invalid';
}

test('a host comes out in lower case, without port and trailing dot', () => {
  assert.equal(read('example.com'), 'example.com 0');
  assert.equal(read('EXAMPLE.com.:8080'), 'example.com 8080');
  assert.equal(read('a:'), 'a 0');
  assert.equal(read('a:00080'), 'a 80');
  assert.equal(read('a:65535'), 'a 65535');
  assert.equal(read('.a'), '.a 0');
  assert.equal(read("a_b~!$&'()*+,;=%41"), "a_b~!$&'()*+,;=%41 0");
  assert.equal(read('[2001:DB8::1]:443'), '[2001:db8::1] 443');
  assert.equal(read('[::1]'), '[::1] 0');
});

test('what is no host is refused', () => {
  for (const value of [
    '',
    '.',
    '..',
    'a..b',
    ':80',
    'a:65536',
    'a:b',
    'a:1:2',
    'a b',
    'a\tb',
    'a/b',
    'a@b',
    'a\x80',
    'a\0',
    '[::1',
    '[::1]x',
    '[a%41]',
    'a[b]',
    '\u0161',
  ]) {
    assert.equal(read(value), 'invalid', JSON.stringify(value));
  }
});
