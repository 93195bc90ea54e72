/** Unix sockets, of either engine: their files, and what becomes of them where something is in the way. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { describe, test } from 'node:test';
import { ENGINE_NAMES } from '../../src/core/engine-name.ts';
import { get, isRefused } from '../support/client.ts';
import { createSandbox, type RunningPortico, startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import { writeCertificate } from '../support/tls-client.ts';
import { until } from '../support/wait.ts';

const isRoot = process.geteuid?.() === 0;

const saying = (text: string, ...listens: readonly string[]) =>
  `server { ${listens.map((listen) => `listen ${listen};`).join(' ')} location / { return 200 "${text}"; } }`;

/** The lines of level emerg. */
const emergencies = (portico: RunningPortico) => portico.errorLog().match(/\[emerg\] \d+#\d+: .*/g) ?? [];

for (const engine of ENGINE_NAMES) {
  describe(`a Unix socket of the engine ${engine}`, { concurrency: 4 }, () => {
    for (const signal of ['SIGTERM', 'SIGQUIT', 'SIGHUP'] as const) {
      test(`whose file cannot be removed is closed all the same, at ${signal}`, async () => {
        using sandbox = createSandbox();
        for (const directory of ['', 'conf', 'logs']) chmodSync(sandbox.path(directory), 0o777);
        // Not that user's, once the process has become nobody.
        mkdirSync(sandbox.path('sockets'));
        const path = sandbox.path('sockets/socket');
        const port = await freePort();
        await using portico = await startPortico({
          sandbox,
          engine,
          workers: 2,
          main: isRoot ? 'user nobody root;' : '',
          http: saying('old', `127.0.0.1:${port}`, `unix:${path}`),
        });
        assert.equal((await get({ path })).body, 'old');
        if (!isRoot) chmodSync(sandbox.path('sockets'), 0o555);
        try {
          if (signal === 'SIGHUP') {
            portico.configure({ http: saying('new', `127.0.0.1:${port}`) });
            assert.equal(await portico.reload(), 'done');
            assert.equal((await get(port)).body, 'new');
            await portico.logged('[emerg]');
            await until('nobody to listen', () => isRefused({ path }));
          }
          const { code, signal: killedBy } = await portico.stop(signal === 'SIGHUP' ? 'SIGQUIT' : signal);
          assert.deepEqual([code, killedBy], [0, null]);
          assert.equal(emergencies(portico).length, 1);
          assert.match(
            emergencies(portico)[0]!,
            new RegExp(`unlink\\(\\) ${path} failed \\(13: Permission denied\\)$`),
          );
          assert.ok(existsSync(path));
        } finally {
          chmodSync(sandbox.path('sockets'), 0o755);
        }
      });
    }

    test('may have a name beyond ASCII, and one that is as long as they can be', async () => {
      using sandbox = createSandbox();
      const short = sandbox.path('logs/söcket€');
      const long = sandbox.path(`logs/${'x'.repeat(107 - sandbox.path('logs/').length - 2)}ö`);
      assert.equal(Buffer.byteLength(long), 107);
      const http = saying(
        'hello',
        ...[short, long].map((path) => `unix:${Buffer.from(path).toString('latin1')}`),
      );
      const first = await startPortico({ sandbox, engine, http });
      for (const path of [short, long]) {
        assert.equal(statSync(path).mode & 0o777, 0o666);
        assert.equal((await get({ path })).body, 'hello');
      }
      first.signal('SIGKILL');
      await first.ended;
      sandbox.write('logs/portico.pid', '');
      // Files that nobody listens on any more are not in its way.
      await using second = await startPortico({ sandbox, engine, http });
      for (const path of [short, long]) assert.equal((await get({ path })).body, 'hello');
      assert.equal((await second.stop('SIGQUIT')).code, 0);
      for (const path of [short, long]) assert.equal(existsSync(path), false);
    });
  });
}

test('a Unix socket whose mode cannot be set fails the reload, which leaves nothing of it', async () => {
  using sandbox = createSandbox();
  const port = await freePort();
  const path = sandbox.path('logs/socket');
  await using portico = await startPortico({
    sandbox,
    engine: 'uws',
    workers: 2,
    http: saying('old', `127.0.0.1:${port}`),
    environment: {
      NODE_OPTIONS: `--import=${new URL('../support/refuse-chmod.ts', import.meta.url).href}`,
      NODE_TEST_REFUSE_CHMOD: sandbox.path('refuse'),
    },
  });
  portico.configure({ http: saying('new', `127.0.0.1:${port}`, `unix:${path}`) });
  sandbox.write('refuse', '');
  for (let count = 1; count <= 2; count++) {
    assert.equal(await portico.reload(), 'failed');
    assert.equal(emergencies(portico).length, count);
    assert.match(
      emergencies(portico).at(-1)!,
      new RegExp(`chmod\\(\\) "${path}" failed \\(1: Operation not permitted\\)$`),
    );
    assert.equal(existsSync(path), false);
    assert.equal((await get(port)).body, 'old');
  }
  rmSync(sandbox.path('refuse'));
  assert.equal(await portico.reload(), 'done');
  for (let count = 0; count < 4; count++) assert.equal((await get({ path })).body, 'new');
  assert.equal((await portico.stop('SIGQUIT')).code, 0);
  assert.equal(existsSync(path), false);
});

test('a Unix socket does not change its engine on a reload, nor with uws whether it has TLS, and one message says so', async () => {
  using sandbox = createSandbox();
  writeCertificate(sandbox, 'server', { name: 'localhost' });
  const certificate = 'ssl_certificate server.crt; ssl_certificate_key server.key;';
  const path = sandbox.path('logs/socket');
  const listen = {
    node: `unix:${path} engine=node`,
    uws: `unix:${path} engine=uws`,
    tls: `unix:${path} ssl engine=uws`,
  };
  const port = await freePort();
  const http = (...listens: readonly string[]) =>
    `${certificate} ${saying(listens.join(), `127.0.0.1:${port}`, ...listens)}`;
  await using portico = await startPortico({ sandbox, workers: 2, http: http(listen.node) });
  const says = async (kind: keyof typeof listen) =>
    assert.equal((await get({ path }, '/', kind === 'tls')).body, listen[kind]);
  await says('node');
  for (const [present, wanted] of [
    ['node', 'uws'],
    ['uws', 'tls'],
    ['tls', 'uws'],
    ['uws', 'node'],
  ] as const) {
    const told = emergencies(portico).length;
    portico.configure({ http: http(listen[wanted]) });
    assert.equal(await portico.reload(), 'failed');
    assert.equal(emergencies(portico).length, told + 1);
    assert.match(
      emergencies(portico).at(-1)!,
      new RegExp(
        `unix:${path} is in use: neither its engine nor, with uWebSockets.js, its "ssl" can be changed by a reload$`,
      ),
    );
    await says(present);
    // In two steps.
    portico.configure({ http: http() });
    assert.equal(await portico.reload(), 'done');
    portico.configure({ http: http(listen[wanted]) });
    assert.equal(await portico.reload(), 'done');
    await says(wanted);
  }
  assert.equal((await portico.stop('SIGQUIT')).code, 0);
  assert.equal(existsSync(path), false);
});

test('another address than a Unix socket may change both', async () => {
  using sandbox = createSandbox();
  writeCertificate(sandbox, 'server', { name: 'localhost' });
  const port = await freePort();
  const http = (parameters: string) =>
    `ssl_certificate server.crt; ssl_certificate_key server.key; ${saying(parameters, `127.0.0.1:${port}${parameters}`)}`;
  await using portico = await startPortico({ sandbox, workers: 2, http: http(' ssl engine=node') });
  for (const parameters of [' ssl engine=uws', ' engine=uws', ' ssl engine=uws', ' engine=node']) {
    portico.configure({ http: http(parameters) });
    assert.equal(await portico.reload(), 'done', portico.errorLog());
    await until('an answer', async () => {
      // A worker that has not stopped listening yet may still accept it, and close it as it stops.
      const answer = await get(port, '/', parameters.startsWith(' ssl')).catch(() => undefined);
      return answer?.body === parameters;
    });
  }
  assert.deepEqual(emergencies(portico), []);
  assert.equal((await portico.stop('SIGQUIT')).code, 0);
});
