import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ENGINE_NAMES } from '../../src/core/engine-name.ts';
import { startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import type { Done, Order } from './endurance-clients.ts';
import { onlyIdle, quietMemory, startBackend } from './endurance-load.ts';

const CONNECTIONS = 10_000;
const PROCESSES = 2;
/** Connections that are opened, or asked on, at a time in each process. */
const WINDOW = 100;
/** More memory for one idle connection than this, in bytes, is a mistake. */
const MEMORY_LIMIT = 24 * 1024;

const PROGRAM = fileURLToPath(new URL('endurance-clients.ts', import.meta.url));

for (const engine of ENGINE_NAMES) {
  test(`10,000 connections are open at once on one worker, and each is served twice, with ${engine}`, async (t) => {
    using backend = await startBackend('hello');
    const port = await freePort();
    await using portico = await startPortico({
      engine,
      events: 'worker_connections 25000;',
      level: 'warn',
      http: `
      access_log off;
      keepalive_timeout 300s;
      client_header_timeout 300s;
      upstream backend { server 127.0.0.1:${backend.port}; keepalive 256; }
      server {
        listen 127.0.0.1:${port};
        location / { proxy_pass http://backend; }
        location = /status { stub_status; }
      }`,
    });
    const children: ChildProcess[] = [];
    async function tellAll(order: Order): Promise<{ open: number; served: number }> {
      const answers = await Promise.all(
        children.map(async (child) => {
          const answer = once(child, 'message', { signal: AbortSignal.timeout(40_000) });
          child.send(order);
          return (await answer)[0] as Done;
        }),
      );
      assert.deepEqual(
        answers.flatMap(({ errors }) => errors),
        [],
      );
      return {
        open: answers.reduce((sum, { open }) => sum + open, 0),
        served: answers.reduce((sum, { served }) => sum + served, 0),
      };
    }

    try {
      for (let count = 0; count < PROCESSES; count++) children.push(fork(PROGRAM, { stdio: 'inherit' }));

      // The code has run, and the pool is open, before anything is measured.
      const warm = Math.round(WINDOW * 2.5);
      await tellAll({ kind: 'open', port, count: warm, window: WINDOW });
      for (let round = 0; round < 4; round++) {
        const { served } = await tellAll({ kind: 'serve', path: '/', body: 'hello', window: WINDOW });
        assert.equal(served, warm * PROCESSES);
      }
      const before = await quietMemory(portico.pid);

      const started = performance.now();
      const opened = await tellAll({
        kind: 'open',
        port,
        count: CONNECTIONS / PROCESSES - warm,
        window: WINDOW,
      });
      assert.equal(opened.open, CONNECTIONS);
      for (let round = 1; round <= 2; round++) {
        const { served } = await tellAll({ kind: 'serve', path: '/', body: 'hello', window: WINDOW });
        assert.equal(served, CONNECTIONS, `round ${round}`);
        await onlyIdle(port, CONNECTIONS);
      }
      const seconds = (performance.now() - started) / 1000;
      const after = await quietMemory(portico.pid);
      const each = ((after - before) * 1024) / (CONNECTIONS - warm * PROCESSES);
      t.diagnostic(
        `${CONNECTIONS} connections, each served twice in ${seconds.toFixed(1)} s; resident memory ${before} kB before, ` +
          `${after} kB with them: ${Math.round(each)} bytes for each idle connection`,
      );
      assert.ok(each < MEMORY_LIMIT, `${Math.round(each)} bytes for an idle connection`);

      for (const child of children) child.send({ kind: 'close' } satisfies Order);
      await Promise.all(children.map((child) => once(child, 'exit')));
      await onlyIdle(port, 0);
      assert.equal(portico.errorLog().replace(/^.*\[warn\] .*exceed open file resource limit.*\n/gm, ''), '');
    } finally {
      for (const child of children) if (child.exitCode === null) child.kill('SIGKILL');
    }
  });
}
