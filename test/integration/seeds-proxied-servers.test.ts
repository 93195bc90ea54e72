/** The servers `proxy_pass` can reach: with TLS, on a Unix socket, for WebSockets; and how long it waits for them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer, request as sendRequest } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { Worker } from 'node:worker_threads';
import { type RawData, WebSocket, WebSocketServer } from 'ws';
import { createSandbox, type RunningPortico, type Sandbox, startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import { rawClient } from '../support/raw-client.ts';
import { get } from '../support/request.ts';
import { until } from '../support/wait.ts';
import {
  ask,
  askInTurn,
  describeRequest,
  header,
  on,
  SETTINGS,
  type Shipped,
  startBackend,
  startShipped,
  tally,
} from './seeds.ts';

/** A server of whatever kind that listens. */
async function listening<Kind extends Server>(server: Kind, where: number | string): Promise<Kind> {
  server.listen(typeof where === 'number' ? { port: where } : { path: where });
  await once(server, 'listening');
  return server;
}

for (const setting of SETTINGS) {
  const { engine, workers } = setting;
  describe(`servers with TLS and on Unix sockets, ${on(setting)}`, () => {
    let sandbox: Sandbox;
    let shipped: Shipped;
    let port: number;
    let secure: ReturnType<typeof createHttpsServer>;
    let local: ReturnType<typeof createHttpServer>;
    const serverNames: (string | false | null)[] = [];

    before(async () => {
      sandbox = createSandbox();
      // Nobody has signed it, and it is for somebody else: `proxy_ssl_verify off` does not mind.
      execFileSync('openssl', [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
        ...[
          '-subj',
          '/CN=somebody.else',
          '-keyout',
          sandbox.path('key.pem'),
          '-out',
          sandbox.path('cert.pem'),
        ],
      ]);
      shipped = await startShipped('proxy-pass.conf', {
        engine,
        workers,
        sandbox,
        backends: { 3001: 'one', 3002: 'two' },
        edit: (text, free) =>
          text.replace('/run/backend.sock', sandbox.path('backend.sock')).replace(
            /\n {8}# WebSockets\./,
            `
              location /verified/ { proxy_pass https://localhost:${free(3443)}/; proxy_ssl_verify on; proxy_ssl_trusted_certificate ${sandbox.path('cert.pem')}; }
              location /whole/ { proxy_pass http://unix:${sandbox.path('backend.sock')}; }
              location /nameless/ { proxy_pass https://localhost:${free(3443)}/; }$&`,
          ),
      });
      port = shipped.port(8085);
      const certificate = {
        key: readFileSync(sandbox.path('key.pem')),
        cert: readFileSync(sandbox.path('cert.pem')),
      };
      secure = createHttpsServer(certificate, (request, response) => {
        serverNames.push((request.socket as TLSSocket & { servername: string | false }).servername);
        response.end(JSON.stringify(describeRequest('secure', request, '')));
      });
      await listening(secure, shipped.port(3443));
      local = createHttpServer((request, response) => {
        response.end(JSON.stringify(describeRequest('local', request, '')));
      });
      await listening(local, sandbox.path('backend.sock'));
    });
    after(async () => {
      await shipped.stop();
      for (const server of [secure, local]) {
        server.closeAllConnections();
        server.close();
      }
      sandbox.remove();
    });

    test('a server with TLS is asked for the URI without the prefix, and told which name is meant', async () => {
      for (let sent = 0; sent < 4; sent++) {
        const seen = await ask(port, { path: `/secure/pay/${sent}?currency=EUR` });
        assert.deepEqual([seen.server, seen.url], ['secure', `/pay/${sent}?currency=EUR`]);
        assert.deepEqual(header(seen, 'Host'), [`localhost:${shipped.port(3443)}`]);
      }
      assert.deepEqual(serverNames.splice(0), Array(4).fill('localhost'));
    });

    test('without proxy_ssl_server_name it is told no name', async () => {
      assert.equal((await ask(port, { path: '/nameless/x' })).server, 'secure');
      assert.deepEqual(serverNames.splice(0), [false]);
    });

    test('with proxy_ssl_verify its certificate would matter', async () => {
      assert.equal((await get({ port, path: '/verified/x' })).status, 502);
      await shipped.portico.logged(
        'upstream SSL certificate does not match "localhost" while SSL handshaking to upstream',
      );
    });

    test('a server on a Unix socket, with a URI and without', async () => {
      const seen = await ask(port, { path: '/socket/users/7?x=1' });
      assert.deepEqual([seen.server, seen.url], ['local', '/users/7?x=1']);
      assert.deepEqual(header(seen, 'Host'), ['localhost']);
      assert.equal((await ask(port, { path: '/whole/users/7?x=1' })).url, '/whole/users/7?x=1');
      assert.deepEqual(tally(await askInTurn(port, 20, { path: '/socket/' })), { local: 20 });
    });

    test('a Unix socket nobody listens on is a 502', async () => {
      local.closeAllConnections();
      await new Promise((resolve) => local.close(resolve));
      assert.equal((await get({ port, path: '/socket/' })).status, 502);
      await shipped.portico.logged(
        `connect() to unix:${sandbox.path('backend.sock')} failed (2: No such file or directory)`,
      );
      await listening(local, sandbox.path('backend.sock'));
      assert.equal((await ask(port, { path: '/socket/' })).server, 'local');
    });
  });

  describe(`WebSockets, ${on(setting)}`, () => {
    let shipped: Shipped;
    let url: string;
    const servers: ReturnType<typeof createHttpServer>[] = [];
    /** How connections ended for the servers: `/ws/path 4001 bye`. */
    const closes: string[] = [];

    before(async () => {
      shipped = await startShipped('proxy-pass.conf', { engine, workers, backends: {} });
      for (const documented of [3001, 3002]) {
        const server = createHttpServer((request, response) => response.writeHead(426).end(request.url));
        const webSockets = new WebSocketServer({
          server,
          handleProtocols: (offered) => (offered.has('chat.v2') ? 'chat.v2' : false),
          verifyClient: ({ req: request }: { req: { url?: string } }) => request.url !== '/ws/forbidden',
        });
        webSockets.on('connection', (socket, request) => {
          socket.send(`hello ${request.url} of ${request.headers.host}`);
          socket.on('message', (data, binary) => {
            if (!binary && data.toString() === 'close me') socket.close(4002, 'as you like');
            else if (!binary && data.toString() === 'drop me') socket.terminate();
            else socket.send(data, { binary });
          });
          socket.on('close', (code, reason) => closes.push(`${request.url} ${code} ${reason}`));
        });
        servers.push(await listening(server, shipped.port(documented)));
      }
      url = `ws://127.0.0.1:${shipped.port(8085)}/ws/`;
    });
    after(async () => {
      await shipped.stop();
      for (const server of servers.splice(0)) {
        server.closeAllConnections();
        server.close();
      }
    });

    /** Connects, and takes the server's first message. */
    async function open(path = '', protocols: string[] = []): Promise<{ socket: WebSocket; hello: string }> {
      const socket = new WebSocket(url + path, protocols);
      const message = nextMessage(socket);
      await once(socket, 'open');
      return { socket, hello: (await message).data.toString() };
    }

    async function nextMessage(socket: WebSocket): Promise<{ data: Buffer; binary: boolean }> {
      const [data, binary] = (await once(socket, 'message')) as [RawData, boolean];
      return { data: data as Buffer, binary };
    }

    async function ended(socket: WebSocket): Promise<string> {
      const [code, reason] = (await once(socket, 'close')) as [number, Buffer];
      return `${code} ${reason}`;
    }

    test('text and binary messages of every size come back as they went', async () => {
      const { socket, hello } = await open('room/7?user=x');
      assert.equal(hello, 'hello /ws/room/7?user=x of backend_app');
      for (const size of [0, 1, 125, 126, 65_535, 65_536, 1_000_000]) {
        const bytes = Buffer.alloc(size, Buffer.from([0, 255, 10, 13]));
        socket.send(bytes);
        const binary = await nextMessage(socket);
        assert.ok(binary.binary && binary.data.equals(bytes), `${size} bytes`);
        const text = 'grüße '.repeat(size / 8);
        socket.send(text);
        const answer = await nextMessage(socket);
        assert.ok(!answer.binary && answer.data.toString() === text, `${size} characters`);
      }
      socket.ping('are you there');
      assert.equal((await once(socket, 'pong'))[0].toString(), 'are you there');
      socket.close();
      await ended(socket);
    });

    test('messages in both directions at once keep their order', async () => {
      const { socket } = await open();
      const received: string[] = [];
      socket.on('message', (data) => received.push(data.toString()));
      const sent = Array.from({ length: 500 }, (_, index) => `${index} ${'x'.repeat(index * 20)}`);
      for (const message of sent) socket.send(message);
      await until('all messages', () => received.length === sent.length);
      assert.deepEqual(received, sent);
      socket.close();
      await ended(socket);
    });

    test('close codes and reasons come through, from either side', async () => {
      const first = await open('closing');
      first.socket.close(4001, 'bye');
      assert.equal(await ended(first.socket), '4001 bye');
      await until('the close at the server', () => closes.includes('/ws/closing 4001 bye'));
      const second = await open('closed');
      second.socket.send('close me');
      assert.equal(await ended(second.socket), '4002 as you like');
      await until('the close at the server', () => closes.includes('/ws/closed 4002 as you like'));
    });

    test('a side that just goes takes the other one with it', async () => {
      const first = await open('going');
      first.socket.terminate();
      await until('the close at the server', () => closes.includes('/ws/going 1006 '));
      const second = await open('gone');
      second.socket.send('drop me');
      assert.equal(await ended(second.socket), '1006 ');
    });

    test('the subprotocol is agreed between client and server', async () => {
      const { socket } = await open('', ['chat.v1', 'chat.v2']);
      assert.equal(socket.protocol, 'chat.v2');
      socket.close();
      await ended(socket);
    });

    test('a refusal of the server reaches the client', async () => {
      const socket = new WebSocket(`${url}forbidden`);
      socket.on('error', () => {});
      const [, answer] = await once(socket, 'unexpected-response');
      assert.equal(answer.statusCode, 401);
      socket.terminate();
    });

    test('a request that asks for no upgrade is answered', async () => {
      const answer = await get({ port: shipped.port(8085), path: '/ws/plain' });
      assert.deepEqual([answer.status, answer.body], [426, '/ws/plain']);
    });

    test('many are open at once, spread over the servers', async () => {
      const sockets = await Promise.all(Array.from({ length: 40 }, () => open()));
      await Promise.all(
        sockets.map(async ({ socket }, index) => {
          const message = nextMessage(socket);
          socket.send(`${index}`);
          assert.equal((await message).data.toString(), `${index}`);
        }),
      );
      const counts = await Promise.all(
        servers.map(
          (server) => new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count))),
        ),
      );
      assert.ok(Math.min(...counts) >= 20);
      for (const { socket } of sockets) socket.terminate();
    });
  });

  describe(`timeouts, ${on(setting)}`, () => {
    let portico: RunningPortico;
    let port: number;
    const gate = new Int32Array(new SharedArrayBuffer(4));
    let blocked: Worker;
    const fillers: Socket[] = [];
    let silent: Server;
    const sockets = new Set<Socket>();

    before(async () => {
      blocked = new Worker(new URL('seeds-blocked-listener.ts', import.meta.url), { workerData: gate });
      const [blockedPort] = (await once(blocked, 'message')) as [number];
      await fillQueue(blockedPort);

      // Reads a head and says nothing, or stops in the middle of an answer, or reads no body.
      silent = await listening(
        createTcpServer((socket) => {
          sockets.add(socket);
          socket.on('error', () => {});
          socket.on('close', () => sockets.delete(socket));
          socket.once('data', (bytes) => {
            socket.pause();
            if (bytes.includes('/half')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf');
            if (bytes.includes('/trickle')) {
              socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n');
              let sent = 0;
              const timer = setInterval(() => {
                socket.write('x');
                if (++sent === 10) clearInterval(timer);
              }, 100);
              socket.once('close', () => clearInterval(timer));
            }
          });
        }),
        await freePort(),
      );
      const address = silent.address();
      if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
      const sparePort = await freePort();
      const spare = await startBackend('spare', sparePort);
      silent.once('close', () => void spare.stop());
      port = await freePort();
      portico = await startPortico({
        engine,
        workers,
        http: `
          upstream slow { server 127.0.0.1:${address.port}; }
          upstream with_spare { server 127.0.0.1:${address.port} max_fails=0; server 127.0.0.1:${sparePort} backup; }
          client_max_body_size 0;
          server {
            listen 127.0.0.1:${port};
            location / {
              proxy_pass http://slow;
              proxy_connect_timeout 5s;
              proxy_read_timeout 400ms;
              proxy_send_timeout 60s;
            }
            location /upload { proxy_pass http://slow; proxy_send_timeout 400ms; }
            location /connect { proxy_pass http://127.0.0.1:${blockedPort}; proxy_connect_timeout 400ms; }
            location /spare { proxy_pass http://with_spare; proxy_read_timeout 400ms; }
          }`,
      });
    });
    after(async () => {
      await portico[Symbol.asyncDispose]();
      for (const socket of [...fillers, ...sockets]) socket.destroy();
      silent.close();
      Atomics.store(gate, 0, 1);
      Atomics.notify(gate, 0);
      await blocked.terminate();
    });

    /** Connects until the kernel takes no more: a connection that stays pending is the sign. */
    async function fillQueue(blockedPort: number): Promise<void> {
      for (;;) {
        const socket = connect({ host: '127.0.0.1', port: blockedPort });
        socket.on('error', () => {});
        fillers.push(socket);
        const connected = await Promise.race([
          once(socket, 'connect').then(() => true),
          new Promise<boolean>((resolve) => setTimeout(resolve, 200, false)),
        ]);
        if (!connected) return;
      }
    }

    /** The answer, and after how many milliseconds it came. */
    async function timed(path: string) {
      const started = performance.now();
      const answer = await get({ port, path });
      return { ...answer, after: performance.now() - started };
    }

    test('a server that says nothing is a 504 after proxy_read_timeout', async () => {
      const { status, body, after } = await timed('/');
      assert.equal(status, 504);
      assert.match(body, /<h1>504 Gateway Time-out<\/h1>/);
      assert.ok(after >= 390 && after < 3000, `after ${after} ms`);
      await portico.logged(
        'upstream timed out (110: Connection timed out) while reading response header from upstream',
      );
    });

    test('a server that stops in the middle of an answer is given up after proxy_read_timeout', async () => {
      const client = await rawClient(port);
      client.send('GET /half HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.match(await client.closed(), /^HTTP\/1\.1 200 OK\r\n(?:.+\r\n)+\r\nhalf$/);
      await portico.logged('upstream timed out (110: Connection timed out) while reading upstream');
    });

    test('a server that is slow but not silent has all the time it needs', async () => {
      const { status, body, after } = await timed('/trickle');
      assert.deepEqual([status, body], [200, 'x'.repeat(10)]);
      assert.ok(after > 800, `after ${after} ms`);
    });

    test('a server that does not read what is sent is a 504 after proxy_send_timeout', async () => {
      const size = 32 * 1024 * 1024;
      const status = await new Promise<number>((resolve, reject) => {
        const sent = sendRequest({
          port,
          method: 'POST',
          path: '/upload',
          headers: { 'Content-Length': size },
        });
        sent.on('response', (answer) => {
          answer.resume();
          resolve(answer.statusCode!);
        });
        sent.on('error', reject);
        sent.end(Buffer.alloc(size));
      });
      assert.equal(status, 504);
      await portico.logged(
        'upstream timed out (110: Connection timed out) while sending request to upstream',
      );
    });

    test('a server that does not accept is a 504 after proxy_connect_timeout', async () => {
      const { status, after } = await timed('/connect');
      assert.equal(status, 504);
      assert.ok(after >= 390 && after < 3000, `after ${after} ms`);
      await portico.logged('upstream timed out (110: Connection timed out) while connecting to upstream');
    });

    test('with another server in the group, the client gets its answer instead', async () => {
      const seen = await ask(port, { path: '/spare' });
      assert.equal(seen.server, 'spare');
    });
  });
}
