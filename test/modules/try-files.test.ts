import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check } from '../support/check.ts';
import { createSandbox, startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import { get } from '../support/request.ts';

test('the first file or directory there is serves the request, else the last word says what does', async () => {
  using files = createSandbox();
  files.write('site/found.html', 'found');
  files.write('site/dir/index.html', 'index');
  files.write('site/under.html', 'under');
  const port = await freePort();
  await using _portico = await startPortico({
    http: `
    server {
      listen 127.0.0.1:${port};
      root ${files.path('site')};
      location / { try_files $uri $uri/ /fallback?from=$uri; }
      location /fallback { return 200 "fallback $args"; }
      location /named { try_files $uri @named; }
      location @named { return 200 "named $uri"; }
      location /code { try_files $uri =410; }
      location /first { try_files /none /found.html =404; }
      location /notdir { try_files /dir =404; }
      location /notfile { try_files /found.html/ =404; }
      location /alias/ { alias ${files.path('site/')}; try_files $uri =404; }
      location /inner/ { alias ${files.path('site/')}; location ~ html { try_files $uri =404; } }
      location ~ ^/pattern/(.*)$ { alias ${files.path('site/')}; try_files $1 =404; }
    }`,
  });
  const answer = async (path: string) => {
    const { status, body } = await get({ port, path });
    return status === 200 ? body : String(status);
  };
  assert.equal(await answer('/found.html'), 'found');
  assert.equal(await answer('/dir/'), 'index');
  assert.equal(await answer('/dir'), '301');
  assert.equal(await answer('/none'), 'fallback from=/none');
  assert.equal(await answer('/named/x'), 'named /named/x');
  assert.equal(await answer('/code'), '410');
  assert.equal(await answer('/first'), 'found');
  assert.equal(await answer('/notdir'), '404');
  assert.equal(await answer('/notfile'), '404');
  assert.equal(await answer('/alias/under.html'), 'under');
  assert.equal(await answer('/alias/none'), '404');
  assert.equal(await answer('/inner/under.html'), 'under');
  assert.equal(await answer('/pattern/under.html'), 'under');
});

test('a code that is none is refused', async () => {
  const { code, line } = await check('server { try_files /x =1000; }');
  assert.equal(code, 1);
  assert.equal(line, 'portico: [emerg] invalid code "=1000" in FILE:2');
});
