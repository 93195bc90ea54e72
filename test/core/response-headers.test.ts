import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ResponseHead } from '../../src/core/exchange.ts';
import {
  fieldValue,
  fieldValues,
  findField,
  lengthChanges,
  weakenEtag,
  withField,
  withoutField,
} from '../../src/core/response-headers.ts';

const LINES = 'A: 1\r\nCache-Control: no-cache\r\nX-Cache-Control: x\r\ncache-control:  private\r\nB:\r\n';

test('fields are found by name, whatever the case, and not inside another name or a value', () => {
  assert.equal(findField(LINES, 'a'), 0);
  assert.equal(fieldValue(LINES, 'cache-control'), 'no-cache');
  assert.deepEqual(fieldValues(LINES, 'cache-control'), ['no-cache', 'private']);
  assert.equal(fieldValue(LINES, 'b'), '');
  assert.equal(fieldValue(LINES, 'control'), undefined);
  assert.equal(fieldValue('', 'a'), undefined);
});

test('a field that gets a value keeps its place, and its other lines go', () => {
  assert.equal(
    withField(LINES, 'Cache-Control', 'max-age=1'),
    'A: 1\r\nCache-Control: max-age=1\r\nX-Cache-Control: x\r\nB:\r\n',
  );
  assert.equal(withField('A: 1\r\n', 'Expires', 'never'), 'A: 1\r\nExpires: never\r\n');
});

test('taking a field away leaves all others as they were', () => {
  const name = fc.constantFrom('A', 'a', 'AB', 'B', 'Accept-Ranges', 'accept-ranges');
  const line = fc.tuple(name, fc.constantFrom('', '1', 'A: 2', 'bytes'));
  fc.assert(
    fc.property(fc.array(line), name, (lines, taken) => {
      const write = (some: readonly (readonly [string, string])[]) =>
        some.map(([field, value]) => `${field}: ${value}\r\n`).join('');
      const left = lines.filter(([field]) => field.toLowerCase() !== taken.toLowerCase());
      assert.equal(withoutField(write(lines), taken.toLowerCase()), write(left));
    }),
    { seed: 5 },
  );
});

test('an ETag of a body that is changed is a weak one, or none', () => {
  for (const [before, after] of [
    ['"a"', 'W/"a"'],
    ['W/"a"', 'W/"a"'],
    ['a', ''],
    ['', ''],
  ]) {
    const response = new ResponseHead();
    response.etag = before;
    weakenEtag(response);
    assert.equal(response.etag, after);
  }
});

test('a change of length takes Content-Length and Accept-Ranges away', () => {
  const response = new ResponseHead();
  response.contentLength = 10;
  response.acceptRanges = true;
  response.etag = '"a"';
  response.fields = 'A: 1\r\naccept-ranges: bytes\r\nB: 2\r\n';
  lengthChanges(response);
  assert.equal(response.contentLength, -1);
  assert.equal(response.acceptRanges, false);
  assert.equal(response.fields, 'A: 1\r\nB: 2\r\n');
  assert.equal(response.etag, 'W/"a"');
});
