/** config/primary-backup.conf: a primary server, its backup, and the headers that tell them about the client. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ask as askRaw } from '../support/raw-client.ts';
import { get } from '../support/request.ts';
import { until } from '../support/wait.ts';
import {
  ask,
  askInTurn,
  type Handler,
  header,
  lacks,
  on,
  SETTINGS,
  type Shipped,
  startShipped,
  tally,
} from './seeds.ts';

/** `/status/404` answers with that status; `/cached` with a Cache-Control of its own. */
const handle: Handler = (request, response) => {
  const status = /^\/status\/(\d+)$/.exec(request.url!);
  if (status !== null) {
    response.writeHead(Number(status[1])).end();
    return true;
  }
  if (request.url === '/cached') response.setHeader('Cache-Control', 'max-age=60');
  return false;
};

describe('a primary and its backup', { concurrency: 2 }, () => {
  for (const setting of SETTINGS) {
    const { engine, workers } = setting;
    describe(on(setting), { concurrency: 1 }, () => {
      let shipped: Shipped;
      let port: number;

      before(async () => {
        shipped = await startShipped('primary-backup.conf', {
          engine,
          workers,
          backends: { 3000: 'primary', 9000: 'backup' },
          handle,
        });
        port = shipped.port(9003);
      });
      after(() => shipped.stop());

      test('the primary answers everything while it is there', async () => {
        assert.deepEqual(tally(await askInTurn(port, 20)), { primary: 20 });
        assert.equal(shipped.backends['backup']!.requests.length, 0);
      });

      test('the Host that the client named goes on, without the port and in lower case', async () => {
        const named = (host: string) => ask(port, { headers: { Host: host } });
        assert.deepEqual(header(await named('localhost'), 'Host'), ['localhost']);
        assert.deepEqual(header(await named('Shop.Example.COM:9003'), 'Host'), ['shop.example.com']);
      });

      test('without a Host, the name of the server goes on', {
        skip: lacks(engine, 'HTTP/1.0'),
      }, async () => {
        const answer = await askRaw(port, 'GET / HTTP/1.0\r\n\r\n');
        assert.deepEqual(header(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)), 'Host'), [
          'localhost',
        ]);
      });

      test('the address of the client goes on as X-Real-IP, whatever the client claims', async () => {
        for (const localAddress of ['127.0.0.1', '127.0.0.5']) {
          const seen = await ask(port, { localAddress, headers: { 'X-Real-IP': '203.0.113.9' } });
          assert.deepEqual(header(seen, 'X-Real-IP'), [localAddress]);
        }
      });

      test('the address of the client is appended to X-Forwarded-For', async () => {
        const localAddress = '127.0.0.7';
        const forwarded = async (given: string[]) =>
          header(await ask(port, { localAddress, headers: { 'X-Forwarded-For': given } }), 'X-Forwarded-For');
        assert.deepEqual(await forwarded([]), ['127.0.0.7']);
        assert.deepEqual(await forwarded(['203.0.113.9']), ['203.0.113.9, 127.0.0.7']);
        assert.deepEqual(await forwarded(['203.0.113.9, 198.51.100.1']), [
          '203.0.113.9, 198.51.100.1, 127.0.0.7',
        ]);
        assert.deepEqual(await forwarded(['203.0.113.9', '198.51.100.1']), [
          '203.0.113.9, 198.51.100.1, 127.0.0.7',
        ]);
      });

      test('the protocol that the client used goes on as X-Forwarded-Proto', async () => {
        const seen = await ask(port, { headers: { 'X-Forwarded-Proto': 'https' } });
        assert.deepEqual(header(seen, 'X-Forwarded-Proto'), ['http']);
      });

      test('add_header forbids the client to store what it gets', async () => {
        const cacheControl = async (path: string) => (await get({ port, path })).headers['cache-control'];
        assert.equal(await cacheControl('/'), 'no-store');
        assert.equal(await cacheControl('/status/204'), 'no-store');
        assert.equal(await cacheControl('/status/302'), 'no-store');
        // It is added: what the server said stays. And not to errors, without `always`.
        assert.equal(await cacheControl('/cached'), 'max-age=60, no-store');
        assert.equal(await cacheControl('/status/404'), undefined);
        assert.equal(await cacheControl('/status/500'), undefined);
      });

      test('the backup answers while the primary is down, and then the primary again', async () => {
        const { primary, backup } = shipped.backends;
        const before = primary!.requests.length;
        await primary!.stop();
        assert.deepEqual(tally(await askInTurn(port, 20)), { backup: 20 });
        assert.match(
          shipped.portico.errorLog(),
          /\[error\] .*connect\(\) failed \(111: Connection refused\) while connecting to upstream, client: 127\.0\.0\.1, server: localhost, request: "GET \/ HTTP\/1\.1", upstream: "http:\/\//,
        );
        await primary!.start();
        assert.equal(primary!.requests.length, before);
        // After fail_timeout, 10 seconds, it is tried again; nobody gets an error meanwhile.
        await until('an answer of the primary', async () => (await ask(port)).server === 'primary');
        assert.deepEqual(tally(await askInTurn(port, 20)), { primary: 20 });
        assert.ok(backup!.requests.length >= 20);
      });

      test('without the two of them the client gets a 502', async () => {
        const { primary, backup } = shipped.backends;
        await Promise.all([primary!.stop(), backup!.stop()]);
        for (let sent = 0; sent < 5; sent++) {
          const answer = await get({ port });
          assert.equal(answer.status, 502);
          assert.match(answer.body, /<h1>502 Bad Gateway<\/h1>/);
          assert.equal(answer.headers['cache-control'], undefined);
        }
        await shipped.portico.logged('no live upstreams while connecting to upstream');
        await Promise.all([primary!.start(), backup!.start()]);
      });
    });
  }
});
