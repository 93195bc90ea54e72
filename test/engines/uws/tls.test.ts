/** TLS on uWebSockets.js: certificates by name, reloads, sessions, clients that speak something else. */
import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { ConnectionOptions } from 'node:tls';
import { WebSocket, WebSocketServer } from 'ws';
import { createCertificate } from '../../../scripts/x509.ts';
import { get, openClient } from '../../support/client.ts';
import {
  crashable,
  createSandbox,
  type RunningPortico,
  type Sandbox,
  startPortico,
} from '../../support/portico.ts';
import { freePort, freePorts } from '../../support/ports.ts';
import { rawClient } from '../../support/raw-client.ts';
import { bodyOf, tlsClient, tlsGet, writeCertificate } from '../../support/tls-client.ts';
import { until } from '../../support/wait.ts';

/** The common name of the certificate that is shown to a client. */
async function shown(port: number, options: ConnectionOptions = {}): Promise<string> {
  const { socket } = await tlsClient(port, options);
  const { CN } = socket.getPeerCertificate().subject;
  socket.destroy();
  return String(CN);
}

describe('certificates by name', () => {
  let portico: RunningPortico;
  let sandbox: Sandbox;
  let port: number;
  let single: number;
  let rejecting: number;

  before(async () => {
    [port, single, rejecting] = (await freePorts(3)) as [number, number, number];
    sandbox = createSandbox();
    writeCertificate(sandbox, 'default', { name: 'default', algorithm: 'rsa' });
    writeCertificate(sandbox, 'whole', { name: 'whole' });
    writeCertificate(sandbox, 'ending', { name: 'ending', algorithm: 'rsa' });
    const inline = createCertificate({ name: 'inline' });
    const encrypted = createPrivateKey(inline.key).export({
      type: 'pkcs8',
      format: 'pem',
      cipher: 'aes-256-cbc',
      passphrase: 'secret',
    });
    sandbox.write('conf/inline.key', String(encrypted));
    sandbox.write('conf/passwords', 'wrong\nsecret\n');
    portico = await startPortico({
      sandbox,
      engine: 'uws',
      workers: 2,
      http: `
        ssl_certificate default.crt; ssl_certificate_key default.key;
        server {
          listen 127.0.0.1:${port} ssl;
          server_name first.test plain.ending.test;
          location / { return 200 "first $scheme $https $host"; }
          location = /status { stub_status; }
        }
        server {
          listen 127.0.0.1:${port} ssl;
          server_name whole.test other.whole.test;
          ssl_certificate whole.crt; ssl_certificate_key whole.key;
          location / { return 200 "whole $host"; }
        }
        server {
          listen 127.0.0.1:${port} ssl;
          server_name .ending.test *.long.ending.test;
          ssl_certificate ending.crt; ssl_certificate_key ending.key;
          location / { return 200 "ending $host"; }
        }
        server {
          listen 127.0.0.1:${port} ssl;
          server_name inline.test;
          ssl_certificate "data:${inline.certificate}"; ssl_certificate_key inline.key; ssl_password_file passwords;
          ssl_ciphers ECDHE-ECDSA-CHACHA20-POLY1305;
          location / { return 200 "inline $host"; }
        }
        server {
          listen 127.0.0.1:${port} ssl;
          server_name rejected.test;
          ssl_reject_handshake on;
          location / { return 200 "rejected $host"; }
        }
        server {
          listen 127.0.0.1:${single} ssl;
          server_name single.test;
          location / { return 200 "single $host"; }
        }
        server {
          listen 127.0.0.1:${rejecting} ssl;
          ssl_reject_handshake on;
        }
        server {
          listen 127.0.0.1:${rejecting} ssl;
          server_name known.test;
          location / { return 200 "known $host"; }
        }`,
    });
  });

  after(async () => {
    await portico.stop();
    sandbox.remove();
  });

  test('a client gets the certificate of the name it asks for, and else that of the default server', async () => {
    for (const [servername, name] of [
      [undefined, 'default'],
      ['first.test', 'default'],
      ['nobody.test', 'default'],
      ['whole.test', 'whole'],
      ['other.whole.test', 'whole'],
      ['another.whole.test', 'default'],
      ['WHOLE.test', 'whole'],
      ['ending.test', 'ending'],
      ['a.ending.test', 'ending'],
      ['a.b.c.d.e.f.ending.test', 'ending'],
      ['a.long.ending.test', 'ending'],
      ['A.Ending.Test', 'ending'],
      // Whose whole name it is comes before whose ending it is.
      ['plain.ending.test', 'default'],
      ['inline.test', 'inline'],
    ] as const) {
      // Both workers.
      for (let count = 0; count < 2; count++) {
        assert.equal(await shown(port, { servername }), name, servername);
      }
    }
    assert.equal(await shown(single, { servername: 'whole.test' }), 'default');
  });

  test('the server is chosen by the request', async () => {
    const text = async (servername: string, hostHeader = servername) =>
      bodyOf(await tlsGet(port, '/', { servername, hostHeader }));
    assert.equal(await text('first.test'), 'first https on first.test');
    assert.equal(await text('nobody.test'), 'first https on nobody.test');
    assert.equal(await text('whole.test'), 'whole whole.test');
    assert.equal(await text('WHOLE.test', 'whole.test'), 'whole whole.test');
    assert.equal(await text('a.b.ending.test'), 'ending a.b.ending.test');
    assert.equal(await text('inline.test'), 'inline inline.test');
    assert.equal(await text('whole.test', 'ending.test'), 'ending ending.test');
    assert.equal(await text('whole.test', 'rejected.test'), 'rejected rejected.test');
  });

  test('handshakes are rejected where they are to be', async () => {
    await assert.rejects(tlsClient(port, { servername: 'rejected.test' }), /SSL alert number (40|80)/);
    await assert.rejects(tlsClient(rejecting, { servername: 'nobody.test' }), /SSL alert number (40|80)/);
    await assert.rejects(tlsClient(rejecting), /SSL alert number (40|80)/);
    assert.equal(bodyOf(await tlsGet(rejecting, '/', { servername: 'known.test' })), 'known known.test');
  });

  test('ciphers are each server’s own, versions of TLS are two', async () => {
    const old = { maxVersion: 'TLSv1.2' } as const;
    const { socket } = await tlsClient(port, { ...old, servername: 'inline.test' });
    assert.equal(socket.getCipher().standardName, 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256');
    socket.destroy();
    await assert.rejects(
      tlsClient(port, { ...old, servername: 'inline.test', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' }),
      /handshake failure/,
    );
    assert.equal(await shown(port, { ...old, servername: 'whole.test' }), 'whole');
    assert.equal(await shown(port, { minVersion: 'TLSv1.3', servername: 'whole.test' }), 'whole');
    await assert.rejects(
      tlsClient(port, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }),
      /protocol version/,
    );
  });

  test('who says goodbye properly: the server', async () => {
    const client = await tlsClient(port, { servername: 'first.test' });
    client.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    await client.closed();
    assert.ok(client.saidGoodbye());
  });

  test('who does not speak TLS, or breaks off, is let go of', async () => {
    for (const said of ['GET / HTTP/1.1\r\nHost: a\r\n\r\n', '\x16\x03\x01\x02\x00\x01', '']) {
      const client = await rawClient(port);
      client.send(said);
      if (said.startsWith('GET')) assert.doesNotMatch(await client.closed(), /HTTP/);
      client.destroy();
    }
    await until('all to be gone', async () =>
      /^Active connections: 1 \n[\s\S]*\nReading: 0 Writing: 1 Waiting: 0 /.test(
        bodyOf(await tlsGet(port, '/status', { servername: 'first.test' })),
      ),
    );
    assert.doesNotMatch(portico.errorLog(), /\[(crit|alert|emerg)\]/);
  });
});

describe('reloads and TLS, on uws', () => {
  let portico: RunningPortico;
  let sandbox: Sandbox;
  let port: number;
  let other: number;
  let backend: ReturnType<typeof createServer>;
  let http: (ssl: boolean, more?: string) => string;

  before(async () => {
    [port, other] = (await freePorts(2)) as [number, number];
    backend = createServer((_request, response) => response.end('backend'));
    const echo = new WebSocketServer({ server: backend });
    echo.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })));
    backend.listen(0, '127.0.0.1');
    await once(backend, 'listening');
    const upstream = (backend.address() as AddressInfo).port;
    sandbox = createSandbox();
    writeCertificate(sandbox, 'server', { name: 'first' });
    http = (ssl, more = '') => `
      server {
        listen 127.0.0.1:${port} ssl;
        listen 127.0.0.1:${other} ${ssl ? 'ssl' : ''};
        ssl_certificate server.crt; ssl_certificate_key server.key;
        ${more}
        location = /text { return 200 "text"; }
        location = /status { stub_status; }
        location / {
          proxy_pass http://127.0.0.1:${upstream};
          proxy_http_version 1.1;
          proxy_set_header Upgrade $http_upgrade;
          proxy_set_header Connection $http_connection;
        }
      }`;
    portico = await startPortico({ sandbox, engine: 'uws', http: http(true), workers: 2 });
  });

  after(async () => {
    await portico.stop();
    backend.closeAllConnections();
    backend.close();
    sandbox.remove();
  });

  async function webSocket(): Promise<WebSocket> {
    const socket = new WebSocket(`wss://127.0.0.1:${port}/`, {
      rejectUnauthorized: false,
      perMessageDeflate: false,
    });
    await once(socket, 'open');
    return socket;
  }

  async function echoed(socket: WebSocket, text: string): Promise<void> {
    const answer = once(socket, 'message');
    socket.send(text);
    assert.equal(String((await answer)[0]), text);
  }

  test('a new certificate is shown after a reload; connections and WebSockets of before go on', async () => {
    assert.equal(await shown(port), 'first');
    const kept = await Promise.all([tlsClient(port), tlsClient(port)]);
    const sockets = await Promise.all([webSocket(), webSocket()]);
    const ask = async () => {
      for (const client of kept) {
        const answers = client.heard().split('text').length;
        client.send('GET /text HTTP/1.1\r\nHost: a\r\n\r\n');
        await client.until(new RegExp(`(text[^]*){${answers}}`));
      }
      for (const socket of sockets) await echoed(socket, 'text'.repeat(50_000));
    };
    await ask();
    for (const [name, algorithm] of [
      ['second', 'rsa'],
      ['third', 'ecdsa'],
    ] as const) {
      writeCertificate(sandbox, 'server', { name, algorithm });
      assert.equal(await portico.reload(), 'done');
      for (let count = 0; count < 4; count++) assert.equal(await shown(port), name);
      await ask();
    }
    // The same again is nothing new.
    assert.equal(await portico.reload(), 'done');
    await ask();
    for (const client of kept) client.socket.destroy();
    for (const socket of sockets) {
      const closed = once(socket, 'close');
      socket.close();
      await closed;
    }
    await until('all to be gone', async () =>
      /^Active connections: 1 \n[\s\S]*\nReading: 0 Writing: 1 Waiting: 0 /.test(
        bodyOf(await tlsGet(port, '/status')),
      ),
    );
  });

  test('a certificate that cannot be used leaves the old one in use', async () => {
    const present = await shown(port);
    const good = sandbox.read('conf/server.crt');
    sandbox.write('conf/server.crt', 'nonsense\n');
    assert.equal(await portico.reload(), 'failed');
    await portico.logged('PEM_read_bio_X509_AUX() failed');
    assert.equal(await shown(port), present);
    sandbox.write('conf/server.crt', good);

    // Another address that is not free: what has been made ready for the new certificate is dropped.
    const key = sandbox.read('conf/server.key');
    writeCertificate(sandbox, 'server', { name: 'never' });
    portico.configure({ http: `${http(true)} server { listen 192.0.2.1:${await freePort()}; }` });
    assert.equal(await portico.reload(), 'failed');
    for (let count = 0; count < 4; count++) assert.equal(await shown(port), present);
    sandbox.write('conf/server.crt', good);
    sandbox.write('conf/server.key', key);
    portico.configure({ http: http(true) });
    assert.equal(await portico.reload(), 'done');
    assert.equal(await shown(port), present);
  });

  test('an address loses TLS on a reload, and gets it back', async () => {
    for (const ssl of [false, true]) {
      portico.configure({ http: http(ssl) });
      assert.equal(await portico.reload(), 'done', portico.errorLog());
      for (let count = 0; count < 4; count++) {
        if (ssl) assert.equal(bodyOf(await tlsGet(other, '/text')), 'text');
        else assert.equal((await get(other, '/text')).body, 'text');
        assert.equal(bodyOf(await tlsGet(port, '/text')), 'text');
      }
    }
  });

  test('what uws cannot do is refused on a reload too, and the connections stay', async () => {
    const client = await tlsClient(port);
    portico.configure({ http: http(true, 'ssl_session_tickets off;') });
    assert.equal(await portico.reload(), 'failed');
    await portico.logged(
      `"ssl_session_tickets off" is not possible with the engine "uws" of 127.0.0.1:${port}: sessions are always given to clients as tickets`,
    );
    client.send('GET /text HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until(/text$/);
    client.socket.destroy();
    portico.configure({ http: http(true) });
    assert.equal(await portico.reload(), 'done');
  });

  test('nothing is left in the end', async () => {
    const client = await tlsClient(port);
    writeCertificate(sandbox, 'server', { name: 'last' });
    assert.equal(await portico.reload(), 'done');
    const late = await tlsClient(port);
    const socket = await webSocket();
    client.socket.destroy();
    late.socket.destroy();
    socket.terminate();
    const { code, stderr } = await portico.stop('SIGQUIT');
    assert.deepEqual([code, stderr], [0, '']);
  });
});

