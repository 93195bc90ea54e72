/** Reloads that workers do not live through, and those that are overtaken by a shutdown. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { test } from 'node:test';
import { ENGINE_NAMES } from '../../src/core/engine-name.ts';
import { startBackend, threads } from '../integration/endurance-load.ts';
import { get, isRefused, openClient } from '../support/client.ts';
import { crashable, createSandbox, startPortico } from '../support/portico.ts';
import { freePort, freePorts } from '../support/ports.ts';
import { until } from '../support/wait.ts';

test('a worker of uws that throws in the middle of a reload takes nobody with it', async () => {
  using sandbox = createSandbox();
  const rounds = 4;
  const [port, first, ...further] = await freePorts(2 + rounds);
  const http = (text: string, added: number) =>
    `server { listen 127.0.0.1:${port}; listen 127.0.0.1:${added}; location / { return 200 ${text}; } }`;
  await using portico = await startPortico({
    sandbox,
    engine: 'uws',
    workers: 2,
    http: http('first', first!),
    environment: crashable(sandbox.path('crash'), 'crash-at-listen'),
  });
  // One connection after the other, each for one request: what is lost is what the dying worker had.
  let going = true;
  let answered = 0;
  const ask = async (to: number) => {
    while (going) {
      const answer = await get(to).catch(() => undefined);
      if (answer?.status === 200) answered++;
    }
  };
  const more = async () => {
    const already = answered;
    await until('the load to go on', () => answered > already + 200);
  };
  const load = Array.from({ length: 8 }, () => ask(port!));
  try {
    for (const [round, added] of further.entries()) {
      await more();
      const from = portico.errorLog().length;
      sandbox.write('crash', '');
      portico.configure({ http: http(`text${round}`, added) });
      // Whoever listens there first has all of them.
      for (let count = 0; count < 8; count++) load.push(ask(added));
      assert.equal(await portico.reload(), 'done');
      await portico.logged(/ died: Error: the test has made this worker crash/, from);
      await portico.logged(/start worker \d /, from);
      await more();
      for (const to of [port!, added]) {
        for (let count = 0; count < 4; count++) assert.equal((await get(to)).body, `text${round}`);
      }
    }
  } finally {
    going = false;
    await Promise.all(load);
  }
  const { code, signal } = await portico.stop('SIGQUIT');
  assert.deepEqual([code, signal], [0, null]);
  assert.equal(portico.errorLog().match(/ died: /g)?.length, rounds);
  assert.doesNotMatch(portico.errorLog(), /a mistake in the master/);
});

test('a thread that was given up and ends after all is no reason to kill the process', async () => {
  using sandbox = createSandbox();
  const port = await freePort();
  const http = (listens: string) =>
    `server { listen 127.0.0.1:${port} engine=uws; ${listens} location / { return 200 hello; } }`;
  await using portico = await startPortico({
    sandbox,
    http: http(''),
    environment: {
      NODE_OPTIONS: `--import=${new URL('../support/hang-at-listening.ts', import.meta.url).href}`,
      NODE_TEST_HANG_FILE: sandbox.path('hang'),
    },
  });
  sandbox.write('hang', '');
  // The first worker cannot open it, so that the second one is not needed.
  portico.configure({ workers: 2, http: http(`listen unix:${sandbox.path('nowhere/socket')} engine=node;`) });
  assert.equal(await portico.reload(), 'failed');
  await portico.logged(/worker 1 .*its thread does not end, and is left alone/);
  const before = threads(portico.pid);
  rmSync(sandbox.path('hang'));
  await until('the thread to be gone', () => threads(portico.pid) < before);
  assert.equal((await get(port)).body, 'hello');
  const { code, signal } = await portico.stop('SIGQUIT');
  assert.deepEqual([code, signal], [0, null]);
});

for (const engine of ENGINE_NAMES)
  test(`what a shutdown has closed stays closed, though a reload was under way, with ${engine}`, async () => {
    using backend = await startBackend('hello');
    const port = await freePort();
    await using portico = await startPortico({
      engine,
      workers: 2,
      http: `server { listen 127.0.0.1:${port}; location / { proxy_pass http://127.0.0.1:${backend.port}; } }`,
    });
    using client = await openClient(port);
    const answer = client.get('/hold');
    await until('the request', () => backend.held === 1);
    portico.signal('SIGHUP');
    await portico.logged('reconfiguring');
    portico.signal('SIGQUIT');
    await portico.logged('gracefully shutting down');
    await until('nobody to listen', () => isRefused(port));
    // As long as the reload may take to see it.
    for (let count = 0; count < 80; count++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      assert.ok(await isRefused(port));
    }
    backend.releaseHeld();
    assert.equal((await answer).status, 200);
    const { code, signal } = await portico.ended;
    assert.deepEqual([code, signal], [0, null]);
  });
