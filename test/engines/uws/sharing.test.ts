/** The master listens and hands connections to the workers: in turn, over reloads, and to the end. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { describe, test } from 'node:test';
import { startBackend } from '../../integration/endurance-load.ts';
import { type Client, get, isRefused, openClient } from '../../support/client.ts';
import { crashable, createSandbox, type RunningPortico, startPortico } from '../../support/portico.ts';
import { freePort, freePorts } from '../../support/ports.ts';
import { gaugesIn } from '../../support/stub-status.ts';
import { writeCertificate } from '../../support/tls-client.ts';
import { until } from '../../support/wait.ts';

let asked = 0;

/** Connects, and finds out which thread serves the connection: the one that says what is amiss with its request. */
async function openKnown(
  portico: RunningPortico,
  to: Parameters<typeof openClient>[0],
  tls = false,
): Promise<{ client: Client; thread: number }> {
  const client = await openClient(to, tls);
  const name = `/worker/${++asked}`;
  assert.equal((await client.get(name)).status, 404);
  const line = await portico.logged(`"GET ${name} HTTP/1.1"`);
  return { client, thread: Number(/ \d+#(\d+): /.exec(line)?.[1]) };
}

async function status(port: number, tls = false): Promise<string> {
  return gaugesIn((await get(port, '/status', tls)).body);
}

/** A sandbox with a certificate. */
function createTlsSandbox() {
  const sandbox = createSandbox();
  writeCertificate(sandbox, 'server', { name: 'localhost' });
  return sandbox;
}

const listen = (port: number, tls: boolean) =>
  tls
    ? `listen 127.0.0.1:${port} ssl; ssl_certificate server.crt; ssl_certificate_key server.key;`
    : `listen 127.0.0.1:${port};`;

describe('a listener of the uws engine', { concurrency: 3 }, () => {
  for (const tls of [false, true])
    test(`hands connections that are made one after the other to two workers evenly, exactly${tls ? ', over TLS' : ''}`, async () => {
      const port = await freePort();
      using sandbox = createTlsSandbox();
      await using portico = await startPortico({
        sandbox,
        engine: 'uws',
        workers: 2,
        http: `server { ${listen(port, tls)} root nowhere; }`,
      });
      const counts = new Map<number, number>();
      const order: number[] = [];
      for (let count = 0; count < 100; count++) {
        const { client, thread } = await openKnown(portico, port, tls);
        counts.set(thread, (counts.get(thread) ?? 0) + 1);
        order.push(thread);
        client.close();
      }
      assert.deepEqual([...counts.values()], [50, 50]);
      for (let index = 2; index < order.length; index++) assert.equal(order[index], order[index - 2]);
    });

  test('stays as it is over a reload, and so do its connections; others come and go', async () => {
    using backend = await startBackend('hello');
    const [stays, goes, comes] = await freePorts(3);
    const http = (ports: readonly number[], text: string) => `
      root nowhere;
      server {
        ${ports.map((port) => `listen 127.0.0.1:${port};`).join(' ')}
        location /text { return 200 "${text}"; }
        location /hold { proxy_pass http://127.0.0.1:${backend.port}; }
        location = /status { stub_status; }
      }`;
    await using portico = await startPortico({
      engine: 'uws',
      workers: 2,
      http: http([stays!, goes!], 'old'),
    });
    const kept = await Promise.all(Array.from({ length: 10 }, () => openClient(stays!)));
    const idle = await openClient(goes!);
    const holding = await openClient(goes!);
    for (const client of [...kept, idle]) assert.equal((await client.get('/text')).body, 'old');
    const held = holding.get('/hold');
    await until('a request that is held', () => backend.held === 1);

    portico.configure({ http: http([stays!, comes!], 'new') });
    assert.equal(await portico.reload(), 'done');
    for (const client of kept) assert.equal((await client.get('/text')).body, 'new');
    assert.equal((await get(comes!, '/text')).body, 'new');
    assert.ok(await isRefused(goes!));
    // The request that is under way ends as it would have; then the connections of that address are closed.
    backend.releaseHeld();
    assert.equal((await held).status, 200);
    await Promise.all([holding.ended, idle.ended]);
    assert.equal(await status(stays!), '11 Reading: 0 Writing: 1 Waiting: 10');

    // A configuration that cannot be used changes nothing.
    portico.configure({
      http: `${http([stays!], 'bad')} server { listen 127.0.0.1:${goes}; keepalive_time 1h; }`,
    });
    assert.equal(await portico.reload(), 'failed');
    assert.ok(await isRefused(goes!));
    for (const client of kept) assert.equal((await client.get('/text')).body, 'new');
    for (const client of kept) client.close();
    assert.equal((await portico.stop('SIGQUIT')).code, 0);
  });

  test('changes its engine on a reload, and back', async () => {
    const port = await freePort();
    const http = `server { listen 127.0.0.1:${port}; location / { return 200 hello; } }`;
    await using portico = await startPortico({ engine: 'node', workers: 2, http });
    for (const engine of ['uws', 'node', 'uws']) {
      const client = await openClient(port);
      assert.equal((await client.get('/')).body, 'hello');
      portico.configure({ engine });
      assert.equal(await portico.reload(), 'done', portico.errorLog());
      for (let count = 0; count < 10; count++) {
        // A worker that has not stopped listening yet may still accept it, and close it as it stops.
        const answer = await until('an answer', () => get(port).catch(() => undefined));
        assert.equal(answer.body, 'hello');
      }
      await client.ended;
    }
    assert.equal((await portico.stop('SIGQUIT')).code, 0);
  });

  test('has more workers after a reload, and fewer after another', async () => {
    const port = await freePort();
    await using portico = await startPortico({
      engine: 'uws',
      workers: 1,
      http: `server { listen 127.0.0.1:${port}; root nowhere; }`,
    });
    for (const workers of [3, 1, 2]) {
      portico.configure({ workers });
      assert.equal(await portico.reload(), 'done');
      const threads = new Set<number>();
      for (let count = 0; count < workers * 4; count++) {
        const { client, thread } = await openKnown(portico, port);
        threads.add(thread);
        client.close();
      }
      assert.equal(threads.size, workers);
    }
    assert.equal((await portico.stop('SIGQUIT')).code, 0);
  });

  test('may be a Unix socket, which is gone afterwards', async () => {
    using sandbox = createSandbox();
    const path = sandbox.path('logs/socket');
    await using portico = await startPortico({
      sandbox,
      engine: 'uws',
      workers: 2,
      http: `server { listen unix:${path}; root nowhere; location = /text { return 200 "$remote_addr $server_addr"; } }`,
    });
    assert.equal(statSync(path).mode & 0o777, 0o666);
    assert.equal((await get({ path }, '/text')).body, `unix: unix:${path}`);
    const threads = new Set<number>();
    for (let count = 0; count < 6; count++) {
      const { client, thread } = await openKnown(portico, { path });
      threads.add(thread);
      client.close();
    }
    assert.equal(threads.size, 2, 'all workers share it');
    const { code, signal, stderr } = await portico.stop('SIGQUIT');
    assert.deepEqual([code, signal, stderr], [0, null, '']);
    assert.equal(existsSync(path), false);
  });

  test('may be at an IPv6 address', async (context) => {
    const port = await freePort();
    await using portico = await startPortico({
      engine: 'uws',
      http: `server { listen [::1]:${port}; location / { return 200 "$remote_addr"; } }`,
      expectFailure: true,
    });
    const started = await Promise.race([
      portico.ended.then(() => false as const),
      until('an answer', () => get({ host: '::1', port }).catch(() => undefined)),
    ]);
    if (started === false) {
      context.skip('this machine has no ::1');
      return;
    }
    assert.equal(started.body, '::1');
  });

  for (const tls of [false, true])
    test(`ends what is under way before it shuts down, and refuses whoever comes then${tls ? ', over TLS' : ''}`, async () => {
      using backend = await startBackend('hello');
      const port = await freePort();
      using sandbox = createTlsSandbox();
      await using portico = await startPortico({
        sandbox,
        engine: 'uws',
        workers: 2,
        http: `server { ${listen(port, tls)} location / { proxy_pass http://127.0.0.1:${backend.port}; } }`,
      });
      const idle = await Promise.all(Array.from({ length: 4 }, () => openClient(port, tls)));
      for (const client of idle) await client.get('/');
      const busy = await Promise.all(Array.from({ length: 4 }, () => openClient(port, tls)));
      const answers = busy.map((client) => client.get('/hold'));
      await until('requests that are held', () => backend.held === 4);
      portico.signal('SIGQUIT');
      await until('nobody to listen', () => isRefused(port));
      await until(
        'both workers to know',
        () => portico.errorLog().match(/gracefully shutting down/g)?.length === 2,
      );
      backend.releaseHeld();
      for (const answer of await Promise.all(answers)) {
        assert.equal(answer.status, 200);
        assert.match(answer.head, /^Connection: close\r$/m);
      }
      assert.equal((await portico.ended).code, 0);
      await Promise.all([...idle, ...busy].map(({ ended }) => ended));
    });

  for (const tls of [false, true])
    test(`takes no more connections than worker_connections, and takes others again when some have gone${tls ? ', over TLS' : ''}`, async () => {
      const port = await freePort();
      using sandbox = createTlsSandbox();
      await using portico = await startPortico({
        sandbox,
        engine: 'uws',
        events: 'worker_connections 20;',
        http: `server { ${listen(port, tls)} location / { return 200 hello; } location = /status { stub_status; } }`,
      });
      const clients: Client[] = [];
      for (let count = 0; count < 30; count++) {
        const client = await openClient(port, tls && count < 20);
        clients.push(client);
        if (count < 20) assert.equal((await client.get('/')).status, 200);
        else await client.ended;
      }
      await portico.logged('20 worker_connections are not enough');
      assert.equal(clients.filter(({ closed }) => !closed).length, 20);
      for (const client of clients.slice(0, 5)) client.close();
      await until(
        'room',
        async () => (await get(port, '/status', tls).catch(() => undefined))?.status === 200,
      );
      for (const client of clients.slice(5, 20)) assert.equal((await client.get('/')).status, 200);
      for (const client of clients) client.close();
      await until(
        'all to be gone',
        async () => (await status(port, tls)) === '1 Reading: 0 Writing: 1 Waiting: 0',
      );
      const [, accepted, handled] = /\n (\d+) (\d+) \d+/.exec((await get(port, '/status', tls)).body)!;
      assert.ok(Number(accepted) - Number(handled) >= 10, `${accepted} accepted, ${handled} handled`);
    });

  test('closes an idle connection after keepalive_timeout, and one that sends no request', async () => {
    const port = await freePort();
    await using _portico = await startPortico({
      engine: 'uws',
      http: `
        client_header_timeout 1s;
        keepalive_timeout 1s;
        server { listen 127.0.0.1:${port}; location / { return 200 hello; } location /long { keepalive_timeout 300s; return 200 hello; } }`,
    });
    const silent = await openClient(port);
    const begun = await openClient(port);
    begun.write('GET / HT');
    const idle = await openClient(port);
    const long = await openClient(port);
    await idle.get('/');
    await long.get('/long');
    const started = performance.now();
    await Promise.all([silent.ended, begun.ended, idle.ended]);
    const after = performance.now() - started;
    assert.ok(after > 900 && after < 13_000, `after ${after} ms`);
    assert.equal((await long.get('/')).status, 200);
    long.close();
  });

  for (const tls of [false, true])
    test(`closes connections that send nothing while others send bodies${tls ? ', over TLS' : ''}`, async () => {
      const port = await freePort();
      using sandbox = createTlsSandbox();
      await using _portico = await startPortico({
        sandbox,
        engine: 'uws',
        http: `client_header_timeout 1s; server { ${listen(port, tls)} location / { return 200 hello; } }`,
      });
      const senders = await Promise.all(Array.from({ length: 20 }, () => openClient(port, tls)));
      let going = true;
      const sending = senders.map(async (client) => {
        while (going) {
          client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello');
          assert.equal((await client.answer()).status, 200);
        }
      });
      const silent: Client[] = [];
      for (let count = 0; count < 100; count++) silent.push(await openClient(port, tls));
      going = false;
      await Promise.all(sending);
      await Promise.all(silent.map(({ ended }) => ended));
      for (const client of senders) {
        assert.equal((await client.get('/')).status, 200);
        client.close();
      }
    });

  for (const tls of [false, true])
    test(`survives the only worker, and the connections of the new one are served${tls ? ', over TLS' : ''}`, async () => {
      using sandbox = createTlsSandbox();
      const port = await freePort();
      await using portico = await startPortico({
        sandbox,
        engine: 'uws',
        http: `server { ${listen(port, tls)} location / { return 200 hello; } }`,
        environment: crashable(sandbox.path('crash')),
      });
      for (let round = 0; round < 3; round++) {
        await new Promise((resolve) => setTimeout(resolve, 1100));
        const client = await openClient(port, tls);
        assert.equal((await client.get('/')).body, 'hello');
        const from = portico.errorLog().length;
        sandbox.write('crash', '');
        await portico.logged(
          /\[alert\] .*worker 0 \(thread \d+\) died: Error: the test has made this worker crash/,
          from,
        );
        await client.ended;
        await portico.logged(/start worker 0 /, from);
        assert.equal(
          (await until('an answer', () => get(port, '/', tls).catch(() => undefined))).body,
          'hello',
        );
      }
      assert.equal((await portico.stop()).code, 0);
    });

  test('has its own process end when it is told to, whatever is open', async () => {
    using backend = await startBackend('hello');
    const port = await freePort();
    await using portico = await startPortico({
      engine: 'uws',
      workers: 2,
      http: `server { listen 127.0.0.1:${port}; location / { proxy_pass http://127.0.0.1:${backend.port}; } }`,
    });
    const clients = await Promise.all(Array.from({ length: 20 }, () => openClient(port)));
    for (const client of clients) client.write('GET /hold HTTP/1.1\r\nHost: a\r\n\r\n');
    await until('requests that are held', () => backend.held === 20);
    const closed = Promise.all(clients.map(({ socket }) => once(socket, 'close')));
    const { code, stderr } = await portico.stop('SIGTERM');
    assert.deepEqual([code, stderr], [0, '']);
    await closed;
  });
});
