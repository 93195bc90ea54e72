/** Servers that answer before they have the whole request. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { get } from '../../support/client.ts';
import { type RunningPortico, startPortico } from '../../support/portico.ts';
import { freePort } from '../../support/ports.ts';
import { until } from '../../support/wait.ts';

/** More than is read or written at once, and what nginx answers too. */
const BODY = Buffer.alloc(2 * 1024 * 1024, 'abcdefg');

let server: Server;
let portico: RunningPortico;
let port: number;
/** Connections to the server that are open. */
let open = 0;

before(async () => {
  server = createServer((heard, answer) => {
    // The answer begins with the first piece of what is sent back.
    if (heard.url === '/echo') heard.pipe(answer);
    else if (heard.url === '/enough') {
      heard.once('data', () => answer.end('enough'));
    } else answer.end('ok');
  });
  server.on('connection', (socket) => {
    open++;
    socket.on('close', () => open--);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const to = (server.address() as AddressInfo).port;
  port = await freePort();
  portico = await startPortico({
    http: `
      upstream one { server 127.0.0.1:${to} max_fails=0; keepalive 4; }
      client_max_body_size 0;
      server {
        listen 127.0.0.1:${port};
        location /memory/ { proxy_pass http://one/; client_body_buffer_size 4m; }
        location /file/ { proxy_pass http://one/; client_body_buffer_size 16k; }
        location /impatient/ { proxy_pass http://one/; proxy_send_timeout 100ms; }
      }`,
  });
});

after(async () => {
  await portico?.[Symbol.asyncDispose]();
  server?.closeAllConnections();
  server?.close();
});

/** Posts the body. @returns status, and what comes back */
async function post(path: string): Promise<[status: number, body: Buffer]> {
  const asking = request({ host: '127.0.0.1', port, path, method: 'POST', agent: false });
  asking.on('error', () => {});
  asking.end(BODY);
  const [answer] = await once(asking, 'response', { signal: AbortSignal.timeout(20_000) });
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk);
  return [answer.statusCode, Buffer.concat(chunks)];
}

for (const kept of ['memory', 'file']) {
  test(`a server that answers with what it is sent gets all of it, from ${kept}`, async () => {
    for (let round = 0; round < 5; round++) {
      const [status, body] = await post(`/${kept}/echo`);
      assert.equal(status, 200);
      assert.ok(body.equals(BODY));
    }
  });

  test(`an answer that ends before all has been sent is whole, and its connection is not used again, from ${kept}`, async () => {
    for (let round = 0; round < 5; round++) {
      const [status, body] = await post(`/${kept}/enough`);
      assert.deepEqual([status, body.toString()], [200, 'enough']);
      assert.equal((await get(port, `/${kept}/next`)).body, 'ok');
    }
    await until('connections with a rest to be closed', () => open <= 4);
  });
}

test('once the answer has begun, a server that takes its time to read is left to do so', async () => {
  const [status, body] = await post('/impatient/echo');
  assert.equal(status, 200);
  assert.ok(body.equals(BODY));
});
