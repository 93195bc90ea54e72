import assert from 'node:assert/strict';
import { BlockList, isIP } from 'node:net';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { parseAddress } from '../../../src/upstream/balance/address-bytes.ts';
import {
  CRC32_START,
  crc32Finish,
  crc32Update,
  crc32UpdateInt32,
} from '../../../src/upstream/balance/crc32.ts';

function bytesOf(text: string): [number, string] {
  const bytes = new Uint8Array(16).fill(7);
  const length = parseAddress(text, bytes);
  return [length, Buffer.from(bytes).toString('hex')];
}

const rest = '0'.repeat(24);

test('addresses become their bytes', () => {
  assert.deepEqual(bytesOf('192.0.2.255'), [4, `c00002ff${rest}`]);
  assert.deepEqual(bytesOf('2001:db8::1'), [16, '20010db8000000000000000000000001']);
  assert.deepEqual(bytesOf('::'), [16, '00000000000000000000000000000000']);
  assert.deepEqual(bytesOf('::1'), [16, '00000000000000000000000000000001']);
  assert.deepEqual(bytesOf('FE80::'), [16, 'fe800000000000000000000000000000']);
  assert.deepEqual(bytesOf('::ffff:192.0.2.7'), [16, '00000000000000000000ffffc0000207']);
  assert.deepEqual(bytesOf('1:2:3:4:5:6:7:8'), [16, '00010002000300040005000600070008']);
});

test('what is no address becomes zeros', () => {
  for (const text of [
    '',
    'unix:',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '1..2.3',
    '1:2',
    ':::',
    '1::2::3',
    '12345::',
    '1:',
  ]) {
    assert.deepEqual(bytesOf(text), [0, '0'.repeat(32)], text);
  }
});

test('every address Node takes for one is read as Node reads it', () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
      const [length, hexadecimal] = bytesOf(text);
      assert.equal(length, isIP(text) === 4 ? 4 : 16);
      const written =
        length === 4
          ? [...Buffer.from(hexadecimal, 'hex').subarray(0, 4)].join('.')
          : hexadecimal.replace(/(....)(?=.)/g, '$1:');
      const list = new BlockList();
      list.addAddress(text, length === 4 ? 'ipv4' : 'ipv6');
      assert.ok(list.check(written, length === 4 ? 'ipv4' : 'ipv6'));
    }),
    { seed: 7, numRuns: 500 },
  );
});

test('the checksum is that of zlib over the bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.integer(), (bytes, number) => {
      const text = Buffer.from(bytes).toString('latin1');
      assert.equal(crc32Finish(crc32Update(CRC32_START, text)), crc32(bytes));
      const tail = Buffer.alloc(4);
      tail.writeInt32LE(number);
      assert.equal(
        crc32Finish(crc32UpdateInt32(crc32Update(CRC32_START, text), number)),
        crc32(Buffer.concat([bytes, tail])),
      );
    }),
    { seed: 7 },
  );
});
