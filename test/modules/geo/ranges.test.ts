import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AddressTable } from '../../../src/http/address-table.ts';
import { formatIPv4 } from '../../../src/http/ip-address.ts';
import { GeoRanges } from '../../../src/modules/geo/ranges.ts';

const noWarning = (previous: string) => assert.fail(`warned of ${previous}`);

test('a range inside another leaves what is on both sides of it', () => {
  const ranges = new GeoRanges();
  assert.equal(ranges.add(10, 20, 'outer', noWarning), undefined);
  assert.equal(ranges.add(12, 15, 'inner', noWarning), undefined);
  assert.deepEqual(ranges.ranges(), [
    { first: 10n, last: 11n, value: 'outer' },
    { first: 12n, last: 15n, value: 'inner' },
    { first: 16n, last: 20n, value: 'outer' },
  ]);
});

test('the same range again takes the place of the first and is warned of', () => {
  const ranges = new GeoRanges();
  const warnings: string[] = [];
  ranges.add(10, 20, 'one', noWarning);
  ranges.add(10, 20, 'two', (previous) => warnings.push(previous));
  assert.deepEqual(warnings, ['one']);
  assert.deepEqual(ranges.ranges(), [{ first: 10n, last: 20n, value: 'two' }]);
});

test('a range that begins in another and ends outside is in the way', () => {
  const ranges = new GeoRanges();
  ranges.add(10, 20, 'one', noWarning);
  assert.equal(ranges.add(15, 25, 'two', noWarning), '0.0.0.10-0.0.0.20');
  assert.equal(ranges.add(5, 10, 'two', noWarning), '0.0.0.10-0.0.0.20');
  assert.equal(ranges.add(5, 25, 'two', noWarning), '0.0.0.10-0.0.0.20');
});

test('a range is deleted as it stands, or not at all', () => {
  const ranges = new GeoRanges();
  ranges.add(0xfffe, 0x2_0001, 'wide', noWarning);
  assert.equal(ranges.delete(0xfffe, 0xffff), true);
  assert.equal(ranges.delete(0x1_0000, 0x1_0005), false);
  assert.equal(ranges.delete(0x1_0000, 0x2_0001), true);
  assert.deepEqual(ranges.ranges(), []);
  assert.equal(ranges.delete(1, 2), false);
});

test('the last range that was added holds for its addresses', () => {
  const edge = fc.oneof(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0xfff0, max: 0x2_0010 }));
  fc.assert(
    fc.property(fc.array(fc.tuple(edge, edge, fc.string()), { maxLength: 12 }), (given) => {
      const ranges = new GeoRanges();
      const naive = new Map<number, string>();
      for (const [one, other, value] of given) {
        const first = Math.min(one, other);
        const last = Math.max(one, other);
        const obstacle = ranges.add(first, last, value, () => {});
        // nginx stops loading there.
        if (obstacle !== undefined) return;
        for (let address = first; address <= last; address++) naive.set(address, value);
      }
      const table = new AddressTable('IPv4', ranges.ranges(), undefined);
      const asked = given.flatMap(([one, other]) => [one - 1, one, one + 1, other - 1, other, other + 1]);
      for (const address of asked) {
        assert.equal(table.findIPv4(address), naive.get(address), formatIPv4(address));
      }
    }),
    { seed: 7, numRuns: 300 },
  );
});
