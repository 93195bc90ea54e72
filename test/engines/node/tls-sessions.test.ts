/** Sessions of TLS that are resumed: from tickets and from shared memory, whichever worker the client meets. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { SecureVersion } from 'node:tls';
import { createSandbox, type RunningPortico, type Sandbox, startPortico } from '../../support/portico.ts';
import { freePorts } from '../../support/ports.ts';
import { bodyOf, tlsClient, tlsGet, writeCertificate } from '../../support/tls-client.ts';

const CONNECTIONS = 24;

describe('sessions of TLS', () => {
  let portico: RunningPortico;
  let sandbox: Sandbox;
  let ports: number[];
  const names = ['tickets', 'shared', 'builtin', 'none', 'files', 'other', 'short'] as const;
  const port = (name: (typeof names)[number]) => ports[names.indexOf(name)]!;

  const configuration = (keys: string) =>
    `
    ssl_certificate one.crt; ssl_certificate_key one.key;
    location_is_here
    server { listen 127.0.0.1:${port('tickets')} ssl; ANSWER }
    server { listen 127.0.0.1:${port('shared')} ssl; ssl_session_tickets off; ssl_session_cache shared:tls:1m; ANSWER }
    server { listen 127.0.0.1:${port('builtin')} ssl; ssl_session_tickets off; ssl_session_cache builtin:100; ANSWER }
    server { listen 127.0.0.1:${port('none')} ssl; ssl_session_tickets off; ANSWER }
    server { listen 127.0.0.1:${port('files')} ssl; ${keys} ANSWER }
    server { listen 127.0.0.1:${port('other')} ssl; ssl_certificate two.crt; ssl_certificate_key two.key; ANSWER }
    server { listen 127.0.0.1:${port('short')} ssl; ssl_session_timeout 1; ANSWER }`
      .replace('location_is_here', '')
      .replaceAll('ANSWER', 'location / { return 200 "$ssl_session_reused $connection $ssl_session_id"; }');

  before(async () => {
    ports = await freePorts(names.length);
    sandbox = createSandbox();
    writeCertificate(sandbox, 'one', { name: 'one' });
    writeCertificate(sandbox, 'two', { name: 'two' });
    for (const [file, size] of [
      ['a.key', 48],
      ['b.key', 48],
      ['c.key', 80],
    ] as const) {
      writeFileSync(sandbox.path(`conf/${file}`), randomBytes(size));
    }
    portico = await startPortico({
      sandbox,
      workers: 2,
      http: configuration('ssl_session_ticket_key a.key; ssl_session_ticket_key b.key;'),
    });
  });

  after(async () => {
    await portico.stop();
    sandbox.remove();
  });

  /** A session of a first connection. */
  async function begin(at: number, version: SecureVersion): Promise<Buffer> {
    const client = await tlsClient(at, { minVersion: version, maxVersion: version });
    client.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    assert.match(bodyOf(await client.closed()), /^\. /);
    return client.session();
  }

  /** Connects with a session again and again. @returns how often it was resumed, and how many workers have answered */
  async function resume(at: number, session: Buffer, version: SecureVersion) {
    const options = { session, minVersion: version, maxVersion: version };
    const answers = [];
    for (let index = 0; index < CONNECTIONS; index++) answers.push(bodyOf(await tlsGet(at, '/', options)));
    const numbers = answers.map((answer) => Number(answer.split(' ')[1]));
    return {
      reused: answers.filter((answer) => /^r \d+ [0-9a-f]{64}$/.test(answer)).length,
      // Each worker counts its connections: those of one alone would be numbered one after the other.
      severalWorkers: numbers.some((number, index) => index > 0 && number !== numbers[index - 1]! + 1),
    };
  }

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    for (const name of ['tickets', 'shared', 'builtin', 'files'] as const) {
      test(`${version}: ${name}, on every worker`, async () => {
        const session = await begin(port(name), version);
        assert.deepEqual(await resume(port(name), session, version), {
          reused: CONNECTIONS,
          severalWorkers: true,
        });
      });
    }

    test(`${version}: nothing without tickets and cache`, async () => {
      const client = await tlsClient(port('none'), { minVersion: version, maxVersion: version });
      client.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      await client.closed();
      const session = client.socket.getSession();
      assert.match(bodyOf(await tlsGet(port('none'), '/', session === undefined ? {} : { session })), /^\. /);
    });

    test(`${version}: a session counts where the certificate is the same, and nowhere else`, async () => {
      const session = await begin(port('tickets'), version);
      const options = { session, minVersion: version, maxVersion: version };
      assert.match(bodyOf(await tlsGet(port('other'), '/', options)), /^\. /);
      assert.match(bodyOf(await tlsGet(port('tickets'), '/', options)), /^r /);
    });
  }

  test('a client that uses each ticket of TLS 1.3 once is given another one each time', async () => {
    let session = await begin(port('tickets'), 'TLSv1.3');
    for (let index = 0; index < CONNECTIONS; index++) {
      const client = await tlsClient(port('tickets'), { session, minVersion: 'TLSv1.3' });
      client.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      assert.match(bodyOf(await client.closed()), /^r /);
      const next = await client.session();
      assert.ok(!next.equals(session));
      session = next;
    }
  });

  test('a session ends after ssl_session_timeout', async () => {
    const session = await begin(port('short'), 'TLSv1.3');
    assert.match(bodyOf(await tlsGet(port('short'), '/', { session })), /^r /);
    await new Promise((resolve) => setTimeout(resolve, 2100));
    assert.match(bodyOf(await tlsGet(port('short'), '/', { session })), /^\. /);
  });

  test('sessions survive a reload, and ticket keys follow their files', async () => {
    const byTicket = await begin(port('tickets'), 'TLSv1.3');
    const byMemory = await begin(port('shared'), 'TLSv1.3');
    const byFile = await begin(port('files'), 'TLSv1.3');
    portico.configure({ http: configuration('ssl_session_ticket_key c.key; ssl_session_ticket_key a.key;') });
    assert.equal(await portico.reload(), 'done');
    assert.match(bodyOf(await tlsGet(port('tickets'), '/', { session: byTicket })), /^r /);
    assert.match(bodyOf(await tlsGet(port('shared'), '/', { session: byMemory })), /^r /);
    assert.match(
      bodyOf(await tlsGet(port('files'), '/', { session: byFile })),
      /^r /,
      'a.key can still decrypt',
    );
    const client = await tlsClient(port('files'), { session: byFile });
    client.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    await client.closed();
    const renewed = await client.session();
    portico.configure({ http: configuration('ssl_session_ticket_key c.key;') });
    assert.equal(await portico.reload(), 'done');
    assert.match(bodyOf(await tlsGet(port('files'), '/', { session: byFile })), /^\. /, 'a.key is gone');
    assert.match(
      bodyOf(await tlsGet(port('files'), '/', { session: renewed })),
      /^r /,
      'c.key has renewed it',
    );
  });
});
