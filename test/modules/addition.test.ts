import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { startHeldBackend } from '../support/held-backend.ts';
import { createSandbox, startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import { rawClient } from '../support/raw-client.ts';
import { get } from '../support/request.ts';
import { until } from '../support/wait.ts';

test('bodies come in their order, whichever is ready first', async () => {
  await using backend = await startHeldBackend();
  const port = await freePort();
  await using _portico = await startPortico({
    http: `server { listen 127.0.0.1:${port};
      location / { proxy_pass http://127.0.0.1:${backend.port}; }
      location /page { add_before_body /before; add_after_body /after; proxy_pass http://127.0.0.1:${backend.port}; }
    }`,
  });
  const asked = get({ port, path: '/page?x=1' });
  const page = await backend.take('/page?x=1');
  page.response.writeHead(200, { 'Content-Type': 'text/html', ETag: '"1"', 'Content-Length': 4 });
  page.response.end('page');
  const before = await backend.take('/before');
  assert.equal(before.method, 'GET');
  (await backend.take('/after')).response.end('after');
  before.response.write('bef');
  before.response.end('ore');
  const answer = await asked;
  assert.equal(answer.body, 'beforepageafter');
  assert.equal(answer.headers['content-length'], undefined);
  assert.equal(answer.headers.etag, 'W/"1"');
  assert.equal(answer.headers['accept-ranges'], undefined);
});

test('bodies far larger than what may wait stream, and arrive whole, at a slow client too', async () => {
  using sandbox = createSandbox();
  const big = (letter: string) => `${letter.repeat(1023)}\n`.repeat(3000);
  sandbox.write('a.html', big('a'));
  sandbox.write('b.html', big('b'));
  sandbox.write('c.html', big('c'));
  const port = await freePort();
  await using portico = await startPortico({
    sandbox,
    http: `server { listen 127.0.0.1:${port}; root .;
      location / { }
      location /b.html { add_before_body /a.html; add_after_body /proxied; }
      location /proxied { proxy_pass http://127.0.0.1:${port}/c.html; }
    }`,
  });
  const whole = createHash('md5')
    .update(big('a') + big('b') + big('c'))
    .digest('hex');
  const { body } = await get({ port, path: '/b.html' });
  assert.equal(createHash('md5').update(body).digest('hex'), whole);

  const client = await rawClient(port);
  client.send('GET /b.html HTTP/1.0\r\n\r\n');
  await client.until(/aaaa/);
  client.socket.pause();
  await new Promise((resolve) => setTimeout(resolve, 300));
  client.socket.resume();
  const heard = await client.closed();
  const slow = heard.slice(heard.indexOf('\r\n\r\n') + 4);
  assert.equal(createHash('md5').update(slow).digest('hex'), whole);
  assert.doesNotMatch(portico.errorLog(), /unexpected error/);
});

test('only answers of status 200 and of the right type are added to, and no HEAD', async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `add_before_body /x; add_after_body /x;
    server { listen 127.0.0.1:${port};
      default_type text/html;
      location / { return 200 "page"; }
      location /accepted { return 202 "page"; }
      location /plain { default_type text/plain; return 200 "page"; }
      location /css { addition_types text/css; default_type text/css; return 200 "page"; }
      location /empty { return 200 ""; }
      location /missing { return 404; }
      location /off { add_before_body ""; add_after_body ""; return 200 "page"; }
      location /x { return 200 "x"; }
    }`,
  });
  const body = async (path: string) => (await get({ port, path })).body;
  assert.equal(await body('/'), 'xpagex');
  assert.equal(await body('/accepted'), 'page');
  assert.equal(await body('/plain'), 'page');
  assert.equal(await body('/css'), 'xpagex');
  assert.equal(await body('/empty'), 'xx');
  assert.equal(await body('/off'), 'page');
  assert.match(await body('/missing'), /404 Not Found/);
  const head = await get({ port, path: '/', method: 'HEAD' });
  assert.equal(head.status, 200);
  assert.equal(head.headers['content-length'], undefined);
  assert.equal(head.body, '');
});

