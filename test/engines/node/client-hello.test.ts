import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { before, describe, test } from 'node:test';
import { type ConnectionOptions, connect } from 'node:tls';
import fc from 'fast-check';
import { INCOMPLETE, readClientHello } from '../../../src/engines/node/client-hello.ts';
import {
  cipherSuiteNames,
  groupName,
  groupNames,
  signatureAlgorithmNumbers,
} from '../../../src/engines/node/tls-names.ts';

/** What OpenSSL's client says first. */
function clientHello(options: ConnectionOptions): Promise<Buffer> {
  return new Promise((resolve) => {
    const socket = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        resolve(chunk);
        done();
      },
    });
    connect({ socket, rejectUnauthorized: false, ...options }).on('error', () => {});
  });
}

/** The same message in records of another size. */
function inRecords(bytes: Buffer, size: number): Buffer {
  const message = bytes.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const piece = message.subarray(at, at + size);
    records.push(Buffer.from([22, 3, 1, piece.length >> 8, piece.length & 255]), piece);
  }
  return Buffer.concat(records);
}

describe('the first message of a TLS client', () => {
  let hello: Buffer;
  before(async () => {
    hello = await clientHello({
      servername: 'Www.Example.com',
      ciphers: 'TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256',
      ecdhCurve: 'X25519:P-256',
      sigalgs: 'ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256',
    });
  });

  test('tells the name, the ciphers, the curves and the signature algorithms', () => {
    const read = readClientHello(hello);
    assert.ok(typeof read === 'object');
    assert.equal(read.serverName, 'Www.Example.com');
    assert.match(
      cipherSuiteNames(read.cipherSuites),
      /^TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256(:TLS_EMPTY|$)/,
    );
    assert.equal(groupNames(read.groups), 'X25519:prime256v1');
    assert.equal(signatureAlgorithmNumbers(read.signatureAlgorithms), '0x0403:0x0804');
    assert.equal(read.takesTickets, true);
    assert.equal(read.ticket, '');
  });

  test('a client of TLS 1.2 without tickets and name', async () => {
    const { SSL_OP_NO_TICKET } = (await import('node:crypto')).constants;
    const old = await clientHello({ maxVersion: 'TLSv1.2', secureOptions: SSL_OP_NO_TICKET });
    const read = readClientHello(old);
    assert.ok(typeof read === 'object');
    assert.equal(read.serverName, '');
    assert.equal(read.takesTickets, false);
  });

  test('is the same however it is cut into records, and never complete before it is', () => {
    const expected = readClientHello(hello);
    for (const size of [1, 3, 4, 5, 100, 512]) {
      const cut = inRecords(hello, size);
      assert.deepEqual(readClientHello(cut), expected);
      assert.deepEqual(readClientHello(Buffer.concat([cut, Buffer.from('rest')])), expected);
      for (let length = 1; length < cut.length; length += 7) {
        assert.equal(readClientHello(cut.subarray(0, length)), INCOMPLETE);
      }
    }
  });

  test('whatever comes, it is read or not, without an error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), (noise) => {
        readClientHello(Buffer.from(noise));
        readClientHello(Buffer.concat([Buffer.from([22, 3, 1]), Buffer.from(noise)]));
      }),
      { seed: 4, numRuns: 2000 },
    );
    fc.assert(
      fc.property(fc.nat(hello.length - 1), fc.nat(255), (at, byte) => {
        const broken = Buffer.from(hello);
        broken[at] = byte;
        readClientHello(broken);
      }),
      { seed: 4, numRuns: 2000 },
    );
  });

  test('other messages and other protocols are not it', () => {
    assert.equal(readClientHello(Buffer.from('GET / HTTP/1.1\r\n\r\n')), undefined);
    assert.equal(readClientHello(Buffer.from('1603010004020000000000', 'hex')), undefined);
    assert.equal(readClientHello(Buffer.from('1603010000', 'hex')), undefined);
  });

  test('numbers without a name are shown as numbers', () => {
    assert.equal(groupName(0), '');
    assert.equal(groupName(0x1d), 'X25519');
    assert.equal(groupName(0xfafa), '0xfafa');
  });
});
