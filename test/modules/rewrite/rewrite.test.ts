import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check } from '../../support/check.ts';
import { createSandbox, startPortico } from '../../support/portico.ts';
import { freePort } from '../../support/ports.ts';
import { get } from '../../support/request.ts';

/** What the check says first of what stands in a location. */
const complaint = async (location: string) => (await check(`server { location / { ${location} } }`)).line;

test('rewrite makes new URIs and arguments, and escapes captures where they become part of a query', async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `
    server {
      listen 127.0.0.1:${port};
      location /shown { return 200 "$uri|$args"; }
      location / {
        rewrite ^/last/(.*)$ /shown/$1 last;
        rewrite ^/query/(.*)$ /shown?a=$1 last;
        rewrite ^/without/ /shown? last;
        rewrite ^/both/(.*)$ /shown?a=$1? last;
        rewrite ^/named/(?<rest>.*)$ /shown/$rest last;
        rewrite ^/broken/(.*)$ /none/$1 break;
        rewrite ^/empty/ ?x last;
        rewrite ^/goes/on /goes/further;
        return 200 "after $uri";
      }
      location /broken { rewrite ^/broken(.*)$ /x$1; break; rewrite ^ /never; }
    }`,
  });
  const body = async (path: string) => (await get({ port, path })).body;
  assert.equal(await body('/last/a%20b?q=1'), '/shown/a b|q=1');
  assert.equal(await body('/query/a%20b&c?q=1'), '/shown|a=a%20b%26c&q=1');
  assert.equal(await body('/query/a&c'), '/shown|a=a&c');
  assert.equal(await body('/without/x?q=1'), '/shown|');
  assert.equal(await body('/both/x?q=1'), '/shown|a=x');
  assert.equal(await body('/named/x'), '/shown/x|');
  assert.equal(await body('/goes/on'), 'after /goes/further');
  assert.equal((await get({ port, path: '/broken/x' })).status, 404);
  assert.equal((await get({ port, path: '/empty/' })).status, 500);
});

test('rewrite redirects, with what need not be escaped unescaped', async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `
    server {
      listen 127.0.0.1:${port};
      absolute_redirect off;
      rewrite ^/found/(.*)$ /x/$1 redirect;
      rewrite ^/moved/(.*)$ /x/$1 permanent;
      rewrite ^/url/(.*)$ https://example.com/$1;
      rewrite ^/scheme/(.*)$ $scheme://example.com/$1?z=1;
    }`,
  });
  const target = async (path: string) => {
    const { status, headers } = await get({ port, path });
    return `${status} ${headers.location}`;
  };
  assert.equal(await target('/found/%41%20b%3Fc%26d?q=1'), '302 /x/A%20b?c%26d?q=1');
  assert.equal(await target('/moved/a?q'), '301 /x/a?q');
  assert.equal(await target('/url/a'), '302 https://example.com/a');
  assert.equal(await target('/scheme/a?q'), '302 http://example.com/a?z=1&q');
});

test('the tenth change of the URI is the last', async () => {
  const port = await freePort();
  await using portico = await startPortico({
    http: `server { listen 127.0.0.1:${port}; location / { rewrite ^ /x last; } }`,
  });
  assert.equal((await get({ port, path: '/' })).status, 500);
  assert.match(portico.errorLog(), /rewrite or internal redirection cycle while processing "\/x"/);
});

test('if compares, matches and looks for files', async () => {
  using files = createSandbox();
  files.write('file', 'x');
  const port = await freePort();
  await using _portico = await startPortico({
    http: `
    server {
      listen 127.0.0.1:${port};
      set $r "";
      if ($arg_a) { set $r "\${r}1"; }
      if ($arg_a = x) { set $r "\${r}="; }
      if ( $arg_a != x ) { set $r "\${r}!"; }
      if ($arg_a ~ ^(X)(.)) { set $r "\${r}~$2"; }
      if ($arg_a ~* ^X) { set $r "\${r}*"; }
      if ($arg_a !~ ^X) { set $r "\${r}n"; }
      if ($arg_a !~* ^X) { set $r "\${r}N"; }
      if (-f ${files.directory}$arg_f) { set $r "\${r}f"; }
      if (!-f ${files.directory}$arg_f) { set $r "\${r}F"; }
      if (-d ${files.directory}$arg_f) { set $r "\${r}d"; }
      if (-e ${files.directory}$arg_f) { set $r "\${r}e"; }
      if (-x ${files.directory}$arg_f) { set $r "\${r}x"; }
      if (!-x ${files.directory}$arg_f) { set $r "\${r}X"; }
      return 200 $r;
    }`,
  });
  const body = async (path: string) => (await get({ port, path })).body;
  assert.equal(await body('/?a=x&f=file'), '1=*nfeX');
  assert.equal(await body('/?a=Xy&f=conf'), '1!~y*Fdex');
  assert.equal(await body('/?a=0&f=none'), '!nNFX');
});

