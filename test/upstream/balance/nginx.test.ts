import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attempts, createTestGroup, request } from './group.ts';
import * as recorded from './recorded-from-nginx.ts';

const WEIGHTS = [{ weight: 1 }, { weight: 3 }, { weight: 2 }];
const WITH_ONE_DOWN = [{ weight: 1 }, { weight: 3, down: true }, { weight: 2 }];

test('hash sends every key to the server nginx sends it to', () => {
  for (const [servers, expected] of [
    [WEIGHTS, recorded.keyHash],
    [WITH_ONE_DOWN, recorded.keyHashDown],
  ] as const) {
    const { balancer } = createTestGroup(servers, { name: 'hash', consistent: false });
    assert.equal(recorded.keys.map((key) => request(balancer, key)).join(''), expected);
  }
});

test('hash consistent sends every key to the server nginx sends it to', () => {
  for (const [servers, expected] of [
    [WEIGHTS, recorded.consistentHash],
    [WITH_ONE_DOWN, recorded.consistentHashDown],
  ] as const) {
    const { balancer } = createTestGroup(servers, { name: 'hash', consistent: true });
    assert.equal(recorded.keys.map((key) => request(balancer, key)).join(''), expected);
  }
});

test('ip_hash sends every address to the server nginx sends it to', () => {
  for (const [servers, expected] of [
    [WEIGHTS, recorded.addressHash],
    [WITH_ONE_DOWN, recorded.addressHashDown],
  ] as const) {
    const { balancer } = createTestGroup(servers, { name: 'ip_hash' });
    assert.equal(recorded.addresses.map((address) => request(balancer, address)).join(''), expected);
  }
});

test('round robin takes the same turns as nginx', () => {
  const first = createTestGroup([{ weight: 5 }, {}, {}]).balancer;
  assert.equal(Array.from(recorded.roundRobin, () => request(first)).join(''), recorded.roundRobin);
  const second = createTestGroup([{ weight: 3 }, { weight: 7 }, { weight: 4 }]).balancer;
  request(second);
  assert.equal(
    Array.from(recorded.roundRobinLater, () => request(second)).join(''),
    recorded.roundRobinLater,
  );
});

test('least_conn with nothing else under way takes the same turns as nginx', () => {
  const { balancer } = createTestGroup([{ weight: 3 }, { weight: 1 }, { weight: 2 }], { name: 'least_conn' });
  const expected = recorded.leastConnectionsIdle;
  assert.equal(Array.from(expected, () => request(balancer)).join(''), expected);
});

test('a server that refuses connections is tried, left alone and lowered in weight as in nginx', () => {
  const { balancer } = createTestGroup([
    { weight: 5, maxFails: 2 },
    { weight: 4, maxFails: 3 },
    { weight: 2, maxFails: 1 },
  ]);
  const seen = Array.from(recorded.failing.split(' '), () =>
    attempts(balancer, [1]).join('').replaceAll('1', 'y'),
  );
  assert.equal(seen.join(' '), recorded.failing);
});

test('backup servers take over from servers that refuse connections as in nginx', () => {
  const { balancer } = createTestGroup([
    { address: '127.0.0.1:19198', maxFails: 2 },
    { address: '127.0.0.1:19199', maxFails: 1 },
    { backup: true },
    { backup: true, weight: 2 },
  ]);
  const names = ['x', 'y', '1', '2'];
  const seen = Array.from(recorded.backups.split(' '), () =>
    attempts(balancer, [0, 1])
      .map((peer) => names[peer])
      .join(''),
  );
  assert.equal(seen.join(' '), recorded.backups);
});
