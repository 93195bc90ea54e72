import assert from 'node:assert/strict';
import { isIPv6 } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  formatIPv4,
  formatIPv6,
  isMappedIPv4,
  NO_ADDRESS,
  parseAddressAndPort,
  parseDecimal,
  parseIPv4,
  parseIPv6,
} from '../../src/http/ip-address.ts';

const groups = new Uint16Array(8);

/** The address as it is written again; undefined where it is none. */
const rewritten = (text: string): string | undefined =>
  parseIPv6(text, groups) ? formatIPv6(groups) : undefined;

test('an IPv4 address is four numbers up to 255; an absent one is 0', () => {
  assert.equal(parseIPv4('192.0.2.1'), 0xc0000201 | 0);
  assert.equal(parseIPv4('010.1.2.003'), 0x0a010203);
  assert.equal(parseIPv4('...'), 0);
  assert.equal(parseIPv4('x10.1.2.3/8', 1, 9), 0x0a010203);
  for (const text of ['', '1', '1.2.3', '1.2.3.4.5', '1.2.3.256', '1.2.3.4 ', '1.2.3.-4', 'a.b.c.d']) {
    assert.equal(parseIPv4(text), NO_ADDRESS, text);
  }
});

test('the broadcast address is no address, as in nginx', () => {
  assert.equal(parseIPv4('255.255.255.255'), NO_ADDRESS);
  assert.equal(rewritten('::ffff:255.255.255.255'), undefined);
});

test('every other IPv4 address survives being written and read', () => {
  fc.assert(
    fc.property(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), (address) => {
      assert.equal(parseIPv4(formatIPv4(address)), address);
    }),
    { seed: 1 },
  );
});

test('IPv6 addresses are read in all their forms and written in one', () => {
  const forms: Record<string, string> = {
    '::': '::',
    '::1': '::1',
    '1::': '1::',
    '2001:DB8:0:0:0:0:0:1': '2001:db8::1',
    '2001:0db8::0001': '2001:db8::1',
    '1:0:0:2:0:0:0:3': '1:0:0:2::3',
    '1:0:0:2:3:0:0:4': '1::2:3:0:0:4',
    '1:0:2:3:4:5:6:7': '1:0:2:3:4:5:6:7',
    '::ffff:192.0.2.1': '::ffff:192.0.2.1',
    '::ffff:c000:201': '::ffff:192.0.2.1',
    '::192.0.2.1': '::192.0.2.1',
    '::102:304': '::1.2.3.4',
    '64:ff9b::192.0.2.1': '64:ff9b::c000:201',
  };
  for (const [text, expected] of Object.entries(forms)) assert.equal(rewritten(text), expected, text);
});

test('what is no IPv6 address is refused', () => {
  const refused = [
    '',
    ':',
    ':::',
    '1',
    '1:',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1::2::3',
    '12345::',
    'g::',
    '1::2:3:4:5:6:7:8',
    '1.2.3.4',
    '::1.2.3',
    '::1.2.3.256',
    '1:2:3:4:5:6:7:1.2.3.4',
    '::1%lo',
    '[::1]',
    '::1 ',
  ];
  for (const text of refused) assert.equal(rewritten(text), undefined, text);
});

test('any eight groups survive being written and read, and Node takes the text for an address', () => {
  const group = fc.oneof(fc.constant(0), fc.constant(0xffff), fc.nat(0xffff));
  fc.assert(
    fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (parts) => {
      // An address that ends in 255.255.255.255 is none.
      fc.pre(parts[6] !== 0xffff || parts[7] !== 0xffff);
      const text = formatIPv6(Uint16Array.from(parts));
      assert.ok(isIPv6(text), text);
      assert.ok(parseIPv6(text, groups), text);
      assert.deepEqual([...groups], parts, text);
      assert.ok(parseIPv6(parts.map((part) => part.toString(16)).join(':'), groups));
      assert.deepEqual([...groups], parts);
    }),
    { seed: 2 },
  );
});

test('only ::ffff:0:0/96 is IPv4 in IPv6 clothes', () => {
  const isMapped = (text: string) => parseIPv6(text, groups) && isMappedIPv4(groups);
  assert.ok(isMapped('::ffff:1.2.3.4'));
  assert.ok(isMapped('::ffff:0:0'));
  for (const text of ['::1.2.3.4', '1::ffff:1.2.3.4', '::1:ffff:1.2.3.4', '::fffe:1.2.3.4']) {
    assert.ok(!isMapped(text), text);
  }
});

test('a port may follow an address; an IPv6 address has brackets then', () => {
  const expected: Record<string, [string, number] | undefined> = {
    '192.0.2.1': ['192.0.2.1', 0],
    '192.0.2.1:80': ['192.0.2.1', 80],
    '2001:DB8::1': ['2001:db8::1', 0],
    '[2001:db8::1]': ['2001:db8::1', 0],
    '[2001:db8::1]:65535': ['2001:db8::1', 65535],
    '[192.0.2.1]:80': ['192.0.2.1', 80],
    '192.0.2.1:': undefined,
    '192.0.2.1:0': undefined,
    '192.0.2.1:65536': undefined,
    '192.0.2.1:8x': undefined,
    '[2001:db8::1': undefined,
    '[2001:db8::1]80': undefined,
    '[2001:db8::1]:': undefined,
    '[]': undefined,
    '': undefined,
    unknown: undefined,
    'example.com:80': undefined,
  };
  for (const [text, result] of Object.entries(expected)) {
    const address = parseAddressAndPort(text);
    assert.deepEqual(address === undefined ? undefined : [address.address, address.port], result, text);
  }
});

test('a decimal number is digits up to a maximum', () => {
  assert.equal(parseDecimal('/24', 1, 32), 24);
  assert.equal(parseDecimal('0032', 0, 32), 32);
  for (const text of ['', '33', '-1', '1x', ' 1', '99999999999999999999'])
    assert.equal(parseDecimal(text, 0, 32), -1);
});

test('reading never fails with anything but "no address"', () => {
  const text = fc.string({ unit: fc.constantFrom(...'0129afFG:.[]/% '), maxLength: 24 });
  fc.assert(
    fc.property(text, (value) => {
      const found = parseAddressAndPort(value);
      if (found !== undefined) assert.equal(parseAddressAndPort(found.address)?.address, found.address);
    }),
    { seed: 3, numRuns: 2000 },
  );
});
