import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { argument, normalizeUri, parseUnsafeUri, type UriPieces } from '../../src/http/uri.ts';

function normalize(target: string, mergeSlashes = true): UriPieces | undefined {
  const into = { uri: '', args: '', extension: '', quotedUri: false, plusInUri: false };
  return normalizeUri(target, mergeSlashes, into) ? into : undefined;
}

const CASES: readonly [target: string, uri: string, args?: string, extension?: string][] = [
  ['/', '/'],
  ['/a/b.html?c=d?e', '/a/b.html', 'c=d?e', 'html'],
  ['/a.b/c', '/a.b/c'],
  ['/a.b.c', '/a.b.c', '', 'c'],
  ['/.hidden', '/.hidden'],
  ['/a/./b', '/a/b'],
  ['/a/.', '/a/'],
  ['/a/..', '/'],
  ['/a/../b', '/b'],
  ['/a/b/../../c', '/c'],
  ['/a//b', '/a/b'],
  ['//', '/'],
  ['/a//../b', '/b'],
  ['/...', '/...'],
  ['/..a', '/..a'],
  ['/a..', '/a..', '', ''],
  ['/%41', '/A'],
  ['/%2e%2E/', '', 'invalid'],
  ['/a%2f..%2fb', '/b'],
  ['/a/.%2e/b', '/b'],
  ['/%25%3f%23', '/%?#'],
  ['/a#b?c', '/a'],
  ['/a?b#c', '/a', 'b'],
  ['/a?', '/a'],
  ['/a?b%20c', '/a', 'b%20c'],
  ['/a/.?x', '/a/', 'x'],
  ['/a/..?x', '/', 'x'],
  ['/%20%7f', '/ \x7f'],
  ['/\xe9.x', '/\xe9.x', '', 'x'],
  ['?x', '/', 'x'],
  ['?x#y', '/', 'x'],
];

test('paths are normalised as nginx does', () => {
  for (const [target, uri, args = '', extension] of CASES) {
    const pieces = normalize(target);
    if (args === 'invalid') {
      assert.equal(pieces, undefined, target);
      continue;
    }
    assert.equal(pieces?.uri, uri, target);
    assert.equal(pieces?.args, args, target);
    if (extension !== undefined) assert.equal(pieces?.extension, extension, target);
  }
});

test('repeated slashes stay when they are not to be merged', () => {
  assert.equal(normalize('/a//b', false)?.uri, '/a//b');
  assert.equal(normalize('/a//../b', false)?.uri, '/a/b');
  assert.equal(normalize('/a%2f%2fb', false)?.uri, '/a//b');
});

test('invalid targets are refused', () => {
  for (const target of [
    '',
    'a',
    '*',
    '/..',
    '/../',
    '/a/../..',
    '/%',
    '/%4',
    '/%zz',
    '/%00',
    '/a b',
    '/\n',
    '/\x7f',
    '/a?b\tc',
  ]) {
    assert.equal(normalize(target), undefined, JSON.stringify(target));
  }
});

test('escapes and pluses in the path are noticed', () => {
  assert.equal(normalize('/%41')?.quotedUri, true);
  assert.equal(normalize('/a?%41')?.quotedUri, false);
  assert.equal(normalize('/a+b')?.plusInUri, true);
  assert.equal(normalize('/a%2bb')?.plusInUri, true);
  assert.equal(normalize('/a?b+c')?.plusInUri, false);
});

test('no target makes it throw, and what comes out has no dot segments and no repeated slashes', () => {
  const piece = fc.constantFrom(
    '/',
    '.',
    '..',
    '%2e',
    '%2f',
    '%',
    'a',
    '?',
    '#',
    '+',
    '%00',
    '%3f',
    '\xff',
    '%41',
    'b.c',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 15 }), (parts) => {
      const pieces = normalize(`/${parts.join('')}`);
      if (pieces === undefined) return;
      assert.equal(pieces.uri[0], '/');
      assert.ok(!pieces.uri.includes('//'));
      assert.ok(!/\/\.\.?(\/|$)/.test(pieces.uri), pieces.uri);
      assert.ok(!pieces.args.includes('#'));
      if (!/[%?#]/.test(pieces.uri)) assert.equal(normalize(pieces.uri)?.uri, pieces.uri);
    }),
    { seed: 4, numRuns: 2000 },
  );
});

test('arguments are found by their whole name', () => {
  assert.equal(argument('a=1&b=2', 'b'), '2');
  assert.equal(argument('xa=1&A=2&a=3', 'a'), '2');
  assert.equal(argument('a&a=', 'a'), '');
  assert.equal(argument('aa=1', 'a'), undefined);
  assert.equal(argument('a', 'a'), undefined);
  assert.equal(argument('', 'a'), undefined);
});

test('URIs from upstreams are decoded, unless they are unsafe', () => {
  assert.deepEqual(parseUnsafeUri('/a%20b?c%20d'), { uri: '/a b', args: 'c%20d' });
  assert.deepEqual(parseUnsafeUri('a..b/..c'), { uri: 'a..b/..c', args: '' });
  for (const text of ['', '?x', '..', '../a', '/a/../b', '/a/..', '/a/%2e%2e/b', '/%2e%2e', '/a\0', '/%00']) {
    assert.equal(parseUnsafeUri(text), undefined, text);
  }
});
