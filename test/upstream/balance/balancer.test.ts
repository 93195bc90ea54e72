import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type BalancingMethod,
  createAddressListBalancer,
  createSelection,
  type Selection,
} from '../../../src/upstream/balance/index.ts';
import { attempts, createTestGroup, openRequest, request } from './group.ts';

const METHODS: BalancingMethod[] = [
  { name: 'round_robin' },
  { name: 'least_conn' },
  { name: 'ip_hash' },
  { name: 'hash', consistent: false },
  { name: 'hash', consistent: true },
  { name: 'random', two: false },
  { name: 'random', two: true },
];

test('smooth weighted round robin spreads a heavy server over the cycle', () => {
  const { balancer } = createTestGroup([{ weight: 5 }, {}, {}]);
  const seen = Array.from({ length: 14 }, () => 'abc'[request(balancer)]);
  assert.equal(seen.join(' '), 'a a b a c a a a a b a c a a');
});

test('a server is out of service after max_fails failures until fail_timeout is over, then one success brings it back', () => {
  const { balancer, table, peers } = createTestGroup([{ maxFails: 2, failTimeout: 10 }, {}]);
  assert.deepEqual(attempts(balancer, [0], '', 100), [0, 1]);
  assert.deepEqual(attempts(balancer, [0], '', 100), [1]);
  assert.deepEqual(attempts(balancer, [0], '', 101), [0, 1]);
  assert.equal(table.read(peers[0].slot).fails, 2);
  for (let now = 101; now <= 111; now++) {
    assert.deepEqual(attempts(balancer, [], '', now), [1], `second ${now}`);
  }
  // Its effective weight has to grow back first.
  assert.deepEqual(
    Array.from({ length: 2 }, () => attempts(balancer, [], '', 112)),
    [[1], [0]],
  );
  assert.equal(table.read(peers[0].slot).fails, 0);
});

test('the time between failures that count together is fail_timeout', () => {
  const { balancer, table, peers } = createTestGroup([{ maxFails: 2, failTimeout: 10 }, { down: true }]);
  attempts(balancer, [0], '', 100);
  // The window is over: this attempt begins a new one, and its success forgets the old failure.
  assert.deepEqual(attempts(balancer, [], '', 111), [0]);
  assert.equal(table.read(peers[0].slot).fails, 0);
  attempts(balancer, [0], '', 112);
  assert.equal(table.read(peers[0].slot).fails, 1);
});

test('release tells when a server goes out of service', () => {
  const { balancer } = createTestGroup([{ maxFails: 2 }, { down: true }]);
  const selection = createSelection();
  const outcomes: boolean[] = [];
  for (const outcome of ['failed', 'ok', 'next', 'failed'] as const) {
    balancer.begin(selection, '');
    assert.equal(balancer.choose(selection, 100), 0);
    outcomes.push(balancer.release(selection, outcome, 100));
  }
  assert.deepEqual(outcomes, [false, false, false, true]);
  balancer.begin(selection, '');
  assert.equal(balancer.choose(selection, 100), -1);
});

test('max_fails=0 never takes a server out of service', () => {
  const { balancer } = createTestGroup([{ maxFails: 0 }, { down: true }]);
  for (let turn = 0; turn < 50; turn++) {
    assert.deepEqual(attempts(balancer, [0]), [0]);
  }
});

test('a single server is never taken out of service and never tried twice', () => {
  for (const method of METHODS) {
    const { balancer, table, peers } = createTestGroup([{}], method);
    assert.equal(balancer.single, true);
    for (let turn = 0; turn < 5; turn++) {
      assert.deepEqual(attempts(balancer, [0], '192.0.2.1'), [0]);
    }
    assert.equal(table.read(peers[0].slot).fails, 0);
    assert.equal(table.read(peers[0].slot).failures, 5);
    assert.equal(table.read(peers[0].slot).requests, 5);
  }
});

