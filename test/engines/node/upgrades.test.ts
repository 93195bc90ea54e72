/** How a tunnel ends: as nginx ends it, whichever side is first, and however much is on its way. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { type Backend, startBackend } from '../../modules/proxy/backend.ts';
import { get } from '../../support/client.ts';
import { createSandbox, type RunningPortico, type Sandbox, startPortico } from '../../support/portico.ts';
import { freePorts } from '../../support/ports.ts';
import { type RawClient, rawClient } from '../../support/raw-client.ts';
import { parseStubStatus } from '../../support/stub-status.ts';
import { writeCertificate } from '../../support/tls-client.ts';
import { until } from '../../support/wait.ts';

/** More than the buffers of two sockets and a proxy between them take; it shows where a piece is missing. */
const MUCH = Buffer.alloc(16 * 1024 * 1024, '0123456789abcdefghijklmnopqrstuvwxyz,');

let backend: Backend;
let portico: RunningPortico;
let sandbox: Sandbox;
let port: number;
let tlsPort: number;
/** The upgraded connections as the server has them; they are not read until the test says so. */
const upgraded: Socket[] = [];

before(async () => {
  backend = await startBackend(({ target }, socket) => {
    if (target === '/plain') return 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain';
    upgraded.push(socket);
    // Whoever made the backend stops reading HTTP then.
    socket.on('data', () => {});
    socket.pause();
    return 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: upgrade\r\n\r\n';
  });
  [port, tlsPort] = (await freePorts(2)) as [number, number];
  sandbox = createSandbox();
  writeCertificate(sandbox, 'server', { name: 'localhost' });
  portico = await startPortico({
    sandbox,
    http: `
      # One at a time: a place that is not given back is missed by the next test.
      upstream raw { server 127.0.0.1:${backend.port} max_conns=1; }
      log_format sent '$status $body_bytes_sent';
      access_log logs/access.log sent;
      server {
        listen 127.0.0.1:${port};
        listen 127.0.0.1:${tlsPort} ssl;
        ssl_certificate server.crt;
        ssl_certificate_key server.key;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection upgrade;
        location / { proxy_pass http://raw; }
        location /abrupt { proxy_pass http://raw; lingering_close off; }
        location /impatient { proxy_pass http://raw; send_timeout 300ms; }
        location /hasty { proxy_pass http://raw; send_timeout 300ms; lingering_timeout 300ms; }
        location = /lingering { return 204; keepalive_timeout 0; lingering_close always; lingering_timeout 300ms; }
        location /brief { proxy_pass http://raw; lingering_timeout 300ms; }
        location = /status { stub_status; }
      }`,
  });
});

after(async () => {
  await portico?.[Symbol.asyncDispose]();
  await backend?.close();
  sandbox?.remove();
});

/** Both ends of a tunnel. */
interface Ends {
  readonly client: RawClient;
  readonly server: Socket;
  /** Bytes that the server has read. */
  serverHas(): number;
}

