import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ENGINE_NAMES } from '../../src/core/engine-name.ts';
import { get, openClient } from '../support/client.ts';
import { createSandbox, runPortico, startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import { until } from '../support/wait.ts';
import {
  countsAreZero,
  memory,
  memoryMeter,
  onlyIdle,
  startBackend,
  startLoad,
  threads,
} from './endurance-load.ts';

const CLIENTS = 64;
const RELOADS = 100;
/** Of these, as many are asked for by `portico -s reload`; the others by the signal that it sends. */
const BY_COMMAND = 5;
/** `max_conns` of each backend. */
const PLACES = 40;
/** Memory in use, in bytes, may have grown by so much over all reloads: less than what one site takes, a hundred times. */
const MEMORY_MARGIN = 4_000_000;

for (const engine of ENGINE_NAMES) {
  test(`100 reloads under load fail no request, close no connection, and leave nothing behind, with ${engine}`, async (t) => {
    using one = await startBackend('one');
    using other = await startBackend('other');
    const backends = [one, other];
    const port = await freePort();
    const http = (generation: number) => `
    access_log off;
    keepalive_requests 100000000;
    keepalive_timeout 300s;
    upstream backends {
      least_conn;
      server 127.0.0.1:${one.port} max_conns=${PLACES};
      server 127.0.0.1:${other.port} max_conns=${PLACES};
      keepalive 64;
    }
    server {
      listen 127.0.0.1:${port};
      location / { proxy_pass http://backends; add_header X-Generation ${generation}; }
      location = /status { stub_status; }
    }`;
    using sandbox = createSandbox();
    const meter = memoryMeter(sandbox);
    await using portico = await startPortico({
      sandbox,
      engine,
      workers: 2,
      level: 'notice',
      http: http(0),
      environment: meter.environment,
    });
    let generation = 0;
    async function reload(): Promise<void> {
      generation++;
      portico.configure({ http: http(generation) });
      assert.equal(await portico.reload(), 'done');
    }

    const load = startLoad(await Promise.all(Array.from({ length: CLIENTS }, () => openClient(port))), '/');
    try {
      // Code that runs for the first time takes memory for good.
      await until('the load to be under way', () => load.answered > 5000 || load.failures[0]);
      for (let warm = 0; warm < 10; warm++) await reload();
      const threadsBefore = threads(portico.pid);
      const liveBefore = await meter.read(3);
      const residentBefore = memory(portico.pid);

      const answeredBefore = load.answered;
      const started = performance.now();
      for (let count = 0; count < RELOADS; count++) {
        const answered = load.answered;
        if (count < BY_COMMAND) {
          generation++;
          portico.configure({ http: http(generation) });
          const from = portico.errorLog().length;
          const ended = await runPortico([
            '-p',
            portico.sandbox.directory,
            '-c',
            'conf/portico.conf',
            '-s',
            'reload',
          ]);
          assert.equal(ended.code, 0, ended.stderr);
          await portico.logged(/configuration \d+ is in use/, from);
        } else await reload();
        await until('an answer after the reload', () => load.answered > answered || load.failures[0]);
      }
      const seconds = (performance.now() - started) / 1000;
      const answered = load.answered - answeredBefore;
      await load.stop();
      assert.deepEqual(load.failures.slice(0, 5), []);
      assert.ok(
        load.clients.every(({ client }) => !client.closed),
        'no connection has been closed',
      );
      const last = await get(port, '/');
      assert.match(
        last.head,
        new RegExp(`^X-Generation: ${generation}\r$`, 'm'),
        'the last configuration serves',
      );

      await onlyIdle(port, CLIENTS);
      assert.equal(threads(portico.pid), threadsBefore, 'threads');
      const liveAfter = await meter.read(3);
      const grown = liveAfter - liveBefore;
      t.diagnostic(
        `${RELOADS} reloads in ${seconds.toFixed(1)} s, ${answered} requests meanwhile; memory in use ${liveBefore} bytes ` +
          `before, ${grown} more afterwards (resident ${residentBefore} kB, ${memory(portico.pid)} kB with the garbage ` +
          `of before); ${threadsBefore} threads`,
      );
      assert.ok(grown < MEMORY_MARGIN, `memory in use has grown by ${grown} bytes`);
    } finally {
      load.close();
    }
    await onlyIdle(port, 0);
    await countsAreZero(port, backends, 2 * PLACES);
    await onlyIdle(port, 0);
    assert.doesNotMatch(portico.errorLog(), /\[(?:warn|error|crit|alert|emerg)\] (?!.*no live upstreams)/);
  });
}
