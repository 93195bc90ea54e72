import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  formatCookieDate,
  formatHttpDate,
  formatIso8601,
  formatLogTime,
  parseHttpDate,
} from '../../src/http/dates.ts';

const MOMENT = 784111777;

test('dates are written in their forms', () => {
  assert.equal(formatHttpDate(MOMENT), 'Sun, 06 Nov 1994 08:49:37 GMT');
  assert.equal(formatHttpDate(0), 'Thu, 01 Jan 1970 00:00:00 GMT');
  assert.equal(formatCookieDate(MOMENT), 'Sun, 06-Nov-94 08:49:37 GMT');
  assert.equal(formatCookieDate(2145916555), 'Thu, 31-Dec-37 23:55:55 GMT');
  assert.equal(formatCookieDate(2145916800), 'Fri, 01-Jan-2038 00:00:00 GMT');
});

test('local times carry the offset of the zone', () => {
  const zone = process.env.TZ;
  try {
    for (const [name, log, iso] of [
      ['UTC', '06/Nov/1994:08:49:37 +0000', '1994-11-06T08:49:37+00:00'],
      ['Asia/Kolkata', '06/Nov/1994:14:19:38 +0530', '1994-11-06T14:19:38+05:30'],
      ['America/St_Johns', '06/Nov/1994:05:19:39 -0330', '1994-11-06T05:19:39-03:30'],
    ] as const) {
      process.env.TZ = name;
      const seconds = MOMENT + Number(log.slice(18, 20)) - 37;
      assert.equal(formatLogTime(seconds), log);
      assert.equal(formatIso8601(seconds), iso);
    }
  } finally {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  }
});

test('the three forms of HTTP dates are read', () => {
  for (const text of [
    'Sun, 06 Nov 1994 08:49:37 GMT',
    'Sunday, 06-Nov-94 08:49:37 GMT',
    'Sun Nov  6 08:49:37 1994',
    'Xyz, 06 Nov 1994 08:49:37',
    'Sun Nov 06 08:49:37 1994',
  ]) {
    assert.equal(parseHttpDate(text), MOMENT, text);
  }
  assert.equal(parseHttpDate('Thu, 29 Feb 2024 00:00:00 GMT'), 1709164800);
  assert.equal(parseHttpDate('Sunday, 06-Nov-69 08:49:37 GMT'), 3150953377);
});

test('what is no date is refused', () => {
  for (const text of [
    '',
    'x',
    'Sun, 06 Nov 1994',
    'Sun, 6 Nov 1994 08:49:37 GMT',
    'Sun, 06 Xov 1994 08:49:37 GMT',
    'Sun, 06 Nov 1994 24:49:37 GMT',
    'Sun, 06 Nov 1994 08:60:37 GMT',
    'Sun, 31 Nov 1994 08:49:37 GMT',
    'Sun, 29 Feb 1900 08:49:37 GMT',
    'Sun, 06 Nov 1994 08-49-37 GMT',
    'Sun Nov  6 08:49:37',
    '"abcdef"',
  ]) {
    assert.equal(parseHttpDate(text), undefined, text);
  }
});

test('a date that was written is read back, and nothing makes the reader throw', () => {
  fc.assert(
    fc.property(fc.integer({ min: -30610224000, max: 250000000000 }), fc.string(), (seconds, garbage) => {
      assert.equal(parseHttpDate(formatHttpDate(seconds)), seconds);
      parseHttpDate(garbage);
      parseHttpDate(`Sun, 06 Nov${garbage}`);
      parseHttpDate(`Sun Nov ${garbage}`);
    }),
    { seed: 10, numRuns: 500 },
  );
});
