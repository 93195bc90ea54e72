/** TLS on the node engine: handshakes, servers by name, clients' certificates, what plain HTTP gets, and what breaks. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { createRevocationList } from '../../../scripts/x509.ts';
import { createSandbox, type RunningPortico, type Sandbox, startPortico } from '../../support/portico.ts';
import { freePorts } from '../../support/ports.ts';
import { ask, rawClient } from '../../support/raw-client.ts';
import { parseStubStatus } from '../../support/stub-status.ts';
import { bodyOf, tlsClient, tlsGet, writeCertificate } from '../../support/tls-client.ts';
import { until } from '../../support/wait.ts';

const BIG = 8 * 1024 * 1024;

describe('TLS on the node engine', () => {
  let portico: RunningPortico;
  let sandbox: Sandbox;
  let main: number;
  let plain: number;
  let strict: number;
  let rejecting: number;
  let curves: number;
  const clients: Record<string, { cert: string; key: string }> = {};

  before(async () => {
    [main, plain, strict, rejecting, curves] = (await freePorts(5)) as [
      number,
      number,
      number,
      number,
      number,
    ];
    sandbox = createSandbox();
    writeCertificate(sandbox, 'one-rsa', { name: 'one', algorithm: 'rsa' });
    writeCertificate(sandbox, 'one-ecdsa', { name: 'one' });
    writeCertificate(sandbox, 'two', { name: 'two' });
    const authority = writeCertificate(sandbox, 'authority', { name: 'authority', authority: true });
    const issuer = writeCertificate(sandbox, 'issuer', {
      name: 'issuer',
      authority: true,
      issuer: authority,
    });
    const known = writeCertificate(sandbox, 'known', { name: 'known', issuer: authority });
    const revoked = writeCertificate(sandbox, 'revoked', { name: 'revoked', issuer: authority });
    const deep = writeCertificate(sandbox, 'deep', { name: 'deep', issuer });
    const stranger = writeCertificate(sandbox, 'stranger', { name: 'stranger' });
    sandbox.write('conf/revoked.crl', createRevocationList(authority, [revoked]));
    for (const { name, certificate, key } of [known, revoked, stranger]) {
      clients[name] = { cert: certificate, key };
    }
    clients['deep'] = { cert: deep.certificate + issuer.certificate, key: deep.key };
    sandbox.write('html/small.html', 'small\n');
    writeFileSync(sandbox.path('html/big.bin'), Buffer.alloc(BIG, 'x'));
    portico = await startPortico({
      sandbox,
      http: `
        client_header_timeout 400ms;
        ssl_certificate one-ecdsa.crt; ssl_certificate_key one-ecdsa.key;
        ssl_certificate one-rsa.crt; ssl_certificate_key one-rsa.key;
        log_format tls "$ssl_protocol $ssl_cipher $scheme";
        server {
          listen 127.0.0.1:${main} ssl;
          listen 127.0.0.1:${plain};
          server_name one;
          root html;
          access_log logs/tls.log tls;
          location = /who { return 200 "$server_name|$ssl_server_name|$scheme|$https|$ssl_protocol|$ssl_alpn_protocol"; }
          location = /offered { return 200 "$ssl_ciphers $ssl_curves $ssl_sigalgs"; }
          location = /session { return 200 "$ssl_session_reused $ssl_session_id"; }
          location = /status { stub_status; }
          location = /broken { return 444; }
        }
        server {
          listen 127.0.0.1:${main};
          server_name two *.two ~^(?<first>\\w+)[.]three$;
          ssl_certificate two.crt; ssl_certificate_key two.key;
          location = /who { return 200 "$server_name|$ssl_server_name|$first"; }
        }
        server {
          listen 127.0.0.1:${main};
          server_name strict;
          ssl_verify_client on;
          ssl_client_certificate authority.crt;
          location = /who { return 200 "$ssl_client_s_dn"; }
        }
        server {
          listen 127.0.0.1:${strict} ssl;
          server_name strict;
          ssl_verify_client on;
          ssl_client_certificate authority.crt;
          ssl_crl revoked.crl;
          location = /who { return 200 "$ssl_client_verify $ssl_client_s_dn $ssl_client_i_dn"; }
          error_page 495 =200 /refused;
          location = /refused { return 200 "refused: $ssl_client_verify"; }
        }
        server {
          listen 127.0.0.1:${strict} ssl;
          server_name any;
          ssl_verify_client optional_no_ca;
          ssl_verify_depth 0;
          ssl_client_certificate authority.crt;
          location = /who { return 200 "$ssl_client_verify"; }
        }
        server {
          listen 127.0.0.1:${strict} ssl;
          server_name shallow;
          ssl_verify_client optional;
          ssl_verify_depth 0;
          ssl_client_certificate authority.crt;
          location = /who { return 200 "$ssl_client_verify"; }
        }
        server {
          listen 127.0.0.1:${rejecting} ssl default_server;
          ssl_reject_handshake on;
        }
        server {
          listen 127.0.0.1:${rejecting} ssl;
          server_name welcome;
          location / { return 200 welcome; }
        }
        server {
          listen 127.0.0.1:${curves} ssl;
          ssl_ecdh_curve prime256v1;
          ssl_protocols TLSv1.2;
          ssl_ciphers ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384;
          ssl_prefer_server_ciphers on;
          location / { return 200 "$ssl_protocol $ssl_cipher $ssl_curve"; }
        }`,
    });
  });

  after(async () => {
    await portico.stop();
    sandbox.remove();
  });

  const gauges = async () => {
    const { active, waiting } = parseStubStatus(await ask(plain, 'GET /status HTTP/1.0\r\n\r\n'));
    return { active, waiting };
  };

  describe('a server is chosen by the name the client asks for', () => {
    test('by name, by wildcard, by pattern, and the default one for all others', async () => {
      const subject = async (servername: string | undefined) => {
        const client = await tlsClient(main, { servername });
        const { CN } = client.socket.getPeerCertificate().subject;
        client.socket.destroy();
        return CN;
      };
      assert.equal(await subject('one'), 'one');
      assert.equal(await subject('two'), 'two');
      assert.equal(await subject('www.TWO'), 'two');
      assert.equal(await subject('a.three'), 'two');
      assert.equal(await subject('elsewhere'), 'one');
      assert.equal(await subject(undefined), 'one');
    });

    test('variables tell what it was', async () => {
      assert.equal(
        bodyOf(await tlsGet(main, '/who', { servername: 'one', ALPNProtocols: ['h2', 'http/1.1'] })),
        'one|one|https|on|TLSv1.3|http/1.1',
      );
      assert.equal(bodyOf(await tlsGet(main, '/who', { servername: 'a.three' })), 'two|a.three|a');
      assert.equal(bodyOf(await ask(plain, 'GET /who HTTP/1.0\r\n\r\n')), 'one||http|||');
    });

    test('a Host that names another server goes there, as long as nobody asks for certificates', async () => {
      assert.equal(
        bodyOf(await tlsGet(main, '/who', { servername: 'two', hostHeader: 'one' })),
        'one|two|https|on|TLSv1.3|',
      );
      assert.match(
        await tlsGet(main, '/who', { servername: 'two', hostHeader: 'strict' }),
        /^HTTP\/1\.1 421 Misdirected Request/,
      );
      await portico.logged(
        'client attempted to request the server name different from the one that was negotiated',
      );
    });

    test('a handshake is rejected with an alert where the server says so', async () => {
      await assert.rejects(tlsClient(rejecting, { servername: 'nobody' }), /unrecognized name/);
      await assert.rejects(tlsClient(rejecting, {}), /unrecognized name/);
      assert.equal(bodyOf(await tlsGet(rejecting, '/', { servername: 'welcome' })), 'welcome');
      await portico.logged(
        /\[info\] .*handshake rejected while SSL handshaking, client: 127\.0\.0\.1, server: /,
      );
    });
  });

  test('RSA and ECDSA certificates are shown to those who take them', async () => {
    const type = async (ciphers: string) => {
      const client = await tlsClient(main, { ciphers, maxVersion: 'TLSv1.2' });
      const { name } = client.socket.getCipher();
      client.socket.destroy();
      return name;
    };
    assert.match(await type('ECDHE-RSA-AES128-GCM-SHA256'), /RSA/);
    assert.match(await type('ECDHE-ECDSA-AES128-GCM-SHA256'), /ECDSA/);
  });

  test('ciphers, their order, protocols and curves are those of the configuration', async () => {
    const answer = await tlsGet(curves, '/', {
      ciphers: 'ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256',
    });
    assert.equal(bodyOf(answer), 'TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 prime256v1');
    await assert.rejects(tlsClient(curves, { minVersion: 'TLSv1.3' }), /protocol version/);
    await portico.logged(
      /\[info\] .*SSL_do_handshake\(\) failed \(SSL: error:0A000102:SSL routines::unsupported protocol\)/,
    );
  });

  test('what the client offers is told in names', async () => {
    const body = bodyOf(
      await tlsGet(main, '/offered', {
        ciphers: 'TLS_AES_128_GCM_SHA256:AES128-SHA',
        ecdhCurve: 'X25519:P-256',
      }),
    );
    assert.match(
      body,
      /^TLS_AES_128_GCM_SHA256:AES128-SHA(:TLS_EMPTY\w+)? X25519:prime256v1 (0x[0-9a-f]{4}:?)+$/,
    );
  });

  test('a protocol that is not HTTP/1 is refused with an alert (ALPN)', async () => {
    await assert.rejects(tlsClient(main, { ALPNProtocols: ['h2'] }), /no application protocol/);
  });

  describe('certificates of clients', () => {
    const who = (servername: string, client?: string) =>
      tlsGet(strict, '/who', { servername, ...(client === undefined ? {} : clients[client]) });

    test('one by a known authority is welcome, and its names are told', async () => {
      assert.equal(bodyOf(await who('strict', 'known')), 'SUCCESS CN=known CN=authority');
    });

    test('without one: 400, and a line in the log', async () => {
      assert.match(
        await who('strict'),
        /^HTTP\/1\.1 400 Bad Request[\s\S]*No required SSL certificate was sent/,
      );
      await portico.logged(
        /\[info\] .*client sent no required SSL certificate while reading client request headers, client: 127\.0\.0\.1, server: strict, request:/,
      );
    });

    test('a revoked one gets the page for 495', async () => {
      assert.equal(bodyOf(await who('strict', 'revoked')), 'refused: FAILED:certificate revoked');
      await portico.logged(
        'client SSL certificate verify error: (23:certificate revoked) while reading client request headers',
      );
    });

    test('one by nobody, or with too long a chain, is let in only where nobody has to be known', async () => {
      assert.equal(bodyOf(await who('any')), 'NONE');
      assert.equal(bodyOf(await who('any', 'stranger')), 'FAILED:self-signed certificate');
      // As with nginx: beyond `ssl_verify_depth` no issuer is looked for.
      assert.equal(bodyOf(await who('any', 'deep')), 'FAILED:unable to get local issuer certificate');
      assert.equal(bodyOf(await who('shallow')), 'NONE');
      assert.equal(bodyOf(await who('shallow', 'known')), 'SUCCESS');
      assert.match(await who('shallow', 'deep'), /400 Bad Request[\s\S]*The SSL certificate error/);
      await portico.logged(
        'client SSL certificate verify error: (20:unable to get local issuer certificate)',
      );
    });

    test('a session of a client that has shown one is not resumed, one without is', async () => {
      const first = await tlsClient(strict, { servername: 'strict', ...clients['known'] });
      first.send('GET /who HTTP/1.1\r\nHost: strict\r\n\r\n');
      await first.until(/SUCCESS/);
      const again = await tlsClient(strict, {
        servername: 'strict',
        ...clients['known'],
        session: await first.session(),
      });
      assert.equal(again.socket.isSessionReused(), false);
      first.socket.destroy();
      again.socket.destroy();
      const anonymous = await tlsClient(strict, { servername: 'any' });
      const session = await anonymous.session();
      anonymous.socket.destroy();
      const resumed = await tlsClient(strict, { servername: 'any', session });
      assert.equal(resumed.socket.isSessionReused(), true);
      resumed.socket.destroy();
      // Where another server asks for certificates in another way, it counts for nothing.
      const elsewhere = await tlsClient(strict, { servername: 'strict', session });
      assert.equal(elsewhere.socket.isSessionReused(), false);
      elsewhere.socket.destroy();
    });
  });

  describe('what is not TLS', () => {
    test('plain HTTP is told that it has come to the wrong door', async () => {
      const answer = await ask(main, 'GET /who HTTP/1.1\r\nHost: one\r\n\r\n');
      assert.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n/);
      assert.match(answer, /<center>The plain HTTP request was sent to HTTPS port<\/center>/);
      assert.match(answer, /Connection: close/);
      await portico.logged(
        /\[info\] .*client sent plain HTTP request to HTTPS port while reading client request headers, client: 127\.0\.0\.1, server: one, request: "GET \/who HTTP\/1\.1"/,
      );
    });

    test('a head that comes byte by byte is plain HTTP all the same', async () => {
      const client = await rawClient(main);
      for (const byte of 'GET / HTTP/1.0\r\n\r\n') {
        client.send(byte);
        await new Promise((resolve) => setImmediate(resolve));
      }
      assert.match(await client.closed(), /^HTTP\/1\.1 400 Bad Request/);
    });

    test('what only looks like TLS is answered with an alert and logged', async () => {
      const client = await rawClient(main);
      client.send(Buffer.from('16030100050100000100', 'hex'));
      assert.match(await client.closed(), /^\x15\x03/);
      await portico.logged(
        /\[info\] .*SSL_do_handshake\(\) failed \(SSL: error:0A[0-9A-F]{6}:SSL routines::/,
      );
    });
  });

  describe('handshakes that do not come to an end', () => {
    const HELLO_BEGINS = Buffer.from('1603010200010001fc0303', 'hex');

    test('time out after client_header_timeout', async () => {
      const from = portico.errorLog().length;
      const silent = await rawClient(main);
      const slow = await rawClient(main);
      slow.send(HELLO_BEGINS);
      assert.equal(await silent.closed(), '');
      assert.equal(await slow.closed(), '');
      await portico.logged(
        /\[info\] .*client timed out \(110: Connection timed out\) while SSL handshaking/,
        from,
      );
    });

    test('end when the client closes, and when it resets', async () => {
      let from = portico.errorLog().length;
      const leaving = await rawClient(main);
      leaving.send(HELLO_BEGINS);
      leaving.finish();
      await leaving.closed();
      await portico.logged(/\[info\] .*peer closed connection in SSL handshake while SSL handshaking/, from);
      from = portico.errorLog().length;
      const resetting = await rawClient(main);
      resetting.send(HELLO_BEGINS);
      await new Promise((resolve) => setTimeout(resolve, 20));
      resetting.socket.resetAndDestroy();
      await portico.logged(
        /\[info\] .*peer closed connection in SSL handshake \(104: Connection reset by peer\) while SSL handshaking/,
        from,
      );
    });

    test('stay among the connections handled, and those that do come to an end are counted once', async () => {
      let asked = 0;
      /** Connections accepted and handled until now, those for the status not among them. */
      const counts = async () => {
        const { active, accepted, handled } = parseStubStatus(
          await ask(plain, 'GET /status HTTP/1.0\r\n\r\n'),
        );
        asked++;
        return { active, accepted: accepted - asked, handled: handled - asked };
      };
      const allGone = () =>
        until('all connections but this one to be gone', async () => {
          const now = await counts();
          return now.active === 1 ? now : undefined;
        });
      const before = await allGone();
      assert.equal(before.handled, before.accepted);
      const leaving = await rawClient(main);
      leaving.finish();
      const silent = await rawClient(main);
      const slow = await rawClient(main);
      slow.send(HELLO_BEGINS);
      const garbled = await rawClient(main);
      garbled.send(Buffer.from('16030100050100000100', 'hex'));
      for (const client of [leaving, silent, slow, garbled]) await client.closed();
      await assert.rejects(tlsClient(rejecting, { servername: 'nobody' }));
      const after = await allGone();
      assert.deepEqual([after.accepted - before.accepted, after.handled - before.handled], [5, 5]);
      await tlsGet(main, '/who');
      await ask(main, 'GET / HTTP/1.0\r\n\r\n');
      const last = await allGone();
      assert.deepEqual([last.accepted - after.accepted, last.handled - after.handled], [2, 2]);
    });

    test('leave nothing behind', async () => {
      const client = await tlsClient(main);
      client.socket.destroy();
      await until('all connections but this one to be gone', async () => {
        const { active, waiting } = await gauges();
        return active === 1 && waiting === 0;
      });
    });
  });

  describe('requests', () => {
    test('several on one connection, pipelined too', async () => {
      const client = await tlsClient(main, { servername: 'one' });
      client.send('GET /small.html HTTP/1.1\r\nHost: one\r\n\r\n');
      await client.until(/small\n$/);
      client.send('GET /who HTTP/1.1\r\nHost: one\r\n\r\n'.repeat(50));
      client.send('GET /who HTTP/1.1\r\nHost: one\r\nConnection: close\r\n\r\n');
      const heard = await client.closed();
      assert.equal(heard.split('HTTP/1.1 200 OK').length, 53);
      assert.ok(client.saidGoodbye(), 'close_notify');
    });

    test('a client that reads slowly gets all of a big answer', async () => {
      const client = await tlsClient(main);
      client.socket.pause();
      client.send('GET /big.bin HTTP/1.1\r\nHost: one\r\nConnection: close\r\n\r\n');
      let length = 0;
      await new Promise<void>((resolve) => {
        client.socket.removeAllListeners('data');
        client.socket.on('data', (chunk: Buffer) => {
          length += chunk.length;
          client.socket.pause();
          setImmediate(() => client.socket.resume());
        });
        client.socket.on('close', resolve);
        client.socket.resume();
      });
      assert.ok(length > BIG, `${length} bytes`);
    });

    test('a client that goes away in the middle of one costs nothing else', async () => {
      const client = await tlsClient(main);
      client.socket.pause();
      client.send('GET /big.bin HTTP/1.1\r\nHost: one\r\n\r\n');
      await new Promise((resolve) => setTimeout(resolve, 50));
      client.socket.destroy();
      await until('it to be gone', async () => (await gauges()).active === 1);
      assert.match(await tlsGet(main, '/small.html'), /small\n$/);
    });

    test('an answer that is given up ends without a goodbye', async () => {
      const client = await tlsClient(main);
      client.send('GET /broken HTTP/1.1\r\nHost: one\r\n\r\n');
      assert.equal(await client.closed(), '');
    });

    test('bytes that are no TLS any more are logged, and the connection is closed', async () => {
      const from = portico.errorLog().length;
      const raw = connect(main, '127.0.0.1');
      const client = await tlsClient(main, { socket: raw });
      client.send('GET /small.html HTTP/1.1\r\nHost: one\r\n\r\n');
      await client.until(/small\n$/);
      raw.write('this is not a record of TLS at all');
      await client.closed();
      await portico.logged(/SSL_read\(\) failed \(SSL: error:0A[0-9A-F]{6}:SSL routines::/, from);
    });

    test('access logs know of TLS when the connection is over', async () => {
      await until('the line', () =>
        /^TLSv1\.3 TLS_AES_256_GCM_SHA384 https$/m.test(sandbox.read('logs/tls.log')),
      );
    });
  });
});
