import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type EscapeKind,
  escapeHtml,
  escapeJson,
  escapeUri,
  unescapeUri,
} from '../../src/http/uri-escape.ts';

const ALL = String.fromCharCode(...Array.from({ length: 256 }, (_, code) => code));

function escapedBy(kind: EscapeKind): string {
  return [...ALL.slice(0x20, 0x7f)].filter((character) => escapeUri(character, kind) !== character).join('');
}

test('each kind escapes its own bytes', () => {
  assert.equal(escapedBy('uri'), ' "#%<>?\\^`{|}');
  assert.equal(escapedBy('args'), ' "#%&+;<>?\\^`{|}');
  assert.equal(escapedBy('uri-component'), ' !"#$%&\'()*+,/:;<=>?@[\\]^`{|}');
  assert.equal(escapedBy('html'), ' "#%\'<>\\^`{|}');
  assert.equal(escapedBy('refresh'), ' "\'<>\\^`{|}');
  assert.equal(escapedBy('memcached'), ' %');
  assert.equal(escapeUri('a\xe9\0', 'uri'), 'a%E9%00');
  assert.equal(escapeUri('\xe9\x7f\x1f', 'memcached'), '\xe9\x7f%1F');
});

test('unescaping undoes escaping', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 255 })), (codes) => {
      const text = String.fromCharCode(...codes);
      for (const kind of ['uri', 'args', 'uri-component'] as const) {
        assert.equal(unescapeUri(escapeUri(text, kind)), text);
      }
    }),
    { seed: 5, numRuns: 300 },
  );
});

test('broken escapes are dropped as nginx drops them', () => {
  assert.equal(unescapeUri('a%zb'), 'azb');
  assert.equal(unescapeUri('a%4zb'), 'ab');
  assert.equal(unescapeUri('a%'), 'a');
  assert.equal(unescapeUri('a%4'), 'a');
  assert.equal(unescapeUri('%%41'), '%41');
  assert.equal(unescapeUri('plain'), 'plain');
});

test('some kinds end at a question mark or keep what is dangerous', () => {
  assert.equal(unescapeUri('%41?%41'), 'A?A');
  assert.equal(unescapeUri('%41?%41', 'uri'), 'A?');
  assert.equal(unescapeUri('a?b', 'uri'), 'a?');
  assert.equal(unescapeUri('%41%3fb', 'uri'), 'A?');
  assert.equal(unescapeUri('%41%0a%20%25%e9%26', 'redirect'), 'A%0a%20%25%e9&');
});

test('HTML and JSON have their own escapes', () => {
  assert.equal(escapeHtml('<a href="x">&\'</a>'), "&lt;a href=&quot;x&quot;&gt;&amp;'&lt;/a&gt;");
  assert.equal(escapeHtml('plain'), 'plain');
  assert.equal(escapeJson('"\\\n\r\t\b\f\x01\x1f\x7f\xe9'), '\\"\\\\\\n\\r\\t\\b\\f\\u0001\\u001F\x7f\xe9');
});
