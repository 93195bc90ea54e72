import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { Deflater } from '../../../src/modules/gzip/deflater.ts';

/** Bytes with repetitions near and far, as text has them. */
const text = fc
  .array(
    fc.tuple(
      fc.constantFrom('<p>', 'Portico ', 'x', 'é', '\0', 'lorem ipsum '),
      fc.integer({ min: 1, max: 3000 }),
    ),
    {
      maxLength: 12,
    },
  )
  .map((runs) => Buffer.from(runs.map(([word, times]) => word.repeat(times)).join('')));

test('pieces, however cut, make one gzip stream of the whole, in every setting', () => {
  fc.assert(
    fc.property(
      text,
      fc.array(fc.nat(100_000), { maxLength: 5 }),
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 9, max: 15 }),
      fc.integer({ min: 1, max: 9 }),
      fc.boolean(),
      (body, cuts, level, windowBits, memoryLevel, sizeIsKnown) => {
        const deflater = new Deflater(level, windowBits, memoryLevel, sizeIsKnown ? body.length : -1);
        const places = cuts.map((cut) => cut % (body.length + 1)).sort((left, right) => left - right);
        const out: Buffer[] = [];
        let from = 0;
        for (const to of places) {
          out.push(deflater.deflate(body.subarray(from, to), false));
          // What has come so far can be had of what has gone out.
          from = to;
        }
        out.push(deflater.deflate(body.subarray(from), true));
        assert.ok(gunzipSync(Buffer.concat(out)).equals(body));
        assert.equal(deflater.bytesIn, body.length);
        assert.equal(deflater.bytesOut, Buffer.concat(out).length);
      },
    ),
    { seed: 5, numRuns: 60 },
  );
});

test('a piece refers to what came before it', () => {
  const deflater = new Deflater(6, 15, 8, -1);
  const random = Buffer.from(
    Array.from({ length: 4000 }, (_, index) => (index * 7919 + (index >> 3) * 104729) & 255),
  );
  const first = deflater.deflate(random, false);
  const second = deflater.deflate(random, true);
  assert.ok(second.length < 200, `${first.length}, ${second.length}`);
});

test('an empty body is a whole gzip stream', () => {
  assert.equal(gunzipSync(new Deflater(1, 15, 8, -1).deflate(Buffer.alloc(0), true)).length, 0);
});
