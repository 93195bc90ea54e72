import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, statSync, symlinkSync, utimesSync } from 'node:fs';
import { test } from 'node:test';
import { ask } from '../../support/raw-client.ts';
import { startSite } from './site.ts';

test('a file is sent with its type, date and ETag', async () => {
  await using site = await startSite('', (sandbox) => {
    utimesSync(sandbox.write('root/a.html', 'hello'), 1e9, 1e9);
    sandbox.write('root/UPPER.TXT', 'x');
    sandbox.write('root/none.unknown', 'x');
    sandbox.write('root/d/.html', 'x');
    sandbox.write('root/empty.txt', '');
    sandbox.write('root/caf\xe9.txt', 'latin');
  });
  const { status, headers, body } = await site.get('/a.html');
  assert.equal(status, 200);
  assert.equal(body, 'hello');
  assert.equal(headers['content-type'], 'text/html');
  assert.equal(headers['content-length'], '5');
  assert.equal(headers['last-modified'], 'Sun, 09 Sep 2001 01:46:40 GMT');
  assert.equal(headers.etag, '"3b9aca00-5"');
  assert.equal(headers['accept-ranges'], 'bytes');
  assert.equal((await site.get('/UPPER.TXT')).headers['content-type'], 'text/plain');
  assert.equal((await site.get('/none.unknown')).headers['content-type'], 'text/plain');
  assert.equal((await site.get('/d/.html')).headers['content-type'], 'text/plain');
  assert.equal((await site.get('/empty.txt')).headers['content-length'], '0');
  const head = await site.get('/a.html', { method: 'HEAD' });
  assert.deepEqual([head.headers['content-length'], head.body], ['5', '']);
});

test('names of files are bytes, whatever their encoding', async () => {
  await using site = await startSite('', (sandbox) => {
    mkdirSync(sandbox.path('root'));
    execFileSync('sh', ['-c', `printf one > "$(printf '${sandbox.path('root')}/caf\\351.txt')"`]);
    execFileSync('sh', ['-c', `printf two > "$(printf '${sandbox.path('root')}/caf\\303\\251.txt')"`]);
  });
  assert.equal((await site.get('/caf%E9.txt')).body, 'one');
  assert.equal((await site.get('/caf%C3%A9.txt')).body, 'two');
});

test('what is not there, or may not be read, is answered and logged as nginx does', async () => {
  await using site = await startSite('location /quiet/ { log_not_found off; }', (sandbox) => {
    sandbox.write('root/a.html', 'hello');
    chmodSync(sandbox.write('root/secret', 'x'), 0);
    symlinkSync('loop', sandbox.path('root/loop'));
    execFileSync('mkfifo', [sandbox.path('root/fifo')]);
  });
  const { portico, sandbox } = site;
  assert.equal((await site.get('/nope')).status, 404);
  await portico.logged(`open() "${sandbox.path('root/nope')}" failed (2: No such file or directory)`);
  assert.equal((await site.get('/a.html/x')).status, 404);
  await portico.logged('failed (20: Not a directory)');
  assert.equal((await site.get(`/${'n'.repeat(300)}`)).status, 404);
  await portico.logged('failed (36: File name too long)');
  assert.equal((await site.get('/loop')).status, 403);
  await portico.logged('failed (40: Too many levels of symbolic links)');
  assert.equal((await site.get('/fifo')).status, 404);
  await portico.logged(`[crit] `);
  await portico.logged(`"${sandbox.path('root/fifo')}" is not a regular file`);
  if (process.getuid!() !== 0) assert.equal((await site.get('/secret')).status, 403);
  assert.equal((await site.get('/quiet/nope')).status, 404);
  assert.equal((await site.get('/last')).status, 404);
  await portico.logged('/root/last"');
  assert.doesNotMatch(portico.errorLog(), /quiet\/nope" failed/);
});

test('only GET and HEAD get a file', async () => {
  await using site = await startSite('', (sandbox) => sandbox.write('root/a.html', 'hello'));
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
    assert.equal((await site.get('/a.html', { method })).status, 405, method);
  }
  assert.equal((await site.get('/nope', { method: 'POST' })).status, 404);
});

test('a directory is redirected to its name with a slash, escaped, with the arguments', async () => {
  await using site = await startSite('absolute_redirect off;', (sandbox) => {
    sandbox.write('root/dir/x', '');
    sandbox.write('root/a b?/x', '');
  });
  const { status, headers } = await site.get('/dir?a=1');
  assert.deepEqual([status, headers.location], [301, '/dir/?a=1']);
  assert.equal((await site.get('/a%20b%3F')).headers.location, '/a%20b%3F/');
  assert.equal((await site.get('/dir/')).status, 403);
  await site.portico.logged(`directory index of "${site.sandbox.path('root/dir/')}" is forbidden`);
});

