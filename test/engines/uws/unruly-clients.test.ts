/** Clients that do as they please, with TLS and without, while certificates change and workers throw. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { WebSocket, WebSocketServer } from 'ws';
import { onlyIdle } from '../../integration/endurance-load.ts';
import { createRandom, type Random } from '../../integration/fuzz-requests.ts';
import { crashable, createSandbox, startPortico } from '../../support/portico.ts';
import { freePorts } from '../../support/ports.ts';
import { writeCertificate } from '../../support/tls-client.ts';

const CLIENTS = 800;
const PARALLEL = 40;
/** After so many clients each. */
const RELOAD = 100;
const CRASH = 300;
/** Milliseconds until a client that nothing else ends goes. */
const LONGEST = 500;
const NAMES = ['first.test', 'other.test', 'a.b.other.test', 'OTHER.test'];

const body = (size: number) => 'x'.repeat(size);
const head = (line: string, more = '') => `${line} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;

const REQUESTS: readonly ((random: Random) => string)[] = [
  () => head('GET /text'),
  () => head('GET /big'),
  () => head('GET /unbuffered/big'),
  () => head('GET /chunked'),
  () => head('GET /unbuffered/chunked', 'Connection: close\r\n'),
  () => head('HEAD /big', 'Connection: close\r\n'),
  ...['/count', '/unbuffered/count'].map(
    (path) => (random: Random) =>
      head(`POST ${path}`, 'Content-Length: 300000\r\n') +
      body(random.chance(0.5) ? 300_000 : random.below(300_000)),
  ),
  // Beyond client_max_body_size.
  (random) => head('POST /count', 'Content-Length: 3000000\r\n') + body(random.below(3_000_000)),
  () => `${head('POST /count', 'Transfer-Encoding: chunked\r\n')}1000\r\n${body(0x1000)}\r\n0\r\n\r\n`,
  () =>
    `${head('POST /count', 'Transfer-Encoding: chunked\r\n')}${`80000\r\n${body(0x80000)}\r\n`.repeat(3)}0\r\n\r\n`,
  () => head('GET /text') + head('GET /big') + head('GET /big'),
  () => 'nonsense\r\n\r\n',
  () => 'GET / HT',
];

/** One that asks, and may go at any moment. @returns resolves when it has gone */
function ask(random: Random, port: number, tls: boolean): Promise<void> {
  return new Promise((resolve) => {
    const tcp = connect(port, '127.0.0.1');
    tcp.on('error', () => {});
    if (random.chance(0.1)) {
      tcp.once('connect', () => tcp.resetAndDestroy());
      tcp.once('close', () => resolve());
      return;
    }
    const socket: Socket = tls
      ? connectTls({
          socket: tcp,
          rejectUnauthorized: false,
          servername: random.pick(NAMES),
          maxVersion: random.pick(['TLSv1.2', 'TLSv1.3']),
        })
      : tcp;
    const timer = setTimeout(() => socket.destroy(), random.below(LONGEST));
    socket.on('error', () => {});
    socket.once('close', () => {
      clearTimeout(timer);
      tcp.destroy();
      resolve();
    });
    socket.once(tls ? 'secureConnect' : 'connect', () => {
      socket.write(random.pick(REQUESTS)(random));
      if (random.chance(0.25)) return;
      socket.on('data', () => {
        // Node.js loses track of a socket that is reset while it ends.
        if (socket.writableEnded || socket.destroyed) return;
        if (random.chance(0.03)) {
          if (random.chance(0.5)) tcp.resetAndDestroy();
          else socket.end();
        } else if (random.chance(0.02)) socket.write(random.pick(REQUESTS)(random));
      });
    });
  });
}

/** One that opens a WebSocket. */
function talk(random: Random, port: number, tls: boolean): Promise<void> {
  return new Promise((resolve) => {
    const socket = new WebSocket(`${tls ? 'wss' : 'ws'}://127.0.0.1:${port}/socket`, {
      rejectUnauthorized: false,
      perMessageDeflate: false,
    });
    const timer = setTimeout(() => socket.terminate(), random.below(LONGEST));
    socket.on('error', () => {});
    socket.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
    socket.once('open', () => {
      for (let count = random.below(5); count >= 0; count--) {
        socket.send(Buffer.alloc(random.below(random.chance(0.3) ? 1_000_000 : 1000)));
      }
    });
    socket.on('message', () => {
      if (random.chance(0.2)) socket.close();
      else if (random.chance(0.1)) socket.terminate();
      else if (socket.readyState === WebSocket.OPEN) socket.send('again');
    });
  });
}