test('an if without a handler leaves the one of the location around it, with its own settings', async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `
    server {
      listen 127.0.0.1:${port};
      location /status { stub_status; if ($arg_a) { add_header X-Inner yes; } }
      location /headers { add_header X-Outer yes; if ($arg_a) { add_header X-Inner yes; } return 200 x; }
    }`,
  });
  const status = await get({ port, path: '/status?a=1' });
  assert.match(status.body, /^Active connections/);
  assert.equal(status.headers['x-inner'], 'yes');
  const inner = await get({ port, path: '/headers?a=1' });
  assert.equal(inner.headers['x-outer'], undefined);
  assert.equal(inner.headers['x-inner'], 'yes');
  assert.equal((await get({ port, path: '/headers' })).headers['x-outer'], 'yes');
});

test('an if without a handler leaves the one of the if before it, and a proxy_pass then has nowhere to go', async () => {
  const port = await freePort();
  await using portico = await startPortico({
    http: `
    server {
      listen 127.0.0.1:${port};
      set $yes 1;
      location /proxied { if ($yes) { proxy_pass http://127.0.0.1:${port}; } if ($yes) { set $two 2; } }
      location /again/ {
        if ($yes) { proxy_pass http://127.0.0.1:${port}; }
        if ($yes) { rewrite ^ /none; }
      }
    }`,
  });
  assert.equal((await get({ port, path: '/proxied' })).status, 500);
  assert.match(portico.errorLog(), /\[alert\] \d+#\d+: \*\d+ no upstream configuration/);
  // Another location begins without one.
  assert.equal((await get({ port, path: '/again/' })).status, 404);
});

test('set goes before what a request has, and what nobody has set is warned of once', async () => {
  const port = await freePort();
  await using portico = await startPortico({
    http: `
    server {
      listen 127.0.0.1:${port};
      location /fields { set $http_x mine; return 200 "$http_x $http_y"; }
      location /args { set $args "a=1&$args"; return 200 "$arg_a $arg_b $query_string"; }
      location /unset { return 200 "[$never$never]"; }
      location /quiet { uninitialized_variable_warn off; return 200 "[$never]"; }
      location /set { set $never x; return 200 x; }
    }`,
  });
  const headers = { 'X-X': 'theirs', X: 'theirs', Y: 'y' };
  assert.equal((await get({ port, path: '/fields', headers })).body, 'mine y');
  assert.equal((await get({ port, path: '/args?b=2' })).body, '1 2 a=1&b=2');
  assert.equal((await get({ port, path: '/quiet' })).body, '[]');
  assert.equal((await get({ port, path: '/unset' })).body, '[]');
  const warnings = portico.errorLog().match(/using uninitialized "never" variable/g);
  assert.equal(warnings?.length, 1);
});

test('rewrite_log says what matches and what comes of it', async () => {
  const port = await freePort();
  await using portico = await startPortico({
    main: 'error_log logs/error.log notice;',
    http: `
    server {
      listen 127.0.0.1:${port};
      rewrite_log on;
      rewrite ^/a /b;
      rewrite ^/c /d;
      if ($uri ~ b) { return 200 x; }
    }`,
  });
  await get({ port, path: '/a?q' });
  const log = portico.errorLog();
  assert.match(log, /\[notice\].*"\^\/a" matches "\/a"/);
  assert.match(log, /rewritten data: "\/b", args: "q"/);
  assert.match(log, /"\^\/c" does not match "\/b"/);
  assert.match(log, /"b" matches "\/b"/);
});

test('what is wrong in a statement is told as nginx tells it', async () => {
  const cases: readonly (readonly [location: string, message: string])[] = [
    ['rewrite ^ "";', 'empty replacement'],
    ['rewrite ^ /x forever;', 'invalid parameter "forever"'],
    ['rewrite ( /x;', 'pcre2_compile() failed: missing closing parenthesis in "("'],
    ['return 1000;', 'invalid return code "1000"'],
    ['return http://x text;', 'invalid return code "http://x"'],
    ['set x y;', 'invalid variable name "x"'],
    ['set $ y;', 'invalid variable name "$"'],
    ['set $uri y;', 'the duplicate "uri" variable'],
    ['if ($a {}', 'invalid condition "$a"'],
    ['if (x) {}', 'invalid condition "x"'],
    ['if (-q x) {}', 'invalid condition "-q"'],
    ['if ($uri == x) {}', 'unexpected "==" in condition'],
    [
      'return 200 $tcpinfo_rtt;',
      'the "tcpinfo_rtt" variable is not supported: Node.js does not tell the kernel\'s figures of a TCP connection',
    ],
    ['return 200 $nobody;', 'unknown "nobody" variable'],
  ];
  await Promise.all(
    cases.map(async ([location, message]) =>
      assert.equal(await complaint(location), `portico: [emerg] ${message} in FILE:2`, location),
    ),
  );
});