test('a single server that is down or full takes nothing', () => {
  assert.equal(request(createTestGroup([{ down: true }]).balancer), -1);
  const { balancer } = createTestGroup([{ maxConns: 1 }]);
  const open = openRequest(balancer);
  assert.equal(open.peer, 0);
  assert.equal(request(balancer), -1);
  balancer.release(open, 'ok', 1000);
  assert.equal(request(balancer), 0);
});

test('max_conns sends requests elsewhere, then to the backup, then nowhere', () => {
  for (const method of METHODS) {
    const { balancer } = createTestGroup(
      [{ maxConns: 2 }, { maxConns: 1 }, { backup: true, maxConns: 1 }],
      method,
    );
    const open = Array.from({ length: 4 }, () => openRequest(balancer, '192.0.2.1'));
    const peers = open.map((selection) => selection.peer);
    assert.deepEqual(peers.slice(0, 3).sort(), [0, 0, 1], method.name);
    assert.equal(peers[3], 2);
    assert.equal(request(balancer, '192.0.2.1'), -1);
    balancer.release(open[peers.indexOf(1)], 'ok', 1000);
    assert.equal(request(balancer, '192.0.2.1'), 1);
  }
});

test('least_conn counts connections by weight', () => {
  const { balancer } = createTestGroup([{ weight: 3 }, { weight: 1 }], { name: 'least_conn' });
  const open = Array.from({ length: 40 }, () => openRequest(balancer));
  assert.equal(open.filter((selection) => selection.peer === 0).length, 30);
  for (const selection of open) {
    balancer.release(selection, 'ok', 1000);
  }
});

test('random two prefers the server with fewer connections for its weight', () => {
  const draws = [0.1, 0.5, 0.5, 0.1];
  let next = 0;
  const { balancer } = createTestGroup([{}, {}, {}], { name: 'random', two: true }, () => draws[next++]);
  const first = openRequest(balancer);
  const second = openRequest(balancer);
  // Of two that are equal the second drawn is taken.
  assert.deepEqual([first.peer, second.peer], [1, 0]);
});

test('random follows the weights', () => {
  let next = 0;
  const { balancer } = createTestGroup(
    [{ weight: 1 }, { weight: 3 }, { weight: 6 }],
    { name: 'random', two: false },
    () => (next++ % 10) / 10,
  );
  const counts = [0, 0, 0];
  for (let turn = 0; turn < 100; turn++) {
    counts[request(balancer)]++;
  }
  assert.deepEqual(counts, [10, 30, 60]);
});

test('a hash method leaves the choice to round robin after 20 misses', () => {
  for (const method of METHODS.slice(2)) {
    const servers = Array.from({ length: 60 }, (_, index) => ({ down: index !== 41 }));
    const { balancer } = createTestGroup(servers, method);
    for (let turn = 0; turn < 20; turn++) {
      assert.equal(request(balancer, `192.0.${turn}.1`), 41, method.name);
    }
  }
});

test('a request tries each of many servers once, whatever the method', () => {
  for (const method of METHODS) {
    const { balancer } = createTestGroup(
      Array.from({ length: 100 }, (_, index) => ({ backup: index >= 60 })),
      method,
    );
    const everyone = Array.from({ length: 100 }, (_, index) => index);
    const tried = attempts(balancer, everyone, '192.0.2.1');
    assert.deepEqual(
      tried.slice(0, 60).sort((a, b) => a - b),
      everyone.slice(0, 60),
      method.name,
    );
    assert.deepEqual(
      tried.slice(60).sort((a, b) => a - b),
      everyone.slice(60),
    );
    assert.deepEqual(attempts(balancer, []), [-1]);
  }
});