test('root and alias: slashes, inner locations, regular expressions, variables', async () => {
  await using site = await startSite(
    `
    location /a { alias %ROOT%/dir; }
    location /b/ { alias %ROOT%/dir/; location /b/inner { add_header X inner; } }
    location ~ ^/re/(\\w+)/(.*)$ { alias %ROOT%/$1/$2; location ~ ^/re/(\\w+)/(x)$ { add_header X inner; } }
    location /slash/ { root %ROOT%/; }
    location /filesystem/ { alias /; }
    location /var/ { root $document_uri; }
    location /rewritten/ { rewrite ^ /else break; alias %ROOT%/dir/; }
    location /relative/ { alias root/dir/; }
    location /absolute { root /; }`,
    (sandbox) => {
      sandbox.write('root/dir/x', 'file');
      sandbox.write('root/dirx', 'neighbour');
      sandbox.write('root/slash/x', 'slash');
      sandbox.write('root/b/x', 'not this');
    },
  );
  const { sandbox } = site;
  assert.equal((await site.get('/a/x')).body, 'file');
  assert.equal((await site.get('/ax')).body, 'neighbour');
  assert.equal((await site.get('/b/x')).body, 'file');
  // `alias` is that of the outer location, whose name is shorter.
  assert.equal((await site.get('/b/inner')).status, 404);
  await site.portico.logged(`open() "${sandbox.path('root/dir/inner')}"`);
  const inner = await site.get('/re/dir/x');
  assert.deepEqual([inner.body, inner.headers.x], ['file', 'inner']);
  assert.equal((await site.get('/slash/x')).body, 'slash');
  assert.equal((await site.get(`/filesystem${sandbox.path('root/dir/x')}`)).body, 'file');
  assert.equal((await site.get('/relative/x')).body, 'file');
  assert.equal((await site.get('/rewritten/x')).status, 500);
  await site.portico.logged('"alias" cannot be used in location "/rewritten/" where URI was rewritten');
  assert.equal((await site.get('/absolute/x')).status, 404);
  await site.portico.logged('open() "/absolute/x" failed');
});

test('nobody gets out of the root', async () => {
  await using site = await startSite(
    'location /files { alias %ROOT%/pub; } location /pub/ { alias %ROOT%/pub/; }',
    (sandbox) => {
      sandbox.write('secret.txt', 'SECRET');
      sandbox.write('root/pub/x', 'x');
      sandbox.write('root-secret.txt', 'SECRET');
    },
  );
  const tries = [
    '/../secret.txt',
    '/pub/../../secret.txt',
    '/%2e%2e/secret.txt',
    '/..%2fsecret.txt',
    '/%2e%2e%2fsecret.txt',
    '/.%2e/secret.txt',
    '/pub/%2e%2e/%2e%2e/secret.txt',
    '/pub/..%2f..%2fsecret.txt',
    '/%252e%252e/secret.txt',
    '/..\\secret.txt',
    '/..%5csecret.txt',
    '/..%00/secret.txt',
    '/pub/x%00/../../secret.txt',
    '/..;/secret.txt',
    '/%c0%ae%c0%ae/secret.txt',
    '//../secret.txt',
    '/./.././secret.txt',
    '/pub/..//../secret.txt',
    'http://x/../secret.txt',
    '/pub../../secret.txt',
    '/files../../secret.txt',
    '/files%2e%2e/%2e%2e/secret.txt',
    '/-secret.txt',
  ];
  for (const target of tries) {
    const answer = await ask(site.port, `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    assert.match(answer, /^HTTP\/1.1 40[04] /, target);
    assert.doesNotMatch(answer, /SECRET/, target);
  }
});

test('an alias without a slash leads beside the directory, as in nginx, and no further', async () => {
  await using site = await startSite('location /files { alias %ROOT%/pub/; }', (sandbox) => {
    sandbox.write('root/pub/x', 'x');
    sandbox.write('root/beside', 'beside');
    sandbox.write('above', 'above');
  });
  // The famous mistake: the location's name should end with a slash as the alias does.
  assert.equal((await site.get('/files../beside')).body, 'beside');
  for (const path of ['/files../../above', '/files..%2f..%2fabove', '/files../%2e%2e/above']) {
    assert.equal((await site.get(path)).status, 404, path);
  }
});

test('symbolic links: all, none, or those of their owner', async () => {
  const owner = statSync('/etc/passwd').uid;
  await using site = await startSite(
    `
    location /on/ { alias %ROOT%/dir/; disable_symlinks on; }
    location /owner/ { alias %ROOT%/dir/; disable_symlinks if_not_owner; }
    location /from/ { alias %ROOT%/linked/; disable_symlinks on from=%ROOT%/linked; }
    location /linked/ { alias %ROOT%/linked/; disable_symlinks on; }
    location /off/ { alias %ROOT%/dir/; }
    location /index/ { alias %ROOT%/indexed/; disable_symlinks on; }
    location /try/ { alias %ROOT%/dir/; disable_symlinks on; try_files /link /x =404; }
    location /dots/ { alias %ROOT%/dir/.//../dir//; disable_symlinks on; }`,
    (sandbox) => {
      sandbox.write('root/dir/x', 'file');
      symlinkSync('x', sandbox.path('root/dir/link'));
      symlinkSync('/etc/passwd', sandbox.path('root/dir/foreign'));
      symlinkSync('../dir', sandbox.path('root/dir/up'));
      symlinkSync('dir', sandbox.path('root/linked'));
      mkdirSync(sandbox.path('root/indexed'));
      symlinkSync('../dir/x', sandbox.path('root/indexed/index.html'));
    },
  );
  const status = async (path: string) => (await site.get(path)).status;
  assert.equal(await status('/off/link'), 200);
  assert.equal(await status('/off/up/x'), 200);
  assert.equal(await status('/on/x'), 200);
  assert.equal(await status('/on/link'), 403);
  await site.portico.logged(/openat\(\) ".*\/dir\/link" failed \(40: Too many levels of symbolic links\)/);
  assert.ok([403, 404].includes(await status('/on/up/x')));
  assert.equal(await status('/owner/link'), 200);
  assert.equal(await status('/owner/up/x'), 200);
  if (process.getuid!() !== owner) assert.equal(await status('/owner/foreign'), 403);
  assert.equal(await status('/from/x'), 200);
  assert.equal(await status('/from/link'), 403);
  assert.ok([403, 404].includes(await status('/linked/x')));
  assert.equal(await status('/index/'), 403);
  // The link is passed over.
  assert.equal((await site.get('/try/a')).body, 'file');
  assert.equal(await status('/dots/x'), 200);
});
