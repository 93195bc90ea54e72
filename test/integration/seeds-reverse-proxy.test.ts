/** config/reverse-proxy.conf: one domain in front of four servers, and a path with a server of its own. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { get } from '../support/request.ts';
import { until } from '../support/wait.ts';
import {
  ask,
  askInTurn,
  type Handler,
  header,
  on,
  SETTINGS,
  type Shipped,
  startShipped,
  tally,
} from './seeds.ts';

const BACKENDS = { 8000: 'a', 8001: 'b', 8002: 'c', 8003: 'd' };
const headers = { Host: 'api.example.dev' };

for (const setting of SETTINGS) {
  const { engine, workers } = setting;
  describe(`one domain in front of several servers, ${on(setting)}`, () => {
    let shipped: Shipped;
    let port: number;

    before(async () => {
      let behind = 0;
      const handle: Handler = (request, response) => {
        if (!request.url!.endsWith('/moved')) return false;
        response
          .writeHead(302, { Location: `http://127.0.0.1:${behind}/admin/new`, Server: 'backend/1' })
          .end();
        return true;
      };
      shipped = await startShipped('reverse-proxy.conf', {
        engine,
        workers,
        backends: BACKENDS,
        handle,
        // Somebody else's domain on the same port.
        edit: (text) => {
          const listen = /listen (\d+);/.exec(text)![0];
          const other = `server { ${listen.replace(';', ' default_server;')} return 404 "not here\n"; }\n`;
          return text.replace(/\}\s*$/, `${other}}\n`);
        },
      });
      behind = shipped.port(8002);
      port = shipped.port(8081);
    });
    after(() => shipped.stop());

    test('requests are spread evenly, one after another', async () => {
      assert.deepEqual(tally(await askInTurn(port, 40, { headers })), { a: 10, b: 10, c: 10, d: 10 });
    });

    test('requests are spread evenly, all at once', async () => {
      const answers = await Promise.all(Array.from({ length: 80 }, () => ask(port, { headers })));
      assert.deepEqual(tally(answers.map(({ server }) => server)), { a: 20, b: 20, c: 20, d: 20 });
    });

    test('the path decides which server gets a request', async () => {
      assert.deepEqual(tally(await askInTurn(port, 8, { headers, path: '/admin' })), { c: 8 });
      assert.deepEqual(tally(await askInTurn(port, 8, { headers, path: '/admin/users?page=2' })), { c: 8 });
      assert.deepEqual(tally(await askInTurn(port, 8, { headers, path: '/user' })), {
        a: 2,
        b: 2,
        c: 2,
        d: 2,
      });
      assert.equal((await ask(port, { headers, path: '/admin/users?page=2' })).url, '/admin/users?page=2');
    });

    test('server_name decides which server block a request belongs to', async () => {
      assert.equal((await get({ port, headers })).status, 200);
      assert.equal((await get({ port, headers: { Host: 'API.Example.dev:8081' } })).status, 200);
      assert.equal((await get({ port, headers: { Host: 'localhost' } })).status, 200);
      const other = await get({ port, headers: { Host: 'other.example.dev' } });
      assert.deepEqual([other.status, other.body], [404, 'not here\n']);
    });

    test('the servers learn the domain and the client', async () => {
      const seen = await ask(port, { headers, localAddress: '127.0.0.9' });
      assert.deepEqual(header(seen, 'Host'), ['api.example.dev']);
      assert.deepEqual(header(seen, 'X-Real-IP'), ['127.0.0.9']);
    });

    test('the client does not learn where the servers are', async () => {
      const answer = await get({ port, headers, path: '/admin/moved' });
      assert.equal(answer.status, 302);
      assert.equal(answer.headers.location, `http://api.example.dev:${port}/admin/new`);
      assert.match(String(answer.headers.server), /^portico\//);
      assert.doesNotMatch(JSON.stringify(answer.headers), new RegExp(`${shipped.port(8002)}|backend`));
    });

    test('many requests wait for their servers, and hold up nobody', async () => {
      const backends = Object.values(shipped.backends);
      const count = () => backends.reduce((sum, { held }) => sum + held.length, 0);
      const waiting = Array.from({ length: 200 }, () => get({ port, headers, path: '/hold' }));
      await until('200 requests at the servers', () => count() === 200);
      assert.deepEqual(tally(await askInTurn(port, 8, { headers })), { a: 2, b: 2, c: 2, d: 2 });
      for (const backend of backends) backend.release();
      for (const answer of await Promise.all(waiting)) assert.equal(answer.body, 'released');
    });

    test('a server that fails is gone around, and nobody notices', async () => {
      await shipped.backends['b']!.stop();
      const names = tally(await askInTurn(port, 12, { headers }));
      assert.equal(names['b'], undefined);
      // By now it counts as failed: the others take turns.
      assert.deepEqual(tally(await askInTurn(port, 30, { headers })), { a: 10, c: 10, d: 10 });
      assert.equal(shipped.portico.errorLog().match(/Connection refused/g)!.length, 1);
      await shipped.backends['b']!.start();
    });
  });
}
