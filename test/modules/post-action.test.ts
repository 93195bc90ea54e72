import assert from 'node:assert/strict';
import { mkdirSync, rmdirSync } from 'node:fs';
import { test } from 'node:test';
import { get, openClient } from '../support/client.ts';
import { createFileStall } from '../support/file-stall.ts';
import { startHeldBackend } from '../support/held-backend.ts';
import { createSandbox, startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import { until } from '../support/wait.ts';

test('what comes after the answer knows how it went, and is logged as one request', async () => {
  await using backend = await startHeldBackend();
  const port = await freePort();
  await using portico = await startPortico({
    http: `log_format end "$request_uri $uri $status $body_bytes_sent $request_completion"; access_log logs/end.log end;
    server { listen 127.0.0.1:${port};
      location = /a { post_action /done; alias conf/portico.conf; }
      location /text { post_action @done; error_page 404 = @text; return 404; }
      location @text { post_action @done; proxy_pass http://127.0.0.1:${backend.port}; }
      location /done { internal; proxy_pass http://127.0.0.1:${backend.port}/sent$request_uri-$body_bytes_sent; }
      location @done { proxy_pass http://127.0.0.1:${backend.port}; proxy_method REPORT;
        proxy_set_header X-Sent $body_bytes_sent; }
    }`,
  });
  using client = await openClient(port);
  const { body } = await client.get('/a?b');
  const done = await backend.take(`/sent/a?b-${body.length}`);
  assert.equal(portico.sandbox.read('logs/end.log'), '');
  // The connection goes on when that has been done.
  const next = client.get('/text');
  assert.equal(backend.requests.length, 1);
  done.response.writeHead(204).end();
  (await backend.take('/text')).response.end('12345');
  assert.equal((await next).body, '12345');
  const report = await backend.take('/text');
  assert.equal(report.method, 'REPORT');
  assert.equal(report.headers['x-sent'], '5');
  report.response.end('for nobody');
  const lines = await until('the log', () => {
    const text = portico.sandbox.read('logs/end.log').split('\n');
    return text.length > 2 ? text : undefined;
  });
  assert.deepEqual(lines, [`/a?b /done 204 ${body.length} OK`, '/text /text 200 5 OK', '']);
});

test('it is done where the client has gone, too, and where it fails itself', async () => {
  await using backend = await startHeldBackend();
  const [port, nobody] = [await freePort(), await freePort()];
  await using portico = await startPortico({
    http: `upstream one { server 127.0.0.1:${backend.port} max_conns=1; }
    server { listen 127.0.0.1:${port};
      location / { post_action /done; proxy_pass http://one; }
      location /done { internal; proxy_pass http://127.0.0.1:${backend.port}; }
      location /fails { post_action /refused; return 200 "fine"; }
      location /refused { internal; proxy_pass http://127.0.0.1:${nobody}; }
      location /nowhere { post_action @nowhere; return 200 "fine"; }
      location /status { stub_status; }
    }`,
  });
  const client = await openClient(port);
  client.write('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n');
  const slow = await backend.take('/slow');
  client.close();
  await until('the request to be given up', () => slow.aborted);
  const done = await backend.take('/done');
  done.response.end();
  assert.equal((await get(port, '/fails')).body, 'fine');
  await portico.logged('Connection refused');
  assert.equal((await get(port, '/nowhere')).body, 'fine');
  await portico.logged('could not find named location "@nowhere"');
  await until('all to be over', async () =>
    /Active connections: 1 \n[\s\S]*Writing: 1/.test((await get(port, '/status')).body),
  );
  assert.doesNotMatch(portico.errorLog(), /unexpected error/);
});

test('one that leads to itself ends, and the connection goes on', async () => {
  const port = await freePort();
  await using portico = await startPortico({
    http: `post_action /again;
    server { listen 127.0.0.1:${port};
      location / { return 200 "page"; }
      location /again { return 204; }
    }`,
  });
  using client = await openClient(port);
  assert.equal((await client.get('/')).body, 'page');
  await portico.logged('rewrite or internal redirection cycle while internally redirecting to "/again"');
  // nginx, too, keeps no connection after the 500 nobody has seen.
  await client.ended;
  assert.equal((await get(port, '/')).body, 'page');
});

test('what is still being read for a client that has gone is no part of it', async () => {
  await using backend = await startHeldBackend();
  const port = await freePort();
  using sandbox = createSandbox();
  sandbox.write('files/file', 'text');
  mkdirSync(sandbox.path('files/gone'));
  await using portico = await startPortico({
    sandbox,
    environment: createFileStall(sandbox).environment,
    http: `log_format end "$request_uri $uri $upstream_status"; access_log logs/end.log end;
    server { listen 127.0.0.1:${port}; root ${sandbox.directory}; autoindex on; aio threads;
      location /files/ { post_action /done; }
      location /done { internal; proxy_pass http://127.0.0.1:${backend.port}; }
      location /logs/ { access_log off; }
      location /status { access_log off; stub_status; }
    }`,
  });
  let logged = '';
  for (const path of ['/files/file', '/files/', '/files/gone/']) {
    await using stall = createFileStall(sandbox);
    using client = await openClient(port);
    await stall.begin();
    client.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await until('it to be read', async () => /Writing: 2/.test((await get(port, '/status')).body));
    if (path === '/files/gone/') rmdirSync(sandbox.path('files/gone'));
    client.socket.resetAndDestroy();
    const done = await backend.take('/done');
    await stall.end();
    // What was asked for before this has been read, too.
    assert.equal((await get(port, '/logs/')).status, 200);
    assert.equal(sandbox.read('logs/end.log'), logged, path);
    assert.equal(done.aborted, false);
    done.response.writeHead(204).end();
    logged += `${path} /done 204\n`;
    await until('the log', () => sandbox.read('logs/end.log') === logged);
  }
  await until('all to be over', async () => /Writing: 1/.test((await get(port, '/status')).body));
  assert.doesNotMatch(portico.errorLog(), /unexpected error|alert/);
});
