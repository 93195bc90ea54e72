/** What uws cannot do is refused when a configuration is read, by name; where it is not there at all, that is said. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createCertificate } from '../../../scripts/x509.ts';
import { get } from '../../support/client.ts';
import { createSandbox, type Ended, runPortico, type Sandbox, startPortico } from '../../support/portico.ts';
import { freePort } from '../../support/ports.ts';
import { writeCertificate } from '../../support/tls-client.ts';

let sandbox: Sandbox;
let port: number;

before(async () => {
  port = await freePort();
  sandbox = createSandbox();
  writeCertificate(sandbox, 'rsa', { name: 'rsa', algorithm: 'rsa' });
  writeCertificate(sandbox, 'ecdsa', { name: 'ecdsa' });
  sandbox.write('conf/ticket.key', 'k'.repeat(48));
  sandbox.write('conf/authority.crt', createCertificate({ name: 'authority', authority: true }).certificate);
});

after(() => sandbox.remove());

function check(http: string, environment: NodeJS.ProcessEnv = {}): Promise<Ended> {
  sandbox.write(
    'conf/portico.conf',
    `daemon off; pid logs/portico.pid; error_log logs/error.log; events { use uws; }\nhttp { ${http} }\n`,
  );
  return runPortico(['-t', '-p', sandbox.directory, '-c', 'conf/portico.conf'], { environment });
}

const server = (directives: string) =>
  `server { listen 127.0.0.1:${port} ssl; ssl_certificate rsa.crt; ssl_certificate_key rsa.key; ${directives} }`;

/** What stands in a configuration, and what is said of it. */
async function isRefused(http: string, message: string): Promise<void> {
  const { code, stderr } = await check(http);
  assert.equal(code, 1, http);
  assert.ok(
    stderr.includes(`[emerg] ${message.replaceAll('ENGINE', `engine "uws" of 127.0.0.1:${port}`)}`),
    stderr,
  );
  assert.match(stderr, / in \S+portico\.conf:\d+\n/);
}

describe('a listener of uws', { concurrency: 1 }, () => {
  test('refuses what it cannot do, naming the directive and the listener', async () => {
    const plain = (directives: string) => `server { listen 127.0.0.1:${port}; ${directives} }`;
    for (const [directives, message] of [
      ['keepalive_time 1h;', '"keepalive_time 1h" is not possible with the ENGINE: the age'],
      ['location / { tcp_nodelay off; }', '"tcp_nodelay off" is not possible with the ENGINE: TCP_NODELAY'],
      ['location / { return 200 $remote_port; }', '"$remote_port" is not possible with the ENGINE: the port'],
    ] as const) {
      await isRefused(plain(directives), message);
    }
    // TLS is another listener's.
    assert.equal((await check(plain('ssl_session_tickets off; error_page 497 /x;'))).code, 0);
  });

  test('with TLS refuses what BoringSSL is not told', async () => {
    for (const [directives, why] of [
      ['ssl_protocols TLSv1.3', 'TLS 1.2 and 1.3 are always spoken, and no other'],
      ['ssl_protocols TLSv1.1 TLSv1.2 TLSv1.3', 'TLS 1.2 and 1.3 are always spoken, and no other'],
      ['ssl_prefer_server_ciphers on', "the client's preference counts"],
      ['ssl_ecdh_curve secp521r1', 'it is always X25519, P-256 or P-384'],
      ['ssl_conf_command Options -SessionTicket', 'BoringSSL has none'],
      ['ssl_session_tickets off', 'sessions are always given to clients as tickets'],
      ['ssl_session_ticket_key ticket.key', 'each worker has its own key for tickets'],
      ['ssl_session_cache off', 'each worker remembers sessions'],
      ['ssl_buffer_size 4k', 'records are as long as TLS lets them be'],
      ['ssl_certificate_compression on', 'certificates are not compressed'],
      ['error_page 404 497 /other', 'plain HTTP on a port with TLS is not answered'],
      ['ssl_ciphers DHE-RSA-AES128-GCM-SHA256', 'BoringSSL knows none of them'],
    ] as const) {
      await isRefused(server(`${directives};`), `"${directives}" is not possible with the ENGINE: ${why}`);
    }
    await isRefused(
      server('ssl_verify_client on; ssl_client_certificate authority.crt;'),
      '"ssl_verify_client on" is not possible with the ENGINE: clients are not asked for certificates',
    );
    await isRefused(
      server('location / { proxy_set_header X-Cipher $ssl_cipher; }'),
      '"$ssl_cipher" is not possible with the ENGINE: nothing is known of a handshake',
    );
    await isRefused(
      server('ssl_certificate ecdsa.crt; ssl_certificate_key ecdsa.key;'),
      'another "ssl_certificate" is not possible with the ENGINE: a server has one certificate',
    );
    const named = (name: string) =>
      `${server('')} server { listen 127.0.0.1:${port} ssl; server_name ${name}; ssl_certificate ecdsa.crt; ssl_certificate_key ecdsa.key; }`;
    for (const name of ['~^www', 'www.test.*']) {
      await isRefused(named(name), `"server_name ${name}" is not possible with the ENGINE: only whole names`);
    }
  });

  test('with TLS takes what means what it does, and what hardly anybody can tell, which it warns of', async () => {
    for (const directives of [
      'ssl_protocols TLSv1.2 TLSv1.3;',
      'ssl_protocols SSLv3 TLSv1.2 TLSv1.3;',
      'ssl_prefer_server_ciphers off; ssl_ecdh_curve X25519:prime256v1:secp384r1; ssl_buffer_size 16k;',
      'ssl_session_cache shared:SSL:10m; ssl_session_tickets on; ssl_verify_client off;',
      'ssl_ciphers ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES128-GCM-SHA256;',
      'error_page 404 /497;',
      'server_name ~^www;',
    ]) {
      const { code, stderr } = await check(server(directives));
      assert.equal(code, 0, stderr);
      assert.doesNotMatch(stderr, /\[warn\]/);
    }
    // What holds for the server is what counts.
    const { code, stderr } = await check(
      `ssl_session_tickets off; ssl_session_timeout 10m; ${server('ssl_session_tickets on;')}`,
    );
    assert.equal(code, 0, stderr);
    assert.equal(
      stderr.match(
        /\[warn\] "ssl_session_timeout 10m" means nothing to the engine "uws" of [\d.:]+: a session always lasts for two hours, with TLS 1\.3 for two days in /g,
      )?.length,
      1,
      stderr,
    );
  });
});

test('where uWebSockets.js cannot be loaded, uws is refused with the reason, and node serves', async () => {
  const environment = {
    NODE_OPTIONS: `--import=${new URL('../../support/without-uws.ts', import.meta.url).href}`,
  };
  const http = `server { listen 127.0.0.1:${port}; location / { return 200 hello; } }`;
  const { code, stderr } = await check(http, environment);
  assert.equal(code, 1);
  assert.match(
    stderr,
    /\[emerg\] the engine "uws" of 127\.0\.0\.1:\d+ is not possible: uWebSockets\.js cannot be loaded here \(the test has no uWebSockets\.js\) in \S+:2\n/,
  );
  await using _portico = await startPortico({ engine: 'node', http, environment });
  assert.equal((await get(port)).body, 'hello');
});
