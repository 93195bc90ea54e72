import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check } from '../support/check.ts';
import { openClient } from '../support/client.ts';
import { startHeldBackend } from '../support/held-backend.ts';
import { startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import { get } from '../support/request.ts';
import { until } from '../support/wait.ts';

test('the status of the other location decides', async () => {
  const [port, other] = [await freePort(), await freePort()];
  await using portico = await startPortico({
    http: `server { listen 127.0.0.1:${port};
      location /page { auth_request /auth; alias conf/portico.conf; }
      location /off { auth_request off; alias conf/portico.conf; }
      location /any { satisfy any; auth_request /auth; auth_request_set $never ""; deny all; alias conf/portico.conf; }
      location /forbidden { auth_request /auth403; alias conf/portico.conf; }
      location /strange { auth_request /auth404; alias conf/portico.conf; }
      location = /auth { internal; proxy_pass http://127.0.0.1:${other}$request_uri; }
      location = /auth403 { return 403; }
      location = /auth404 { return 404; }
    }
    server { listen 127.0.0.1:${other};
      location / { if ($arg_status) { add_header WWW-Authenticate 'Basic realm="x"' always; return 401; } return 204; }
    }`,
  });
  const ask = (path: string) => get({ port, path });
  assert.equal((await ask('/page')).status, 200);
  assert.equal((await ask('/off?status=401')).status, 200);
  const refused = await ask('/page?status=401');
  assert.equal(refused.status, 401);
  assert.equal(refused.headers['www-authenticate'], 'Basic realm="x"');
  assert.equal((await ask('/forbidden')).status, 403);
  assert.equal((await ask('/strange')).status, 500);
  await portico.logged('auth request unexpected status: 404');
  assert.equal((await ask('/any')).status, 200);
  assert.equal((await ask('/any?status=401')).status, 401);
});

test('it asks without the body, and keeps what it is told to of the answer', async () => {
  await using backend = await startHeldBackend();
  const port = await freePort();
  await using _portico = await startPortico({
    http: `server { listen 127.0.0.1:${port};
      location / { auth_request /auth; auth_request_set $user $upstream_http_x_user;
        proxy_set_header X-User $user; proxy_pass http://127.0.0.1:${backend.port}; }
      location = /auth { internal; proxy_pass http://127.0.0.1:${backend.port}; }
      location /unset { add_header X-User "x${'$'}{user}x"; return 204; }
    }`,
  });
  using client = await openClient(port);
  client.write('POST /there HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello');
  const auth = await backend.take('/auth');
  assert.equal(auth.method, 'GET');
  assert.equal(auth.body, '');
  assert.equal(backend.requests.length, 1);
  auth.response.writeHead(200, { 'X-User': 'anna' }).end('ignored');
  const main = await backend.take('/there');
  assert.equal(main.method, 'POST');
  assert.equal(main.body, 'hello');
  assert.equal(main.headers['x-user'], 'anna');
  main.response.end('ok');
  assert.equal((await client.answer()).body, 'ok');
  assert.equal((await get({ port, path: '/unset' })).headers['x-user'], 'xx');
});

test('a client that goes meanwhile, and a location that closes', async () => {
  await using backend = await startHeldBackend();
  const port = await freePort();
  await using portico = await startPortico({
    http: `upstream one { server 127.0.0.1:${backend.port} max_conns=1; }
    log_format end "$uri $status"; access_log logs/end.log end;
    server { listen 127.0.0.1:${port};
      location / { auth_request /auth; alias conf/portico.conf; }
      location = /auth { internal; proxy_pass http://one; }
      location /closed { auth_request /444; alias conf/portico.conf; }
      location = /444 { return 444; }
    }`,
  });
  for (let round = 1; round <= 2; round++) {
    const client = await openClient(port);
    client.write('GET /there HTTP/1.1\r\nHost: x\r\n\r\n');
    const auth = await backend.take('/auth');
    client.close();
    await until('it to be given up', () => auth.aborted);
    await until('the log', () => portico.sandbox.read('logs/end.log') === '/there 499\n'.repeat(round));
  }
  using client = await openClient(port);
  client.write('GET /closed HTTP/1.1\r\nHost: x\r\n\r\n');
  await client.ended;
  await until('the log', () => portico.sandbox.read('logs/end.log').endsWith('/closed 444\n'));
});

test('auth_request_set names a variable', async () => {
  const { code, line } = await check('auth_request_set user x;');
  assert.equal(code, 1);
  assert.equal(line, 'portico: [emerg] invalid variable name "user" in FILE:2');
});
