import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { test } from 'node:test';
import { check } from '../support/check.ts';
import { createSandbox, startPortico } from '../support/portico.ts';
import { freePort, freePorts } from '../support/ports.ts';
import { get } from '../support/request.ts';

const SHOW = 'add_header Client "$remote_addr|$remote_port" always;';

test('a trusted proxy says who the client is, for one request', async () => {
  const port = await freePort();
  await using portico = await startPortico({
    http: `set_real_ip_from 127.0.0.1; set_real_ip_from 10.0.0.0/8; ${SHOW}
    server { listen 127.0.0.1:${port}; location / { stub_status; } location /closed { deny 192.0.2.0/24; stub_status; } }`,
  });
  const client = async (address: string, localAddress = '127.0.0.1') =>
    (await get({ port, localAddress, headers: { 'X-Real-IP': address } })).headers.client;
  assert.equal(await client('192.0.2.1'), '192.0.2.1|');
  assert.equal(await client('192.0.2.1:8080'), '192.0.2.1|8080');
  assert.equal(await client('[2001:DB8:0::1]:443'), '2001:db8::1|443');
  assert.equal(await client('2001:DB8:0::1'), '2001:db8::1|');
  assert.match((await client('nonsense')) as string, /^127\.0\.0\.1\|\d+$/);
  assert.match((await client('')) as string, /^127\.0\.0\.1\|\d+$/);
  assert.match((await client('192.0.2.1', '127.0.0.2')) as string, /^127\.0\.0\.2\|\d+$/);
  assert.match((await get({ port })).headers.client as string, /^127\.0\.0\.1\|\d+$/);

  const refused = await get({ port, path: '/closed', headers: { 'X-Real-IP': '192.0.2.7' } });
  assert.equal(refused.status, 403);
  await portico.logged('access forbidden by rule, client: 192.0.2.7,');
});

test('of a list only the last address counts, of X-Forwarded-For the last line', async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `set_real_ip_from 127.0.0.1; set_real_ip_from 10.0.0.0/8; ${SHOW}
    server {
      listen 127.0.0.1:${port};
      location / { real_ip_header X-Forwarded-For; stub_status; }
      location /other { real_ip_header x-client; stub_status; }
    }`,
  });
  const client = async (value: string | string[]) =>
    (await get({ port, headers: { 'X-Forwarded-For': value } })).headers.client;
  assert.equal(await client('192.0.2.1, 10.0.0.1'), '10.0.0.1|');
  assert.equal(await client('192.0.2.1,10.0.0.1 , ,'), '10.0.0.1|');
  assert.equal(await client(['192.0.2.1', '192.0.2.2, 10.0.0.2']), '10.0.0.2|');
  const other = await get({
    port,
    path: '/other',
    headers: { 'X-Client': ['192.0.2.1, 192.0.2.2', '192.0.2.3'] },
  });
  assert.equal(other.headers.client, '192.0.2.2|');
});

test('with real_ip_recursive the last address that is not trusted counts', async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `set_real_ip_from 127.0.0.1; set_real_ip_from 10.0.0.0/8; real_ip_recursive on; ${SHOW}
    server {
      listen 127.0.0.1:${port};
      location / { real_ip_header X-Forwarded-For; stub_status; }
      location /one { stub_status; }
    }`,
  });
  const client = async (value: string | string[]) =>
    (await get({ port, headers: { 'X-Forwarded-For': value } })).headers.client;
  assert.equal(await client('192.0.2.1, 192.0.2.2, 10.0.0.1'), '192.0.2.2|');
  assert.equal(await client('10.0.0.3, 10.0.0.2, 10.0.0.1'), '10.0.0.3|');
  assert.equal(await client('192.0.2.1, junk, 10.0.0.1'), '10.0.0.1|');
  assert.equal(await client(['10.0.0.9', '192.0.2.1', '10.0.0.2, 10.0.0.1']), '192.0.2.1|');
  assert.equal(await client(['192.0.2.1', 'junk', '10.0.0.1']), '10.0.0.1|');
  assert.match((await client('junk')) as string, /^127\.0\.0\.1\|/);
  const one = await get({ port, path: '/one', headers: { 'X-Real-IP': '192.0.2.1, 192.0.2.2, 10.0.0.1' } });
  assert.equal(one.headers.client, '192.0.2.2|');
});

