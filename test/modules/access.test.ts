import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check } from '../support/check.ts';
import { createSandbox, startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import { get, hasIPv6 } from '../support/request.ts';

test('the first rule that fits a client decides, and where none fits it may pass', async () => {
  const port = await freePort();
  await using portico = await startPortico({
    http: `server {
      listen 127.0.0.1:${port};
      location /first { allow 127.0.0.2; deny 127.0.0.0/8; stub_status; }
      location /last { deny 127.0.0.3; deny 127.0.1.0/24; allow 127.0.0.0/8; deny all; stub_status; }
      location /none { deny 10.0.0.0/8; deny 2001:db8::/32; deny unix:; stub_status; }
      location /all { deny all; allow 127.0.0.1; stub_status; }
    }`,
  });
  const from = async (localAddress: string, path: string) => (await get({ port, localAddress, path })).status;
  assert.equal(await from('127.0.0.1', '/first'), 403);
  assert.equal(await from('127.0.0.2', '/first'), 200);
  assert.equal(await from('127.0.0.2', '/last'), 200);
  assert.equal(await from('127.0.0.3', '/last'), 403);
  assert.equal(await from('127.0.1.77', '/last'), 403);
  assert.equal(await from('127.0.0.1', '/none'), 200);
  assert.equal(await from('127.0.0.1', '/all'), 403);
  const line = await portico.logged('access forbidden by rule, client: 127.0.0.3');
  assert.match(
    line,
    /\[error\] .*access forbidden by rule, client: 127\.0\.0\.3, server: , request: "GET \/last HTTP\/1\.1"/,
  );
});

test('rules of an inner block take the place of all outer ones', async () => {
  const port = await freePort();
  await using portico = await startPortico({
    http: `deny 127.0.0.2;
    server {
      listen 127.0.0.1:${port};
      location /inherits { stub_status; location /inherits/too { stub_status; } }
      location /own { allow 127.0.0.1; deny 127.0.0.3; stub_status; }
    }`,
  });
  const from = async (localAddress: string, path: string) => (await get({ port, localAddress, path })).status;
  assert.equal(await from('127.0.0.1', '/inherits'), 200);
  assert.equal(await from('127.0.0.2', '/inherits'), 403);
  assert.equal(await from('127.0.0.2', '/inherits/too'), 403);
  assert.equal(await from('127.0.0.2', '/own'), 200);
  assert.equal(await from('127.0.0.3', '/own'), 403);
  assert.equal(portico.process.exitCode, null);
});

test('limit_except holds for the methods it does not name', async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `server {
      listen 127.0.0.1:${port};
      location / { limit_except GET { deny all; } stub_status; }
    }`,
  });
  assert.equal((await get({ port, method: 'GET' })).status, 200);
  assert.equal((await get({ port, method: 'HEAD' })).status, 200);
  assert.equal((await get({ port, method: 'DELETE' })).status, 403);
});

test('under satisfy any a refusal is logged once nobody else was content', async () => {
  const port = await freePort();
  await using portico = await startPortico({
    http: `satisfy any;
    server {
      listen 127.0.0.1:${port};
      location / { allow 127.0.0.1; deny all; stub_status; }
    }`,
  });
  assert.equal((await get({ port, localAddress: '127.0.0.1' })).status, 200);
  assert.equal((await get({ port, localAddress: '127.0.0.2' })).status, 403);
  await portico.logged('access forbidden by rule, client: 127.0.0.2');
  assert.equal(portico.errorLog().split('access forbidden by rule').length, 2);
});

test('unix: stands for every client on a Unix socket', async () => {
  using sandbox = createSandbox();
  const port = await freePort();
  const socketPath = sandbox.path('listener.sock');
  await using _portico = await startPortico({
    sandbox,
    http: `server {
      listen 127.0.0.1:${port};
      listen unix:${socketPath};
      location /allowed { allow unix:; deny all; stub_status; }
      location /denied { deny unix:; stub_status; }
      location /addresses { deny 0.0.0.0/0; deny ::/0; stub_status; }
      location /all { deny all; stub_status; }
    }`,
  });
  const status = async (to: { port: number } | { socketPath: string }, path: string) =>
    (await get({ ...to, path })).status;
  assert.equal(await status({ socketPath }, '/allowed'), 200);
  assert.equal(await status({ port }, '/allowed'), 403);
  assert.equal(await status({ socketPath }, '/denied'), 403);
  assert.equal(await status({ port }, '/denied'), 200);
  assert.equal(await status({ socketPath }, '/addresses'), 200);
  assert.equal(await status({ socketPath }, '/all'), 403);
});

test('clients over IPv6 are compared with IPv6 rules', { skip: !hasIPv6 }, async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `server {
      listen [::1]:${port};
      location /six { allow ::/64; deny all; stub_status; }
      location /four { deny 0.0.0.0/0; stub_status; }
      location /other { deny ::2; deny 2001:db8::/32; allow ::1; deny all; stub_status; }
      location /all { deny all; stub_status; }
    }`,
  });
  const status = async (path: string) => (await get({ port, host: '::1', path })).status;
  assert.equal(await status('/six'), 200);
  assert.equal(await status('/four'), 200);
  assert.equal(await status('/other'), 200);
  assert.equal(await status('/all'), 403);
});

test('a client over IPv4 on a socket for both is compared with IPv4 rules', { skip: !hasIPv6 }, async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `server {
      listen [::]:${port} ipv6only=off;
      location /four { deny ::/0; allow 127.0.0.1; deny all; stub_status; }
      location /six { deny ::/0; stub_status; }
      location /mapped { allow ::ffff:0:0/96; deny all; stub_status; }
    }`,
  });
  const status = async (path: string) => (await get({ port, host: '127.0.0.1', path })).status;
  assert.equal(await status('/four'), 200);
  assert.equal(await status('/six'), 403);
  // `deny all` is a rule for IPv4, too: the one that counts.
  assert.equal(await status('/mapped'), 403);
});

test('what is no address is an error, and bits outside the mask are a warning', async () => {
  const wrong = await check('server { allow 10.0.0.0/33; }');
  assert.equal(wrong.code, 1);
  assert.match(wrong.text, /\[emerg\] .*invalid parameter "10\.0\.0\.0\/33" in FILE:2/);
  assert.match((await check('deny localhost;')).text, /invalid parameter "localhost" in FILE:2/);
  const bits = await check('deny 10.0.0.1/8;');
  assert.equal(bits.code, 0);
  assert.match(bits.text, /\[warn\] .*low address bits of 10\.0\.0\.1\/8 are meaningless in FILE:2/);
});