test('a session is resumed by the worker that has begun it, and by no other', async () => {
  const port = await freePort();
  using sandbox = createSandbox();
  writeCertificate(sandbox, 'server', { name: 'server' });
  await using _portico = await startPortico({
    sandbox,
    engine: 'uws',
    workers: 2,
    http: `server {
      listen 127.0.0.1:${port} ssl;
      ssl_certificate server.crt; ssl_certificate_key server.key;
      ssl_session_cache shared:SSL:1m;
      location / { return 200 text; }
    }`,
  });
  for (const options of [{ minVersion: 'TLSv1.3' }, { maxVersion: 'TLSv1.2' }] as const) {
    const first = await tlsClient(port, options);
    first.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await first.until(/text$/);
    const session = await first.session();
    first.socket.destroy();
    // Connections go to the two of them in turn.
    for (const reused of [false, true]) {
      const next = await tlsClient(port, { ...options, session });
      assert.equal(next.socket.isSessionReused(), reused);
      next.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      await next.until(/text$/);
      next.socket.destroy();
    }
    await tlsClient(port).then(({ socket }) => socket.destroy());
  }
});

test('an address may be a Unix socket', async () => {
  using sandbox = createSandbox();
  writeCertificate(sandbox, 'server', { name: 'server' });
  const path = sandbox.path('logs/socket');
  await using portico = await startPortico({
    sandbox,
    engine: 'uws',
    workers: 2,
    http: `server { listen unix:${path} ssl; ssl_certificate server.crt; ssl_certificate_key server.key; location / { return 200 "$scheme $remote_addr"; } }`,
  });
  for (let count = 0; count < 3; count++) assert.equal((await get({ path }, '/', true)).body, 'https unix:');
  assert.equal((await portico.stop('SIGQUIT')).code, 0);
});

