import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compilePatterns, StreamSearch } from '../../../src/modules/sub-filter/search.ts';

/** Replaces each match of a pattern by its number in brackets, piece by piece, as the filter does. */
function replaceInPieces(pieces: readonly string[], patterns: readonly string[], once: boolean): string {
  const search = new StreamSearch(compilePatterns(patterns), once);
  let out = '';
  let kept = '';
  for (const piece of pieces) {
    const data = Buffer.from(kept + piece, 'latin1');
    let position = 0;
    for (;;) {
      const found = search.next(data, position);
      if (found < 0) break;
      out += `${data.toString('latin1', position, search.matchStart)}[${found}]`;
      position = search.matchEnd;
    }
    out += data.toString('latin1', position, search.matchStart);
    kept = data.toString('latin1', search.matchStart);
    assert.ok(kept.length < Math.max(...patterns.map(({ length }) => length)));
  }
  return out + kept;
}

/** The same, the plain way. */
function replaceWhole(text: string, patterns: readonly string[], once: boolean): string {
  const done = new Set<number>();
  const lower = text.toLowerCase();
  let out = '';
  for (let start = 0; start < text.length; ) {
    let found = -1;
    for (const [index, pattern] of patterns.entries()) {
      if (once && done.has(index)) continue;
      const rest = lower.slice(start, start + pattern.length);
      if (!pattern.toLowerCase().startsWith(rest)) continue;
      // No match is cut off by the end, which holds nothing anybody looks for.
      assert.equal(rest.length, pattern.length);
      found = index;
      break;
    }
    if (found < 0) out += text[start++];
    else {
      done.add(found);
      out += `[${found}]`;
      start += patterns[found].length;
    }
  }
  return out;
}

const word = fc.string({ unit: fc.constantFrom('a', 'b', 'A', 'c'), minLength: 1, maxLength: 5 });
const pieces = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'B', 'c', '<'), maxLength: 9 }), {
  maxLength: 8,
});

test('what is found does not depend on how the text is cut', () => {
  fc.assert(
    fc.property(
      pieces,
      fc.array(word, { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      (cut, patterns, once) => {
        assert.equal(replaceInPieces(cut, patterns, once), replaceInPieces([cut.join('')], patterns, once));
      },
    ),
    { seed: 5, numRuns: 2000 },
  );
});

test('matches are the leftmost, and of one place the pattern given first', () => {
  fc.assert(
    fc.property(
      pieces,
      fc.array(word, { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      (cut, patterns, once) => {
        // The end of text nobody looks for keeps matches from being cut off.
        const text = `${cut.join('')}${'-'.repeat(6)}`;
        assert.equal(replaceInPieces([...cut, '------'], patterns, once), replaceWhole(text, patterns, once));
      },
    ),
    { seed: 5, numRuns: 2000 },
  );
});

test('bytes above 127 are found as they are', () => {
  assert.equal(replaceInPieces(['x\xe9', '\xc9y'], ['\xe9\xc9'], false), 'x[0]y');
  assert.equal(replaceInPieces(['x\xe9\xe9y'], ['\xe9\xc9'], false), 'x\xe9\xe9y');
});

test('a long pattern is found in pieces of one byte', () => {
  const pattern = 'abc'.repeat(200);
  const text = `ab${pattern}c${pattern.slice(1)}${pattern.toUpperCase()}`;
  assert.equal(
    replaceInPieces([...text], [pattern], false),
    replaceWhole(`${text}${'-'.repeat(700)}`, [pattern], false).replace(/-+$/, ''),
  );
});