test("the server's settings hold before a location is chosen, and the first answer stays", async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `set_real_ip_from 127.0.0.0/8; ${SHOW}
    server {
      listen 127.0.0.1:${port};
      if ($remote_addr = 192.0.2.1) { return 204; }
      location / { real_ip_header X-Other; stub_status; }
    }`,
  });
  const answer = async (headers: Record<string, string>) => {
    const { status, headers: fields } = await get({ port, headers });
    return `${status} ${fields.client}`;
  };
  assert.equal(await answer({ 'X-Real-IP': '192.0.2.1' }), '204 192.0.2.1|');
  assert.equal(await answer({ 'X-Real-IP': '192.0.2.2', 'X-Other': '192.0.2.3' }), '200 192.0.2.2|');
  assert.equal(await answer({ 'X-Other': '192.0.2.3' }), '200 192.0.2.3|');
});

test('the address of the connection stays known, over internal redirects as well', async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `set_real_ip_from 127.0.0.1;
    add_header Client $remote_addr always;
    add_header Proxy "$realip_remote_addr $realip_remote_port" always;
    server {
      listen 127.0.0.1:${port};
      error_page 403 /denied;
      location / { deny all; }
      location /denied { stub_status; }
    }`,
  });
  const answer = await get({ port, headers: { 'X-Real-IP': '192.0.2.1' } });
  assert.equal(answer.headers.client, '192.0.2.1');
  assert.equal(answer.headers.proxy, `127.0.0.1 ${answer.localPort}`);
});

test('proxies may be given by name, and as all there are on Unix sockets', async () => {
  using sandbox = createSandbox();
  const [port] = await freePorts(1);
  const socketPath = sandbox.path('listener.sock');
  await using _portico = await startPortico({
    sandbox,
    http: `${SHOW}
    server {
      listen 127.0.0.1:${port};
      listen unix:${socketPath};
      location /name { set_real_ip_from localhost; stub_status; }
      location /unix { set_real_ip_from unix:; stub_status; }
    }`,
  });
  const headers = { 'X-Real-IP': '192.0.2.1' };
  const client = async (to: { port?: number; socketPath?: string }, path: string) =>
    (await get({ ...to, path, headers })).headers.client;
  assert.equal(await client({ port }, '/name'), '192.0.2.1|');
  assert.match((await client({ port }, '/unix')) as string, /^127\.0\.0\.1\|/);
  assert.equal(await client({ socketPath }, '/unix'), '192.0.2.1|');
  assert.equal(await client({ socketPath }, '/name'), 'unix:|');
});

test('connections that are kept alive forget the address with the request', async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `set_real_ip_from 127.0.0.1; server { listen 127.0.0.1:${port}; return 200 $remote_addr; }`,
  });

  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = (headers: Record<string, string>) =>
    new Promise<string>((resolve, reject) => {
      request({ host: '127.0.0.1', port, headers, agent }, (answer) => {
        let body = '';
        answer.on('data', (chunk) => {
          body += chunk;
        });
        answer.on('end', () => resolve(body));
      })
        .on('error', reject)
        .end();
    });
  assert.equal(await ask({ 'X-Real-IP': '192.0.2.1' }), '192.0.2.1');
  assert.equal(await ask({}), '127.0.0.1');
  agent.destroy();
});

test('what cannot be trusted or understood is an error at load', async () => {
  const nobody = await check('set_real_ip_from nobody.invalid;');
  assert.equal(nobody.code, 1);
  assert.match(nobody.text, /\[emerg\] .*host not found in set_real_ip_from "nobody\.invalid" in FILE:2/);
  assert.match(
    (await check('real_ip_header a; real_ip_header b;')).text,
    /"real_ip_header" directive is duplicate/,
  );
  assert.match(
    (await check('real_ip_header proxy_protocol;')).text,
    /\[emerg\] .*proxy_protocol" is not supported/,
  );
  assert.match(
    (await check('real_ip_recursive maybe;')).text,
    /invalid value "maybe" in "real_ip_recursive"/,
  );
  const bits = await check('set_real_ip_from 10.0.0.1/8;');
  assert.equal(bits.code, 0);
  assert.match(bits.text, /\[warn\] .*low address bits of 10\.0\.0\.1\/8 are meaningless in FILE:2/);
});
