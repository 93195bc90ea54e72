import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { createSandbox, type RunningPortico, type Sandbox, startPortico } from '../../support/portico.ts';
import { freePort } from '../../support/ports.ts';
import { ask, rawClient } from '../../support/raw-client.ts';
import { until } from '../../support/wait.ts';

const BIG = 32 * 1024 * 1024;

describe('a client connection of the node engine', () => {
  let portico: RunningPortico;
  let sandbox: Sandbox;
  let port: number;

  before(async () => {
    port = await freePort();
    sandbox = createSandbox();
    sandbox.write('html/small.html', 'small\n');
    writeFileSync(sandbox.path('html/big.bin'), Buffer.alloc(BIG, 'x'));
    portico = await startPortico({
      sandbox,
      http: `
        client_header_timeout 300ms;
        lingering_timeout 500ms;
        large_client_header_buffers 4 1k;
        server {
          listen 127.0.0.1:${port};
          root html;
          keepalive_requests 5;
          location = /one { return 200 "one"; }
          location = /two { return 200 "two"; }
          location = /bare { return 204; }
          location = /small.html { keepalive_timeout 400ms; }
          location = /limited { client_max_body_size 10; return 200 "taken"; }
          location = /close { return 444; }
          location = /status { stub_status; }
        }`,
    });
  });

  after(async () => {
    await portico.stop();
    sandbox.remove();
  });

  const gauges = async () => {
    const answer = await ask(port, 'GET /status HTTP/1.0\r\n\r\n');
    const [, active, reading, writing, waiting] =
      /Active connections: (\d+) [\s\S]*Reading: (\d+) Writing: (\d+) Waiting: (\d+)/.exec(answer)!;
    return {
      active: Number(active),
      reading: Number(reading),
      writing: Number(writing),
      waiting: Number(waiting),
    };
  };

  test('answers pipelined requests in their order', async () => {
    const client = await rawClient(port);
    client.send(
      'GET /one HTTP/1.1\r\nHost: a\r\n\r\nGET /two HTTP/1.1\r\nHost: a\r\n\r\nGET /bare HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    );
    const heard = await client.closed();
    assert.match(
      heard,
      /^HTTP\/1\.1 200 OK[\s\S]*\r\n\r\noneHTTP\/1\.1 200 OK[\s\S]*\r\n\r\ntwoHTTP\/1\.1 204 No Content\r\n/,
    );
    assert.doesNotMatch(heard.slice(heard.indexOf('204')), /Content-Length|Transfer-Encoding/);
  });

  test('reads a head that comes byte by byte', async () => {
    const client = await rawClient(port);
    for (const character of 'GET /one HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
      client.send(character);
    assert.match(await client.closed(), /^HTTP\/1\.1 200 OK[\s\S]*\r\n\r\none$/);
  });

  test('keeps an HTTP/1.0 connection only where the client asks for it', async () => {
    assert.match(await ask(port, 'GET /one HTTP/1.0\r\n\r\n'), /Connection: close\r\n[\s\S]*one$/);
    const client = await rawClient(port);
    client.send('GET /one HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    assert.match(await client.until(/one$/), /Connection: keep-alive\r\n/);
    client.destroy();
  });

  test('answers HTTP/0.9 without a head', async () => {
    assert.equal(await ask(port, 'GET /one\r\n'), 'one');
  });

  test('ends a connection after keepalive_requests', async () => {
    const client = await rawClient(port);
    const request = 'GET /one HTTP/1.1\r\nHost: a\r\n\r\n';
    client.send(request.repeat(7));
    const heard = await client.closed();
    assert.equal(heard.split('HTTP/1.1 200 OK').length - 1, 5);
    assert.equal(heard.split('Connection: close').length - 1, 1);
  });

  test('closes an idle connection after keepalive_timeout', async () => {
    const client = await rawClient(port);
    const started = performance.now();
    client.send('GET /small.html HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.match(await client.closed(), /small\n$/);
    assert.ok(performance.now() - started >= 400);
  });

  test('closes without an answer where a head does not come in time', async () => {
    const client = await rawClient(port);
    client.send('GET /one HTTP/1.1\r\nHost:');
    assert.equal(await client.closed(), '');
    await portico.logged('client timed out (110: Connection timed out) while reading client request headers');
  });

  test('drops a body nobody wants and goes on with the next request', async () => {
    const client = await rawClient(port);
    client.send('POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234');
    await client.until(/one$/);
    client.send(
      '56789POST /two HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /one HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    );
    assert.match(await client.closed(), /one[\s\S]*two[\s\S]*one$/);
  });

  test('refuses a body beyond client_max_body_size', async () => {
    const answer = await ask(
      port,
      `POST /limited HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n${'x'.repeat(11)}`,
    );
    assert.match(answer, /^HTTP\/1\.1 413 Request Entity Too Large\r\n/);
    assert.match(answer, /Connection: close/);
    assert.match(
      portico.errorLog(),
      /client intended to send too large body: 11 bytes, client: 127\.0\.0\.1/,
    );
  });

  test('closes the connection without a byte for status 444', async () => {
    assert.equal(await ask(port, 'GET /close HTTP/1.1\r\nHost: a\r\n\r\n'), '');
  });

  for (const [what, request, status] of [
    [
      'a request line beyond the buffers',
      `GET /${'a'.repeat(2000)} HTTP/1.1\r\nHost: a\r\n\r\n`,
      '414 Request-URI Too Large',
    ],
    [
      'a header line beyond the buffers',
      `GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(2000)}\r\n\r\n`,
      '400 Bad Request',
    ],
    ['HTTP/1.1 without a host', 'GET / HTTP/1.1\r\n\r\n', '400 Bad Request'],
    ['two hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n', '400 Bad Request'],
    [
      'a length and chunks at once',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n',
      '400 Bad Request',
    ],
    [
      'two lengths',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc',
      '400 Bad Request',
    ],
    [
      'a length that is none',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3x\r\n\r\nabc',
      '400 Bad Request',
    ],
    [
      'a coding it does not know',
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n',
      '501 Not Implemented',
    ],
    ['HTTP/2 in HTTP/1 clothes', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n', '505 HTTP Version Not Supported'],
    ['TRACE', 'TRACE / HTTP/1.1\r\nHost: a\r\n\r\n', '405 Not Allowed'],
  ] as const) {
    test(`refuses ${what} with ${status}, and closes`, async () => {
      const answer = await ask(port, request);
      assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status}\r\n`));
      assert.match(answer, /\r\nConnection: close\r\n/);
    });
  }

  test('sends a large file to a slow reader without holding it in memory', async () => {
    const before = residentMemory(portico.pid);
    const clients = await Promise.all(Array.from({ length: 8 }, () => rawClient(port)));
    for (const client of clients) {
      client.socket.pause();
      client.send('GET /big.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    }
    // The answers have begun, and stand still, when the kernel's buffers are full.
    let last = -1;
    await until('answers that stand still', async () => {
      const now = (await gauges()).writing;
      const still = now === last && now >= 9;
      last = now;
      return still;
    });
    assert.ok(residentMemory(portico.pid) - before < 100 * 1024 * 1024);
    for (const client of clients.slice(1)) client.destroy();
    let received = 0;
    clients[0]!.socket.on('data', (chunk) => {
      received += chunk.length;
    });
    clients[0]!.socket.resume();
    await clients[0]!.closed();
    assert.ok(received > BIG);
    await until('connections closed', async () => (await gauges()).active === 1);
  });

  test('counts nothing any more once every client has gone', async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => rawClient(port)));
    for (const [index, client] of clients.entries()) {
      if (index % 3 === 0) client.send('GET /one HTTP/1.1\r\nHost: a\r\n\r\n');
      if (index % 3 === 1) client.send('GET /one HTT');
    }
    await until('connections open', async () => (await gauges()).active === 21);
    for (const client of clients) client.socket.resetAndDestroy();
    await until('gauges at zero', async () => {
      const { active, reading, writing, waiting } = await gauges();
      return active === 1 && reading === 0 && writing === 1 && waiting === 0;
    });
  });
});

describe('worker_connections', () => {
  test('closes idle connections first, then refuses, and says so', async () => {
    const port = await freePort();
    const portico = await startPortico({
      events: 'worker_connections 20;',
      http: `server { listen 127.0.0.1:${port}; location / { return 200 "here"; } }`,
    });
    try {
      const idle = await Promise.all(Array.from({ length: 19 }, () => rawClient(port)));
      for (const client of idle) {
        client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
        await client.until(/here$/);
      }
      const busy = await Promise.all(Array.from({ length: 5 }, () => rawClient(port)));
      for (const client of busy) client.send('GET / HTTP/1.1\r\nHost: a\r\n');
      await portico.logged('20 worker_connections are not enough, reusing connections');
      for (const client of busy) client.send('\r\n');
      for (const client of busy) assert.match(await client.until(/here$/), /200 OK/);
      for (const client of [...idle, ...busy]) client.destroy();
    } finally {
      await portico.stop();
    }
  });
});

function residentMemory(pid: number): number {
  const [, kilobytes] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))!;
  return Number(kilobytes) * 1024;
}
