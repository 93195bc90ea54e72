import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check } from '../support/check.ts';
import { startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import { get } from '../support/request.ts';

test('address, then host, then URI choose what answers, with the captures of each choice', async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `
    server {
      listen ${port};
      return 200 wildcard;
    }
    server {
      listen 127.0.0.1:${port} default_server;
      server_name a.example.com;
      location / { return 200 root; }
      location = /exact { return 200 exact; }
      location /prefix/ {
        return 200 prefix;
        location /prefix/inner/ { return 200 inner; }
      }
      location ^~ /images/ { return 200 images; }
      location ~ ^/(?<what>images|users)/(\\d+) { return 200 "$what $2"; }
      location ~* \\.PHP$ { return 200 php; }
    }
    server {
      listen 127.0.0.1:${port};
      server_name ~^(?<name>[a-z]+)\\.(.+)$ .example.org;
      location / { return 200 "$name $2"; }
    }`,
  });
  const answer = async (path: string, host = 'a.example.com') =>
    (await get({ port, path, headers: { Host: host } })).body;
  assert.equal(await answer('/'), 'root');
  assert.equal(await answer('/exact'), 'exact');
  assert.equal(await answer('/prefix/x'), 'prefix');
  assert.equal(await answer('/prefix/inner/x'), 'inner');
  assert.equal(await answer('/images/1'), 'images');
  assert.equal(await answer('/users/12'), 'users 12');
  assert.equal(await answer('/prefix/inner/x.php'), 'php');
  assert.equal(await answer('/', 'www.other.net'), 'www other.net');
  assert.equal(await answer('/', 'EXAMPLE.org:80'), ' ');
  assert.equal(await answer('/', '127.0.0.1'), 'root');
  assert.equal((await get({ port, host: '127.0.0.2' })).body, 'wildcard');
});

test('the check tells in the words of nginx what is wrong with listeners, names and locations', async () => {
  const port = await freePort();
  const complaint = async (http: string) => (await check(http)).line;
  const server = (text: string) => `server { listen 127.0.0.1:${port}; ${text} }`;
  assert.equal(
    await complaint(server(`listen 127.0.0.1:${port};`)),
    `portico: [emerg] a duplicate listen 127.0.0.1:${port} in FILE:2`,
  );
  assert.equal(
    await complaint(server('server_name a;') + server('server_name a;')),
    `portico: [warn] conflicting server name "a" on 127.0.0.1:${port}, ignored in FILE:2`,
  );
  assert.equal(
    await complaint(server('location /a { location /b {} }')),
    'portico: [emerg] location "/b" is outside location "/a" in FILE:2',
  );
  assert.equal(
    await complaint(server('location = /a { location /a/b {} }')),
    'portico: [emerg] location "/a/b" cannot be inside the exact location "/a" in FILE:2',
  );
  assert.equal(
    await complaint(server('location @a { location /b {} }')),
    'portico: [emerg] location "/b" cannot be inside the named location "@a" in FILE:2',
  );
  assert.equal(
    await complaint(server('location /a { location @b {} }')),
    'portico: [emerg] named location "@b" can be on the server level only in FILE:2',
  );
  assert.equal(
    await complaint(server('location ~ "(" {}')),
    'portico: [emerg] pcre2_compile() failed: missing closing parenthesis in "(" in FILE:2',
  );
});
