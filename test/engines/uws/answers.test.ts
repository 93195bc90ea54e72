/** Requests and answers on uWebSockets.js: framing, limits, slow clients and slow servers, clients that go. */
import assert from 'node:assert/strict';
import { once } from 'node:events';

import { readFileSync, rmSync } from 'node:fs';
import {
  createServer,
  type IncomingMessage,
  type RequestOptions,
  request as requestPlain,
  type Server,
  type ServerResponse,
} from 'node:http';
import { request as requestTls } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { createSandbox, type RunningPortico, type Sandbox, startPortico } from '../../support/portico.ts';
import { freePort } from '../../support/ports.ts';
import { ask as askOn, rawClient as connectTo } from '../../support/raw-client.ts';
import { gaugesIn } from '../../support/stub-status.ts';
import { writeCertificate } from '../../support/tls-client.ts';
import { until } from '../../support/wait.ts';

const BIG = 32 * 1024 * 1024;

/** What the backend does with a request, by path. */
type Behaviour = (request: IncomingMessage, response: ServerResponse) => void;

/** Writes `count` pieces, no faster than they are taken. */
function trickle(response: ServerResponse, piece: Buffer, count: number): void {
  let left = count;
  const go = () => {
    while (left > 0) {
      left--;
      if (!response.write(piece)) {
        response.once('drain', go);
        return;
      }
    }
    response.end();
  };
  go();
}

/** In bytes. */
function residentMemory(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))![1]) * 1024;
}