test('who takes too long for the handshake is let go of', async () => {
  const port = await freePort();
  using sandbox = createSandbox();
  writeCertificate(sandbox, 'server', { name: 'server' });
  await using _portico = await startPortico({
    sandbox,
    engine: 'uws',
    http: `client_header_timeout 1s; server { listen 127.0.0.1:${port} ssl; ssl_certificate server.crt; ssl_certificate_key server.key; }`,
  });
  const silent = await openClient(port);
  const begun = await openClient(port);
  begun.write('\x16\x03\x01\x02\x00\x01');
  const idle = await tlsClient(port);
  await Promise.all([silent.ended, begun.ended, idle.closed()]);
});

test('keys only root can read serve a process that is somebody else', {
  skip: process.geteuid?.() !== 0 && 'only for root',
}, async () => {
  const port = await freePort();
  using sandbox = createSandbox();
  chmodSync(sandbox.directory, 0o777);
  for (const name of ['conf', 'logs']) chmodSync(sandbox.path(name), 0o777);
  writeCertificate(sandbox, 'server', { name: 'server' });
  chmodSync(sandbox.path('conf/server.key'), 0o400);
  await using portico = await startPortico({
    sandbox,
    engine: 'uws',
    workers: 2,
    main: 'user nobody root;',
    http: `server { listen 127.0.0.1:${port} ssl; ssl_certificate server.crt; ssl_certificate_key server.key; }`,
  });
  for (let count = 0; count < 2; count++) assert.equal(await shown(port), 'server');
  assert.equal((await portico.stop('SIGQUIT')).code, 0);
});

