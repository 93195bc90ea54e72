import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namesGzip } from '../../src/core/gzip-acceptance.ts';

test('gzip is accepted where Accept-Encoding names it without a quality, or with one above 0', () => {
  for (const value of [
    'gzip',
    'gzip, deflate, br',
    'gzip,deflate',
    'deflate, gzip',
    'deflate,GZip',
    'gzip;q=1',
    'gzip; q=0.5',
    'gzip;q=0.001',
    'gzip;q=1.000',
    'gzip;q=1.0, identity; q=0.5, *;q=0',
    'deflate;q=0, gzip ;q=0.1',
    'gzip;',
    'xgzip, gzip',
  ]) {
    assert.equal(namesGzip(value), true, value);
  }
});

test('gzip is not accepted where it is not named, has quality 0, or is malformed', () => {
  for (const value of [
    '',
    'gz',
    'identity',
    '*',
    'x-gzip',
    'gzipped',
    'gzip;q=0',
    'gzip;q=0.0',
    'gzip; q=0.000',
    'gzip;q=0, gzip;q=1',
    'gzip;q=1.001',
    'gzip;q=2',
    'gzip;q=0.1234',
    'gzip;q=',
    'gzip;q',
    'gzip;q=.5',
    'gzip;q=0.5x',
    'gzip;level=1',
    'gzip/1.0',
  ]) {
    assert.equal(namesGzip(value), false, value);
  }
});
