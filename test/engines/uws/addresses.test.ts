/** Whose request it is: uWebSockets.js knows no connections, so that the address is asked for where there are several. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { createSandbox, type RunningPortico, type Sandbox, startPortico } from '../../support/portico.ts';
import { freePort } from '../../support/ports.ts';
import { ask, type RawClient, rawClient } from '../../support/raw-client.ts';
import { parseStubStatus } from '../../support/stub-status.ts';
import { until } from '../../support/wait.ts';

describe('the address of a client of the uws engine', () => {
  let portico: RunningPortico;
  let sandbox: Sandbox;
  let port: number;
  let backend: Server;
  let asked = 0;

  before(async () => {
    backend = createServer((_request, response) => {
      asked++;
      response.end('secret');
    });
    backend.listen(0, '127.0.0.1');
    await once(backend, 'listening');
    port = await freePort();
    sandbox = createSandbox();
    portico = await startPortico({
      sandbox,
      engine: 'uws',
      http: `
      log_format test '$remote_addr "$request" $status';
      access_log logs/access.log test;
      server {
        listen 127.0.0.1:${port};
        location = /who { return 200 $remote_addr; }
        location = /local { allow unix:; deny all; proxy_pass http://127.0.0.1:${(backend.address() as AddressInfo).port}; }
        location = /status { access_log off; stub_status; }
      }`,
    });
  });

  after(async () => {
    await portico.stop();
    sandbox.remove();
    backend.closeAllConnections();
    backend.close();
  });

  const from = (localAddress: string) => rawClient({ port, host: '127.0.0.1', localAddress });
  const head = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;

  /** Asks on a connection that stays. */
  async function who(client: RawClient): Promise<string> {
    const before = client.heard().length;
    client.send(head('/who'));
    const answer = await client.until((heard) => /\r\n\r\n[\d.:a-z]+$/.test(heard.slice(before)));
    return /\r\n\r\n(\S+)$/.exec(answer)![1]!;
  }

  async function active(): Promise<number> {
    return parseStubStatus(await ask(port, head('/status', 'Connection: close\r\n'))).active;
  }

  /** Has a client ask, and reset its connection, while the program does not run. */
  async function askAndReset(client: () => Promise<RawClient>): Promise<void> {
    process.kill(portico.pid, 'SIGSTOP');
    try {
      const gone = await client();
      await new Promise<void>((resolve) => gone.socket.write(head('/local'), () => resolve()));
      gone.reset();
      await once(gone.socket, 'close');
    } finally {
      process.kill(portico.pid, 'SIGCONT');
    }
  }

  test('is right from the first to the last, whoever else connects', async () => {
    const first = await from('127.0.0.1');
    assert.equal(await who(first), '127.0.0.1');
    const second = await from('127.0.0.1');
    assert.equal(await who(second), '127.0.0.1');
    const stranger = await from('127.0.0.2');
    for (let turn = 0; turn < 3; turn++) {
      assert.equal(await who(first), '127.0.0.1');
      assert.equal(await who(stranger), '127.0.0.2');
      assert.equal(await who(second), '127.0.0.1');
    }
    for (const client of [first, second, stranger]) client.destroy();
    await until('all of them to be gone', async () => (await active()) === 1);
    const next = await from('127.0.0.3');
    assert.equal(await who(next), '127.0.0.3');
    next.destroy();
  });

  test('is not that of a Unix socket where the client has gone', async () => {
    assert.match(await ask(port, head('/local', 'Connection: close\r\n')), /^HTTP\/1\.1 403 /);
    await until('the others to be gone', async () => (await active()) === 1);
    // Before it has been accepted, and in the middle of its connection, where there have been several addresses.
    await askAndReset(() => from('127.0.0.1'));
    const kept = await from('127.0.0.1');
    assert.equal(await who(kept), '127.0.0.1');
    await askAndReset(async () => kept);
    await until('them to be gone', async () => (await active()) === 1);
    assert.equal(asked, 0);
    assert.doesNotMatch(sandbox.read('logs/access.log'), /unix:/);
  });
});
