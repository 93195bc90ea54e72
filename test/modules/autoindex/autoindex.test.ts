import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync } from 'node:fs';
import { test } from 'node:test';
import { startSite } from '../static/site.ts';

const LOCATIONS = `
  location / { autoindex on; }
  location /utf8/ { alias %ROOT%/dir/; autoindex on; charset utf-8; }
  location /xml/ { alias %ROOT%/dir/; autoindex on; autoindex_format xml; }
  location /json/ { alias %ROOT%/dir/; autoindex on; autoindex_format json; }
  location /jsonp/ { alias %ROOT%/dir/; autoindex on; autoindex_format jsonp; }
  location /off/ { alias %ROOT%/dir/; }`;

test('a directory without an index file is listed: directories first, hidden files not at all', async () => {
  await using site = await startSite(LOCATIONS, (sandbox) => {
    for (const name of ['b', 'a', '.hidden', 'Z', '\xe4']) sandbox.write(`root/dir/${name}`, 'x');
    mkdirSync(sandbox.path('root/dir/inner'));
    symlinkSync('inner', sandbox.path('root/dir/linked'));
    symlinkSync('nowhere', sandbox.path('root/dir/dangling'));
    symlinkSync('loop', sandbox.path('root/dir/loop'));
    sandbox.write('root/with/index.html', 'index');
    for (let index = 0; index < 1000; index++) sandbox.write(`root/many/${index}`, '');
  });
  const names = (body: string) => [...body.matchAll(/<a href="([^"]*)">/g)].map(([, name]) => name);
  const { status, headers, body } = await site.get('/dir/');
  assert.equal(status, 200);
  assert.equal(headers['content-type'], 'text/html');
  const listed = names(body);
  assert.deepEqual(listed.slice(0, 3), ['../', 'inner/', 'linked/']);
  assert.deepEqual(
    listed.filter((name) => /^[a-zA-Z]$/.test(name!)),
    ['Z', 'a', 'b'],
  );
  assert.ok(listed.includes('dangling') && listed.includes('loop') && !body.includes('.hidden'));
  assert.equal((await site.get('/utf8/')).headers['content-type'], 'text/html; charset=utf-8');
  assert.equal((await site.get('/xml/')).headers['content-type'], 'text/xml; charset=utf-8');
  assert.equal((await site.get('/json/')).headers['content-type'], 'application/json');
  assert.equal((await site.get('/with/')).body, 'index');
  assert.equal(names((await site.get('/many/')).body).length, 1001);
  assert.equal((await site.get('/dir/', { method: 'HEAD' })).body, '');
  assert.equal((await site.get('/dir/', { method: 'POST' })).status, 403);
  assert.equal((await site.get('/off/')).status, 403);
});

test('JSONP takes a callback that is a name', async () => {
  await using site = await startSite(LOCATIONS, (sandbox) => sandbox.write('root/dir/a', 'x'));
  const listing = await site.get('/jsonp/?callback=a.b_1');
  assert.equal(listing.headers['content-type'], 'application/javascript');
  assert.match(listing.body, /^\/\* callback \*\/\r\na\.b_1\(\[/);
  for (const path of ['/jsonp/', '/jsonp/?callback=']) {
    const { headers, body } = await site.get(path);
    assert.equal(headers['content-type'], 'application/json');
    assert.match(body, /^\[\r\n/);
  }
  assert.equal((await site.get('/jsonp/?callback=alert(1)')).status, 400);
  await site.portico.logged('client sent invalid callback name: "alert(1)"');
  assert.equal((await site.get(`/jsonp/?callback=${'a'.repeat(129)}`)).status, 400);
  await site.portico.logged('client sent too long callback name: "aaa');
});

test('a directory that is not there is not found', async () => {
  await using site = await startSite('location / { index none; autoindex on; }', (sandbox) => {
    sandbox.write('root/file', 'x');
  });
  assert.equal((await site.get('/nowhere/')).status, 404);
  assert.equal((await site.get('/file/')).status, 404);
  await site.portico.logged(`"${site.sandbox.path('root/file/none')}" is not found (20: Not a directory)`);
});
