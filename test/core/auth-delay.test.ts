import assert from 'node:assert/strict';
import { test } from 'node:test';
import { get, openClient } from '../support/client.ts';
import { startHeldBackend } from '../support/held-backend.ts';
import { startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import { until } from '../support/wait.ts';

test('who lacks a password waits, whoever else is refused does not', async () => {
  const port = await freePort();
  await using portico = await startPortico({
    http: `server { listen 127.0.0.1:${port}; auth_delay 20ms;
      location /all { auth_request /401; }
      location /any { satisfy any; deny all; auth_request /401; }
      location /forbidden { auth_delay 1h; auth_request /403; }
      location = /401 { return 401; }
      location = /403 { return 403; }
    }`,
  });
  using client = await openClient(port);
  assert.equal((await client.get('/all')).status, 401);
  assert.equal((await client.get('/any')).status, 401);
  assert.equal((await client.get('/forbidden')).status, 403);
  assert.equal(portico.errorLog().split('delaying unauthorized request').length, 3);
});

test('a client that goes meanwhile is not waited for', async () => {
  const port = await freePort();
  await using portico = await startPortico({
    http: `log_format end "$uri $status"; access_log logs/end.log end;
    server { listen 127.0.0.1:${port};
      location / { auth_delay 1h; auth_request /401; }
      location = /401 { return 401; }
      location /status { access_log off; stub_status; }
    }`,
  });
  for (const [index, way] of ['end', 'resetAndDestroy'].entries()) {
    const from = portico.errorLog().length;
    using client = await openClient(port);
    client.write('GET /page HTTP/1.1\r\nHost: x\r\n\r\n');
    await portico.logged('delaying unauthorized request', from);
    if (way === 'end') client.socket.end();
    else client.socket.resetAndDestroy();
    await portico.logged(/\[info\] .* client prematurely closed connection, client: .*"GET \/page /, from);
    await until('the log', () => portico.sandbox.read('logs/end.log') === '/page 499\n'.repeat(index + 1));
    await client.ended;
  }
  await until('nobody to be there', async () =>
    /^Active connections: 1 \n[\s\S]*Writing: 1 /.test((await get(port, '/status')).body),
  );
});

test('what comes after the answer is not refused when the time is over', async () => {
  await using backend = await startHeldBackend();
  const port = await freePort();
  await using portico = await startPortico({
    http: `log_format end "$request_uri $uri $status"; access_log logs/end.log end;
    server { listen 127.0.0.1:${port};
      location / { auth_delay 50ms; auth_request /401; post_action /done; }
      location /none { auth_delay 50ms; auth_request /401; access_log off; }
      location = /401 { return 401; }
      location = /done { internal; proxy_pass http://127.0.0.1:${backend.port}; }
    }`,
  });
  using client = await openClient(port);
  client.write('GET /page HTTP/1.1\r\nHost: x\r\n\r\n');
  await portico.logged('delaying unauthorized request');
  client.close();
  const done = await backend.take('/done');
  // By then the first one's time is over.
  assert.equal((await get(port, '/none')).status, 401);
  assert.equal(done.aborted, false);
  assert.equal(portico.sandbox.read('logs/end.log'), '');
  done.response.writeHead(204).end();
  await until('the log', () => portico.sandbox.read('logs/end.log') === '/page /done 204\n');
});
