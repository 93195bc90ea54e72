import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { differences, median, medianRatio, spread } from '../../native-bench/statistics.ts';

const seed = 7_2026;

test('the median is the middle value, and of an even number the mean of the two middle ones', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.ok(Number.isNaN(median([])));
});

test('the median has as many values above it as below, and does not disturb its input', () => {
  fc.assert(
    fc.property(fc.array(fc.integer(), { minLength: 1 }), (values) => {
      const before = [...values];
      const middle = median(values);
      assert.deepEqual(values, before);
      const below = values.filter((value) => value < middle).length;
      const above = values.filter((value) => value > middle).length;
      assert.ok(below <= values.length / 2 && above <= values.length / 2);
    }),
    { seed },
  );
});

test('a ratio is taken within each round, so that a slow round of both counts for nothing', () => {
  assert.equal(medianRatio([10, 100, 10], [20, 200, 20]), 0.5);
});

test('a round in which either has no valid turn is left out of the ratio', () => {
  assert.equal(medianRatio([undefined, 3, 5], [1, undefined, 5]), 1);
  assert.ok(Number.isNaN(medianRatio([1], [undefined])));
});

test('differences are taken round by round', () => {
  assert.deepEqual(differences([5, undefined, 7], [1, 2, undefined]), [4, undefined, undefined]);
});

test('the spread is the distance of the quartiles as a share of the median', () => {
  assert.equal(spread([1, 2, 3, 4, 5]), 2 / 3);
  assert.equal(spread([5, 5, 5]), 0);
  assert.ok(Number.isNaN(spread([5])));
});
