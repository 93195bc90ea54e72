import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { get, openClient } from '../../support/client.ts';
import { type RunningPortico, startPortico } from '../../support/portico.ts';
import { freePort } from '../../support/ports.ts';
import { ask, rawClient } from '../../support/raw-client.ts';
import { until } from '../../support/wait.ts';
import { answer, type Backend, headerOf, startBackend } from './backend.ts';

/** More than all socket buffers between the two ends hold. */
const LARGE = 24 * 1024 * 1024;

let backend: Backend;
let portico: RunningPortico;
let port: number;
/** Connections on which a request for `/hold` waits. */
let held: Socket[] = [];
/** How far the large answer has left the server. */
let sent = 0;

/** Text whose every position can be told from every other nearby. */
const PATTERN = Buffer.from(Array.from({ length: 65_536 }, (_, index) => (index * 31 + (index >> 8)) & 0xff));

function sendLarge(socket: Socket): void {
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${LARGE}\r\n\r\n`);
  sent = 0;
  const go = () => {
    while (sent < LARGE) {
      sent += PATTERN.length;
      if (!socket.write(PATTERN)) {
        socket.once('drain', go);
        return;
      }
    }
  };
  go();
}

before(async () => {
  backend = await startBackend(({ target, body, head }, socket) => {
    if (target.startsWith('/large')) {
      sendLarge(socket);
      return undefined;
    }
    if (target.startsWith('/hold')) {
      held.push(socket);
      return undefined;
    }
    if (target.startsWith('/cut')) {
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart');
      return undefined;
    }
    if (target.startsWith('/broken')) {
      socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n');
      return undefined;
    }
    if (target.startsWith('/stall')) return 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart';
    return answer(`${body.length} ${headerOf(head, 'Content-Length') ?? '-'}`);
  });
  port = await freePort();
  portico = await startPortico({
    http: `
      log_format status '$status $uri';
      access_log logs/access.log status;
      upstream one { server 127.0.0.1:${backend.port} max_conns=1; keepalive 1; }
      server {
        listen 127.0.0.1:${port};
        send_timeout 20s;
        location / { proxy_pass http://one; }
        location /unbuffered/ { proxy_pass http://one/; proxy_buffering off; }
        location /nofile/ { proxy_pass http://one/; proxy_max_temp_file_size 0; }
        location /smallfile/ { proxy_pass http://one/; proxy_max_temp_file_size 1m; }
        location /quick/ { proxy_pass http://one/; proxy_read_timeout 200ms; }
        location /stay/ { proxy_pass http://one/; proxy_ignore_client_abort on; }
        location /upload/ { proxy_pass http://one/; client_max_body_size 0; client_body_buffer_size 8k; }
        location /stream/ { proxy_pass http://one/; client_max_body_size 0; proxy_request_buffering off; }
        location /limited/ { proxy_pass http://one/; client_max_body_size 10; proxy_request_buffering off; }
        location /getter/ { proxy_pass http://one/; proxy_method GET; }
      }`,
  });
});

after(async () => {
  await portico?.[Symbol.asyncDispose]();
  await backend?.close();
});

/** The one place there is at the server is free again. */
async function assertFree(): Promise<void> {
  assert.equal((await get(port, '/ok')).body, '0 -');
}

function request(path: string, method = 'GET'): string {
  return `${method} ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
}

/** Asks for a large answer and does not read it until told. */
async function lazyClient(path: string) {
  sent = 0;
  const client = await openClient(port);
  client.socket.pause();
  client.write(request(path));
  return client;
}

/** Reads the rest of a large answer and checks every byte of it. */
function readLarge(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.once('error', reject);
    socket.once('end', () => {
      const all = Buffer.concat(chunks);
      const body = all.subarray(all.indexOf('\r\n\r\n') + 4);
      try {
        assert.equal(body.length, LARGE);
        for (let at = 0; at < LARGE; at += PATTERN.length) {
          assert.ok(body.subarray(at, at + PATTERN.length).equals(PATTERN), `differs at ${at}`);
        }
        resolve();
      } catch (error) {
        reject(error);
      }
    });
    socket.resume();
  });
}

test('an answer for a slow client is read ahead into a temporary file, and the server is free', async () => {
  using client = await lazyClient('/large');
  await until('the whole answer has left the server', () => sent >= LARGE);
  await portico.logged('an upstream response is buffered to a temporary file');
  await until('the server is free', async () => (await get(port, '/ok')).status === 200);
  await readLarge(client.socket);
});

test('without a temporary file the server waits for the client', async () => {
  for (const path of ['/nofile/large', '/unbuffered/large', '/smallfile/large']) {
    using client = await lazyClient(path);
    await until('some of the answer has come', () => client.socket.readableLength > 0 || sent > 0);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.ok(sent < LARGE, path);
    await readLarge(client.socket);
    await assertFree();
  }
});

test('a client that goes away while its answer waits in a file leaves nothing behind', async () => {
  const client = await lazyClient('/large');
  await until('the whole answer has left the server', () => sent >= LARGE);
  client.close();
  await assertFree();
});

test('a client that goes away in the middle of an answer frees the server', async () => {
  for (const path of ['/nofile/large', '/unbuffered/large']) {
    const client = await lazyClient(path);
    await until('some of the answer has left the server', () => sent > 0);
    client.close();
    await until('the server is free', async () => (await get(port, '/ok')).status === 200);
  }
});

test('unbuffered answers reach the client as they come, the head at once', async () => {
  held = [];
  const client = await rawClient(port);
  client.send(request('/unbuffered/hold'));
  await until('the request', () => held.length === 1);
  held[0]!.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
  await client.until(/\r\n\r\n$/);
  held[0]!.write('3\r\none\r\n');
  await client.until(/3\r\none\r\n$/);
  held[0]!.write('0\r\n\r\n');
  assert.match(await client.closed(), /one\r\n0\r\n\r\n$/);
});

test('an answer that breaks off closes the connection to the client', async () => {
  const cut = await ask(port, request('/cut'));
  assert.match(cut, /Content-Length: 100\r\n[\s\S]*\r\n\r\npart$/);
  await portico.logged('upstream prematurely closed connection while reading upstream');
  const broken = await ask(port, 'GET /broken HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.match(broken, /4\r\npart\r\n$/);
  const from = portico.errorLog().length;
  assert.match(await ask(port, request('/quick/stall')), /\r\n\r\npart$/);
  await portico.logged('upstream timed out (110: Connection timed out) while reading upstream', from);
  await assertFree();
});

test('a client that does not wait for the answer ends the question too', async () => {
  held = [];
  const client = await rawClient(port);
  client.send('GET /hold/gone HTTP/1.1\r\nHost: a\r\n\r\n');
  await until('the request', () => held.length === 1);
  const closed = new Promise((resolve) => held[0]!.once('close', resolve));
  client.destroy();
  await closed;
  await portico.logged(
    'client prematurely closed connection, so upstream connection is closed too while reading response header from upstream',
  );
  await until('the access log', () => portico.sandbox.read('logs/access.log').includes('499 /hold/gone'));
  await assertFree();
});

test('proxy_ignore_client_abort lets the server finish', async () => {
  held = [];
  const client = await rawClient(port);
  client.send('GET /stay/hold HTTP/1.1\r\nHost: a\r\n\r\n');
  await until('the request', () => held.length === 1);
  client.destroy();
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(held[0]!.destroyed, false);
  held[0]!.write(answer('late'));
  await until('the access log', () => portico.sandbox.read('logs/access.log').includes(' /stay/hold'));
  await until('the server is free', async () => (await get(port, '/ok')).status === 200);
});

test('large bodies come through, buffered or not, and are not held in memory', async () => {
  const length = 6 * 1024 * 1024;
  for (const path of ['/upload/', '/stream/']) {
    using client = await openClient(port);
    client.write(`POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`);
    for (let at = 0; at < length; at += PATTERN.length) client.socket.write(PATTERN);
    assert.equal((await client.answer()).body, `${length} ${length}`, path);
    client.write(`POST ${path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`);
    for (let at = 0; at < length; at += PATTERN.length) {
      client.socket.write('10000\r\n');
      client.socket.write(PATTERN);
      client.socket.write('\r\n');
    }
    client.write('0\r\n\r\n');
    assert.equal((await client.answer()).body, `${length} ${path === '/upload/' ? length : '-'}`, path);
  }
});

test('a body that is passed on as it comes has its limits, and may be broken off', async () => {
  const chunked = 'POST /limited/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
  using client = await openClient(port);
  client.write(chunked);
  client.write('5\r\nfirst\r\n');
  await new Promise((resolve) => setTimeout(resolve, 50));
  client.write('9\r\ntoo large\r\n');
  assert.equal((await client.answer()).status, 413);
  await assertFree();

  const goner = await rawClient(port);
  goner.send('POST /stream/ HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf');
  const { connections } = backend;
  await until('the question', () => backend.connections > connections || backend.open.size > 0);
  goner.destroy();
  await until('the server is free', async () => (await get(port, '/ok')).status === 200);
});

test('an answer without a body is over at once, whatever the server goes on to send', async () => {
  const text = await ask(port, request('/getter/large', 'HEAD'));
  assert.match(text, new RegExp(`Content-Length: ${LARGE}\\r\\n`));
  assert.match(text, /\r\n\r\n$/);
  await assertFree();
});

test('requests that come together are answered in turn', async () => {
  const text = await ask(
    port,
    `GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n${request('/c')}`,
  );
  assert.equal(text.match(/^0 -/gm)?.length, 3);
});

test('a reload changes nothing for a request under way', async () => {
  held = [];
  const client = await rawClient(port);
  client.send(request('/hold/reload'));
  await until('the request', () => held.length === 1);
  assert.equal(await portico.reload(), 'done');
  held[0]!.write(answer('after the reload'));
  assert.match(await client.closed(), /after the reload$/);
  await until('the server is free', async () => (await get(port, '/ok')).status === 200);
});
