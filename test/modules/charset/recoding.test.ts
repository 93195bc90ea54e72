import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  buildSingleByteTables,
  buildUtf8Tables,
  type Recoding,
} from '../../../src/modules/charset/recoding.ts';

const LETTERS = 'абвгдежзийклмнопрстуфхцчшщъыьэюя€';

/** A charset that has Cyrillic letters from 0xC0 on. */
const cyrillic = buildUtf8Tables(
  [...LETTERS].map((letter, index) => [0xc0 + index, new TextEncoder().encode(letter)]),
);

function inPieces(recoding: Recoding, bytes: Buffer, cuts: readonly number[]): Buffer {
  const recode = recoding.start();
  const places = cuts.map((cut) => cut % (bytes.length + 1)).sort((left, right) => left - right);
  const out: Buffer[] = [];
  let from = 0;
  for (const to of [...places, bytes.length]) {
    out.push(Buffer.from(recode(Buffer.from(bytes.subarray(from, to)))));
    from = to;
  }
  return Buffer.concat(out);
}

const cuts = fc.array(fc.nat(1000), { maxLength: 6 });
const letters = fc.array(fc.constantFrom(...LETTERS, 'a', '<', ' ')).map((characters) => characters.join(''));

test('text goes to utf-8 and back, however it is cut', () => {
  fc.assert(
    fc.property(letters, cuts, cuts, (text, cutsThere, cutsBack) => {
      const utf8 = Buffer.from(text);
      const single = inPieces(cyrillic.backward, utf8, cutsThere);
      assert.equal(single.length, [...text].length);
      assert.ok(inPieces(cyrillic.forward, single, cutsBack).equals(utf8));
    }),
    { seed: 5 },
  );
});

test('characters of utf-8 that the other charset does not have become entities', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), cuts, (text, places) => {
      const expected = [...text]
        .map((character) => (character < '\x80' ? character : `&#${character.codePointAt(0)};`))
        .join('');
      const none = buildUtf8Tables([]);
      assert.equal(inPieces(none.backward, Buffer.from(text), places).toString('latin1'), expected);
    }),
    { seed: 5 },
  );
});

test('what is no utf-8 becomes a question mark', () => {
  const recode = (bytes: number[]) => cyrillic.backward.start()(Buffer.from(bytes)).toString('latin1');
  assert.equal(recode([0x80, 0x61]), '?a');
  assert.equal(recode([0xc0, 0x61]), '?a');
  assert.equal(recode([0xc3, 0x61, 0x62]), '?b');
  assert.equal(recode([0xff]), '?');
  // Longer than the character needs.
  assert.equal(recode([0xe0, 0x80, 0xaf, 0x2e]), '?.');
  // Beyond Unicode.
  assert.equal(recode([0xf7, 0xbf, 0xbf, 0xbf, 0x2e]), '?.');
});

test('between charsets of single bytes, what has no counterpart is a question mark', () => {
  const tables = buildSingleByteTables([[0xe1, 0xc1]]);
  const forward = tables.forward.start();
  assert.equal(forward(Buffer.from([0x41, 0xe1, 0xe2])).toString('latin1'), 'A\xc1?');
  assert.equal(
    tables.backward
      .start()(Buffer.from([0xc1, 0xe1]))
      .toString('latin1'),
    '\xe1?',
  );
  const same = Buffer.from('plain');
  assert.equal(forward(same), same);
});

test('a piece that was lent is not changed', () => {
  for (const recoding of [
    cyrillic.forward,
    cyrillic.backward,
    buildSingleByteTables([[0xe1, 0xc1]]).forward,
  ]) {
    const piece = Buffer.from([0x41, 0xe1, 0xd0, 0xb0, 0x42]);
    const before = Buffer.from(piece);
    recoding.start()(piece);
    assert.ok(piece.equals(before));
  }
});
