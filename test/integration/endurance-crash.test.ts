import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ENGINE_NAMES } from '../../src/core/engine-name.ts';
import { type Client, openClient } from '../support/client.ts';
import { crashable, createSandbox, startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import { until } from '../support/wait.ts';
import { countsAreZero, onlyIdle, startBackend, startLoad } from './endurance-load.ts';

const BUSY = 64;
const IDLE = 16;
const HOLDING = 16;
const CRASHES = 4;
/** `max_conns` of each backend: the load and the held requests fit, so that nobody is ever refused. */
const PLACES = 50;

for (const engine of ENGINE_NAMES) {
  test(`a worker that throws under load costs no more than what it was serving, and the counts are right afterwards, with ${engine}`, async (t) => {
    using one = await startBackend('one');
    using other = await startBackend('other');
    const backends = [one, other];
    const port = await freePort();
    using sandbox = createSandbox();
    const crash = sandbox.path('crash');
    await using portico = await startPortico({
      sandbox,
      engine,
      workers: 2,
      level: 'notice',
      environment: crashable(crash),
      http: `
      access_log off;
      keepalive_requests 100000000;
      keepalive_timeout 300s;
      upstream backends {
        least_conn;
        server 127.0.0.1:${one.port} max_conns=${PLACES} max_fails=0;
        server 127.0.0.1:${other.port} max_conns=${PLACES} max_fails=0;
      }
      server {
        listen 127.0.0.1:${port};
        location / { proxy_pass http://backends; }
        location /worker/ { root ${sandbox.directory}nothing; }
        location = /status { stub_status; }
      }`,
    });

    let asked = 0;
    /** Opens a connection, and finds out which thread serves it: the one that writes what is amiss with its first request. */
    async function openKnown(): Promise<{ client: Client; thread: number }> {
      const client = await openClient(port);
      const name = `/worker/${++asked}`;
      assert.equal((await client.get(name)).status, 404);
      const line = await portico.logged(`"GET ${name} HTTP/1.1"`);
      return { client, thread: Number(/ \d+#(\d+): /.exec(line)?.[1]) };
    }
    const held = () => one.held + other.held;

    for (let round = 1; round <= CRASHES; round++) {
      const known = await Promise.all(Array.from({ length: BUSY + IDLE + HOLDING }, openKnown));
      const threads = new Set(known.map(({ thread }) => thread));
      assert.equal(threads.size, 2, 'both workers serve');
      const idle = known.slice(BUSY, BUSY + IDLE);
      const holding = known.slice(BUSY + IDLE);
      const load = startLoad(
        known.slice(0, BUSY).map(({ client }) => client),
        '/',
      );
      try {
        const answers = holding.map(({ client }) =>
          client.get('/hold').then(
            ({ status }) => status,
            () => 'lost',
          ),
        );
        await until('requests to be held', () => held() === HOLDING);
        await until('the load to be under way', () => load.answered > 2000 || load.failures[0]);

        const from = portico.errorLog().length;
        sandbox.write('crash', '');
        const death = await portico.logged(' died: ', from);
        assert.match(
          death,
          /\[alert\] .*worker \d+ \(thread \d+\) died: Error: the test has made this worker crash/,
        );
        const dead = Number(/\(thread (\d+)\)/.exec(death)?.[1]);
        assert.ok(threads.has(dead), `${dead} is one of ${[...threads]}`);
        const lost = known.filter(({ thread }) => thread === dead);
        const kept = known.filter(({ thread }) => thread !== dead);
        await Promise.all(lost.map(({ client }) => client.ended));

        // What the dead worker had asked the backends is theirs to give up; what the other one asked stays.
        const keptHolding = holding.filter(({ thread }) => thread !== dead).length;
        await until('the held requests of the dead worker to be gone', () => held() === keptHolding);
        const answered = load.answered;
        await until(
          'the other worker to go on',
          () => load.answered > answered + 2000 || load.clients.every(({ failure }) => failure),
        );
        const replaced = await portico.logged(/start worker \d+ \(thread \d+\)/, from);
        await load.stop();
        for (const backend of backends) backend.releaseHeld();

        for (const { client, number, failure } of load.clients) {
          if (known[number]!.thread === dead)
            assert.match(failure ?? 'served on', /^the connection was closed/);
          else assert.equal(failure, undefined, `client ${number}, whose worker lives`);
          assert.equal(client.closed, known[number]!.thread === dead);
        }
        for (const { client, thread } of idle) assert.equal(client.closed, thread === dead);
        const statuses = await Promise.all(answers);
        assert.deepEqual(
          statuses,
          holding.map(({ thread }) => (thread === dead ? 'lost' : 200)),
        );

        await onlyIdle(port, kept.length);
        t.diagnostic(
          `crash ${round}: thread ${dead} took ${lost.length} of ${known.length} connections and ` +
            `${load.failures.length} requests of ${load.answered} with it; ${/start worker.*/.exec(replaced)?.[0]}`,
        );
      } finally {
        load.close();
        for (const { client } of known) client.close();
        for (const backend of backends) backend.releaseHeld();
      }
      await onlyIdle(port, 0);
      await countsAreZero(port, backends, 2 * PLACES);
      await onlyIdle(port, 0);
    }
    const log = portico.errorLog();
    assert.equal(log.match(/ died: /g)?.length, CRASHES);
    assert.doesNotMatch(log, /\[(?:crit|emerg)\]|a mistake in the master/);
  });
}
