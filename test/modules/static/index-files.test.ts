import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check } from '../../support/check.ts';
import { startSite } from './site.ts';

test('the first index file there is answers, and sees itself as the URI', async () => {
  await using site = await startSite(
    `
    add_header X-URI $uri;
    location /default/ { }
    location /listed/ { index none.html $arg_name second.html; }
    location /absolute/ { index none.html /fallback.html; }
    location /elsewhere/ { index /loop/; }
    location /loop/ { index /loop/; }
    location /slashless { alias %ROOT%/listed; index second.html; }`,
    (sandbox) => {
      sandbox.write('root/default/index.html', 'default');
      sandbox.write('root/listed/second.html', 'second');
      sandbox.write('root/listed/third.html', 'third');
      sandbox.write('root/absolute/x', '');
      sandbox.write('root/fallback.html', 'fallback');
    },
  );
  const uri = async (path: string) => {
    const { body, headers } = await site.get(path);
    return [body, headers['x-uri']];
  };
  assert.deepEqual(await uri('/default/'), ['default', '/default/index.html']);
  assert.deepEqual(await uri('/listed/?name=third.html'), ['third', '/listed/third.html']);
  assert.deepEqual(await uri('/listed/?name=nothing'), ['second', '/listed/second.html']);
  assert.deepEqual(await uri('/absolute/'), ['fallback', '/fallback.html']);
  assert.deepEqual(await uri('/slashless/'), ['second', '/slashless/second.html']);
  assert.equal((await site.get('/loop/')).status, 500);
  await site.portico.logged('rewrite or internal redirection cycle while internally redirecting to "/loop/"');
});

test('a directory that is not there, or is none, is told from one without an index', async () => {
  await using site = await startSite('location /quiet/ { log_not_found off; }', (sandbox) => {
    sandbox.write('root/dir/x', '');
    sandbox.write('root/file', '');
  });
  const { sandbox, portico } = site;
  assert.equal((await site.get('/dir/')).status, 403);
  assert.equal((await site.get('/none/')).status, 404);
  await portico.logged(
    `"${sandbox.path('root/none/index.html')}" is not found (2: No such file or directory)`,
  );
  assert.equal((await site.get('/file/')).status, 404);
  await portico.logged(`"${sandbox.path('root/file/index.html')}" is not found (20: Not a directory)`);
  assert.equal((await site.get('/quiet/none/')).status, 404);
  assert.equal((await site.get('/last/')).status, 404);
  await portico.logged('/root/last/index.html');
  assert.doesNotMatch(portico.errorLog(), /quiet\/none\/index.html" is not found/);
});

test('an absolute index that is not the last is a warning, an empty one an error', async () => {
  const complaint = async (http: string) => {
    const { code, text } = await check(http);
    return `${code} ${text}`;
  };
  assert.match(
    await complaint('index /a b;'),
    /^0 [\s\S]*\[warn\] only the last index in "index" directive should be absolute/,
  );
  assert.match(await complaint('index "";'), /^1 [\s\S]*\[emerg\] index "" in "index" directive is invalid/);
  assert.match(
    await complaint('types { a/b x; c/d X; }'),
    /^0 [\s\S]*\[warn\] duplicate extension "x", content type: "c\/d", previous content type: "a\/b"/,
  );
  assert.match(
    await complaint('disable_symlinks from=/x;'),
    /must have "off", "on" or "if_not_owner" parameter/,
  );
  assert.match(
    await complaint('disable_symlinks off from=/x;'),
    /"from=" cannot be used with "off" parameter/,
  );
  assert.match(await complaint('disable_symlinks maybe;'), /invalid parameter "maybe"/);
  assert.match(
    await complaint('open_file_cache inactive=5s;'),
    /"open_file_cache" must have the "max" parameter/,
  );
  assert.match(await complaint('open_file_cache max=x;'), /invalid "open_file_cache" parameter "max=x"/);
  assert.match(await complaint('aio maybe;'), /"aio" directive invalid value/);
  assert.match(await complaint('directio maybe;'), /"directio" directive invalid value/);
  assert.match(
    await complaint(
      'open_file_cache max=10 inactive=5s; open_file_cache_valid 1m; open_file_cache_min_uses 2; ' +
        'open_file_cache_errors on; aio threads=default; directio 4m; directio_alignment 512; output_buffers 2 32k; ' +
        'sendfile on; sendfile_max_chunk 1m; read_ahead 8k; max_ranges 5; if_modified_since before; etag off;',
    ),
    /^0 /,
  );
});
