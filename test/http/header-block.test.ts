import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  EMPTY_HEADER_BLOCK,
  headerBlockOf,
  headerMasks,
  parseHeaderBlock,
} from '../../src/http/header-block.ts';
import { KNOWN_HEADER_NAMES, KnownHeader, knownHeaderId } from '../../src/http/header-names.ts';
import { FIELD } from './head-samples.ts';

const sample = headerBlockOf([
  ['Host', 'a.test'],
  ['X-Foo', '1'],
  ['cookie', 'a=b'],
  ['x-foo', '  2 '],
  ['COOKIE', 'c=d'],
  ['X-Empty', ''],
]);

test('a block is its lines, and any run of them can be cut out', () => {
  assert.equal(
    sample.text,
    'Host: a.test\r\nX-Foo: 1\r\ncookie: a=b\r\nx-foo: 2\r\nCOOKIE: c=d\r\nX-Empty: \r\n',
  );
  assert.equal(sample.lines(1, 3), 'X-Foo: 1\r\ncookie: a=b\r\n');
  assert.equal(sample.lines(4), 'COOKIE: c=d\r\nX-Empty: \r\n');
  assert.equal(sample.lines(6), '');
  assert.equal(sample.source.slice(sample.lineStart(5), sample.lineEnd(5)), 'X-Empty: \r\n');
});

test('fields are found by name in either case', () => {
  assert.equal(sample.get('x-foo'), '1');
  assert.deepEqual(sample.getAll('x-foo'), ['1', '2']);
  assert.equal(sample.find('x-foo', 2), 3);
  assert.equal(sample.find('x-fo'), -1);
  assert.equal(sample.get('x-empty'), '');
  assert.equal(sample.get('x-none'), undefined);
  assert.ok(sample.nameIs(0, 'host'));
  assert.equal(sample.name(4), 'COOKIE');
});

test('known names are noted while the block is made', () => {
  assert.equal(sample.known(KnownHeader.host), 0);
  assert.equal(sample.known(KnownHeader.cookie), 2);
  assert.equal(sample.known(KnownHeader.cookie, 3), 4);
  assert.equal(sample.known(KnownHeader.cookie, 5), -1);
  assert.equal(sample.known(KnownHeader.via), -1);
  assert.equal(sample.knownValue(KnownHeader.host), 'a.test');
  assert.ok(sample.isRepeated(KnownHeader.cookie));
  assert.ok(!sample.isRepeated(KnownHeader.host));
  assert.ok(sample.repeatsAny(headerMasks([KnownHeader.via, KnownHeader.cookie])));
  assert.ok(!sample.repeatsAny(headerMasks([KnownHeader.host, KnownHeader.status])));
});

test('every known name is recognised in any case, and nothing else is', () => {
  assert.equal(Object.keys(KnownHeader).length, KNOWN_HEADER_NAMES.length);
  assert.ok(KNOWN_HEADER_NAMES.length <= 62);
  for (const [key, id] of Object.entries(KnownHeader)) {
    if (id === 0) continue;
    const name = KNOWN_HEADER_NAMES[id];
    assert.equal(key.toLowerCase(), name.replaceAll('-', ''));
    assert.ok(name.length <= 32);
    for (const spelling of [name, name.toUpperCase()]) {
      const bytes = Buffer.from(spelling);
      assert.equal(knownHeaderId(bytes, 0, bytes.length), id, spelling);
      for (let i = 0; i < bytes.length; i++) {
        const other = Buffer.from(bytes);
        other[i] = 0x5f;
        assert.equal(knownHeaderId(other, 0, other.length), 0, other.toString());
      }
    }
  }
});

test('fields are found by the names variables have, and joined', () => {
  assert.equal(sample.variable('x_foo'), '1, 2');
  assert.equal(sample.variable('cookie', '; '), 'a=b; c=d');
  assert.equal(sample.joined('cookie', '; '), 'a=b; c=d');
  assert.equal(sample.joined('x-none', ', '), undefined);
  assert.equal(sample.variable('x_none'), undefined);
  assert.equal(sample.findVariable('x_foo', 2), 3);
  assert.equal(sample.nameAsVariable(1), 'x_foo');
});

test('only canonical lines are taken as a block', () => {
  for (const text of [
    'Name:value\r\n',
    'Name:  value\r\n',
    'Name: value \r\n',
    'Name: value\n',
    'Name: a\rb\r\n',
    'Name: a\nb\r\n',
    'Name: a\0b\r\n',
    'Name : value\r\n',
    'Na me: value\r\n',
    ': value\r\n',
    'Name: value',
    'Name\r\n',
    ' Name: value\r\n',
    '\r\n',
    'Name: value\r\n\r\n',
    'A: b\r\n\r\nC: d\r\n',
  ]) {
    assert.equal(parseHeaderBlock(text), undefined, JSON.stringify(text));
  }
  assert.equal(parseHeaderBlock('')?.count, 0);
  assert.equal(parseHeaderBlock('a.b: \tc\r\nX: \r\n')?.count, 2);
  assert.equal(EMPTY_HEADER_BLOCK.text, '');
  assert.equal(EMPTY_HEADER_BLOCK.known(KnownHeader.host), -1);
});

test('a field that would break its line is refused', () => {
  for (const [name, value] of [
    ['', 'x'],
    ['a b', 'x'],
    ['a:', 'x'],
    ['a\r\nb', 'x'],
    ['a', 'x\r\ny'],
    ['a', 'x\ny'],
    ['a', 'x\0'],
  ] as const) {
    assert.throws(() => headerBlockOf([[name, value]]), RangeError);
  }
});

test('writing fields and reading them back gives the same fields', () => {
  fc.assert(
    fc.property(fc.array(FIELD, { maxLength: 12 }), (fields) => {
      const written = headerBlockOf(fields);
      const read = parseHeaderBlock(written.text);
      assert.ok(read !== undefined);
      assert.equal(read.count, fields.length);
      for (const [i, [name, value]] of fields.entries()) {
        assert.equal(read.name(i), name);
        assert.equal(read.value(i), value);
        assert.equal(read.id(i), written.id(i));
        assert.equal(read.known(read.id(i)) <= i, true);
      }
      assert.equal(read.text, written.text);
    }),
    { seed: 1, numRuns: 300 },
  );
});
