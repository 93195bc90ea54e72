import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { createSandbox, type RunningPortico, type Sandbox, startPortico } from '../../support/portico.ts';
import { freePort, freePorts } from '../../support/ports.ts';
import { ask, type RawClient, rawClient } from '../../support/raw-client.ts';
import { parseStubStatus } from '../../support/stub-status.ts';
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
    const { active, reading, writing, waiting } = parseStubStatus(answer);
    return { active, reading, writing, waiting };
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

/** A file each of whose lines says where it stands, and in which file. */
function lines(name: string, size: number): string {
  let text = '';
  for (let line = 1; text.length < size; line++) text += `${name} ${String(line).padStart(6, '0')}\n`;
  return text.slice(0, size);
}

/** The bodies of answers that have a Content-Length; the last one may not be whole. */
function bodiesOf(heard: string): string[] {
  const bodies: string[] = [];
  for (let at = 0; at < heard.length; ) {
    const end = heard.indexOf('\r\n\r\n', at);
    const length = Number(/^content-length: (\d+)\r$/im.exec(heard.slice(at, end + 2))?.[1]);
    assert.ok(end > 0 && length > 0, `no head at ${at}: ${JSON.stringify(heard.slice(at, at + 200))}`);
    bodies.push(heard.slice(end + 4, end + 4 + length));
    at = end + 4 + length;
  }
  return bodies;
}

describe('a body that ends after the answer', () => {
  const SIZE = 100_000;
  const a = lines('a', SIZE);
  const b = lines('b', SIZE);
  const GET_A = 'GET /a HTTP/1.1\r\nHost: a\r\n\r\n';

  test('leaves the answer as it is, which the system has not taken yet, and the connection goes on', async () => {
    const port = await freePort();
    using sandbox = createSandbox();
    sandbox.write('html/a', a);
    sandbox.write('html/b', b);
    // The system takes a few hundred kilobytes on a Unix socket, always the same; on TCP it may be some megabytes.
    const path = sandbox.path('socket');
    await using _portico = await startPortico({
      sandbox,
      http: `
        server { listen unix:${path}; root html; }
        server { listen 127.0.0.1:${port}; root html; location = /status { stub_status; } }`,
    });
    let asked = 0;
    /** Requests until now, those for the status not among them. */
    const requests = async () => {
      const status = await ask(port, 'GET /status HTTP/1.0\r\n\r\n');
      asked++;
      return Number(/\n \d+ \d+ (\d+) \n/.exec(status)![1]) - asked;
    };
    const open = async (): Promise<RawClient> => {
      const client = await rawClient({ path });
      client.socket.pause();
      return client;
    };

    // The number of answers until one waits.
    const first = (await open()).socket;
    first.write(GET_A.repeat(20));
    let begun = 0;
    let unchanged = 0;
    await until('requests that stand still', async () => {
      const now = await requests();
      unchanged = now === begun && now > 0 ? unchanged + 1 : 0;
      begun = now;
      return unchanged === 12;
    });
    assert.ok(begun > 1 && begun < 20);
    first.destroy();

    const clients = [await open(), await open()];
    const withBody = 'GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234';
    for (const client of clients) client.send(GET_A.repeat(begun - 1) + withBody);
    await until('the last answers to have begun', async () => (await requests()) >= 3 * begun);
    for (const client of clients) client.send('56789GET /b HTTP/1.1\r\nHost: a\r\n\r\n');
    // Meanwhile others use the same memory.
    for (let time = 0; time < 10; time++) {
      assert.ok((await ask(port, 'GET /b HTTP/1.0\r\n\r\n')).endsWith(b));
      asked++;
    }
    for (const client of clients) client.socket.resume();
    for (const client of clients) {
      await client.until((heard) => heard.length > (begun + 1) * SIZE && heard.endsWith(b.slice(-100)));
      client.send('GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      const bodies = bodiesOf(await client.closed());
      assert.equal(bodies.length, begun + 2);
      for (const [index, body] of bodies.entries()) {
        assert.ok(
          body === (index === begun ? b : a),
          `answer ${index + 1} of ${bodies.length} is not what was sent`,
        );
      }
    }
  });
});

describe('a connection with a body that nobody wants', () => {
  const REQUEST = 'POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234';
  const configuration = (...ports: number[]) => ({
    http: ports
      .map(
        (port) =>
          `server { listen 127.0.0.1:${port}; location / { return 200 kept; } location /refused { return 403; } }`,
      )
      .join('\n'),
  });

  test('is closed behind the body where a reload has dropped its address meanwhile', async () => {
    const [dropped, kept] = (await freePorts(2)) as [number, number];
    await using portico = await startPortico(configuration(dropped, kept));
    const client = await rawClient(dropped);
    client.send(REQUEST);
    assert.match(await client.until(/<\/html>\r\n$/), /^HTTP\/1\.1 403 [\s\S]*Connection: keep-alive\r\n/);
    portico.configure(configuration(kept));
    assert.equal(await portico.reload(), 'done');
    client.send('56789');
    assert.match(await client.closed(), /^HTTP\/1\.1 403 [\s\S]*<\/html>\r\n$/);
  });

  test('is closed behind the body where the worker is about to end, and the next request is not answered', async () => {
    const port = await freePort();
    await using portico = await startPortico(configuration(port));
    const client = await rawClient(port);
    client.send(REQUEST);
    await client.until(/<\/html>\r\n$/);
    portico.signal('SIGQUIT');
    await portico.logged('gracefully shutting down');
    client.send('56789GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.doesNotMatch(await client.closed(), /kept/);
    assert.equal((await portico.ended).code, 0);
  });
});

describe('lingering', () => {
  test('lasts as long as the location says, also after the client has sent more', async () => {
    const port = await freePort();
    await using _portico = await startPortico({
      http: `
        lingering_close always;
        keepalive_timeout 0;
        server {
          listen 127.0.0.1:${port};
          location = /short { return 204; lingering_timeout 200ms; }
          location = /long { return 204; lingering_timeout 1500ms; }
          location = /status { stub_status; lingering_close off; }
        }`,
    });
    const gone: string[] = [];
    const clients = new Map<string, RawClient>();
    for (const path of ['/short', '/long']) {
      const client = await rawClient(port);
      clients.set(path, client);
      client.socket.on('error', () => gone.push(path));
      client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
      assert.match(await client.until(/\r\n\r\n$/), /^HTTP\/1\.1 204 /);
    }
    clients.get('/short')!.send('more');
    await until('one of them to be gone', async () => {
      const status = await ask(port, 'GET /status HTTP/1.0\r\n\r\n');
      return !status.includes('Active connections: 3');
    });
    // Whoever is gone answers with a reset.
    await until('a reset', () => {
      for (const client of clients.values()) client.send('more');
      return gone.length > 0;
    });
    assert.equal(gone[0], '/short');
    for (const client of clients.values()) client.destroy();
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
