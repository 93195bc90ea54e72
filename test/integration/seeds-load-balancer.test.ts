/** config/load-balancer.conf: two servers, requests in turn, with the sample servers' own logs as witnesses. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Program, startProgram } from '../scripts/program.ts';
import { startPortico } from '../support/portico.ts';
import { type RawClient, rawClient } from '../support/raw-client.ts';
import { get } from '../support/request.ts';
import { until } from '../support/wait.ts';
import {
  ask,
  askInTurn,
  type Handler,
  header,
  lacks,
  on,
  replacePorts,
  SETTINGS,
  type Shipped,
  startShipped,
  tally,
  useEngine,
} from './seeds.ts';

/** A whole configuration file as somebody would write it for nginx: nothing in it is about Portico. */
const PLAIN = `events {
    worker_connections 1024;
}

http {
    upstream backend {
        server 127.0.0.1:3001;
        server 127.0.0.1:3002;
    }

    server {
        listen 8080;

        location / {
            proxy_pass http://backend;
            proxy_set_header Host $host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
        }
    }
}
`;

const SAMPLE_BACKEND = fileURLToPath(new URL('../../scripts/sample-backend.ts', import.meta.url));

/** `09 August 2024 - 2:43:48 AM` */
const TIME = String.raw`\d\d [A-Z][a-z]+ \d{4} - \d{1,2}:\d\d:\d\d [AP]M`;

for (const setting of SETTINGS) {
  const { engine, workers } = setting;
  test(`ten requests are five for each of two servers, ${on(setting)}`, async (context) => {
    const { text, port } = await replacePorts(PLAIN);
    const servers: Program[] = [];
    for (const [index, documented] of [3001, 3002].entries()) {
      const name = `Server ${index + 1}`;
      const program = startProgram(context, process.execPath, [
        SAMPLE_BACKEND,
        name,
        String(port(documented)),
      ]);
      assert.equal(await program.line(/Listening/), `[${name}] Listening on port ${port(documented)}`);
      servers.push(program);
    }
    const portico = await startPortico({
      configuration: useEngine(text, engine),
      args: ['-g', `daemon off; pid logs/portico.pid; worker_processes ${workers};`],
    });
    context.after(() => portico[Symbol.asyncDispose]());

    const first: string[] = [];
    for (let sent = 0; sent < 10; sent++) {
      const { body } = await get({ port: port(8080) });
      first.push(body.slice(0, body.indexOf('\n')));
    }
    const turn = ['Server 1', 'Server 2'];
    assert.deepEqual(first, [...turn, ...turn, ...turn, ...turn, ...turn]);
    for (const [index, { lines }] of servers.entries()) {
      await until('six lines of a log', () => lines.length === 6);
      for (const line of lines.slice(1)) {
        const from = String.raw`Received GET request from (::ffff:)?127\.0\.0\.1`;
        assert.match(line, new RegExp(`^\\[Server ${index + 1}\\] ${TIME} - ${from}$`));
      }
    }
  });

  describe(`a load balancer over two servers, ${on(setting)}`, () => {
    let shipped: Shipped;
    let port: number;
    /** Which backend, by its port, drops the connection instead of answering. */
    let dropping = 0;

    const handle: Handler = (request) => {
      if (request.socket.localPort !== dropping) return false;
      request.socket.destroy();
      return true;
    };

    before(async () => {
      shipped = await startShipped('load-balancer.conf', {
        engine,
        workers,
        backends: { 3001: 'one', 3002: 'two' },
        handle,
      });
      port = shipped.port(8080);
    });
    after(() => shipped.stop());

    test('requests are spread over both, in turn', async () => {
      const names = await askInTurn(port, 20);
      assert.deepEqual(tally(names), { one: 10, two: 10 });
      for (let index = 1; index < names.length; index++) assert.notEqual(names[index], names[index - 1]);
    });

    test('requests on one connection are spread over both, too', async () => {
      const client = await rawClient(port);
      const request = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
      let heard = '';
      for (let sent = 1; sent <= 10; sent++) {
        client.send(request);
        heard = await client.until((text) => text.split('"server":').length === sent + 1);
      }
      client.destroy();
      assert.deepEqual(tally(heard.match(/"server":"\w+"/g)!), { '"server":"one"': 5, '"server":"two"': 5 });
    });

    test('requests that are sent without waiting for answers are answered all the same, in order', {
      skip: lacks(engine, 'pipelining'),
    }, async () => {
      const client = await rawClient(port);
      client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(10));
      const heard = await client.until((text) => text.split('"server":').length === 11);
      client.destroy();
      assert.deepEqual(tally(heard.match(/"server":"\w+"/g)!), { '"server":"one"': 5, '"server":"two"': 5 });
    });

    test('all requests are forwarded, with method, path, body and headers as they were', async () => {
      const client = await rawClient(port);
      client.send(
        'POST /orders/7?x=1&y=%2F HTTP/1.1\r\nHost: shop.example.com\r\nX-Custom:  kept \r\nCookie: a=b\r\n' +
          'Content-Length: 5\r\nConnection: close\r\n\r\nhello',
      );
      const answer = await client.closed();
      const seen = JSON.parse(answer.slice(answer.indexOf('{'), answer.lastIndexOf('}') + 1));
      assert.deepEqual(
        [seen.method, seen.url, seen.body, seen.httpVersion],
        ['POST', '/orders/7?x=1&y=%2F', 'hello', '1.1'],
      );
      assert.deepEqual(header(seen, 'Host'), ['shop.example.com']);
      assert.deepEqual(header(seen, 'X-Custom'), ['kept']);
      assert.deepEqual(header(seen, 'Cookie'), ['a=b']);
      assert.deepEqual(header(seen, 'Connection'), []);
      assert.deepEqual(header(seen, 'X-Real-IP'), ['127.0.0.1']);
      assert.deepEqual(header(seen, 'X-Forwarded-For'), ['127.0.0.1']);
      assert.deepEqual(header(seen, 'X-Forwarded-Proto'), ['http']);
    });

    test('a server that drops a request is gone around with that very request', async () => {
      dropping = shipped.port(3001);
      assert.deepEqual(tally(await askInTurn(port, 10)), { two: 10 });
      dropping = 0;
      await shipped.portico.logged(
        'upstream prematurely closed connection while reading response header from upstream',
      );
    });
  });
}

