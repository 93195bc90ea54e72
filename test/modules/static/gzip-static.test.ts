import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { startSite } from './site.ts';

const LOCATIONS = `
  location /on/ { alias %ROOT%/; gzip_static on; }
  location /vary/ { alias %ROOT%/; gzip_static on; gzip_vary on; }
  location /always/ { alias %ROOT%/; gzip_static always; }
  location /off/ { alias %ROOT%/; }
  location /gif { empty_gif; }`;

test('the compressed file is sent to those who take it, as the type of the plain one', async () => {
  await using site = await startSite(LOCATIONS, (sandbox) => {
    sandbox.write('root/a.html', 'plain');
    writeFileSync(sandbox.path('root/a.html.gz'), gzipSync('compressed'));
    writeFileSync(sandbox.path('root/only.txt.gz'), gzipSync('only'));
    sandbox.write('root/b.html', 'plain');
    sandbox.write('root/c.html', 'plain');
    mkdirSync(sandbox.path('root/c.html.gz'));
  });
  const ask = (path: string, encoding = 'gzip') =>
    site.get(path, { headers: { 'accept-encoding': encoding } });
  const unpack = (body: string) => gunzipSync(Buffer.from(body, 'latin1')).toString();
  const taken = await ask('/on/a.html');
  assert.equal(unpack(taken.body), 'compressed');
  assert.equal(taken.headers['content-encoding'], 'gzip');
  assert.equal(taken.headers['content-type'], 'text/html');
  assert.equal(taken.headers.vary, undefined);
  assert.equal((await ask('/on/a.html', 'identity')).body, 'plain');
  assert.equal((await ask('/on/b.html')).body, 'plain');
  assert.equal((await ask('/on/c.html')).body, 'plain');
  assert.equal((await ask('/off/a.html')).body, 'plain');
  assert.equal((await ask('/vary/a.html')).headers.vary, 'Accept-Encoding');
  const plain = await ask('/vary/a.html', 'identity');
  assert.deepEqual([plain.body, plain.headers.vary], ['plain', 'Accept-Encoding']);
  assert.equal((await ask('/vary/b.html')).headers.vary, undefined);
  assert.equal(unpack((await ask('/always/only.txt', 'identity')).body), 'only');
  assert.equal((await ask('/on/only.txt', 'identity')).status, 404);
  const range = await site.get('/on/a.html', { headers: { 'accept-encoding': 'gzip', range: 'bytes=0-1' } });
  assert.deepEqual([range.status, range.body], [206, '\x1f\x8b']);
  const same = await site.get('/on/a.html', {
    headers: { 'accept-encoding': 'gzip', 'if-none-match': taken.headers.etag! },
  });
  assert.deepEqual([same.status, same.headers['content-encoding']], [304, undefined]);
});

test('the empty picture is a GIF of 43 bytes', async () => {
  await using site = await startSite(LOCATIONS, (sandbox) => sandbox.write('root/x', ''));
  const { headers, body } = await site.get('/gif');
  assert.equal(headers['content-type'], 'image/gif');
  assert.equal(headers['last-modified'], 'Mon, 28 Sep 1970 06:00:00 GMT');
  assert.equal(body.length, 43);
  assert.ok(body.startsWith('GIF89a\x01\0\x01\0') && body.endsWith('\x3b'));
  assert.equal((await site.get('/gif', { method: 'POST' })).status, 405);
});
