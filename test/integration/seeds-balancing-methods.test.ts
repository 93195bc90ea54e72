/** config/balancing-methods.conf: in turn, the fewest requests under way, the same server for a client. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createSandbox, runPortico } from '../support/portico.ts';
import { type Answer, get } from '../support/request.ts';
import { until } from '../support/wait.ts';
import { ask, askInTurn, header, on, SETTINGS, type Shipped, startShipped, tally } from './seeds.ts';

for (const setting of SETTINGS) {
  const { engine, workers } = setting;
  describe(`balancing methods, ${on(setting)}`, () => {
    let shipped: Shipped;

    before(async () => {
      shipped = await startShipped('balancing-methods.conf', {
        engine,
        workers,
        backends: { 8000: 'a', 8001: 'b', 8002: 'c' },
      });
    });
    after(() => shipped.stop());

    test('by default the first request goes to the first server, the second to the second, and so on', async () => {
      const port = shipped.port(8082);
      assert.deepEqual((await askInTurn(port, 30)).join(''), 'abc'.repeat(10));
    });

    test('requests that come all at once are spread evenly, too', async () => {
      const port = shipped.port(8082);
      const answers = await Promise.all(Array.from({ length: 60 }, () => ask(port)));
      assert.deepEqual(tally(answers.map(({ server }) => server)), { a: 20, b: 20, c: 20 });
    });

    test('headers that are set for all servers tell about the client', async () => {
      for (const documented of [8082, 8083, 8084]) {
        const seen = await ask(shipped.port(documented), {
          localAddress: '127.0.0.3',
          headers: { Host: 'example.com', 'X-Forwarded-For': '203.0.113.9' },
        });
        assert.deepEqual(header(seen, 'Host'), ['example.com']);
        assert.deepEqual(header(seen, 'X-Real-IP'), ['127.0.0.3']);
        assert.deepEqual(header(seen, 'X-Forwarded-For'), ['203.0.113.9, 127.0.0.3']);
        assert.deepEqual(header(seen, 'X-Forwarded-Proto'), ['http']);
      }
    });

    test('least_conn: the server with the fewest requests under way gets the next', async () => {
      const port = shipped.port(8083);
      const { a, b } = shipped.backends;
      const held = () => [a!.held.length, b!.held.length];
      const waiting: Promise<Answer>[] = [];
      const hold = async () => {
        const before = a!.held.length + b!.held.length;
        waiting.push(get({ port, path: '/hold' }));
        await until('one more at a server', () => a!.held.length + b!.held.length === before + 1);
      };
      for (let sent = 0; sent < 6; sent++) await hold();
      assert.deepEqual(held(), [3, 3]);

      // Those of one server end: the next go there, whichever worker they come to.
      a!.release();
      await until('requests that Portico knows to be over', async () => (await ask(port)).server === 'a');
      await hold();
      assert.deepEqual(held(), [1, 3]);
      assert.deepEqual(tally(await askInTurn(port, 10)), { a: 10 });
      await hold();
      assert.deepEqual(held(), [2, 3]);
      a!.release();
      b!.release();
      for (const answer of await Promise.all(waiting)) assert.equal(answer.body, 'released');
    });

    test('least_conn: servers that have the same take turns', async () => {
      assert.deepEqual(tally(await askInTurn(shipped.port(8083), 20)), { a: 10, b: 10 });
    });

    test('ip_hash: a client keeps its server', async () => {
      const port = shipped.port(8084);
      const servers = new Set<string>();
      for (let network = 0; network < 12; network++) {
        const names = [
          ...(await askInTurn(port, 3, { localAddress: `127.0.${network}.1` })),
          // The first three bytes of an address count.
          ...(await askInTurn(port, 2, { localAddress: `127.0.${network}.77` })),
        ];
        assert.equal(new Set(names).size, 1, `clients of 127.0.${network}.0/24 went to ${names}`);
        servers.add(names[0]!);
      }
      assert.deepEqual([...servers].sort(), ['a', 'b', 'c']);
    });

    test('ip_hash: a client whose server fails gets another one, and keeps that', async () => {
      const port = shipped.port(8084);
      const localAddress = '127.0.4.1';
      const { server } = await ask(port, { localAddress });
      await shipped.backends[server]!.stop();
      const names = await askInTurn(port, 10, { localAddress });
      assert.equal(new Set(names).size, 1);
      assert.notEqual(names[0], server);
      await shipped.backends[server]!.start();
    });
  });
}

describe('the servers of an upstream group', () => {
  for (const setting of SETTINGS) {
    const { engine, workers } = setting;
    test(`may have names and weights of their own, ${on(setting)}`, async () => {
      const shipped = await startShipped('balancing-methods.conf', {
        engine,
        workers,
        backends: { 8000: 'a', 8001: 'b', 8002: 'c' },
        edit: (text, port) => text.replace(`127.0.0.1:${port(8000)};`, `localhost:${port(8000)} weight=2;`),
      });
      try {
        // However many addresses localhost has, each has twice the weight of the others.
        const names = tally(await askInTurn(shipped.port(8082), 24));
        assert.equal(names['b'], names['c']);
        assert.equal(names['a']! % (2 * names['b']!), 0);
      } finally {
        await shipped.stop();
      }
    });
  }

  test('must be known by the time the configuration is read', async () => {
    using sandbox = createSandbox();
    const file = sandbox.write(
      'conf/unknown.conf',
      'events {}\nhttp {\n    upstream backend {\n        server backend1.invalid:8000;\n    }\n}\n',
    );
    const { code, stderr } = await runPortico(['-t', '-p', sandbox.directory, '-e', 'stderr', '-c', file]);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /\[emerg\] .*host not found in upstream "backend1\.invalid:8000" in .*unknown\.conf:4\n/,
    );
  });
});
