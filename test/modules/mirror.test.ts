import assert from 'node:assert/strict';
import { test } from 'node:test';
import { get, openClient } from '../support/client.ts';
import { startHeldBackend } from '../support/held-backend.ts';
import { startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import { until } from '../support/wait.ts';

test('a mirror gets method, arguments and body, and its answer goes nowhere', async () => {
  await using backend = await startHeldBackend();
  const port = await freePort();
  await using _portico = await startPortico({
    http: `server { listen 127.0.0.1:${port};
      location / { mirror /mirror; mirror /second; proxy_pass http://127.0.0.1:${backend.port}; }
      location /mirror { internal; proxy_pass http://127.0.0.1:${backend.port}/copy$uri?$args; }
      location /second { internal; proxy_pass http://127.0.0.1:${backend.port}; }
    }`,
  });
  using client = await openClient(port);
  client.write('PUT /there?a=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello');
  const main = await backend.take('/there?a=1');
  const copy = await backend.take('/copy/mirror?a=1');
  const second = await backend.take('/second?a=1');
  for (const request of [main, copy, second]) {
    assert.equal(request.method, 'PUT');
    assert.equal(request.body, 'hello');
  }
  copy.response.writeHead(500).end('copied');
  second.response.end('second');
  main.response.end('main');
  const answer = await client.answer();
  assert.equal(answer.status, 200);
  assert.equal(answer.body, 'main');
});

test('a mirror that is slow holds back the next request on the connection, not the answer', async () => {
  await using backend = await startHeldBackend();
  const port = await freePort();
  await using portico = await startPortico({
    http: `log_format times "$uri $status"; access_log logs/times.log times;
    server { listen 127.0.0.1:${port};
      location / { mirror /mirror; return 200 "answer"; }
      location /page { mirror /mirror; mirror_request_body off; alias ${'conf/portico.conf'}; }
      location /mirror { internal; log_subrequest on; proxy_pass http://127.0.0.1:${backend.port}; }
    }`,
  });
  using client = await openClient(port);
  client.write('GET /page HTTP/1.1\r\nHost: localhost\r\n\r\nGET /page HTTP/1.1\r\nHost: localhost\r\n\r\n');
  assert.equal((await client.answer()).status, 200);
  const mirror = await backend.take('/mirror');
  assert.equal(portico.sandbox.read('logs/times.log'), '');
  mirror.response.end('slow');
  assert.equal((await client.answer()).status, 200);
  (await backend.take('/mirror')).response.end();
  const lines = await until('four lines', () => {
    const text = portico.sandbox.read('logs/times.log');
    return text.split('\n').length === 5 ? text : undefined;
  });
  assert.equal(lines, '/mirror 200\n/page 200\n/mirror 200\n/page 200\n');
});

test('a client that goes while only the mirror is under way does not end it; while it is proxied, it does', async () => {
  await using backend = await startHeldBackend();
  const port = await freePort();
  await using portico = await startPortico({
    http: `upstream one { server 127.0.0.1:${backend.port} max_conns=1; }
    log_format end "$uri $status"; access_log logs/end.log end;
    server { listen 127.0.0.1:${port};
      location /page { mirror /mirror; mirror_request_body off; alias conf/portico.conf; }
      location /proxied { mirror /mirror; proxy_pass http://127.0.0.1:${backend.port}; }
      location /mirror { internal; log_subrequest on; proxy_pass http://one; }
    }`,
  });
  const first = await openClient(port);
  await first.get('/page');
  const kept = await backend.take('/mirror');
  first.close();
  await first.ended;
  kept.response.end('done');
  await until('the log', () => portico.sandbox.read('logs/end.log') === '/mirror 200\n/page 200\n');

  const second = await openClient(port);
  second.write('GET /proxied HTTP/1.1\r\nHost: localhost\r\n\r\n');
  const main = await backend.take('/proxied');
  const lost = await backend.take('/mirror');
  second.close();
  await until('both to be given up', () => main.aborted && lost.aborted);
  await until('the log', () => portico.sandbox.read('logs/end.log').endsWith('\n/proxied 499\n'));

  // The server of the group has its place back.
  const third = await openClient(port);
  await third.get('/page');
  const again = await backend.take('/mirror');
  again.response.end();
  await until('the log', () => portico.sandbox.read('logs/end.log').endsWith('\n/mirror 200\n/page 200\n'));
  third.close();
});

test('a mirror that fails harms nobody', async () => {
  const [port, nobody] = [await freePort(), await freePort()];
  await using portico = await startPortico({
    http: `server { listen 127.0.0.1:${port};
      location / { mirror /refused; mirror /closed; mirror /missing; mirror /loop; return 201 "fine"; }
      location /static { mirror /refused; mirror /closed; mirror /missing; mirror /loop; alias conf/portico.conf; }
      location /refused { internal; proxy_pass http://127.0.0.1:${nobody}; }
      location /closed { internal; return 444; }
      location /missing { internal; root /nonexistent; }
      location /loop { internal; error_page 404 /loop; return 404; }
    }`,
  });
  using client = await openClient(port);
  for (let count = 0; count < 3; count++) assert.equal((await client.get('/static')).status, 200);
  const line = await portico.logged('Connection refused');
  assert.match(line, /request: "GET \/static HTTP\/1\.1", subrequest: "\/refused", upstream: "http:/);
  assert.equal((await get(port, '/')).status, 201);
  assert.doesNotMatch(portico.errorLog(), /unexpected error/);
});

test('mirror off, and mirrors of mirrors', async () => {
  await using backend = await startHeldBackend();
  const port = await freePort();
  await using _portico = await startPortico({
    http: `mirror /mirror;
    server { listen 127.0.0.1:${port};
      location / { alias conf/portico.conf; }
      location /off { mirror off; alias conf/portico.conf; }
      location /mirror { internal; proxy_pass http://127.0.0.1:${backend.port}; }
    }`,
  });
  using client = await openClient(port);
  await client.get('/off');
  await client.get('/');
  (await backend.take('/mirror')).response.end();
  assert.equal((await client.get('/off')).status, 200);
  assert.equal(backend.requests.length, 1);
});

test('a configuration that is replaced stays until its mirrors have ended', async () => {
  await using backend = await startHeldBackend();
  const port = await freePort();
  const server = (body: string) => `server { listen 127.0.0.1:${port};
      location / { mirror /mirror; mirror_request_body off; alias conf/portico.conf; }
      location /mirror { internal; proxy_pass http://127.0.0.1:${backend.port}; }
      location /which { return 200 "${body}"; }
    }`;
  await using portico = await startPortico({ http: server('old') });
  using client = await openClient(port);
  await client.get('/');
  const mirror = await backend.take('/mirror');
  portico.configure({ http: server('new') });
  assert.equal(await portico.reload(), 'done');
  const waiting = client.get('/which');
  mirror.response.end();
  assert.equal((await waiting).body, 'new');
});
