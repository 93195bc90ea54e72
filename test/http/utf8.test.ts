import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { firstCharacters, utf8Length } from '../../src/http/utf8.ts';

const bytes = (text: string) => Buffer.from(text).toString('latin1');

test('characters of UTF-8 are counted, and bytes where it is not UTF-8', () => {
  assert.equal(utf8Length(''), 0);
  assert.equal(utf8Length('abc'), 3);
  assert.equal(utf8Length(bytes('äöü€😀')), 5);
  assert.equal(utf8Length('\xe4'), 1);
  assert.equal(utf8Length('a\xc3'), 2);
  assert.equal(utf8Length('\xc3a\xc3\xa4'), 4);
  // Longer than it need be; beyond the last character there is.
  assert.equal(utf8Length('\xc0\xaf'), 2);
  assert.equal(utf8Length('\xf4\x90\x80\x80'), 4);
});

test('the first characters end where what is no UTF-8 begins', () => {
  assert.equal(firstCharacters(bytes('äöü'), 2), bytes('äö'));
  assert.equal(firstCharacters(bytes('äöü'), 9), bytes('äöü'));
  assert.equal(firstCharacters('ab\xffc', 9), 'ab');
});

test('of any text of Unicode as many characters are counted as it has', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.nat(20), (text, count) => {
      const characters = [...text];
      assert.equal(utf8Length(bytes(text)), characters.length);
      assert.equal(firstCharacters(bytes(text), count), bytes(characters.slice(0, count).join('')));
    }),
    { seed: 1, numRuns: 1000 },
  );
});
