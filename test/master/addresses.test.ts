import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { connect, createServer, type ListenOptions, type Server } from 'node:net';
import { describe, test } from 'node:test';
import { type ListenAddress, readListen } from '../../src/core/listen.ts';
import { checkAddresses } from '../../src/master/addresses.ts';
import type { MasterLog } from '../../src/master/startup.ts';
import { createSandbox } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import { hasIPv6 } from '../support/request.ts';

async function address(text: string): Promise<ListenAddress> {
  const statement = { name: 'listen', args: [text], file: '', line: 1 };
  const [found] = await readListen(
    statement,
    async (host) => [host],
    () => {},
  );
  return found!;
}

function keepingLog(): { log: MasterLog; lines: string[] } {
  const lines: string[] = [];
  const log: MasterLog = {
    write: (level, message) => lines.push(`[${level}] ${message}`),
    tell: () => {},
    use: () => {},
    tellTo: () => {},
  };
  return { log, lines };
}

async function holding(options: ListenOptions): Promise<Server & Disposable> {
  const server = createServer();
  server.listen(options);
  await once(server, 'listening');
  return Object.assign(server, { [Symbol.dispose]: () => void server.close() });
}

describe('checkAddresses', () => {
  test('has nothing to say of addresses that are free, and leaves them free', async () => {
    const { log, lines } = keepingLog();
    const texts = [`127.0.0.1:${await freePort()}`, String(await freePort())];
    const addresses = await Promise.all(texts.map(address));
    assert.equal(await checkAddresses(addresses, log, false), true);
    assert.equal(await checkAddresses(addresses, log, true), true);
    for (const { host, port } of addresses) {
      using _ = await holding({ host, port });
    }
    assert.deepEqual(lines, []);
  });

  test('sees sockets that would share the address', async () => {
    const port = await freePort();
    using _ = await holding({ host: '127.0.0.1', port, reusePort: true });
    for (const text of [`127.0.0.1:${port}`, `*:${port}`]) {
      const { log, lines } = keepingLog();
      const wanted = await address(text);
      assert.equal(await checkAddresses([wanted], log, true), true, 'as a test it is no error');
      assert.deepEqual(lines, []);
      const checking = checkAddresses([wanted], log, false);
      // One of the five attempts is enough here.
      while (lines.length < 2) await new Promise(setImmediate);
      assert.deepEqual(lines.slice(0, 2), [
        `[emerg] bind() to ${wanted.text} failed (98: Address already in use)`,
        '[notice] try again to bind() after 500ms',
      ]);
      _.close();
      assert.equal(await checking, true);
      _.listen({ host: '127.0.0.1', port, reusePort: true });
      await once(_, 'listening');
    }
  });

  test('nobody can connect to an address while it is asked for', async () => {
    const port = await freePort();
    const { log } = keepingLog();
    const wanted = await address(`127.0.0.1:${port}`);
    const probe = checkAddresses([wanted], log, false);
    const outcomes: string[] = [];
    let done = false;
    void probe.then(() => {
      done = true;
    });
    while (!done || outcomes.length < 20) {
      outcomes.push(await connectOnce(port));
    }
    assert.deepEqual(new Set(outcomes), new Set(['ECONNREFUSED']));
  });

  test('an address with ipv6only is free though its port is in use for IPv4', {
    skip: !hasIPv6,
  }, async () => {
    const port = await freePort();
    using _ = await holding({ host: '0.0.0.0', port });
    const { log, lines } = keepingLog();
    assert.equal(await checkAddresses([await address(`[::]:${port}`)], log, false), true);
    assert.deepEqual(lines, []);
  });

  test('an address that is not of this machine is an error at once', async () => {
    const { log, lines } = keepingLog();
    assert.equal(await checkAddresses([await address('192.0.2.1:8080')], log, false), false);
    assert.deepEqual(lines, [
      '[emerg] bind() to 192.0.2.1:8080 failed (99: Cannot assign requested address)',
    ]);
  });

  test('a Unix socket is removed when nobody listens on it, and nothing else ever is', async () => {
    using sandbox = createSandbox();
    const path = sandbox.path('s.sock');
    const wanted = await address(`unix:${path}`);
    {
      const { log, lines } = keepingLog();
      assert.equal(await checkAddresses([wanted], log, false), true);
      assert.deepEqual(lines, []);
      assert.equal(existsSync(path), false);
    }
    const stale = sandbox.path('t.sock');
    leaveStaleSocket(stale);
    {
      const { log, lines } = keepingLog();
      assert.equal(await checkAddresses([await address(`unix:${stale}`)], log, false), true);
      assert.deepEqual(lines, [`[notice] deleting socket ${stale}, which nobody listens on`]);
      assert.equal(existsSync(stale), false);
    }
    writeFileSync(path, 'precious');
    {
      const { log, lines } = keepingLog();
      const checking = checkAddresses([wanted], log, false);
      while (lines.length === 0) await new Promise(setImmediate);
      assert.deepEqual(lines.slice(0, 1), [
        `[emerg] bind() to unix:${path} failed (98: Address already in use)`,
      ]);
      assert.equal(sandbox.read('s.sock'), 'precious');
      sandbox.remove();
      assert.equal(await checking, true);
    }
  });
});

/** Tries to connect. @returns the code of the error, or `connected` */
function connectOnce(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve('connected');
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
  });
}

/** Leaves the file of a Unix socket behind, as a program does that is killed. */
function leaveStaleSocket(path: string): void {
  const program = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', program, path]);
  assert.ok(existsSync(path));
}