for (const tls of [false, true])
  describe(`an answer of the uws engine${tls ? ' over TLS' : ''}`, () => {
    const ask = (to: number, text: string) => askOn(to, text, tls);
    const rawClient = (to: number) => connectTo(to, tls);
    const request = (options: RequestOptions, heard?: (answer: IncomingMessage) => void) =>
      tls ? requestTls({ ...options, rejectUnauthorized: false }, heard) : requestPlain(options, heard);

    let portico: RunningPortico;
    let sandbox: Sandbox;
    let port: number;
    let backend: Server;
    let backendPort: number;
    const open = new Set<ServerResponse>();
    let bytesTaken = 0;
    let held: IncomingMessage | undefined;

    const behaviours: Record<string, Behaviour> = {
      '/known': (_request, response) => {
        response.setHeader('Content-Length', BIG);
        trickle(response, Buffer.alloc(65_536, 'k'), BIG / 65_536);
      },
      '/unknown': (_request, response) => trickle(response, Buffer.alloc(65_536, 'u'), BIG / 65_536),
      '/pieces': (_request, response) => trickle(response, Buffer.from('piece '), 200),
      '/empty': (_request, response) => response.end(),
      '/no-content': (_request, response) => response.writeHead(204).end(),
      '/not-modified': (_request, response) => response.writeHead(304, { ETag: '"x"' }).end(),
      '/teapot': (_request, response) => response.writeHead(418, 'Teapot').end('short and stout'),
      '/bytes': (_request, response) => response.writeHead(200, { 'X-Name': 'J\xf6rg\xe4 \xff' }).end('\xe4'),
      '/headers': (asked, response) => response.end(JSON.stringify(asked.rawHeaders)),
      '/breaks': (_request, response) => {
        response.setHeader('Content-Length', 1000);
        response.write('some', () => response.destroy());
      },
      '/hang': (_request, response) => void open.add(response),
      '/count': (asked, response) => {
        let bytes = 0;
        asked.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
        });
        asked.on('end', () => response.end(String(bytes)));
      },
      '/hold': (asked, response) => {
        held = asked;
        asked.on('data', (chunk: Buffer) => {
          bytesTaken += chunk.length;
        });
        asked.pause();
        asked.on('end', () => response.end(String(bytesTaken)));
      },
    };

    before(async () => {
      port = await freePort();
      sandbox = createSandbox();
      sandbox.write('html/small.html', 'small\n');
      sandbox.write('html/sixteen', 'x'.repeat(16_000));
      writeCertificate(sandbox, 'server', { name: 'localhost' });
      backend = createServer((asked, response) => {
        response.on('close', () => open.delete(response));
        behaviours[asked.url!.split('?')[0]!]!(asked, response);
      });
      backend.listen(0, '127.0.0.1');
      await once(backend, 'listening');
      backendPort = (backend.address() as AddressInfo).port;
      portico = await startPortico({
        sandbox,
        engine: 'uws',
        http: `
        log_format test '$remote_addr "$request" $status $body_bytes_sent $bytes_sent $request_length';
        access_log logs/access.log test;
        large_client_header_buffers 4 1k;
        max_headers 20;
        server {
          ${tls ? `listen 127.0.0.1:${port} ssl; ssl_certificate server.crt; ssl_certificate_key server.key;` : `listen 127.0.0.1:${port};`}
          root html;
          location / { proxy_pass http://127.0.0.1:${backendPort}; proxy_buffering off; client_max_body_size 100m; }
          location = /hold { proxy_pass http://127.0.0.1:${backendPort}; proxy_request_buffering off; client_max_body_size 0; }
          location = /unkept {
            proxy_pass http://127.0.0.1:${backendPort}/hold;
            proxy_request_buffering off;
            client_max_body_size 0;
            client_body_temp_path unkept;
          }
          location = /small.html { }
          location = /sixteen { access_log off; alias html/sixteen; }
          location = /one { return 200 "one"; }
          location = /bare { return 204; }
          location = /limited { client_max_body_size 10; proxy_pass http://127.0.0.1:${backendPort}/count; }
          location = /slow-body { client_body_timeout 300ms; proxy_pass http://127.0.0.1:${backendPort}/count; }
          location = /slow-client { send_timeout 500ms; proxy_pass http://127.0.0.1:${backendPort}/known; }
          location = /drop { return 444; }
          location = /closing { keepalive_timeout 0; return 200 "bye"; }
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

    /** A request on a connection of its own, closed by the server: the whole answer. */
    const get = (path: string, more = '') =>
      ask(port, `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${more}\r\n`);

    const gauges = async () => gaugesIn(await get('/status'));
    const QUIET = '1 Reading: 0 Writing: 1 Waiting: 0';
    const quiet = () => until('all connections to be gone', async () => (await gauges()) === QUIET);

    test('has one Date, one Content-Length, our Server, and nothing of uWebSockets.js', async () => {
      for (const path of ['/one', '/small.html', '/teapot']) {
        const answer = await get(path);
        const [head = ''] = answer.split('\r\n\r\n');
        const names = head
          .split('\r\n')
          .slice(1)
          .map((line) => line.slice(0, line.indexOf(':')));
        assert.equal(new Set(names).size, names.length, head);
        assert.match(head, /^Server: portico\/[\d.]+\r$/m);
        assert.match(head, /^Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r?$/m);
        assert.match(head, /^Connection: close\r?$/m);
        assert.doesNotMatch(answer, /uWebSockets/i);
      }
    });

    test('has the status, the reason, and the fields of the server, bytes above 0x7f too', async () => {
      assert.match(
        await get('/teapot'),
        /^HTTP\/1\.1 418 Teapot\r\n[\s\S]*\r\n\r\nf\r\nshort and stout\r\n0\r\n\r\n$/,
      );
      assert.match(
        await get('/bytes'),
        /\r\nX-Name: J\xf6rg\xe4 \xff\r\n[\s\S]*\r\n\r\n2\r\n\xc3\xa4\r\n0\r\n\r\n$/,
      );
    });

    test('has no body where there is to be none', async () => {
      for (const path of ['/no-content', '/bare']) {
        const answer = await get(path);
        assert.match(answer, /^HTTP\/1\.1 204 No Content\r\n/);
        assert.doesNotMatch(answer, /Content-Length|Transfer-Encoding/);
        assert.ok(answer.endsWith('\r\n\r\n'));
      }
      assert.match(
        await get('/not-modified'),
        /^HTTP\/1\.1 304 Not Modified\r\n[\s\S]*ETag: "x"\r\n[\s\S]*\r\n\r\n$/,
      );
      const head = await ask(port, 'HEAD /small.html HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      assert.match(head, /\r\nContent-Length: 6\r\n/);
      assert.equal(head.match(/Content-Length/g)!.length, 1);
      assert.ok(head.endsWith('\r\n\r\n'));
      assert.match(await get('/empty'), /\r\nContent-Length: 0\r\n\r\n$/);
    });

    test('of unknown length is sent in chunks', async () => {
      const answer = await get('/pieces');
      assert.match(answer, /\r\nTransfer-Encoding: chunked\r\n/);
      let body = answer.slice(answer.indexOf('\r\n\r\n') + 4);
      let text = '';
      for (;;) {
        const end = body.indexOf('\r\n');
        const size = Number.parseInt(body.slice(0, end), 16);
        if (size === 0) break;
        text += body.slice(end + 2, end + 2 + size);
        assert.equal(body.slice(end + 2 + size, end + 4 + size), '\r\n');
        body = body.slice(end + 4 + size);
      }
      assert.equal(body, '0\r\n\r\n');
      assert.equal(text, 'piece '.repeat(200));
    });

    test('is whole, and takes no memory, however slowly it is read', async () => {
      for (const [path, letter] of [
        ['/known', 'k'],
        ['/unknown', 'u'],
      ] as const) {
        const answer = await new Promise<IncomingMessage>((resolve, reject) => {
          request({ port, path, agent: false }, resolve).on('error', reject).end();
        });
        let bytes = 0;
        for await (const chunk of answer as AsyncIterable<Buffer>) {
          bytes += chunk.length;
          assert.ok(chunk.every((byte) => byte === letter.charCodeAt(0)));
          // Slower than it is sent: its sender has to wait again and again.
          if (bytes % (1024 * 1024) < chunk.length) await new Promise((resolve) => setTimeout(resolve, 5));
        }
        assert.equal(bytes, BIG);
      }
      await quiet();
    });

    test('that is not taken for send_timeout is given up', async () => {
      const client = await rawClient(port);
      client.socket.pause();
      client.send('GET /slow-client HTTP/1.1\r\nHost: a\r\n\r\n');
      await portico.logged('client timed out (110: Connection timed out) while sending');
      client.destroy();
      await until('its line in the access log', () =>
        /GET \/slow-client HTTP\/1\.1" 200/.test(sandbox.read('logs/access.log')),
      );
      await quiet();
    });

    test('that breaks off is broken off', async () => {
      const answer = await get('/breaks');
      assert.match(answer, /\r\nContent-Length: 1000\r\n\r\nsome$/);
      assert.equal(await get('/drop'), '');
      await quiet();
    });

    test('ends the connection where it says so, and else keeps it', async () => {
      const client = await rawClient(port);
      for (let count = 1; count <= 3; count++) {
        client.send('GET /one HTTP/1.1\r\nHost: a\r\n\r\n');
        await client.until((heard) => heard.split('\r\n\r\none').length === count + 1);
      }
      assert.match(client.heard(), /Connection: keep-alive/);
      client.send('GET /closing HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.match(await client.closed(), /Connection: close\r\n[\s\S]*bye$/);
      await quiet();
    });

    test('is logged, with what was sent', async () => {
      await get('/one?logged');
      const line = await until('the line', () =>
        sandbox
          .read('logs/access.log')
          .split('\n')
          .find((text) => text.includes('/one?logged')),
      );
      const [, sent] = /^127\.0\.0\.1 "GET \/one\?logged HTTP\/1\.1" 200 3 (\d+) \d+$/.exec(line)!;
      assert.equal(Number(sent), (await get('/one?logged')).length);
    });

    test('says what is wrong with a request, as far as uWebSockets.js lets us', async () => {
      assert.match(await get(`/${'x'.repeat(2000)}`), /^HTTP\/1\.1 414 /);
      assert.match(
        await get('/one', `X: ${'x'.repeat(2000)}\r\n`),
        /^HTTP\/1\.1 400 [\s\S]*Request Header Or Cookie Too Large/,
      );
      assert.match(await get('/one', 'X: y\r\n'.repeat(30)), /^HTTP\/1\.1 400 /);
      assert.match(await get('/%'), /^HTTP\/1\.1 400 /);
      assert.match(await get('/../..'), /^HTTP\/1\.1 400 /);
      assert.match(await ask(port, 'TRACE / HTTP/1.1\r\nHost: a\r\n\r\n'), /^HTTP\/1\.1 405 /);
      assert.match(
        await ask(port, 'GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n'),
        /^HTTP\/1\.1 501 /,
      );
      // These are its own.
      assert.match(await ask(port, 'GET / HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 505 /);
      assert.match(await ask(port, 'GET / HTTP/1.1\r\nHost : a\r\n\r\n'), /^HTTP\/1\.1 400 /);
      assert.match(await ask(port, 'GET / HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 400 /);
      await portico.logged('client sent too long URI while reading client request line');
      await quiet();
    });

    test('goes to a request whose head came in pieces, with and without a body', async () => {
      for (const [sent, answer] of [
        ['GET /one HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', 'one'],
        ['POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n', '0'],
        ['POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello', '5'],
        [
          'POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n',
          '6',
        ],
      ] as const) {
        const client = await rawClient(port);
        client.socket.setNoDelay(true);
        for (let from = 0; from < sent.length; from += 7) {
          client.send(sent.slice(from, from + 7));
          await new Promise((resolve) => setImmediate(resolve));
        }
        assert.match(await client.closed(), new RegExp(`\\r\\n\\r\\n${answer}$`));
      }
    });

    test('a body beyond client_max_body_size is refused', async () => {
      const post = (framing: string) =>
        ask(port, `POST /limited HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${framing}`);
      assert.match(await post('Content-Length: 10\r\n\r\n0123456789'), /^HTTP\/1\.1 200 [\s\S]*10$/);
      assert.match(await post('Content-Length: 11\r\n\r\n0123456789'), /^HTTP\/1\.1 413 /);
      assert.match(
        await post('Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n'),
        /^HTTP\/1\.1 200 [\s\S]*10$/,
      );
      assert.match(await post('Transfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n'), /^HTTP\/1\.1 413 /);
    });

    test('a body that does not come is given up after client_body_timeout', async () => {
      const client = await rawClient(port);
      client.send('POST /slow-body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234');
      // As nginx has it: nobody is there to be told.
      assert.equal(await client.closed(), '');
      await until('its line in the access log', () =>
        /POST \/slow-body HTTP\/1\.1" 408 /.test(sandbox.read('logs/access.log')),
      );
      await quiet();
    });

    test('a body is no faster than the server that reads it', async () => {
      bytesTaken = 0;
      held = undefined;
      const memory = residentMemory(portico.pid);
      const size = 256 * 1024 * 1024;
      const sending = request({
        port,
        path: '/hold',
        method: 'POST',
        headers: { 'Content-Length': size },
        agent: false,
      });
      const answered = new Promise<IncomingMessage>((resolve, reject) => {
        sending.once('response', resolve).once('error', reject);
      });
      const piece = Buffer.alloc(1024 * 1024, 'b');
      let sent = 0;
      const pump = () => {
        while (sent < size) {
          sent += piece.length;
          if (!sending.write(piece)) {
            sending.once('drain', pump);
            return;
          }
        }
        sending.end();
      };
      pump();
      await until('the server to have the head', () => held);
      // It has to wait, or what it sends is kept in a file: on this machine it may be faster than it can be stopped.
      let before = -1;
      await until('the client to be held up', async () => {
        const stuck = sent === before;
        before = sent;
        await new Promise((resolve) => setTimeout(resolve, 200));
        return stuck;
      });
      if (sent === size) await portico.logged('a client request body is buffered to a temporary file');
      assert.ok(residentMemory(portico.pid) - memory < size / 2, 'it is not in memory');
      held!.resume();
      const answer = await answered;
      assert.equal(
        await answer.setEncoding('latin1').reduce((text: string, more: string) => text + more, ''),
        String(size),
      );
      await quiet();
    });

    test('a client that goes takes its request with it, at any moment', async () => {
      for (const sent of [
        'GET /hang HTTP/1.1\r\nHost: a\r\n\r\n',
        'POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome',
        'POST /hang HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nsome',
        'GET /known HTTP/1.1\r\nHost: a\r\n\r\n',
        'GET /unknown HTTP/1.1\r\nHost: a\r\n\r\n',
        'GET /one HTTP',
        '',
      ]) {
        const clients = await Promise.all(Array.from({ length: 5 }, () => rawClient(port)));
        for (const client of clients) client.send(sent);
        const waits = sent.includes('/hang') || sent.includes('/count');
        const there = waits ? /^6 Reading: 0 Writing: 6 / : /^6 /;
        await until('them to be there', async () => there.test(await gauges()));
        if (sent.includes('/hang')) await until('the server to be asked', () => open.size === 5);
        for (const [index, client] of clients.entries()) {
          if (index % 2 === 0) client.destroy();
          else client.reset();
        }
        await quiet();
        if (sent.includes('/hang')) await until('the server to be left alone', () => open.size === 0);
      }
      const log = sandbox.read('logs/access.log');
      assert.equal(log.match(/^127\.0\.0\.1 "GET \/hang HTTP\/1\.1" 499 0 0 \d+$/gm)?.length, 5);
      assert.equal(log.match(/"POST \/count HTTP\/1\.1" 400 /g)?.length, 5);
      assert.doesNotMatch(portico.errorLog(), /\[(crit|alert|emerg)\]/);
    });

    test('a body that cannot be kept is answered with 500, and the worker goes on', async () => {
      // No directory for temporary files can be made where a file is.
      rmSync(sandbox.path('unkept'), { recursive: true, force: true });
      sandbox.write('unkept', '');
      // A client may be stopped before anything has to be kept: then the next one has its turn.
      for (let failed = false; !failed; ) {
        held = undefined;
        const client = await rawClient(port);
        client.send(`POST /unkept HTTP/1.1\r\nHost: a\r\nContent-Length: ${BIG}\r\n\r\n`);
        await until('the server to have the head', () => held);
        client.send(Buffer.alloc(BIG, 'x'));
        let before = -1;
        await until('an answer, or the client to be held up', async () => {
          const stuck = client.socket.writableLength === before;
          before = client.socket.writableLength;
          await new Promise((resolve) => setTimeout(resolve, 200));
          return stuck || client.heard() !== '';
        });
        if (client.heard() === '') held!.resume();
        const [status] = /^HTTP\/1\.1 [25]00 /.exec(await client.until(/\r\n\r\n/)) ?? [];
        assert.ok(status);
        failed = status.endsWith(' 500 ');
        client.destroy();
      }
      await portico.logged(/\[crit\] .*"[^"]*\/unkept" failed \(20: Not a directory\)/);
      assert.match(await get('/one'), /one$/);
      await quiet();
    });

    test('a client that never reads gets no further answers', async () => {
      const before = residentMemory(portico.pid);
      const client = await rawClient(port);
      client.socket.pause();
      // Answers of ten times the memory that is not to be taken.
      client.send('GET /sixteen HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(20_000));
      await until('its connection to be given up', async () => /^1 /.test(await gauges()));
      assert.ok(residentMemory(portico.pid) - before < 64 * 1024 * 1024);
      client.destroy();
    });

    test('a second request before the answer closes the connection', async () => {
      const client = await rawClient(port);
      client.send('GET /hang HTTP/1.1\r\nHost: a\r\n\r\n');
      await until('the server to be asked', () => open.size === 1);
      client.send('GET /one HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.equal(await client.closed(), '');
      await until('the server to be left alone', () => open.size === 0);
      await quiet();
    });

    test('names of header lines reach the server in lower case, in their order, with all values', async () => {
      const answer = await get(
        '/headers',
        'X-One: 1\r\nX-Two:   2  \r\nX-One: again\r\nCookie: a=b\r\nX_Under: x\r\nX-Empty:\r\n',
      );
      const headers: string[] = JSON.parse(answer.slice(answer.indexOf('[')));
      assert.deepEqual(headers.slice(headers.indexOf('x-one')), [
        'x-one',
        '1',
        'x-two',
        '2',
        'x-one',
        'again',
        'cookie',
        'a=b',
        'x-empty',
        '',
      ]);
      await portico.logged('client sent invalid header line: "x_under: x"');
    });
  });
