import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { connect, createServer, type DetailedPeerCertificate } from 'node:tls';
import { type Certificate, createCertificate } from '../../scripts/x509.ts';
import { countIntermediates } from '../../src/http/certificate-chain.ts';

/** A server's certificate as a client sees it who knows a root. */
async function seen(chain: readonly Certificate[], root: Certificate): Promise<DetailedPeerCertificate> {
  const cert = chain.map(({ certificate }) => certificate).join('');
  const server = createServer({ cert, key: chain[0]!.key }, (socket) => socket.end());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const client = connect({ port, host: '127.0.0.1', ca: root.certificate, rejectUnauthorized: false });
  await once(client, 'secureConnect');
  const found = client.getPeerCertificate(true);
  client.destroy();
  await new Promise((resolve) => server.close(resolve));
  return found;
}

test('what stands between a certificate and its root is counted, whether the root was sent or not', async () => {
  const root = createCertificate({ name: 'Root', authority: true });
  const outer = createCertificate({ name: 'Outer', authority: true, issuer: root });
  const inner = createCertificate({ name: 'Inner', authority: true, issuer: outer });
  const stranger = createCertificate({ name: 'Stranger', authority: true });
  const count = async (chain: readonly Certificate[], known = root) =>
    countIntermediates(await seen(chain, known));
  const issuedBy = (issuer: Certificate) => createCertificate({ name: 'localhost', issuer });
  assert.equal(await count([root]), -1);
  assert.equal(await count([issuedBy(root)]), 0);
  assert.equal(await count([issuedBy(root), root]), 0);
  assert.equal(await count([issuedBy(outer), outer]), 1);
  assert.equal(await count([issuedBy(inner), inner, outer]), 2);
  assert.equal(await count([issuedBy(inner), inner, outer, root]), 2);
  // Nobody knows the root: the chain is over where nothing more is known.
  assert.equal(await count([issuedBy(inner), inner, outer], stranger), 1);
});
