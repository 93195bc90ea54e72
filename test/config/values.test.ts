import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  parameter,
  parseFixedPoint,
  parseFlag,
  parseMilliseconds,
  parseNumber,
  parseOffset,
  parseSeconds,
  parseSize,
} from '../../src/config/values.ts';

/** Compares many texts with what a reader makes of them. */
function expectAll(read: (text: string) => unknown, expected: Readonly<Record<string, unknown>>): void {
  for (const [text, value] of Object.entries(expected)) assert.equal(read(text), value, JSON.stringify(text));
}

test('a number has digits only and fits 63 bits', () => {
  expectAll(parseNumber, {
    '0': 0,
    '007': 7,
    '65535': 65535,
    '9223372036854775807': 2 ** 63,
    '9223372036854775808': undefined,
    '': undefined,
    '-1': undefined,
    '+1': undefined,
    '1.5': undefined,
    ' 1': undefined,
    '1k': undefined,
    '0x10': undefined,
  });
});

test('a size knows k and m, an offset also g, in either case', () => {
  const common = {
    '0': 0,
    '512': 512,
    '1k': 1024,
    '1K': 1024,
    '8m': 8 * 1024 * 1024,
    '8M': 8 * 1024 * 1024,
    k: undefined,
    '': undefined,
    '-1': undefined,
    '1kk': undefined,
    '1.5m': undefined,
    '1b': undefined,
    '9223372036854775807k': undefined,
  };
  expectAll(parseSize, { ...common, '1g': undefined });
  expectAll(parseOffset, { ...common, '2g': 2 * 1024 ** 3, '2G': 2 * 1024 ** 3 });
});

test('a time in milliseconds goes from weeks down to ms', () => {
  expectAll(parseMilliseconds, {
    '0': 0,
    '5': 5000,
    '5s': 5000,
    '500ms': 500,
    '1m': 60_000,
    '1h 30m': 5_400_000,
    '1h30m': 5_400_000,
    '1d12h': 129_600_000,
    '1w': 604_800_000,
    '1m 30s 5ms': 90_005,
    '1s500ms': 1500,
    '10s 5': 15_000,
    '10 5': 15_000,
    '1h ': 3_600_000,
    '1M': undefined,
    '1y': undefined,
    '30m 1h': undefined,
    '1s1s': undefined,
    '5ms1s': undefined,
    '10 5s': undefined,
    '10  5 ': undefined,
    '': undefined,
    ' ': undefined,
    '-1': undefined,
    '1.5s': undefined,
    '1x': undefined,
    '9223372036854775807': undefined,
    '99999999999999999999s': undefined,
  });
});

test('a time in seconds knows months and years but no milliseconds', () => {
  expectAll(parseSeconds, {
    '5': 5,
    '5s': 5,
    '1h 30m': 5400,
    '1M': 2_592_000,
    '1y': 31_536_000,
    '1y6M': 47_088_000,
    '1M1y': undefined,
    '500ms': undefined,
    '': undefined,
    '9223372036854775807': 2 ** 63,
    '9223372036854775807m': undefined,
  });
});

test('a fixed-point number counts the smallest unit', () => {
  const hundredths = (text: string) => parseFixedPoint(text, 2);
  expectAll(hundredths, {
    '5': 500,
    '0.5': 50,
    '5.': 500,
    '.25': 25,
    '100.00': 10_000,
    '1.234': undefined,
    '1.2.3': undefined,
    '': undefined,
    x: undefined,
    '-1': undefined,
  });
});

test('a flag is on or off in either case', () => {
  expectAll(parseFlag, { on: true, ON: true, off: false, Off: false, yes: undefined, '': undefined });
});

test('a parameter is told by its name and the equals sign', () => {
  assert.equal(parameter('weight=5', 'weight'), '5');
  assert.equal(parameter('weight=', 'weight'), '');
  assert.equal(parameter('weight', 'weight'), undefined);
  assert.equal(parameter('weights=5', 'weight'), undefined);
});

test('no text makes a reader throw, and what is read is a whole number', () => {
  const text = fc.oneof(fc.string(), fc.stringMatching(/^[0-9 smhdwMykKgG.]{0,12}$/));
  fc.assert(
    fc.property(text, (candidate) => {
      for (const read of [parseNumber, parseSize, parseOffset, parseMilliseconds, parseSeconds]) {
        const value = read(candidate);
        assert.ok(value === undefined || (Number.isInteger(value) && value >= 0), candidate);
      }
    }),
    { seed: 1, numRuns: 500 },
  );
});