function createBackend(random: Random) {
  const server = createServer((request, response) => {
    if (request.url === '/big') response.end(Buffer.alloc(2_000_000, 'b'));
    else if (request.url === '/chunked') {
      for (let count = 0; count < 20; count++) response.write(Buffer.alloc(30_000, 'c'));
      response.end();
    } else {
      let bytes = 0;
      request.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      request.on('end', () => response.end(String(bytes)));
    }
  });
  const sockets = new WebSocketServer({ server, perMessageDeflate: false });
  sockets.on('connection', (socket) => {
    socket.on('error', () => {});
    socket.on('message', (data, binary) => {
      const wish = random.below(20);
      if (wish === 0) socket.close(4000, 'as I like');
      else if (wish === 1) socket.terminate();
      else socket.send(data, { binary });
    });
  });
  return server;
}

test('clients that come and go as they please, certificates that change and workers that throw leave nothing behind', async (t) => {
  const random = createRandom(Number(process.env['FUZZ_SEED'] ?? 20_261_121));
  const [port, tlsPort] = (await freePorts(2)) as [number, number];
  using sandbox = createSandbox();
  for (const name of ['server', 'other']) writeCertificate(sandbox, name, { name });
  const backend = createBackend(random);
  t.after(() => {
    backend.closeAllConnections();
    backend.close();
  });
  backend.listen(0, '127.0.0.1');
  await once(backend, 'listening');
  const upstream = `http://127.0.0.1:${(backend.address() as AddressInfo).port}`;
  await using portico = await startPortico({
    sandbox,
    engine: 'uws',
    workers: 2,
    environment: crashable(sandbox.path('crash')),
    http: `
      access_log off;
      ssl_certificate server.crt; ssl_certificate_key server.key;
      server {
        listen 127.0.0.1:${port};
        listen 127.0.0.1:${tlsPort} ssl;
        location = /status { stub_status; }
        location = /text { return 200 text; }
        location / {
          client_max_body_size 2m;
          proxy_pass ${upstream};
          proxy_set_header Upgrade $http_upgrade;
          proxy_set_header Connection $http_connection;
        }
        location /unbuffered/ {
          proxy_request_buffering off; proxy_buffering off;
          proxy_pass ${upstream}/;
        }
      }
      server {
        listen 127.0.0.1:${tlsPort} ssl;
        server_name .other.test;
        ssl_certificate other.crt; ssl_certificate_key other.key;
        location / { return 200 other; }
      }`,
  });
  async function reload(name: string): Promise<void> {
    writeCertificate(sandbox, name, { name });
    assert.equal(await portico.reload(), 'done');
  }
  async function crash(): Promise<void> {
    const from = portico.errorLog().length;
    sandbox.write('crash', '');
    await portico.logged(/\[notice\] .*start worker \d /, from);
  }
  let gone = 0;
  // One after the other: a reload fails where a worker dies in the middle of it.
  let events: Promise<void> = Promise.resolve();
  const afterClient = () => {
    gone++;
    const name = random.pick(['server', 'other', 'unused']);
    if (gone % RELOAD === 0) events = events.then(() => reload(name));
    if (gone % CRASH === 0) events = events.then(crash);
  };
  let begun = 0;
  await Promise.all(
    Array.from({ length: PARALLEL }, async () => {
      while (begun++ < CLIENTS) {
        const tls = random.chance(0.7);
        const client = random.chance(0.25) ? talk : ask;
        await client(random, tls ? tlsPort : port, tls);
        afterClient();
      }
    }),
  );
  await events;
  await onlyIdle(port, 0);
  const alarms = portico.errorLog().match(/^.*\[(?:crit|alert|emerg)\].*$/gm) ?? [];
  assert.deepEqual(
    alarms.filter((line) => !/the test has made this worker crash|its replacement starts in/.test(line)),
    [],
  );
  const { code, stderr } = await portico.stop('SIGQUIT');
  assert.deepEqual([code, stderr], [0, '']);
});
