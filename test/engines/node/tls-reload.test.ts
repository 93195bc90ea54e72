/** Reloads and TLS: new certificates, bad ones, connections and tunnels that stay. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { type AddressInfo, connect, createServer as createRelay } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { createSandbox, type RunningPortico, type Sandbox, startPortico } from '../../support/portico.ts';
import { freePort } from '../../support/ports.ts';
import { tlsClient, writeCertificate } from '../../support/tls-client.ts';

describe('reloads and TLS', () => {
  let portico: RunningPortico;
  let sandbox: Sandbox;
  let port: number;
  let backend: ReturnType<typeof createServer>;
  let http: (more?: string) => string;

  before(async () => {
    port = await freePort();
    backend = createServer((_request, response) => response.end('backend'));
    const echo = new WebSocketServer({ server: backend });
    echo.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })));
    await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve));
    const upstream = (backend.address() as AddressInfo).port;
    sandbox = createSandbox();
    writeCertificate(sandbox, 'server', { name: 'first' });
    writeCertificate(sandbox, 'authority', { name: 'authority', authority: true });
    http = (more = '') => `
      server {
        listen 127.0.0.1:${port} ssl;
        ssl_certificate server.crt; ssl_certificate_key server.key;
        ${more}
        location = /who { return 200 "$connection_requests $ssl_client_verify"; }
        location / {
          proxy_pass http://127.0.0.1:${upstream};
          proxy_http_version 1.1;
          proxy_set_header Upgrade $http_upgrade;
          proxy_set_header Connection $http_connection;
        }
      }`;
    portico = await startPortico({ sandbox, http: http(), workers: 2 });
  });

  after(async () => {
    await portico.stop();
    backend.closeAllConnections();
    backend.close();
    sandbox.remove();
  });

  async function subject(): Promise<string> {
    const client = await tlsClient(port);
    const { CN } = client.socket.getPeerCertificate().subject;
    client.socket.destroy();
    return String(CN);
  }

  function webSocket(): Promise<WebSocket> {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(`wss://127.0.0.1:${port}/`, { rejectUnauthorized: false });
      socket.once('open', () => resolve(socket));
      socket.once('error', reject);
    });
  }

  async function echoed(socket: WebSocket, text: string): Promise<string> {
    const answer = new Promise<string>((resolve) => socket.once('message', (data) => resolve(String(data))));
    socket.send(text);
    return answer;
  }

  test('a new certificate is shown after a reload; connections and WebSockets of before go on', async () => {
    assert.equal(await subject(), 'first');
    const kept = await tlsClient(port);
    kept.send('GET /who HTTP/1.1\r\nHost: a\r\n\r\n');
    await kept.until(/1 NONE$/);
    const socket = await webSocket();
    assert.equal(await echoed(socket, 'before'), 'before');

    writeCertificate(sandbox, 'server', { name: 'second', algorithm: 'rsa' });
    assert.equal(await portico.reload(), 'done');
    assert.equal(await subject(), 'second');
    kept.send('GET /who HTTP/1.1\r\nHost: a\r\n\r\n');
    await kept.until(/2 NONE$/);
    kept.socket.destroy();
    assert.equal(await echoed(socket, 'after'.repeat(30_000)), 'after'.repeat(30_000));
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.close();
    await closed;
  });

  test('a certificate that is bad, missing, or not its key’s leaves the old one in use', async () => {
    const before = await subject();
    const good = sandbox.read('conf/server.crt');
    const path = sandbox.path('conf/server.crt');
    let from = portico.errorLog().length;
    sandbox.write('conf/server.crt', 'nonsense\n');
    assert.equal(await portico.reload(), 'failed');
    await portico.logged(`[emerg]`, from);
    await portico.logged(
      `cannot load certificate "${path}": PEM_read_bio_X509_AUX() failed (SSL: error:0480006C:PEM routines::no start line:Expecting: TRUSTED CERTIFICATE)`,
      from,
    );
    assert.equal(await subject(), before);

    from = portico.errorLog().length;
    sandbox.write('conf/server.crt', sandbox.read('conf/authority.crt'));
    writeCertificate(sandbox, 'unrelated', { name: 'unrelated' });
    sandbox.write('conf/server.key', sandbox.read('conf/unrelated.key'));
    assert.equal(await portico.reload(), 'failed');
    await portico.logged(
      `SSL_CTX_use_PrivateKey("${sandbox.path('conf/server.key')}") failed (SSL: error:05800074:x509 certificate routines::key values mismatch)`,
      from,
    );
    assert.equal(await subject(), before);
    sandbox.write('conf/server.crt', good);
  });

  test('a handshake that has begun before a reload ends after it', async () => {
    // Only the beginning of what the client says gets through at first.
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const relay = createRelay((client) => {
      const server = connect(port, '127.0.0.1');
      server.pipe(client);
      client.once('data', async (hello: Buffer) => {
        client.pause();
        server.write(hello.subarray(0, 40));
        await held;
        server.write(hello.subarray(40));
        client.pipe(server);
      });
      for (const socket of [client, server]) socket.on('error', () => {});
    });
    await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
    const connecting = tlsClient((relay.address() as AddressInfo).port);
    writeCertificate(sandbox, 'server', { name: 'third' });
    assert.equal(await portico.reload(), 'done');
    release();
    const client = await connecting;
    client.send('GET /who HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until(/1 NONE$/);
    client.socket.destroy();
    relay.close();
    assert.equal(await subject(), 'third');
  });

  test('who had to show no certificate before has to come again when one is asked for', async () => {
    const client = await tlsClient(port);
    client.send('GET /who HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until(/1 NONE$/);
    portico.configure({ http: http('ssl_verify_client optional; ssl_client_certificate authority.crt;') });
    assert.equal(await portico.reload(), 'done');
    client.send('GET /who HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.match(await client.closed(), /HTTP\/1\.1 421 Misdirected Request/);
    portico.configure({ http: http() });
    assert.equal(await portico.reload(), 'done');
  });

  test('nothing is left in the end', async () => {
    const client = await tlsClient(port);
    const socket = await webSocket();
    client.socket.destroy();
    socket.terminate();
    assert.equal((await portico.stop('SIGQUIT')).code, 0);
  });
});