test('WebSockets over TLS carry whatever is sent, and wait for who is slow', async () => {
  const port = await freePort();
  using sandbox = createSandbox();
  writeCertificate(sandbox, 'server', { name: 'server' });
  const backend = createServer();
  const servers = new WebSocketServer({ server: backend, perMessageDeflate: false });
  const piece = Buffer.alloc(256 * 1024, 'p');
  const pieces = 256;
  let sent = 0;
  servers.on('connection', (socket) => {
    socket.on('message', (data, binary) => {
      if (String(data) !== 'flood') {
        socket.send(data, { binary });
        return;
      }
      const pump = () => {
        if (sent === pieces) return;
        sent++;
        socket.send(piece, pump);
      };
      pump();
    });
  });
  backend.listen(0, '127.0.0.1');
  await once(backend, 'listening');
  const upstream = (backend.address() as AddressInfo).port;
  await using _portico = await startPortico({
    sandbox,
    engine: 'uws',
    http: `server {
      listen 127.0.0.1:${port} ssl;
      ssl_certificate server.crt; ssl_certificate_key server.key;
      location = /status { stub_status; }
      location / {
        proxy_pass http://127.0.0.1:${upstream};
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection upgrade;
      }
    }`,
  });
  const socket = new WebSocket(`wss://127.0.0.1:${port}/`, {
    rejectUnauthorized: false,
    perMessageDeflate: false,
  });
  await once(socket, 'open');
  for (const size of [0, 1, 125, 126, 65_536, 4_000_000]) {
    const answer = once(socket, 'message');
    socket.send(Buffer.alloc(size, 'm'));
    assert.ok(Buffer.alloc(size, 'm').equals((await answer)[0] as Buffer));
  }

  socket.pause();
  socket.send('flood');
  let before = -1;
  await until('the server to be held up', async () => {
    const stuck = sent > 0 && sent === before;
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 200));
    return stuck;
  });
  assert.ok(sent < pieces, 'it waits');
  let received = 0;
  const all = new Promise<void>((resolve) => {
    socket.on('message', (data) => {
      assert.ok(piece.equals(data as Buffer));
      received++;
      if (received === pieces) resolve();
    });
  });
  socket.resume();
  await all;
  const closed = once(socket, 'close');
  socket.close(4321, 'done');
  assert.equal((await closed)[0], 4321);
  await until('it to be gone', async () =>
    /^Active connections: 1 \n/.test(bodyOf(await tlsGet(port, '/status'))),
  );
  servers.close();
  backend.closeAllConnections();
  backend.close();
});