test('an empty hash key and an address that is none still reach a server', () => {
  const keyed = createTestGroup([{}, {}, {}], { name: 'hash', consistent: false }).balancer;
  assert.deepEqual([request(keyed), request(keyed), request(keyed)], [0, 1, 2]);
  const ring = createTestGroup([{}, {}, {}], { name: 'hash', consistent: true }).balancer;
  assert.deepEqual([request(ring), request(ring), request(ring)], [0, 1, 2]);
  const addressed = createTestGroup([{}, {}, {}], { name: 'ip_hash' }).balancer;
  assert.equal(request(addressed, 'unix:'), request(addressed, '0.0.0.9'));
});

test('addresses of one name share its place on the circle by round robin', () => {
  const servers = [{ name: 'app:80' }, { name: 'app:80', address: '127.0.0.2:80' }, { name: 'other:80' }];
  const { balancer } = createTestGroup(servers, { name: 'hash', consistent: true });
  const seen = new Set<string>();
  for (let number = 0; number < 50; number++) {
    const key = `key ${number}`;
    seen.add([request(balancer, key), request(balancer, key)].sort().join(''));
  }
  assert.deepEqual([...seen].sort(), ['01', '22']);
});

test('a session goes to its server, a draining one too, unless it cannot be used', () => {
  for (const method of METHODS) {
    const { balancer, table, slot, peers } = createTestGroup([{}, {}, { draining: true }], method);
    const selection = createSelection();
    const bound = (peer: number): number => {
      balancer.begin(selection, '192.0.2.1');
      selection.preferred = peer;
      const chosen = balancer.choose(selection, 1000);
      balancer.release(selection, 'ok', 1000);
      return chosen;
    };
    for (let turn = 0; turn < 20; turn++) {
      assert.equal(bound(2), 2, method.name);
      assert.equal(bound(1), 1);
      assert.notEqual(request(balancer, '192.0.2.1'), 2);
    }
    table.configure(peers[2].slot, slot, { down: true });
    assert.notEqual(bound(2), 2);
  }
});

test('weights and down change while requests are under way', () => {
  for (const method of METHODS) {
    const { balancer, table, slot, peers } = createTestGroup([{}, {}], method);
    request(balancer, '192.0.2.1');
    table.configure(peers[0].slot, slot, { down: true });
    table.configure(peers[1].slot, slot, { weight: 4 });
    const selection = createSelection();
    balancer.begin(selection, '192.0.2.1');
    assert.equal(selection.tries, 1);
    assert.equal(balancer.choose(selection, 1000), 1, method.name);
    balancer.release(selection, 'ok', 1000);
    table.configure(peers[0].slot, slot, { down: false });
    balancer.begin(selection, '192.0.2.1');
    assert.equal(selection.tries, 2);
  }
});

test('release without a chosen peer, or twice, changes nothing', () => {
  const { balancer, table, peers } = createTestGroup([{}, {}]);
  const selection = createSelection();
  balancer.begin(selection, '');
  assert.equal(balancer.release(selection, 'failed', 1), false);
  const peer = balancer.choose(selection, 1);
  balancer.release(selection, 'ok', 1);
  balancer.release(selection, 'failed', 1);
  assert.equal(selection.tries, 1);
  assert.equal(table.read(peers[peer].slot).active, 0);
  assert.equal(table.read(peers[peer].slot).fails, 0);
});

test('a group without primary servers, or with a slot that is not configured, is refused', () => {
  assert.throws(() => createTestGroup([{ backup: true }]), RangeError);
  assert.throws(() => createTestGroup([{ weight: 0 }]), RangeError);
});

test('addresses resolved for one request are tried in the order of the answer', () => {
  const { peers } = createTestGroup([{}, {}, {}]);
  assert.deepEqual(attempts(createAddressListBalancer(peers), [0, 1, 2]), [0, 1, 2]);
  assert.deepEqual(attempts(createAddressListBalancer(peers), [0]), [0, 1]);
  assert.deepEqual(attempts(createAddressListBalancer(peers.slice(0, 1)), [0]), [0]);
});

