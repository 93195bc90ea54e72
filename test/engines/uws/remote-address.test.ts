/** Clients' addresses in text. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { addressText } from '../../../src/engines/uws/remote-address.ts';

const byte = fc.integer({ min: 0, max: 255 });
const buffer = (...bytes: number[]) => new Uint8Array(bytes).buffer;

describe('the address of a client', () => {
  test('of four bytes is written with dots, whichever has been asked for before', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(byte, byte, byte, byte), { minLength: 5000, maxLength: 6000 }),
        (addresses) => {
          for (const address of addresses) assert.equal(addressText(buffer(...address)), address.join('.'));
        },
      ),
      { numRuns: 5, seed: 7 },
    );
  });

  test('of sixteen bytes is written with colons', () => {
    assert.equal(
      addressText(buffer(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2)),
      '2001:db8::102',
    );
  });

  test('is none where there are no bytes', () => {
    assert.equal(addressText(buffer()), '');
  });
});