async function open(secure = false, path = '/'): Promise<Ends> {
  const client = await rawClient(secure ? tlsPort : port, secure);
  client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\nUpgrade: raw\r\nConnection: upgrade\r\n\r\n`);
  const head = await client.until(/\r\n\r\n$/);
  assert.match(head, /^HTTP\/1\.1 101 /);
  const server = upgraded.at(-1)!;
  let read = 0;
  server.on('data', (chunk: Buffer) => {
    read += chunk.length;
  });
  return { client, server, serverHas: () => read };
}

/** How much a client has heard in the tunnel. */
function tunnelled(heard: string): number {
  return heard.length - heard.indexOf('\r\n\r\n') - 4;
}

/** All is over for both sides, and for the program between them. */
async function over({ client, server }: Ends): Promise<void> {
  client.destroy();
  server.destroy();
  await until('the place to be free', async () => (await get(port, '/plain')).status === 200);
}

/** What the system has of a socket, or TLS. */
interface Handle {
  /** Bytes that the system has not taken. */
  readonly writeQueueSize: number;
  /** Of a TLS socket: the one below. */
  readonly _parent?: Handle;
}

/** Waits until nothing more of what a socket has to send is taken: all buffers on the way are full. */
async function heldBack(socket: Socket): Promise<void> {
  const { _handle: top } = socket as unknown as { readonly _handle: Handle };
  const handle = top._parent ?? top;
  let last = -1;
  let unchanged = 0;
  await until('the other side to be held back', async () => {
    const left = handle.writeQueueSize;
    unchanged = left === last && left > 0 ? unchanged + 1 : 0;
    last = left;
    await new Promise((resolve) => setTimeout(resolve, 20));
    return unchanged === 12;
  });
}

for (const secure of [false, true]) {
  const how = secure ? ', over TLS' : '';

  test(`a client that ends its side ends both, and the server has had its last words${how}`, async () => {
    const ends = await open(secure);
    ends.server.resume();
    const ended = once(ends.server, 'end');
    ends.client.send('last words');
    ends.client.finish();
    await ended;
    assert.equal(ends.serverHas(), 10);
    // Without a word from the server: there is no half of a tunnel.
    assert.equal(tunnelled(await ends.client.closed()), 0);
    await over(ends);
  });

  test(`a server that ends its side ends both, and the client has had its last words${how}`, async () => {
    const ends = await open(secure);
    ends.server.resume();
    const ended = once(ends.server, 'end');
    ends.server.end('last words');
    assert.equal(tunnelled(await ends.client.closed()), 10);
    await ended;
    await over(ends);
  });

  test(`all that a client has said reaches a slow server, although the client has ended its side${how}`, async () => {
    const ends = await open(secure);
    ends.client.send(MUCH);
    ends.client.finish();
    await heldBack(ends.client.socket);
    const ended = once(ends.server, 'end');
    ends.server.resume();
    await ended;
    assert.equal(ends.serverHas(), MUCH.length);
    await ends.client.closed();
    await over(ends);
  });

  test(`all that a server has said reaches a slow client, although the server has ended its side${how}`, async () => {
    const ends = await open(secure);
    ends.client.socket.pause();
    ends.server.end(MUCH);
    await heldBack(ends.server);
    ends.client.socket.resume();
    assert.equal(tunnelled(await ends.client.closed()), MUCH.length);
    await over(ends);
  });

  test(`a client that ends its side wants nothing more of what is on its way to it${how}`, async () => {
    const ends = await open(secure);
    ends.client.socket.pause();
    ends.server.on('error', () => {});
    ends.server.write(MUCH);
    await heldBack(ends.server);
    const closed = new Promise((resolve) => ends.server.once('close', resolve));
    ends.client.send('enough');
    ends.client.finish();
    ends.server.resume();
    await closed;
    assert.equal(ends.serverHas(), 6);
    ends.client.socket.resume();
    assert.ok(tunnelled(await ends.client.closed()) < MUCH.length);
    await over(ends);
  });

  test(`a server that ends its side while its client is held back: the client hears why before it is cut off${how}`, async () => {
    const ends = await open(secure);
    let reset = false;
    ends.client.socket.on('error', () => {
      reset = true;
    });
    ends.client.send(MUCH);
    await heldBack(ends.client.socket);
    ends.server.end('enough');
    const heard = await ends.client.until(/enough$/);
    assert.equal(tunnelled(heard), 6);
    // Its bytes are taken and dropped meanwhile, where a connection that is just closed would be reset.
    await new Promise<void>((resolve) => ends.client.socket.once('end', resolve));
    await until('all to be taken', () => ends.client.socket.writableLength === 0);
    assert.equal(reset, false);
    await over(ends);
  });
}

/** Connections that the program has with clients, the one that asks among them. */
async function active(): Promise<number> {
  return parseStubStatus((await get(port, '/status')).body).active;
}

/**
 * Waits until a tunnel is over, as far as the access log is concerned, although its client does not read.
 * @param from length of the access log before it
 * @returns bytes it has sent to the client, or is about to
 */
async function logged(from: number, look = () => {}): Promise<number> {
  const line = await until('a line', () => {
    look();
    return /^101 (\d+)$/m.exec(sandbox.read('logs/access.log').slice(from));
  });
  return Number(line[1]);
}

/** The server is gone all of a sudden. Its client does not read, so nothing is read from the server either. */
function serverBreaks({ client, server }: Ends, from: number): Promise<number> {
  server.resetAndDestroy();
  // Only who writes to it finds out; not always the first time, for the reset may come with a number nobody expects.
  return logged(from, () => client.send('more'));
}

function clientEnds({ client, server }: Ends, from: number): Promise<number> {
  client.finish();
  server.resume();
  return logged(from);
}

/** What a client hears that begins to read only now: without an error, all that it was sent. */
async function hearsAll({ client }: Ends, sent: number): Promise<void> {
  let error: Error | undefined;
  client.socket.on('error', (given: Error) => {
    error = given;
  });
  client.socket.resume();
  const heard = await client.closed();
  assert.equal(error, undefined);
  const body = Buffer.from(heard.slice(heard.indexOf('\r\n\r\n') + 4), 'latin1');
  assert.equal(body.length, sent);
  assert.ok(body.equals(MUCH.subarray(0, sent)));
}

test('a tunnel that is given up while its client is slow: what has come for the client reaches it', async () => {
  const from = sandbox.read('logs/access.log').length;
  const ends = await open(false, '/impatient');
  ends.client.socket.pause();
  ends.server.write(MUCH);
  const sent = await logged(from);
  // A client that goes on sending: a connection that is merely closed would be reset by that.
  ends.client.socket.on('data', () => ends.client.send('more'));
  await hearsAll(ends, sent);
  await over(ends);
});

test('it does, too, where the client begins to read when lingering_timeout is over', async () => {
  const from = sandbox.read('logs/access.log').length;
  const ends = await open(false, '/hasty');
  ends.client.socket.pause();
  ends.server.write(MUCH);
  const sent = await logged(from);
  // This one lingers as long, from now on: when it is gone, so is the time of the other.
  const lingering = await rawClient(port);
  lingering.send('GET /lingering HTTP/1.1\r\nHost: a\r\n\r\n');
  await lingering.until(/\r\n\r\n$/);
  await until('one to be gone', async () => (await active()) <= 2);
  lingering.destroy();
  await hearsAll(ends, sent);
  await over(ends);
});

test('a client that does not read has a few seconds for the last bytes, then its connection is closed', async () => {
  const connected = (count: number) =>
    until(`${count} connections`, async () => (await active()) === count + 1);
  await connected(0);
  const from = portico.errorLog().length;
  const clients: RawClient[] = [];
  // One tunnel after the other: the server takes one at a time.
  for (const { secure, path, end } of [
    { secure: false, path: '/', end: clientEnds },
    { secure: true, path: '/', end: clientEnds },
    { secure: false, path: '/brief', end: serverBreaks },
    { secure: true, path: '/brief', end: serverBreaks },
    { secure: false, path: '/abrupt', end: serverBreaks },
    { secure: true, path: '/abrupt', end: serverBreaks },
  ]) {
    const logLength = sandbox.read('logs/access.log').length;
    const ends = await open(secure, path);
    clients.push(ends.client);
    ends.client.socket.pause();
    ends.server.on('error', () => {});
    ends.server.write(MUCH);
    await heldBack(ends.server);
    await end(ends, logLength);
    ends.server.destroy();
  }
  await connected(0);
  assert.doesNotMatch(portico.errorLog().slice(from), /\[(alert|crit|emerg)\]/);
  for (const client of clients) client.destroy();
});

test('without lingering_close it is cut off', async () => {
  const ends = await open(false, '/abrupt');
  const reset = once(ends.client.socket, 'error');
  ends.client.send(MUCH);
  await heldBack(ends.client.socket);
  ends.server.end();
  assert.match(String((await reset)[0]), /ECONNRESET|EPIPE/);
  await over(ends);
});

test('a client that is gone all of a sudden is the end for the server, and in the log', async () => {
  const ends = await open();
  const from = portico.errorLog().length;
  ends.server.resume();
  const ended = once(ends.server, 'end');
  ends.client.socket.resetAndDestroy();
  await ended;
  const line = await portico.logged(/recv\(\) failed/, from);
  assert.match(
    line,
    /\[info\].* recv\(\) failed \(104: Connection reset by peer\) while proxying upgraded connection, client:/,
  );
  await over(ends);
});

test('a server that is gone all of a sudden is the end for the client, and in the log', async () => {
  const ends = await open();
  const from = portico.errorLog().length;
  ends.server.resetAndDestroy();
  await ends.client.closed();
  const line = await portico.logged(/recv\(\) failed/, from);
  assert.match(
    line,
    /\[error\].* recv\(\) failed \(104: Connection reset by peer\) while proxying upgraded connection, client:/,
  );
  await over(ends);
});

test('the access log has a line for each, with what its client was sent', async () => {
  const before = portico.sandbox.read('logs/access.log').split('\n');
  const ends = await open();
  ends.server.end('four');
  await ends.client.closed();
  await over(ends);
  await until('a line', () => {
    const lines = portico.sandbox
      .read('logs/access.log')
      .split('\n')
      .slice(before.length - 1);
    return lines.filter((line) => line.startsWith('101')).join() === '101 4';
  });
});