test('a server that ends comes back into the turn, and nobody gets an error meanwhile', {
  concurrency: 1,
}, async () => {
  await Promise.all(
    SETTINGS.map(async (setting) => {
      const shipped = await startShipped('load-balancer.conf', {
        ...setting,
        backends: { 3001: 'one', 3002: 'two' },
      });
      try {
        const port = shipped.port(8080);
        await shipped.backends['two']!.stop();
        assert.deepEqual(tally(await askInTurn(port, 10)), { one: 10 });
        await shipped.backends['two']!.start();
        await until('an answer of the server that is back', async () => (await ask(port)).server === 'two');
        assert.deepEqual(tally(await askInTurn(port, 20)), { one: 10, two: 10 });
      } finally {
        await shipped.stop();
      }
    }),
  );
});

test('worker_connections limits the connections of a worker, and no request that it took is lost', async () => {
  const shipped = await startShipped('load-balancer.conf', {
    engine: 'node',
    workers: 1,
    backends: { 3001: 'one', 3002: 'two' },
  });
  const port = shipped.port(8080);
  const clients: RawClient[] = [];
  try {
    // Half a request each: such a connection is not idle, so it is not closed to make room.
    for (let opened = 0; opened < 1100; opened++) {
      const client = await rawClient(port);
      client.send('GET / HTTP/1.1\r\n');
      clients.push(client);
    }
    await shipped.portico.logged('1024 worker_connections are not enough');
    const refused = () => clients.filter(({ socket }) => socket.destroyed || socket.readableEnded).length;
    await until('connections beyond the limit closed', () => refused() >= 1100 - 1024);
    const kept = clients.filter(({ socket }) => !socket.destroyed && !socket.readableEnded);
    // Those whose first bytes had not been read when places were short count as idle, and may have gone too.
    assert.ok(kept.length > 800 && kept.length <= 1024, `${kept.length} connections are left`);
    // Room for those to the servers.
    for (const client of kept.splice(0, 100)) client.destroy();
    await until('connections given back', async () => {
      try {
        return (await get({ port })).status === 200;
      } catch {
        return false;
      }
    });
    const some = kept.slice(0, 20);
    for (const client of some) client.send('Host: a\r\nConnection: close\r\n\r\n');
    for (const client of some) assert.match(await client.closed(), /^HTTP\/1\.1 200 OK\r\n/);
  } finally {
    for (const client of clients) client.destroy();
    await shipped.stop();
  }
});