test('a worker that throws under load over TLS takes nobody else with it', async () => {
  const port = await freePort();
  using sandbox = createSandbox();
  writeCertificate(sandbox, 'server', { name: 'server' });
  const backend = createServer((_request, response) => response.end('backend'));
  const servers = new WebSocketServer({ server: backend, perMessageDeflate: false });
  servers.on('connection', (socket) => socket.on('message', (data) => socket.send(String(data))));
  backend.listen(0, '127.0.0.1');
  await once(backend, 'listening');
  await using portico = await startPortico({
    sandbox,
    engine: 'uws',
    workers: 2,
    environment: crashable(sandbox.path('crash')),
    http: `server {
      listen 127.0.0.1:${port} ssl;
      ssl_certificate server.crt; ssl_certificate_key server.key;
      access_log off;
      location = /status { stub_status; }
      location / {
        proxy_pass http://127.0.0.1:${(backend.address() as AddressInfo).port};
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection upgrade;
      }
    }`,
  });
  let going = true;
  let answers = 0;
  const load = Array.from({ length: 10 }, async () => {
    while (going) {
      try {
        using client = await openClient(port, true);
        for (let count = 0; count < 50 && going; count++) {
          await client.get('/status');
          answers++;
        }
      } catch {
        // Its worker has died.
      }
    }
  });
  for (let round = 0; round < 3; round++) {
    const sockets = Array.from(
      { length: 6 },
      () => new WebSocket(`wss://127.0.0.1:${port}/`, { rejectUnauthorized: false }),
    );
    await Promise.all(sockets.map((socket) => once(socket, 'open')));
    const endings = sockets.map((socket) => once(socket, 'close'));
    const from = portico.errorLog().length;
    // A worker that has just begun is replaced later.
    await new Promise((resolve) => setTimeout(resolve, 1100));
    sandbox.write('crash', '');
    await portico.logged(/\[alert\] .*worker \d \(thread \d+\) died: Error: the test has made/, from);
    await portico.logged(/start worker \d /, from);
    // Of two workers one has lived on, with the WebSockets it had.
    const lived = await Promise.all(
      sockets.map(async (socket, index) => {
        const answered = new Promise<true>((resolve) => socket.once('message', () => resolve(true)));
        if (socket.readyState === WebSocket.OPEN) socket.send('still here');
        return Promise.race([answered, endings[index]!.then(() => false)]);
      }),
    );
    assert.ok(lived.includes(true) && lived.includes(false), String(lived));
    for (const socket of sockets) socket.close();
    await Promise.all(endings);
    const before = answers;
    await until('answers', () => answers > before);
  }
  going = false;
  await Promise.all(load);
  await until('all to be gone', async () =>
    /^Active connections: 1 \n[\s\S]*\nReading: 0 Writing: 1 Waiting: 0 /.test(
      bodyOf(await tlsGet(port, '/status')),
    ),
  );
  assert.equal((await portico.stop('SIGQUIT')).code, 0);
  servers.close();
  backend.closeAllConnections();
  backend.close();
});
