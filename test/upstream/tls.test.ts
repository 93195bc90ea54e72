import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createServer, type TLSSocket } from 'node:tls';
import { createCertificate } from '../../scripts/x509.ts';
import type { UpstreamSettings } from '../../src/upstream/client.ts';
import {
  createUpstreamTls,
  serverNameToSend,
  tlsHostName,
  type UpstreamTlsOptions,
} from '../../src/upstream/tls.ts';
import {
  answering,
  createGroup,
  createTestRuntime,
  fetchOnce,
  listen,
  listenWith,
  Recorder,
  SETTINGS,
  type TestServer,
} from './client.ts';

const directory = mkdtempSync(join(tmpdir(), 'portico-tls-'));
const runtime = createTestRuntime();
let server: TestServer;
let groups = 0;
const names: (string | false | null)[] = [];
const reused: boolean[] = [];
const clients: string[] = [];

function file(name: string): Buffer {
  return readFileSync(join(directory, name));
}

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { cwd: directory, stdio: 'ignore' });
}

function settings(options: Partial<UpstreamTlsOptions> = {}): UpstreamSettings {
  const tls = createUpstreamTls({
    ciphers: 'DEFAULT',
    protocols: ['TLSv1.2', 'TLSv1.3'],
    certificate: undefined,
    key: undefined,
    trusted: undefined,
    revoked: undefined,
    verify: false,
    verifyDepth: 1,
    sendName: false,
    sessionReuse: true,
    ...options,
  });
  return { ...SETTINGS, tls };
}

function groupOf(address: string, pool = {}) {
  return createGroup(runtime, [address], { name: `group${++groups}`, pool });
}

function named(name: string): Parameters<typeof fetchOnce>[3] {
  return (attempts) => {
    attempts.tlsName = name;
  };
}