test('what is added is compressed with the rest, and an error page is added like any other', async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `gzip on; gzip_min_length 0;
    server { listen 127.0.0.1:${port};
      default_type text/html;
      location / { add_before_body /missing; add_after_body /after; return 200 "page"; }
      location /missing { error_page 404 /page404; return 404; }
      location /page404 { return 200 "sorry "; }
      location /after { add_header X-Never seen; return 200 " after"; }
    }`,
  });
  const client = await rawClient(port);
  client.send('GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n');
  // HTTP/1.0 is not compressed for unless told; the second request is.
  const plain = await client.closed();
  assert.match(plain, /\r\n\r\nsorry page after$/);
  assert.doesNotMatch(plain, /X-Never/);
  const second = await rawClient(port);
  second.send('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept-Encoding: gzip\r\n\r\n');
  const heard = await second.closed();
  assert.match(heard, /Content-Encoding: gzip/);
  let chunks = heard.slice(heard.indexOf('\r\n\r\n') + 4);
  let compressed = '';
  for (;;) {
    const end = chunks.indexOf('\r\n');
    const size = Number.parseInt(chunks.slice(0, end), 16);
    if (size === 0) break;
    compressed += chunks.slice(end + 2, end + 2 + size);
    chunks = chunks.slice(end + 4 + size);
  }
  assert.equal(gunzipSync(Buffer.from(compressed, 'latin1')).toString(), 'sorry page after');
});

test('a client that goes ends what is added; the upstream servers have their places back', async () => {
  await using backend = await startHeldBackend();
  const port = await freePort();
  await using portico = await startPortico({
    http: `upstream one { server 127.0.0.1:${backend.port} max_conns=2; }
    log_format end "$uri $status $request_completion"; access_log logs/end.log end;
    server { listen 127.0.0.1:${port}; default_type text/html;
      location /page { add_before_body /before; add_after_body /after; return 200 "page"; }
      location / { proxy_pass http://one; log_subrequest on; }
      location /status { stub_status; access_log off; }
    }`,
  });
  for (let round = 1; round <= 3; round++) {
    const client = await rawClient(port);
    client.send('GET /page HTTP/1.1\r\nHost: x\r\n\r\n');
    const before = await backend.take('/before');
    const after = await backend.take('/after');
    client.destroy();
    await until('both to be given up', () => before.aborted && after.aborted);
    await until('the log', () => portico.sandbox.read('logs/end.log') === '/page 200 \n'.repeat(round));
  }
  const { body } = await get({ port, path: '/status' });
  assert.match(body, /Active connections: 1 \n[\s\S]*Writing: 1/);
});

test('an answer that breaks off is cut short, and the rest follows; one that is refused closes the connection', async () => {
  await using backend = await startHeldBackend();
  const port = await freePort();
  await using portico = await startPortico({
    http: `server { listen 127.0.0.1:${port}; default_type text/html;
      location /page { add_before_body /short; return 200 "page"; }
      location /closed { add_before_body /444; return 200 "page"; }
      location /short { proxy_pass http://127.0.0.1:${backend.port}; }
      location /444 { return 444; }
    }`,
  });
  const asked = get({ port, path: '/page' });
  const short = await backend.take('/short');
  short.response.writeHead(200, { 'Content-Length': 100 });
  short.response.write('some');
  await until('the head to be on its way', () => short.response.writableLength === 0);
  setTimeout(() => short.response.destroy(), 50);
  assert.equal((await asked).body, 'somepage');
  await portico.logged('upstream prematurely closed connection while reading upstream');
  const client = await rawClient(port);
  client.send('GET /closed HTTP/1.1\r\nHost: x\r\n\r\n');
  assert.equal(await client.closed(), '');
});
