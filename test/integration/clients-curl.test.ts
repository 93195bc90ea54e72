/** curl as a client of both engines, with and without TLS. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  FRONTS,
  type Front,
  type Fronts,
  findProgram,
  LARGE,
  type Output,
  run,
  startFronts,
} from './clients.ts';

const curl = findProgram('curl');

describe('curl', { skip: curl === undefined && 'there is no curl here' }, () => {
  let running: Fronts;

  before(async () => {
    running = await startFronts((socket, request) => {
      // Not with a close frame: curl does not know that it is to answer that.
      socket.send('hello, curl', () => request.socket.end());
    });
  });
  after(() => running?.stop());

  const trusting = () => ['--cacert', running.authorityFile];

  /** Runs curl; nothing it could find on this machine changes what it does. */
  function ask(args: readonly string[], input?: Buffer): Promise<Output> {
    const always = ['--disable', '--noproxy', '*', '--ipv4', '--silent', '--show-error', '--max-time', '20'];
    return run(curl!, [...always, ...args], input);
  }

  async function succeed(args: readonly string[], input?: Buffer): Promise<string> {
    const { code, stdout, stderr } = await ask([...trusting(), ...args], input);
    assert.equal(code, 0, stderr);
    return stdout.toString('latin1');
  }

  const large = LARGE.toString('latin1');

  for (const [index, { name, secure }] of FRONTS.entries()) {
    describe(name, () => {
      let front: Front;
      before(() => {
        front = running.fronts[index]!;
      });
      const url = (path: string) => `${front.origin}${path}`;

      test('speaks HTTP/1.1, also where the client would rather speak HTTP/2', async () => {
        const out = await succeed(['--http2', '--write-out', '%{http_version} %{http_code}', url('/')]);
        assert.equal(out, '1.1 200');
      });

      test('gets 1 MB, byte for byte, from Portico and from the server behind it', async () => {
        assert.ok((await succeed([url('/large')])) === large);
        assert.ok((await succeed([url('/files/large.bin')])) === large);
      });

      test('gets a piece of a file, and its head', async () => {
        assert.ok(
          (await succeed(['--range', '500000-500999', url('/files/large.bin')])) ===
            large.slice(500_000, 501_000),
        );
        const head = await succeed(['--head', url('/files/large.bin')]);
        assert.match(head, /^HTTP\/1\.1 200 OK\r\n/);
        assert.match(head, /^content-length: 1048576\r$/im);
      });

      test('sends 1 MB, byte for byte, of known length and in chunks', async () => {
        const binary = ['--header', 'Content-Type: application/octet-stream'];
        assert.ok((await succeed([...binary, '--data-binary', '@-', url('/')], LARGE)) === large);
        assert.ok(
          (await succeed([...binary, '--expect100-timeout', '5', '--upload-file', '-', url('/')], LARGE)) ===
            large,
        );
      });

      test('the server behind it sees what was asked, and whether it was over TLS', async () => {
        const head = await succeed(['--request', 'DELETE', '--include', url('/thing')]);
        assert.match(head, secure ? /^x-seen: DELETE https -\r$/im : /^x-seen: DELETE http -\r$/im);
      });

      test('asks again on the connection that it has', async () => {
        const format = ['--output', '/dev/null', '--write-out', '%{http_code} %{num_connects}\\n'];
        const next = ['--next', '--silent', ...trusting(), ...format];
        const out = await succeed([
          ...format,
          url('/'),
          ...next,
          url('/files/large.bin'),
          ...next,
          url('/large'),
        ]);
        assert.equal(out, '200 1\n200 0\n200 0\n');
      });

      test('upgrades to a WebSocket, and hears what the server says', async () => {
        const { code, stdout, stderr } = await ask([
          ...[...trusting(), '--include', '--no-buffer', '--http1.1'],
          ...['--header', 'Connection: Upgrade', '--header', 'Upgrade: websocket'],
          ...[
            '--header',
            'Sec-WebSocket-Version: 13',
            '--header',
            'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
          ],
          url('/ws'),
        ]);
        const heard = stdout.toString('latin1');
        const bodyAt = heard.indexOf('\r\n\r\n') + 4;
        const head = heard.slice(0, bodyAt);
        assert.match(head, /^HTTP\/1\.1 101 /, stderr);
        assert.match(head, /^upgrade: websocket\r$/im);
        assert.match(head, /^connection: upgrade\r$/im);
        // RFC 6455, section 1.3
        assert.match(head, /^sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r$/im);
        assert.equal(heard.slice(bodyAt), '\x81\x0bhello, curl');
        assert.equal(code, 0, stderr);
      });

      if (secure) {
        test('turns away where it does not know the authority, or the name is another', async () => {
          const unknown = await ask([url('/')]);
          assert.equal(unknown.code, 60, unknown.stderr);
          const { port } = front;
          const other = await ask([
            ...trusting(),
            '--resolve',
            `other.test:${port}:127.0.0.1`,
            `https://other.test:${port}/`,
          ]);
          assert.equal(other.code, 60, other.stderr);
        });

        test('speaks TLS 1.2 and TLS 1.3', async () => {
          for (const version of ['1.2', '1.3']) {
            assert.equal(
              await succeed([`--tlsv${version}`, '--tls-max', version, '--data', 'text', url('/')]),
              'text',
            );
          }
        });
      }
    });
  }

  test('the impostor is found out', async () => {
    const { code, stderr } = await ask([...trusting(), `https://localhost:${running.impostorPort}/`]);
    assert.equal(code, 60, stderr);
  });
});
