/** What people do with a configuration before and while it runs: `-t`, an error log at level `debug`, a reload. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createSandbox, runPortico, startPortico } from '../support/portico.ts';
import { freePort, freePorts } from '../support/ports.ts';
import { get } from '../support/request.ts';
import {
  askInTurn,
  on,
  replacePorts,
  SETTINGS,
  shippedText,
  startBackend,
  startShipped,
  tally,
  useEngine,
} from './seeds.ts';

const CONFIGURATIONS = fileURLToPath(new URL('../../config/', import.meta.url));

describe('the shipped configurations', () => {
  for (const name of readdirSync(CONFIGURATIONS).filter((file) => file.endsWith('.conf'))) {
    test(`${name} passes -t as it is`, async () => {
      using sandbox = createSandbox();
      const file = CONFIGURATIONS + name;
      const { code, stdout, stderr } = await runPortico([
        ...['-t', '-p', sandbox.directory, '-e', 'stderr', '-c', file],
      ]);
      assert.equal(
        stderr,
        `portico: the configuration file ${file} syntax is ok\nportico: configuration file ${file} test is successful\n`,
      );
      assert.deepEqual([code, stdout], [0, '']);
    });
  }

  for (const setting of SETTINGS) {
    const { engine, workers } = setting;
    test(`a reload adds a server to the turn without losing a request, ${on(setting)}`, async () => {
      const shipped = await startShipped('load-balancer.conf', {
        engine,
        workers,
        backends: { 3001: 'one', 3002: 'two' },
      });
      const third = await startBackend('three', await freePort());
      try {
        const port = shipped.port(8080);
        let asking = true;
        const statuses = new Set<number>();
        const client = (async () => {
          while (asking) statuses.add((await get({ port })).status);
        })();
        const { portico } = shipped;
        const before = portico.sandbox.read('conf/portico.conf');
        portico.configure({
          configuration: before.replace(/(server 127[^;]*;)/, `$1 server 127.0.0.1:${third.port};`),
        });
        assert.equal(await portico.reload(), 'done');
        asking = false;
        await client;
        assert.deepEqual([...statuses], [200]);
        assert.deepEqual(tally(await askInTurn(port, 30)), { one: 10, three: 10, two: 10 });
      } finally {
        await shipped.stop();
        await third.stop();
      }
    });
  }
});

describe('error_log at level debug', () => {
  for (const setting of SETTINGS) {
    const { engine, workers } = setting;
    test(`is taken, and has all that other levels have, ${on(setting)}`, async () => {
      const { text, port } = await replacePorts(shippedText('load-balancer.conf'));
      using sandbox = createSandbox();
      const configuration = useEngine(text, engine)
        .replace(/^pid .*;$/m, 'pid logs/portico.pid;')
        .replace(
          /^error_log .*;$/m,
          `error_log ${sandbox.path('logs/debug.log')} debug;\nworker_processes ${workers};`,
        );
      await using portico = await startPortico({ configuration, sandbox });
      assert.equal((await get({ port: port(8080) })).status, 502);
      await portico.stop();
      const log = sandbox.read('logs/debug.log');
      assert.match(log, /\[notice\] .*start worker 0/);
      assert.match(
        log,
        /\[error\] .*connect\(\) failed \(111: Connection refused\) while connecting to upstream, client: 127\.0\.0\.1/,
      );
    });
  }

  test('is taken in a server, for its requests alone', async () => {
    using sandbox = createSandbox();
    const [port, other, nobody] = await freePorts(3);
    await using portico = await startPortico({
      sandbox,
      http: `
        server {
          listen 127.0.0.1:${port};
          error_log ${sandbox.path('logs/server.log')} debug;
          location / { proxy_pass http://127.0.0.1:${nobody}; }
        }
        server { listen 127.0.0.1:${other}; location / { proxy_pass http://127.0.0.1:${nobody}; } }`,
    });
    await get({ port });
    await get({ port: other });
    await portico.stop();
    assert.equal(sandbox.read('logs/server.log').match(/Connection refused/g)!.length, 1);
    assert.equal(portico.errorLog().match(/Connection refused/g)!.length, 1);
  });
});
