import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { applyEnvironment } from '../../src/master/environment.ts';

const real = { ...process.env };
afterEach(() => {
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, real);
});

const original = { TZ: 'UTC', HOME: '/root', SECRET: 'x', KEPT: 'y', NODE_OPTIONS: '' };

test('only what env names stays, besides the time zone and what Node.js looks at', () => {
  applyEnvironment(original, ['KEPT', 'SET=a=b', 'MISSING', 'EMPTY=']);
  assert.deepEqual({ ...process.env }, { TZ: 'UTC', NODE_OPTIONS: '', KEPT: 'y', SET: 'a=b', EMPTY: '' });
});

test('a reload can bring back what the start had', () => {
  applyEnvironment(original, []);
  assert.equal(process.env['HOME'], undefined);
  applyEnvironment(original, ['HOME', 'TZ=Asia/Tokyo']);
  assert.deepEqual([process.env['HOME'], process.env['TZ']], ['/root', 'Asia/Tokyo']);
});
