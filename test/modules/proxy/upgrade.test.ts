import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { get } from '../../support/client.ts';
import { type RunningPortico, startPortico } from '../../support/portico.ts';
import { freePorts } from '../../support/ports.ts';
import { ask, rawClient } from '../../support/raw-client.ts';
import { until } from '../../support/wait.ts';
import { type Backend, startBackend } from './backend.ts';

let backend: Backend;
let sockets: WebSocketServer;
let portico: RunningPortico;
let port: number;
/** The upgraded connections as the server has them. */
const upgraded: Socket[] = [];

const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: upgrade\r\n\r\n';

before(async () => {
  backend = await startBackend(({ target }, socket) => {
    if (!target.startsWith('/raw')) return 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain';
    upgraded.push(socket);
    // What comes from now on is echoed, and what is said with the head belongs to the tunnel.
    socket.on('data', (chunk: Buffer) => {
      if (!target.startsWith('/raw/quiet')) socket.write(chunk);
    });
    return target.startsWith('/raw/first') ? `${SWITCHING}first` : SWITCHING;
  });
  const ports = (await freePorts(2)) as [number, number];
  port = ports[0];
  sockets = new WebSocketServer({ port: ports[1], host: '127.0.0.1' });
  sockets.on('connection', (socket) =>
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })),
  );
  portico = await startPortico({
    http: `
      upstream raw { server 127.0.0.1:${backend.port} max_conns=1; }
      server {
        listen 127.0.0.1:${port};
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection upgrade;
        location / { proxy_pass http://raw; }
        location /raw/short/ { proxy_pass http://raw; proxy_read_timeout 300ms; }
        location /ws/ { proxy_pass http://127.0.0.1:${ports[1]}; }
      }`,
  });
});

after(async () => {
  await portico?.[Symbol.asyncDispose]();
  await backend?.close();
  sockets?.close();
});

const UPGRADE = 'Host: a\r\nUpgrade: raw\r\nConnection: upgrade\r\n\r\n';

async function assertFree(): Promise<void> {
  await until('the server is free', async () => (await get(port, '/plain')).status === 200);
}

test('a WebSocket works', async () => {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws/`);
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  const large = Buffer.alloc(3_000_000, 'x');
  const heard: Buffer[] = [];
  socket.on('message', (data) => heard.push(data as Buffer));
  socket.send('hello');
  socket.send(large);
  await until('both messages', () => heard.length === 2);
  assert.equal(heard[0]!.toString(), 'hello');
  assert.ok(heard[1]!.equals(large));
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.close(1000);
  assert.equal(await closed, 1000);
});

test('bytes said together with either head belong to the tunnel', async () => {
  const client = await rawClient(port);
  client.send(`GET /raw/first HTTP/1.1\r\n${UPGRADE}early`);
  const text = await client.until(/firstearly$/);
  assert.match(text, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
  assert.match(text, /Connection: upgrade\r\n/);
  assert.match(text, /Upgrade: raw\r\n/);
  client.destroy();
  await assertFree();
});

test('the end of the client is the end of the server, once all has been said', async () => {
  const client = await rawClient(port);
  client.send(`GET /raw/quiet HTTP/1.1\r\n${UPGRADE}`);
  await client.until(/\r\n\r\n$/);
  const closed = new Promise((resolve) => upgraded.at(-1)!.once('end', resolve));
  client.send('last words');
  client.finish();
  await closed;
  await client.closed();
  await assertFree();
});

test('the end of the server is the end of the client, once all has been said', async () => {
  const client = await rawClient(port);
  client.send(`GET /raw/quiet HTTP/1.1\r\n${UPGRADE}`);
  await client.until(/\r\n\r\n$/);
  const words = Buffer.alloc(2_000_000, 'y');
  upgraded.at(-1)!.end(words);
  const text = await client.closed();
  assert.equal(text.slice(text.indexOf('\r\n\r\n') + 4).length, words.length);
  await assertFree();
});

test('a tunnel in which nothing is said is closed after proxy_read_timeout', async () => {
  const client = await rawClient(port);
  client.send(`GET /raw/short/quiet HTTP/1.1\r\n${UPGRADE}`);
  await client.until(/\r\n\r\n$/);
  await client.closed();
  const line = await portico.logged(
    'upstream timed out (110: Connection timed out) while proxying upgraded connection',
  );
  assert.match(line, /\[info\]/);
  await assertFree();
});

test('a slow side holds the other one back, and nothing is lost', async () => {
  const client = await rawClient(port);
  client.send(`GET /raw/echo HTTP/1.1\r\n${UPGRADE}`);
  await client.until(/\r\n\r\n$/);
  client.socket.pause();
  const size = 8 * 1024 * 1024;
  const words = Buffer.alloc(size, 'z');
  client.send(words);
  await new Promise((resolve) => setTimeout(resolve, 200));
  client.socket.resume();
  const text = await client.until((heard) => heard.length >= size);
  assert.equal(text.slice(text.indexOf('\r\n\r\n') + 4).length, size);
  client.destroy();
  await assertFree();
});

test('a server that switches although nobody asked for it opens no tunnel', async () => {
  const text = await ask(port, 'GET /raw/quiet HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  assert.match(text, /^HTTP\/1\.1 101 /);
  await assertFree();
});
