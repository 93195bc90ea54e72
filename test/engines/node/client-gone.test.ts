/** Clients that go, or end their direction, while an answer is made for them. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type HeldBackend, startHeldBackend } from '../../support/held-backend.ts';
import { createSandbox, type RunningPortico, type Sandbox, startPortico } from '../../support/portico.ts';
import { freePort } from '../../support/ports.ts';
import { rawClient } from '../../support/raw-client.ts';
import { until } from '../../support/wait.ts';

const request = (path: string, method = 'GET', more = '') =>
  `${method} ${path} HTTP/1.1\r\nHost: here\r\n${more}\r\n`;

const answersIn = (heard: string) => heard.match(/HTTP\/1\.1 200 OK/g)?.length ?? 0;

describe('a client of the node engine that goes before its answer', () => {
  let portico: RunningPortico;
  let backend: HeldBackend;
  let sandbox: Sandbox;
  let port: number;
  let serial = 0;

  before(async () => {
    port = await freePort();
    sandbox = createSandbox();
    backend = await startHeldBackend();
    sandbox.write('html/big', 'x'.repeat(8 * 1024 * 1024));
    portico = await startPortico({
      sandbox,
      http: `
        log_format ends '$request_uri $status';
        access_log logs/ends.log ends;
        server {
          listen 127.0.0.1:${port};
          location / { proxy_pass http://127.0.0.1:${backend.port}; }
          location /patient/ { proxy_pass http://127.0.0.1:${backend.port}; proxy_ignore_client_abort on; proxy_buffering off; }
          location /one { return 200 one; }
          location /big { root html; }
        }`,
    });
  });

  after(async () => {
    await portico.stop();
    await backend[Symbol.asyncDispose]();
    sandbox.remove();
  });

  const nextPath = (prefix = '') => `${prefix}/held-${++serial}`;
  const logged = (line: string) =>
    until(`"${line}" in the access log`, () => sandbox.read('logs/ends.log').includes(`${line}\n`), {
      explain: () => sandbox.read('logs/ends.log'),
    });

  for (const [how, go] of [
    ['closes', 'destroy'],
    ['ends its direction', 'finish'],
    ['resets the connection', 'reset'],
  ] as const) {
    for (const [what, pipelined] of [
      ['it', ''],
      ['it, with another request behind', request('/one')],
      ['it, with part of another request behind', 'GET /one HT'],
    ] as const) {
      test(`is logged with 499, and so its server is let go, when it ${how} after ${what}`, async () => {
        const path = nextPath();
        const client = await rawClient(port);
        client.send(request(path) + pipelined);
        const held = await backend.take(path);
        client[go]();
        await until('the end of the connection to the server', () => held.aborted);
        await logged(`${path} 499`);
        assert.equal(answersIn(await client.closed()), 0);
      });
    }
  }

  test('is noticed behind requests that came later than the one it waits for', async () => {
    const path = nextPath();
    const client = await rawClient(port);
    client.send(request(path));
    const held = await backend.take(path);
    for (let count = 0; count < 100; count++) client.send(request('/one'));
    client.destroy();
    await until('the end of the connection to the server', () => held.aborted);
    await logged(`${path} 499`);
  });

  test('is answered all the same with proxy_ignore_client_abort, and so are the requests behind', async () => {
    const path = nextPath('/patient');
    const client = await rawClient(port);
    client.send(request(path) + request('/one') + request('/big') + request('/one'));
    client.finish();
    const held = await backend.take(path);
    held.response.end('late');
    const heard = await client.closed();
    assert.equal(answersIn(heard), 4);
    assert.match(heard, /\r\n\r\none$/);
    await logged(`${path} 200`);
  });

  test('gets a big answer with proxy_ignore_client_abort after it has ended its direction', async () => {
    const path = nextPath('/patient');
    const client = await rawClient(port);
    client.socket.pause();
    client.send(request(path));
    const held = await backend.take(path);
    const piece = 'y'.repeat(1024 * 1024);
    // Until nobody on the way takes more.
    do {
      held.response.write(piece);
      await new Promise((resolve) => setTimeout(resolve, 20));
    } while (held.response.writableLength === 0);
    client.finish();
    held.response.end();
    client.socket.resume();
    const heard = await client.closed();
    assert.match(heard, /\r\n0\r\n\r\n$/);
  });

  test('is answered what does not depend on a server, to the last request', async () => {
    const client = await rawClient(port);
    client.socket.pause();
    client.send(request('/big') + request('/one') + request('/one'));
    client.finish();
    client.socket.resume();
    const heard = await client.closed();
    assert.equal(answersIn(heard), 3);
    assert.match(heard, /\r\n\r\none$/);
  });

  test('is told of in the log when its last request is not whole', async () => {
    for (const [rest, message] of [
      [
        'GET /rest HTTP/1.1\r\nHo',
        'client prematurely closed connection while reading client request headers',
      ],
      [
        request(nextPath(), 'POST', 'Content-Length: 9\r\n') + 'part',
        'client prematurely closed connection,',
      ],
    ] as const) {
      const from = portico.errorLog().length;
      const client = await rawClient(port);
      client.socket.pause();
      client.send(request('/big') + request('/one') + rest);
      client.finish();
      client.socket.resume();
      assert.equal(answersIn(await client.closed()), 2);
      await portico.logged(message, from);
    }
  });

  test('gets more answers than requests are held, in their order', async () => {
    const path = nextPath();
    const client = await rawClient(port);
    client.send(request(path));
    const held = await backend.take(path);
    const count = 3000;
    for (let sent = 0; sent < count; sent++) client.send(request(`/one?${sent}`));
    // It stays unread until there is room for it.
    held.response.end('first');
    const heard = await client.until((text) => answersIn(text) === count + 1);
    client.destroy();
    assert.ok(heard.indexOf('first') < heard.indexOf('\r\n\r\none'));
  });
});
