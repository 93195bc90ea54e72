import assert from 'node:assert/strict';
import { existsSync, renameSync } from 'node:fs';
import { test } from 'node:test';
import { get, openClient } from '../support/client.ts';
import { crashable, createSandbox, startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import { until } from '../support/wait.ts';

/** Long enough for a worker not to count as one that dies at once. */
const GROWN_UP = 1100;

test('a worker that throws is replaced, and another does not notice', async () => {
  using sandbox = createSandbox();
  const port = await freePort();
  const http = `server { listen 127.0.0.1:${port}; location / { return 200 hello; } }`;
  await using portico = await startPortico({
    sandbox,
    http,
    workers: 2,
    environment: crashable(sandbox.path('crash')),
  });
  // Until both workers have some.
  const clients = await Promise.all(Array.from({ length: 20 }, () => openClient(port)));
  for (const client of clients) assert.equal((await client.get('/')).body, 'hello');
  await new Promise((resolve) => setTimeout(resolve, GROWN_UP));

  const from = portico.errorLog().length;
  sandbox.write('crash', '');
  await portico.logged(
    /\[alert\] .*worker \d \(thread \d+\) died: Error: the test has made this worker crash/,
    from,
  );
  await portico.logged(/\[notice\] .*start worker \d /, from);
  assert.doesNotMatch(portico.errorLog().slice(from), /its replacement starts in/);
  for (let count = 0; count < 20; count++) assert.equal((await get(port)).body, 'hello');

  const alive = clients.filter((client) => !client.closed);
  assert.ok(alive.length > 0 && alive.length < 20, `${alive.length} of 20 connections are left`);
  for (const client of alive) assert.equal((await client.get('/')).body, 'hello');
  for (const client of clients) client.close();

  // A reload reaches the new one too.
  portico.configure({ http: http.replace('hello', 'new') });
  assert.equal(await portico.reload(), 'done');
  for (let count = 0; count < 20; count++) assert.equal((await get(port)).body, 'new');
  assert.equal((await portico.stop('SIGQUIT')).code, 0);
});

test('the only worker is replaced, with its Unix socket', async () => {
  using sandbox = createSandbox();
  const port = await freePort();
  const path = sandbox.path('logs/socket');
  await using portico = await startPortico({
    sandbox,
    http: `server { listen 127.0.0.1:${port}; listen unix:${path}; location / { return 200 hello; } }`,
    environment: crashable(sandbox.path('crash')),
  });
  await new Promise((resolve) => setTimeout(resolve, GROWN_UP));
  const from = portico.errorLog().length;
  sandbox.write('crash', '');
  await portico.logged(/start worker 0 /, from);
  assert.equal((await get(port)).body, 'hello');
  await until('the Unix socket', () => existsSync(path));
  assert.equal((await get({ path })).body, 'hello');
});

test('a worker that keeps dying is replaced later and later', async () => {
  using sandbox = createSandbox();
  const port = await freePort();
  await using portico = await startPortico({
    sandbox,
    http: `server { listen 127.0.0.1:${port}; location / { return 200 hello; } }`,
    environment: crashable(sandbox.path('crash')),
  });
  for (const delay of [100, 200, 400]) {
    // On a busy machine one may have lived for a second before it hears of it, and then it did not die young.
    await until(`a worker replaced after ${delay} ms`, () => {
      if (portico.errorLog().includes(`its replacement starts in ${delay} ms`)) return true;
      if (!existsSync(sandbox.path('crash'))) sandbox.write('crash', '');
      return false;
    });
  }
  assert.equal((await until('an answer', () => get(port).catch(() => undefined))).body, 'hello');
  assert.equal((await portico.stop()).code, 0);
});

test('what keeps workers from starting is told', async () => {
  using sandbox = createSandbox();
  const broken = sandbox.write(
    'broken.mjs',
    `import { isMainThread } from 'node:worker_threads';
     if (!isMainThread) throw new Error('the test has broken what workers import');`,
  );
  const port = await freePort();
  await using portico = await startPortico({
    sandbox,
    http: `server { listen 127.0.0.1:${port}; }`,
    workers: 2,
    environment: { NODE_OPTIONS: `--import=file://${broken}` },
    expectFailure: true,
  });
  const { code, stderr } = await portico.ended;
  assert.equal(code, 1);
  const told = /\[alert\] .*worker 0 could not start: Error: the test has broken what workers import/;
  assert.match(stderr, told);
  assert.match(portico.errorLog(), told);
});

test('workers that cannot start fail a reload, and those there are go on', async () => {
  using sandbox = createSandbox();
  // The first worker there is gets through.
  const broken = sandbox.write(
    'broken.mjs',
    `import { writeFileSync } from 'node:fs';
     import { isMainThread } from 'node:worker_threads';
     if (!isMainThread) {
       try {
         writeFileSync(${JSON.stringify(sandbox.path('first'))}, '', { flag: 'wx' });
       } catch {
         throw new Error('the test has broken what workers import');
       }
     }`,
  );
  const port = await freePort();
  const http = `server { listen 127.0.0.1:${port}; location / { return 200 hello; } }`;
  await using portico = await startPortico({
    sandbox,
    http,
    environment: { NODE_OPTIONS: `--import=file://${broken}` },
  });
  portico.configure({ http: http.replace('hello', 'new'), workers: 2 });
  assert.equal(await portico.reload(), 'failed');
  assert.match(
    portico.errorLog(),
    /\[alert\] .*worker 1 could not start: Error: the test has broken what workers import/,
  );
  assert.doesNotMatch(portico.errorLog(), /worker 0 .* (died|exited)/);
  assert.equal((await get(port)).body, 'hello');
  assert.equal((await portico.stop('SIGQUIT')).code, 0);
});

test('a Unix socket that another worker has come to have is opened again when that one dies too', async () => {
  using sandbox = createSandbox();
  const port = await freePort();
  const path = sandbox.path('logs/socket');
  await using portico = await startPortico({
    sandbox,
    workers: 2,
    http: `server { listen 127.0.0.1:${port}; listen unix:${path}; location / { return 200 hello; } }`,
    environment: crashable(sandbox.path('crash')),
  });
  const threadOf = (worker: number) =>
    new RegExp(`start worker ${worker} \\(thread (\\d+)\\)`).exec(portico.errorLog())![1]!;
  const crash = async (worker: number) => {
    const from = portico.errorLog().length;
    sandbox.write('crash.coming', threadOf(worker));
    renameSync(sandbox.path('crash.coming'), sandbox.path('crash'));
    await portico.logged(`worker ${worker} (thread ${threadOf(worker)}) died`, from);
    await portico.logged(`start worker ${worker} `, from);
    assert.equal((await until('an answer', () => get({ path }).catch(() => undefined))).body, 'hello');
  };
  // It has not lived for long, so that the other one gets the socket at once.
  await crash(0);
  await new Promise((resolve) => setTimeout(resolve, GROWN_UP));
  await crash(1);
  assert.equal((await portico.stop('SIGQUIT')).code, 0);
  assert.equal(existsSync(path), false);
});
