import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { get } from '../../support/client.ts';
import { createSandbox, type RunningPortico, type Sandbox, startPortico } from '../../support/portico.ts';
import { freePort } from '../../support/ports.ts';

let sandbox: Sandbox;
let server: Server;
let portico: RunningPortico;
let port: number;

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { cwd: sandbox.path('conf'), stdio: 'ignore' });
}

before(async () => {
  sandbox = createSandbox();
  const days = ['-days', '2', '-nodes', '-newkey', 'rsa:2048'];
  openssl('req', '-x509', ...days, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=authority');
  openssl('req', '-x509', ...days, '-keyout', 'other.key', '-out', 'other.pem', '-subj', '/CN=other');
  openssl('req', ...days.slice(2), '-keyout', 'key.pem', '-out', 'req.pem', '-subj', '/CN=backend.test');
  openssl(
    'x509',
    '-req',
    '-in',
    'req.pem',
    '-CA',
    'ca.pem',
    '-CAkey',
    'ca.key',
    '-days',
    '2',
    '-out',
    'cert.pem',
  );
  openssl('rsa', '-in', 'key.pem', '-aes128', '-passout', 'pass:secret', '-out', 'locked.pem');
  sandbox.write('conf/passwords', 'wrong\nsecret\n');
  server = createServer(
    {
      cert: sandbox.read('conf/cert.pem'),
      key: sandbox.read('conf/key.pem'),
      ca: sandbox.read('conf/ca.pem'),
      requestCert: true,
      rejectUnauthorized: false,
    },
    (socket: TLSSocket) => {
      socket.on('error', () => {});
      socket.on('data', () => {
        const peer = socket.getPeerCertificate().subject?.CN ?? '-';
        const body = `${socket.servername || '-'} ${peer} ${socket.getProtocol()}`;
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      });
    },
  );
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const to = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  port = await freePort();
  portico = await startPortico({
    sandbox,
    http: `
      upstream backend.test { server ${to}; }
      server {
        listen 127.0.0.1:${port};
        location / { proxy_pass https://${to}; }
        location /name/ { proxy_pass https://backend.test/; proxy_ssl_server_name on; }
        location /own/ { proxy_pass https://${to}/; proxy_ssl_server_name on; proxy_ssl_name $arg_name:1; }
        location /variable/ { proxy_pass $arg_scheme://backend.test; proxy_ssl_server_name on; }
        location /certificate/ {
          proxy_pass https://${to}/;
          proxy_ssl_certificate cert.pem; proxy_ssl_certificate_key locked.pem; proxy_ssl_password_file passwords;
        }
        location /old/ { proxy_pass https://${to}/; proxy_ssl_protocols TLSv1.2; }
        location /command/ { proxy_pass https://${to}/; proxy_ssl_conf_command MaxProtocol TLSv1.2; }
        location /verified/ { proxy_pass https://backend.test/; proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.pem; }
        location /mismatch/ { proxy_pass https://${to}/; proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.pem; proxy_ssl_name other.test; }
        location /distrusted/ { proxy_pass https://backend.test/; proxy_ssl_verify on; proxy_ssl_trusted_certificate other.pem; }
      }`,
  });
});

after(async () => {
  await portico?.[Symbol.asyncDispose]();
  server?.close();
  sandbox?.remove();
});

async function bodyOf(path: string): Promise<string> {
  const { status, body } = await get(port, path);
  assert.equal(status, 200, `${path}: ${body}\n${portico.errorLog()}`);
  return body;
}

test('TLS is spoken to https://, without a name unless proxy_ssl_server_name says so', async () => {
  assert.equal(await bodyOf('/'), '- - TLSv1.3');
  assert.equal(await bodyOf('/name/'), 'backend.test - TLSv1.3');
  assert.equal(await bodyOf('/own/?name=given.test'), 'given.test - TLSv1.3');
  assert.equal(await bodyOf('/variable/?scheme=https'), 'backend.test - TLSv1.3');
});

test('protocols can be limited', async () => {
  assert.equal(await bodyOf('/old/'), '- - TLSv1.2');
  assert.equal(await bodyOf('/command/'), '- - TLSv1.2');
});

test('a certificate of our own is shown, its key unlocked with one of the passwords', async () => {
  assert.equal(await bodyOf('/certificate/'), '- backend.test TLSv1.3');
});

test('certificate and name of the server are verified', async () => {
  assert.equal(await bodyOf('/verified/'), '- - TLSv1.3');
  assert.equal((await get(port, '/mismatch/')).status, 502);
  await portico.logged(
    'upstream SSL certificate does not match "other.test" while SSL handshaking to upstream',
  );
  assert.equal((await get(port, '/distrusted/')).status, 502);
  await portico.logged('upstream SSL certificate verify error: (');
});
