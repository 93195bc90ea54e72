import assert from 'node:assert/strict';
import { BlockList } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { type AddressPattern, compileAddresses, meaninglessBits, parseCidr } from '../../src/http/cidr.ts';
import { formatIPv4, formatIPv6 } from '../../src/http/ip-address.ts';

function matcher(patterns: readonly string[], mapped: 'IPv4' | 'IPv4 if any' = 'IPv4') {
  return compileAddresses(
    patterns.map((text): AddressPattern => (text === 'all' || text === 'unix:' ? text : parseCidr(text)!)),
    mapped,
  );
}

test('an address alone is a range of one', () => {
  assert.deepEqual(parseCidr('192.0.2.1'), {
    family: 'IPv4',
    address: [0xc0000201 | 0],
    mask: [-1],
    hasMeaninglessBits: false,
  });
  assert.deepEqual(parseCidr('2001:db8::1')?.mask, [-1, -1, -1, -1]);
});

test('bits outside the mask are dropped, and told', () => {
  const range = parseCidr('192.168.1.1/16')!;
  assert.deepEqual(range.address, [0xc0a80000 | 0]);
  assert.ok(range.hasMeaninglessBits);
  assert.equal(meaninglessBits('192.168.1.1/16'), 'low address bits of 192.168.1.1/16 are meaningless');
  assert.ok(parseCidr('2001:db8::1/32')?.hasMeaninglessBits);
  assert.ok(parseCidr('1.2.3.4/0')?.hasMeaninglessBits);
  for (const text of [
    '192.168.0.0/16',
    '0.0.0.0/0',
    '1.2.3.4/32',
    '2001:db8::/32',
    '::/0',
    '::1/128',
    '1.2.3.4/032',
  ]) {
    assert.equal(parseCidr(text)?.hasMeaninglessBits, false, text);
  }
});

test('what is no range is refused', () => {
  const refused = [
    '',
    '/8',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/8/8',
    '10.0.0.0/-1',
    '10.0.0.0/255.0.0.0',
    '10.0.0/8',
    '::/129',
    '2001:db8::/x',
    '[::1]',
    'localhost',
    '1.2.3.4:80',
    '255.255.255.255',
  ];
  for (const text of refused) assert.equal(parseCidr(text), undefined, text);
});

test('the first pattern that matches is the one', () => {
  const match = matcher(['10.1.0.0/16', '10.0.0.0/8', '2001:db8::/32', 'unix:', 'all']);
  assert.equal(match('10.1.2.3'), 0);
  assert.equal(match('10.2.2.3'), 1);
  assert.equal(match('2001:db8:ffff::1'), 2);
  assert.equal(match('unix:'), 3);
  assert.equal(match('192.0.2.1'), 4);
  assert.equal(match('2001:db9::1'), 4);
});

test('an address matches no pattern of another family', () => {
  const match = matcher(['0.0.0.0/0']);
  assert.equal(match('192.0.2.1'), 0);
  assert.equal(match('::1'), -1);
  assert.equal(match('unix:'), -1);
  assert.equal(matcher(['::/0'])('192.0.2.1'), -1);
  assert.equal(matcher(['unix:'])('192.0.2.1'), -1);
  assert.equal(matcher([])('192.0.2.1'), -1);
  assert.equal(matcher([])('::1'), -1);
  assert.equal(matcher(['0.0.0.0/0'])(''), -1);
});

test('an IPv4 client on a socket for IPv6 is compared with IPv4 ranges', () => {
  const client = '::ffff:192.0.2.1';
  assert.equal(matcher(['::/0', '192.0.2.0/24'])(client), 1);
  assert.equal(matcher(['::/0', '192.0.2.0/24'], 'IPv4 if any')(client), 1);
  assert.equal(matcher(['::/0', '10.0.0.0/8'], 'IPv4 if any')(client), -1);
});

test('where there are no IPv4 ranges, access rules compare it with IPv6 ranges', () => {
  assert.equal(matcher(['::/0'])('::ffff:192.0.2.1'), -1);
  assert.equal(matcher(['::/0'], 'IPv4 if any')('::ffff:192.0.2.1'), 0);
});

test('the zone of a link-local address does not count', () => {
  assert.equal(matcher(['fe80::/10'])('fe80::1%eth0'), 0);
  assert.equal(matcher(['fe80::1'])('fe80::1%eth0'), 0);
});

test('ranges agree with those of net.BlockList', () => {
  const family = fc.constantFrom('ipv4' as const, 'ipv6' as const);
  const words = fc.array(fc.nat(0xffff), { minLength: 8, maxLength: 8 });
  const write = (kind: 'ipv4' | 'ipv6', parts: number[]) =>
    kind === 'ipv4' ? formatIPv4((parts[0] << 16) | parts[1]) : formatIPv6(Uint16Array.from(parts));
  fc.assert(
    fc.property(family, words, words, fc.nat(128), fc.nat(8), (kind, range, other, wide, common) => {
      const bits = kind === 'ipv4' ? wide % 33 : wide;
      // An IPv6 address that stands for an IPv4 one is compared as that one.
      fc.pre(kind === 'ipv4' || range.slice(0, 5).some((part) => part !== 0));
      const client = write(kind, [...range.slice(0, common), ...other.slice(common)]);
      const text = write(kind, range);
      const list = new BlockList();
      list.addSubnet(text, bits, kind);
      assert.equal(
        matcher([`${text}/${bits}`])(client) === 0,
        list.check(client, kind),
        `${client} in ${text}/${bits}`,
      );
    }),
    { seed: 4, numRuns: 500 },
  );
});
