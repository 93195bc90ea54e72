import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  ANY_NUMBER_OF_RANGES,
  type ByteRange,
  contentRange,
  isByteRangeField,
  multipartRanges,
  parseByteRanges,
} from '../../src/http/ranges.ts';

const LENGTH = 100;

function parse(value: string, maximum = ANY_NUMBER_OF_RANGES, length = LENGTH) {
  const ranges = parseByteRanges(`bytes=${value}`, length, maximum);
  return typeof ranges === 'string' ? ranges : ranges.map(({ start, end }) => `${start}..${end}`).join(' ');
}

test('a Range field counts when its unit is bytes, in either case', () => {
  assert.ok(isByteRangeField('bytes=0-'));
  assert.ok(isByteRangeField('Bytes=0-'));
  assert.ok(!isByteRangeField('bytes='));
  assert.ok(!isByteRangeField('items=0-1'));
  assert.ok(!isByteRangeField(''));
});

test('a range is a first and a last byte, a first one alone, or a number of bytes at the end', () => {
  assert.equal(parse('0-0'), '0..1');
  assert.equal(parse('10-19'), '10..20');
  assert.equal(parse('90-'), '90..100');
  assert.equal(parse('-10'), '90..100');
  assert.equal(parse('-1000'), '0..100');
  assert.equal(parse('90-1000'), '90..100');
  assert.equal(parse(' 10 - 19 '), '10..20');
});

test('several ranges keep their order, and those beyond the end are left out', () => {
  assert.equal(parse('10-19,0-4'), '10..20 0..5');
  assert.equal(parse('10-19 , 200-300, -5'), '10..20 95..100');
  assert.equal(parse('10-9,20-29'), '20..30');
});

test('ranges that are none, or beyond the end, cannot be satisfied', () => {
  for (const value of [
    '100-',
    '200-300',
    'x',
    '1',
    '1-x',
    'x-1',
    '-',
    '--1',
    '- 1',
    '5-2',
    '-0',
    ',',
    '1-2;',
    '1-2,',
    '1-2,x',
  ]) {
    assert.equal(parse(value), 'unsatisfiable', value);
  }
  assert.equal(parse('9223372036854775808-'), 'unsatisfiable');
  assert.equal(parse('0-9223372036854775807'), '0..100');
  assert.equal(parse('0-9223372036854775808'), 'unsatisfiable');
  assert.equal(parse('0-00000000000000000000000000001'), '0..2');
});

test('of an empty body there are no ranges, and it is sent whole', () => {
  assert.equal(parse('0-', ANY_NUMBER_OF_RANGES, 0), 'whole');
  assert.equal(parse('-5', ANY_NUMBER_OF_RANGES, 0), 'whole');
  assert.equal(parse('1-', ANY_NUMBER_OF_RANGES, 0), 'unsatisfiable');
});

test('more ranges than allowed, or more bytes than the body has, get the whole body', () => {
  assert.equal(parse('0-1,3-4', 2), '0..2 3..5');
  assert.equal(parse('0-1,3-4,6-7', 2), 'whole');
  assert.equal(parse('0-1,3-4', 1), 'whole');
  assert.equal(parse('0-1,500-,600-', 1), '0..2');
  assert.equal(parse('0-,0-'), 'whole');
  const many = Array.from({ length: 20 }, (_, index) => `${index * 2}-${index * 2}`).join(',');
  assert.equal(parse(many), 'whole');
  assert.notEqual(parse(many, 50), 'whole');
});

const aRange = fc.oneof(
  fc.tuple(fc.nat(300), fc.nat(300)).map(([from, to]) => `${from}-${to}`),
  fc.nat(300).map((from) => `${from}-`),
  fc.nat(300).map((count) => `-${count}`),
);

/** The bytes a field names, found without cleverness. */
function named(field: string, length: number): number[][] {
  return field.split(',').map((range) => {
    const [first, last] = range.split('-') as [string, string];
    const from = first === '' ? length - Math.min(Number(last), length) : Number(first);
    const to = first === '' || last === '' ? length - 1 : Math.min(Number(last), length - 1);
    return Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => from + index);
  });
}

test('what is parsed is inside the body, and is what the field names', () => {
  fc.assert(
    fc.property(
      fc.array(aRange, { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 1, max: 200 }),
      (list, length) => {
        const field = list.join(',');
        const ranges = parseByteRanges(`bytes=${field}`, length, 100);
        const wanted = named(field, length).filter((bytes) => bytes.length > 0);
        if (ranges === 'unsatisfiable') assert.equal(wanted.length, 0);
        else if (ranges !== 'whole') {
          assert.deepEqual(
            ranges.map(({ start, end }) => Array.from({ length: end - start }, (_, index) => start + index)),
            wanted,
          );
        }
      },
    ),
    { seed: 1, numRuns: 2000 },
  );
});

test('no text makes the parser fail, and what it gives is never empty', () => {
  const text = fc.string({ unit: fc.constantFrom('0', '9', '-', ',', ' ', 'x', '12', '\t'), maxLength: 20 });
  fc.assert(
    fc.property(text, fc.nat(50), (value, length) => {
      const ranges = parseByteRanges(`bytes=${value}`, length, ANY_NUMBER_OF_RANGES);
      if (typeof ranges === 'string') return;
      assert.ok(ranges.length > 0);
      for (const { start, end } of ranges) assert.ok(start >= 0 && start < end && end <= length);
    }),
    { seed: 2, numRuns: 3000 },
  );
});

test('a multipart body is as long as it says, and every part says where it is from', () => {
  const range = fc.tuple(fc.nat(1000), fc.integer({ min: 1, max: 1000 }));
  fc.assert(
    fc.property(fc.array(range, { minLength: 2, maxLength: 10 }), fc.boolean(), (list, typed) => {
      const ranges: ByteRange[] = list.map(([start, count]) => ({ start, end: start + count }));
      const body = multipartRanges(
        ranges,
        2000,
        typed ? 'text/html; charset=utf-8' : '',
        '00000000000000000001',
      );
      let sent = '';
      ranges.forEach((one, index) => {
        sent += body.before[index] + 'x'.repeat(one.end - one.start);
        assert.ok(body.before[index]!.endsWith(`\r\nContent-Range: ${contentRange(one, 2000)}\r\n\r\n`));
        assert.equal(body.before[index]!.includes('\r\nContent-Type: text/html; charset=utf-8\r\n'), typed);
      });
      assert.equal((sent + body.after).length, body.contentLength);
    }),
    { seed: 3 },
  );
});

test('the parts stand between the lines of the boundary', () => {
  const body = multipartRanges(
    [
      { start: 0, end: 2 },
      { start: 4, end: 5 },
    ],
    6,
    'text/plain',
    '07',
  );
  assert.equal(body.contentType, 'multipart/byteranges; boundary=07');
  assert.equal(body.before[0], '\r\n--07\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/6\r\n\r\n');
  assert.equal(body.after, '\r\n--07--\r\n');
});