before(async () => {
  const config = ['-days', '2', '-nodes', '-newkey', 'rsa:2048'];
  openssl('req', '-x509', ...config, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=authority');
  openssl(
    'req',
    ...config.slice(2),
    '-keyout',
    'key.pem',
    '-out',
    'request.pem',
    '-subj',
    '/CN=backend.test',
  );
  openssl(
    'x509',
    '-req',
    '-in',
    'request.pem',
    '-CA',
    'ca.pem',
    '-CAkey',
    'ca.key',
    '-days',
    '2',
    '-out',
    'cert.pem',
  );
  const tls = createServer({
    cert: file('cert.pem'),
    key: file('key.pem'),
    ca: file('ca.pem'),
    requestCert: true,
    rejectUnauthorized: false,
  });
  tls.on('tlsClientError', () => {});
  server = await listenWith(tls, 'secureConnection', (socket) => {
    const secure = socket as TLSSocket;
    names.push(secure.servername as string | false | null);
    reused.push(secure.isSessionReused());
    clients.push(secure.getPeerCertificate().subject?.CN?.toString() ?? '');
    answering((_, count) => `HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${count}`)(secure);
  });
});

after(async () => {
  await server.close();
  runtime.close();
  assert.equal(runtime.connections.used, 0);
  assert.equal(runtime.active(), 0);
  rmSync(directory, { recursive: true });
});

describe('TLS to an upstream server', () => {
  it('carries requests over a kept connection', async () => {
    const group = groupOf(server.address);
    const https = settings();
    assert.deepEqual((await fetchOnce(group, https)).events, ['connected', 'head 200', 'end']);
    const again = await fetchOnce(group, https);
    assert.deepEqual([again.events[0], again.body], ['reused', '2']);
  });

  it('does not lend a connection to a request without TLS, or of another name', async () => {
    const group = groupOf(server.address, { local: false });
    const https = settings();
    await fetchOnce(group, https);
    const plain = await fetchOnce(group);
    assert.equal(plain.events[0], 'connected');
    const other = await fetchOnce(group, https, new Recorder(), named('other'));
    assert.equal(other.events[0], 'connected');
  });

  it('sends the name where that is wanted, and goes on with a session', async () => {
    const group = groupOf(server.address, { size: 0 });
    const https = settings({ sendName: true });
    names.length = 0;
    reused.length = 0;
    for (let index = 0; index < 2; index++)
      await fetchOnce(group, https, new Recorder(), named('backend.test:443'));
    assert.deepEqual(names, ['backend.test', 'backend.test']);
    assert.deepEqual(reused, [false, true]);
    const fresh = settings({ sendName: true, sessionReuse: false });
    for (let index = 0; index < 2; index++)
      await fetchOnce(group, fresh, new Recorder(), named('backend.test'));
    assert.deepEqual(reused, [false, true, false, false]);
  });

  it('checks the certificate and its name, on every connection', async () => {
    const group = groupOf(server.address, { size: 0 });
    const verify = settings({ verify: true, trusted: file('ca.pem') });
    for (let index = 0; index < 2; index++) {
      const right = await fetchOnce(group, verify, new Recorder(), named('backend.test'));
      assert.equal(right.failure, undefined);
      const wrong = await fetchOnce(group, verify, new Recorder(), named('other.test'));
      assert.deepEqual(
        [wrong.failure?.kind, wrong.failure?.handshake, wrong.failure?.message],
        [
          'error',
          true,
          'upstream SSL certificate does not match "other.test" while SSL handshaking to upstream',
        ],
      );
    }
    const stranger = await fetchOnce(
      group,
      settings({ verify: true, trusted: file('cert.pem'), verifyDepth: 1 }),
      new Recorder(),
      named('backend.test'),
    );
    assert.equal(
      stranger.failure?.message,
      'upstream SSL certificate verify error: (19:self-signed certificate in certificate chain) while SSL handshaking to upstream',
    );
  });

  it('lets only so many certificates stand between the one of the server and its root', async () => {
    const root = createCertificate({ name: 'root', authority: true });
    const outer = createCertificate({ name: 'outer', authority: true, issuer: root });
    const inner = createCertificate({ name: 'inner', authority: true, issuer: outer });
    const own = createCertificate({ name: 'backend.test', hosts: ['backend.test'], issuer: inner });
    const chain = [own, inner, outer].map(({ certificate }) => certificate).join('');
    for (const cert of [chain, chain + root.certificate]) {
      const far = await listenWith(
        createServer({ cert, key: own.key }),
        'secureConnection',
        answering(() => 'HTTP/1.1 204 No Content\r\n\r\n'),
      );
      const group = groupOf(far.address, { size: 0 });
      const messages: (string | undefined)[] = [];
      for (const verifyDepth of [2, 1, 0]) {
        const verify = settings({ verify: true, trusted: Buffer.from(root.certificate), verifyDepth });
        const { failure } = await fetchOnce(group, verify, new Recorder(), named('backend.test'));
        messages.push(failure?.message);
      }
      const refused =
        'upstream SSL certificate verify error: (20:unable to get local issuer certificate) while SSL handshaking to upstream';
      await far.close();
      assert.deepEqual(messages, [undefined, refused, refused]);
    }
  });

  it('shows a client certificate', async () => {
    const group = groupOf(server.address, { size: 0 });
    clients.length = 0;
    await fetchOnce(group, settings({ certificate: file('cert.pem'), key: file('key.pem') }));
    assert.deepEqual(clients, ['backend.test']);
  });

  it('obeys the list of protocols', async () => {
    const seen: (string | null)[] = [];
    const listener = (socket: TLSSocket) => seen.push(socket.getProtocol());
    server.server.on('secureConnection', listener);
    const group = groupOf(server.address, { size: 0 });
    await fetchOnce(group, settings({ protocols: ['TLSv1.2'] }));
    await fetchOnce(group, settings({ protocols: ['TLSv1.3'] }));
    server.server.off('secureConnection', listener);
    assert.deepEqual(seen, ['TLSv1.2', 'TLSv1.3']);
  });

  it('makes a slow receiver no trouble', async () => {
    const size = 4 * 1024 * 1024;
    const big = await listenWith(
      createServer({ cert: file('cert.pem'), key: file('key.pem') }),
      'secureConnection',
      answering(() => `HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n${'y'.repeat(size)}`),
    );
    const recorder = new Recorder();
    let received = 0;
    recorder.data = (buffer, start, end) => {
      for (const byte of [buffer[start], buffer[end - 1]]) assert.equal(byte, 121);
      received += end - start;
      setImmediate(() => recorder.request?.resume());
      return false;
    };
    const group = groupOf(big.address);
    await fetchOnce(group, settings(), recorder);
    assert.equal(recorder.failure, undefined);
    assert.equal(received, size);
    await big.close();
  });

  it('carries several requests at once, and a slow receiver gets no other one’s bytes', async () => {
    const sizes = [300_000, 0, 7, 120_000, 1, 65_536];
    const server = await listenWith(
      createServer({ cert: file('cert.pem'), key: file('key.pem') }),
      'secureConnection',
      answering((head) => {
        const index = Number(/^GET \/(\d)/.exec(head)![1]);
        return `HTTP/1.1 200 OK\r\nContent-Length: ${sizes[index]}\r\n\r\n${String(index).repeat(sizes[index])}`;
      }),
    );
    const group = groupOf(server.address, { pipeline: 8 });
    const tls = settings();
    for (let round = 0; round < 3; round++) {
      const recorders = await Promise.all(
        sizes.map((_, index) => {
          const recorder = new Recorder();
          recorder.question = `GET /${index} HTTP/1.1\r\n\r\n`;
          let pieces = 0;
          recorder.accept = () => {
            if (pieces++ % 3 === round) return true;
            setImmediate(() => recorder.request?.resume());
            return false;
          };
          return fetchOnce(group, tls, recorder, (attempts) => {
            attempts.sharing = true;
          });
        }),
      );
      for (const [index, { body }] of recorders.entries()) {
        assert.equal(body.length, sizes[index]);
        assert.equal(body, String(index).repeat(sizes[index]));
      }
    }
    assert.equal(server.accepted, 1);
    await server.close();
  });

  it('to a server that does not speak it fails in OpenSSL’s words', async () => {
    const plain = await listen((socket) => socket.once('data', () => socket.end('HTTP/1.1 400 Bad\r\n\r\n')));
    const { failure } = await fetchOnce(groupOf(plain.address), settings());
    assert.match(
      failure?.message ?? '',
      /^SSL_do_handshake\(\) failed \(SSL: error:0A00010B:SSL routines::wrong version number\) while SSL handshaking to upstream$/,
    );
    assert.equal(failure?.handshake, true);
    await plain.close();
  });

  it('to a server that refuses it fails with the number of its alert', async () => {
    const old = await listenWith(
      createServer({ cert: file('cert.pem'), key: file('key.pem'), maxVersion: 'TLSv1.2' }),
      'secureConnection',
      () => {},
    );
    const { failure } = await fetchOnce(groupOf(old.address), settings({ protocols: ['TLSv1.3'] }));
    await old.close();
    assert.equal(
      failure?.message,
      'SSL_do_handshake() failed (SSL: error:0A00042E:SSL routines::tlsv1 alert protocol version:SSL alert number 70) ' +
        'while SSL handshaking to upstream',
    );
  });

  it('to a server that says nothing runs into the connect timeout, and one that closes is said so', async () => {
    const silent = await listenWith(createTcpServer(), 'connection', (socket) => socket.resume());
    const late = await fetchOnce(groupOf(silent.address), { ...settings(), connectTimeout: 50 });
    assert.deepEqual(
      [late.failure?.kind, late.failure?.message],
      ['timeout', 'upstream timed out (110: Connection timed out) while SSL handshaking to upstream'],
    );
    await silent.close();
    const closing = await listen((socket) => socket.once('data', () => socket.end()));
    const { failure } = await fetchOnce(groupOf(closing.address), settings());
    assert.equal(
      failure?.message,
      'peer closed connection in SSL handshake while SSL handshaking to upstream',
    );
    await closing.close();
  });
});

describe('names', () => {
  it('are without their port, and IP addresses are not sent', () => {
    assert.equal(tlsHostName('a.test:8443'), 'a.test');
    assert.equal(tlsHostName('[::1]:8443'), '[::1]');
    assert.equal(tlsHostName('a.test'), 'a.test');
    const { tls } = settings({ sendName: true });
    assert.equal(serverNameToSend(tls!, '127.0.0.1'), undefined);
    assert.equal(serverNameToSend(tls!, '[::1]'), undefined);
    assert.equal(serverNameToSend(tls!, 'a.test'), 'a.test');
  });
});
