import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createCertificate } from '../../scripts/x509.ts';

const script = fileURLToPath(new URL('../../scripts/make-certificates.ts', import.meta.url));

describe('certificates for trying things out', () => {
  for (const algorithm of ['rsa', 'ecdsa'] as const) {
    test(`${algorithm}: issued by an authority, for names and addresses, until a day`, () => {
      const authority = createCertificate({ name: 'authority', authority: true, algorithm });
      const validTo = new Date('2051-02-03T04:05:06Z');
      const made = createCertificate({
        name: 'host',
        hosts: ['host.test', '127.0.0.1'],
        issuer: authority,
        algorithm,
        validTo,
      });
      const certificate = new X509Certificate(made.certificate);
      const issuer = new X509Certificate(authority.certificate);
      assert.ok(certificate.verify(issuer.publicKey));
      assert.ok(certificate.checkIssued(issuer));
      assert.ok(certificate.checkPrivateKey(made.privateKey));
      assert.equal(certificate.checkHost('host.test'), 'host.test');
      assert.equal(certificate.checkIP('127.0.0.1'), '127.0.0.1');
      assert.equal(certificate.ca, false);
      assert.equal(issuer.ca, true);
      assert.equal(Date.parse(certificate.validTo), validTo.getTime());
    });
  }

  test('the script makes them once', () => {
    const directory = mkdtempSync(join(tmpdir(), 'portico-certificates-'));
    try {
      const run = () => execFileSync(process.execPath, [script, directory], { encoding: 'utf8' });
      assert.match(run(), /^made certificates in /);
      const first = readFileSync(join(directory, 'server-rsa.crt'), 'utf8');
      assert.equal(statSync(join(directory, 'server-rsa.key')).mode & 0o777, 0o600);
      assert.match(run(), / is up to date$/m);
      assert.equal(readFileSync(join(directory, 'server-rsa.crt'), 'utf8'), first);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