test('time goes on counting where 32 bits of seconds end', () => {
  const { balancer } = createTestGroup([{ maxFails: 1, failTimeout: 10 }, {}]);
  const end = 2 ** 31 - 3;
  assert.deepEqual(attempts(balancer, [0], '', end), [0, 1]);
  for (let now = end; now <= end + 10; now++) {
    assert.deepEqual(attempts(balancer, [], '', now), [1]);
  }
  assert.ok(Array.from({ length: 4 }, () => request(balancer, '', end + 11)).includes(0));
});

test('whatever happens, a choice is usable, untried and counted, and none is missed', () => {
  const server = fc.record({
    weight: fc.integer({ min: 1, max: 9 }),
    maxFails: fc.integer({ min: 0, max: 3 }),
    failTimeout: fc.integer({ min: 0, max: 5 }),
    maxConns: fc.integer({ min: 0, max: 3 }),
    down: fc.boolean(),
    backup: fc.boolean(),
  });
  const step = fc.record({
    action: fc.constantFrom('begin', 'begin', 'ok', 'next', 'failed'),
    which: fc.nat(7),
    later: fc.integer({ min: 0, max: 2 }),
    key: fc.ipV4(),
  });
  fc.assert(
    fc.property(
      fc.constantFrom(...METHODS),
      fc.array(server, { minLength: 1, maxLength: 40 }),
      fc.array(step, { maxLength: 80 }),
      (method, servers, steps) => {
        servers[0].backup = false;
        const { balancer, table, peers } = createTestGroup(servers, method);
        const active = servers.map(() => 0);
        const open: { selection: Selection; tried: Set<number> }[] = [];
        let now = 1_800_000_000;
        const choose = (entry: (typeof open)[number]): void => {
          const before = peers.map((peer) => table.read(peer.slot));
          const usable = (index: number): boolean =>
            !servers[index].down &&
            (balancer.single ||
              servers[index].maxFails === 0 ||
              before[index].fails < servers[index].maxFails ||
              now - before[index].checked > servers[index].failTimeout) &&
            (servers[index].maxConns === 0 || active[index] < servers[index].maxConns);
          const chosen = balancer.choose(entry.selection, now);
          const candidates = servers
            .map((_, index) => index)
            .filter((index) => usable(index) && !entry.tried.has(index))
            .filter((index) => servers[index].backup || !entry.selection.backup);
          if (chosen < 0) {
            assert.deepEqual(candidates, []);
            return;
          }
          assert.ok(candidates.includes(chosen));
          assert.ok(!servers[chosen].backup || candidates.every((index) => servers[index].backup));
          entry.tried.add(chosen);
          active[chosen]++;
          open.push(entry);
        };
        for (const { action, which, later, key } of steps) {
          now += later;
          if (action === 'begin') {
            const selection = createSelection();
            balancer.begin(selection, key);
            choose({ selection, tried: new Set() });
          } else if (open.length > 0) {
            const [entry] = open.splice(which % open.length, 1);
            active[entry.selection.peer]--;
            balancer.release(entry.selection, action as 'ok' | 'next' | 'failed', now);
            if (action !== 'ok' && entry.selection.tries > 0) {
              choose(entry);
            }
          }
          assert.deepEqual(
            peers.map((peer) => table.read(peer.slot).active),
            active,
          );
        }
        for (const entry of open) {
          balancer.release(entry.selection, 'ok', now);
        }
        assert.ok(peers.every((peer) => table.read(peer.slot).active === 0));
      },
    ),
    { seed: 7, numRuns: 400 },
  );
});

test('round robin gives every server its exact share of each cycle', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 2, maxLength: 12 }), (weights) => {
      const { balancer } = createTestGroup(weights.map((weight) => ({ weight })));
      const cycle = weights.reduce((sum, weight) => sum + weight, 0);
      const counts = weights.map(() => 0);
      for (let turn = 0; turn < cycle * 2; turn++) {
        counts[request(balancer)]++;
      }
      assert.deepEqual(
        counts,
        weights.map((weight) => weight * 2),
      );
    }),
    { seed: 7, numRuns: 100 },
  );
});
