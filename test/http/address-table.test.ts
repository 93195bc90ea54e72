import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type AddressFamily, type AddressRange, AddressTable } from '../../src/http/address-table.ts';

const BITS = { IPv4: 32, IPv6: 128 };

/** Networks: any two of them are apart, or one is inside the other. */
function networks(family: AddressFamily): fc.Arbitrary<AddressRange<number>[]> {
  const bits = BITS[family];
  const all = (1n << BigInt(bits)) - 1n;
  // Addresses with few bits set are near each other, and at the edges of ranges.
  const address = fc.oneof(
    fc.bigInt({ min: 0n, max: all }),
    fc.integer({ min: 0, max: bits - 1 }).map((shift) => (all << BigInt(shift)) & all),
    fc.bigInt({ min: 0n, max: 300n }),
  );
  return fc.array(
    fc.record({ address, width: fc.integer({ min: 0, max: bits }), value: fc.nat(5) }).map((given) => {
      const hosts = (1n << BigInt(bits - given.width)) - 1n;
      const first = given.address & (all ^ hosts);
      return { first, last: first | hosts, value: given.value };
    }),
    { maxLength: 30 },
  );
}

function naive(ranges: readonly AddressRange<number>[], address: bigint): number {
  let found: AddressRange<number> | undefined;
  for (const range of ranges) {
    if (address < range.first || address > range.last) continue;
    if (found === undefined || range.last - range.first <= found.last - found.first) found = range;
  }
  return found?.value ?? -1;
}

function groupsOf(address: bigint): Uint16Array {
  return Uint16Array.from({ length: 8 }, (_, group) =>
    Number((address >> BigInt((7 - group) * 16)) & 0xffffn),
  );
}

for (const family of ['IPv4', 'IPv6'] as const) {
  test(`${family}: an address has the value of the smallest network it is in`, () => {
    const all = (1n << BigInt(BITS[family])) - 1n;
    fc.assert(
      fc.property(networks(family), fc.bigInt({ min: 0n, max: all }), (ranges, random) => {
        const table = new AddressTable(family, ranges, -1);
        const asked = [random, 0n, all, ...ranges.flatMap(({ first, last }) => [first, last])];
        for (const edge of [...asked]) asked.push((edge + 1n) & all, (edge - 1n) & all);
        for (const address of asked) {
          const found =
            family === 'IPv4' ? table.findIPv4(Number(address) | 0) : table.findIPv6(groupsOf(address));
          assert.equal(found, naive(ranges, address), `address ${address.toString(16)}`);
        }
      }),
      { seed: 5, numRuns: 300 },
    );
  });
}

test('of two ranges that are the same the last one counts', () => {
  const table = new AddressTable(
    'IPv4',
    [
      { first: 5n, last: 9n, value: 'one' },
      { first: 5n, last: 9n, value: 'other' },
    ],
    '',
  );
  assert.equal(table.findIPv4(4), '');
  assert.equal(table.findIPv4(5), 'other');
  assert.equal(table.findIPv4(10), '');
});
