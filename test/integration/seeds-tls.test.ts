/** config/tls.conf with the certificates that scripts/make-certificates.ts makes. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { makeCertificates } from '../../scripts/make-certificates.ts';
import { createSandbox, type Sandbox } from '../support/portico.ts';
import { get } from '../support/request.ts';
import { bodyOf, tlsClient, tlsGet } from '../support/tls-client.ts';
import { type Shipped, startShipped } from './seeds.ts';

describe('config/tls.conf', () => {
  let sandbox: Sandbox;
  let shipped: Shipped;
  let ca: Buffer;
  const certificate = (name: string) => readFileSync(sandbox.path(`conf/certificates/${name}`));

  before(async () => {
    sandbox = createSandbox();
    makeCertificates(sandbox.path('conf/certificates'));
    ca = certificate('authority.crt');
    shipped = await startShipped('tls.conf', {
      engine: 'node',
      workers: 2,
      sandbox,
      backends: { 3001: 'one', 3002: 'two' },
    });
  });
  after(async () => {
    await shipped.stop();
    sandbox.remove();
  });

  test('speaks TLS to clients that check the certificate, of either kind', async () => {
    const options = { ca, rejectUnauthorized: true, servername: 'localhost' };
    assert.match(
      bodyOf(await tlsGet(shipped.port(8443), '/', options)),
      /^TLSv1\.3, TLS_\w+, localhost, resumed: \.\n$/,
    );
    const rsa = { ...options, maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' } as const;
    assert.match(bodyOf(await tlsGet(shipped.port(8443), '/', rsa)), /^TLSv1\.2, ECDHE-RSA-/);
  });

  test('knows clients by their certificates, and lets in those without', async () => {
    const port = shipped.port(8443);
    assert.equal(bodyOf(await tlsGet(port, '/whoami')), 'NONE: \n');
    const client = { cert: certificate('client.crt'), key: certificate('client.key') };
    assert.equal(bodyOf(await tlsGet(port, '/whoami', client)), 'SUCCESS: CN=client\n');
  });

  test('tells the servers behind it that it was TLS', async () => {
    const seen = JSON.parse(bodyOf(await tlsGet(shipped.port(8443), '/app/'))) as { rawHeaders: string[] };
    assert.equal(seen.rawHeaders[seen.rawHeaders.indexOf('X-Forwarded-Proto') + 1], 'https');
  });

  test('sends whoever comes without TLS to where it is, and one name away', async () => {
    const answer = await get({ port: shipped.port(8081), path: '/a?b', headers: { Host: 'localhost' } });
    assert.equal(answer.status, 301);
    assert.match(String(answer.headers['location']), /^https:\/\/localhost:\d+\/a\?b$/);
    await assert.rejects(tlsClient(shipped.port(8443), { servername: 'nobody.test' }), /unrecognized name/);
  });
});
