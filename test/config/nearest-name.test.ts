import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearestName } from '../../src/config/nearest-name.ts';

const names = ['proxy_pass', 'proxy_set_header', 'listen', 'location', 'root', 'return', 'if'];

test('a missing, an extra, a wrong and a swapped character are seen through', () => {
  assert.equal(nearestName('prox_pass', names), 'proxy_pass');
  assert.equal(nearestName('proxy_passs', names), 'proxy_pass');
  assert.equal(nearestName('proxy-pass', names), 'proxy_pass');
  assert.equal(nearestName('lsiten', names), 'listen');
  assert.equal(nearestName('Root', names), 'root');
});

test('a word that is like none has no nearest name', () => {
  assert.equal(nearestName('foo', names), undefined);
  assert.equal(nearestName('x', names), undefined);
  assert.equal(nearestName('', names), undefined);
  assert.equal(nearestName('upstream_keepalive', names), undefined);
});

test('the nearer name wins, and of equals the first', () => {
  assert.equal(nearestName('retur', ['retry', 'return']), 'return');
  assert.equal(nearestName('cat', ['bat', 'hat']), 'bat');
});
