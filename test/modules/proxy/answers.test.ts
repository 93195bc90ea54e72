import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { get, openClient } from '../../support/client.ts';
import { type RunningPortico, startPortico } from '../../support/portico.ts';
import { freePort } from '../../support/ports.ts';
import { ask } from '../../support/raw-client.ts';
import { answer, type Backend, headerOf, startBackend } from './backend.ts';

let backend: Backend;
let portico: RunningPortico;
let port: number;

/** What the upstream server says, by the target it is asked for. */
const SAYS: Record<string, string> = {
  '/words': answer('body', 'X-One: 1\r\nX-Two: 2\r\n', '299 My Own Words'),
  '/hidden': answer(
    '',
    'Server: theirs\r\nDate: then\r\nX-Pad: x\r\nX-Accel-Expires: 5\r\nKeep-Alive: 5\r\nX-Shown: 1\r\n',
  ),
  '/secret': answer('', 'X-Secret: 1\r\nX-Shown: 1\r\nx-other: 2\r\n'),
  '/type': answer(
    'x',
    'Content-Type: text/plain; charset="UTF-8"\r\nLast-Modified: Thu, 01 Jan 1970 00:00:10 GMT\r\nETag: "e"\r\n',
  ),
  '/twice': answer(
    'x',
    'Content-Type: text/one\r\nContent-Type: text/two\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n',
  ),
  '/chunked':
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 11\r\nX-Pad: no\r\n\r\n',
  '/buffered': answer(
    'x',
    'X-Accel-Buffering: no\r\nX-Accel-Limit-Rate: 1000\r\nX-Accel-Charset: koi8-r\r\n',
  ),
  '/missing': answer('theirs', 'X-Theirs: 1\r\n', '404 Not Found'),
  '/login': answer(
    '',
    'WWW-Authenticate: Basic realm="a"\r\nWWW-Authenticate: Other\r\n',
    '401 Unauthorized',
  ),
  '/jump': answer(
    'ignored',
    'X-Accel-Redirect: /inside?x=1\r\nSet-Cookie: kept=1\r\nX-Lost: 1\r\nContent-Type: text/kept\r\n',
  ),
  '/jump-empty': answer('', 'X-Accel-Redirect: @inside\r\n'),
  '/jump-unsafe': answer('', 'X-Accel-Redirect: /../etc\r\n'),
  '/nothing': 'HTTP/1.1 204 No Content\r\n\r\n',
  '/same': 'HTTP/1.1 304 Not Modified\r\nETag: "e"\r\n\r\n',
  '/head': 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n',
  '/invalid': 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx',
  '/large': `HTTP/1.1 200 OK\r\nX-Long: ${'x'.repeat(5000)}\r\n\r\n`,
};

before(async () => {
  backend = await startBackend(({ target }) => {
    const location = /^\/(location|refresh)\?(.*)$/.exec(target);
    if (location !== null) {
      const value = decodeURIComponent(location[2]!);
      const line = location[1] === 'location' ? `Location: ${value}` : `Refresh: 5; url=${value}`;
      return answer('', `X-Before: 1\r\n${line}\r\nX-After: 1\r\n`, '302 Found');
    }
    const cookie = /^\/cookie\?(.*)$/.exec(target);
    if (cookie !== null) return answer('', `Set-Cookie: ${decodeURIComponent(cookie[1]!)}\r\n`);
    return SAYS[target] ?? answer(target);
  });
  port = await freePort();
  const to = `http://127.0.0.1:${backend.port}`;
  portico = await startPortico({
    http: `
      server {
        listen 127.0.0.1:${port};
        location / { proxy_pass ${to}; add_header X-Status $upstream_status; }
        location /pass/ { proxy_pass ${to}/; proxy_pass_header Server; proxy_pass_header Date; proxy_pass_header X-Accel-Expires; }
        location /hide/ { proxy_pass ${to}/; proxy_hide_header X-Secret; proxy_hide_header X-Other; }
        location /trailers/ { proxy_pass ${to}/; proxy_pass_trailers on; }
        location /intercept/ {
          proxy_pass ${to}/; proxy_intercept_errors on;
          error_page 404 /own-page; error_page 401 @login;
        }
        location /own-page { return 200 "our page"; }
        location @login { return 401; }
        location /inside { internal; return 200 "inside: $args"; }
        location @inside { return 200 "named"; }
        location /ignore/ { proxy_pass ${to}/; proxy_ignore_headers X-Accel-Redirect X-Accel-Buffering; }
        location /default/ { proxy_pass ${to}/; }
        location /off/ { proxy_pass ${to}/; proxy_redirect off; }
        location /own/ {
          proxy_pass ${to}/;
          proxy_redirect http://elsewhere/ https://$host/;
          proxy_redirect ~^http://([^/]+)\\.test/(.*)$ /$1/$2;
          proxy_redirect ~*^HTTP://UPPER/ /lower/;
          proxy_redirect default;
          location /own/nested/ { proxy_pass ${to}/; }
        }
        location /cookies/ {
          proxy_pass ${to}/;
          proxy_cookie_domain inner.test outer.test;
          proxy_cookie_domain ~\\.(\\w+)\\.example$ $1.example;
          proxy_cookie_path /app/ /;
          proxy_cookie_path ~*^/UP/(.*) /$1;
          proxy_cookie_flags session secure samesite=lax;
          proxy_cookie_flags ~^no nosecure nohttponly nosamesite;
          proxy_cookie_flags strict samesite=strict httponly;
        }
      }`,
  });
});

after(async () => {
  await portico?.[Symbol.asyncDispose]();
  await backend?.close();
});

async function headOf(path: string): Promise<string> {
  return (await get(port, path)).head;
}

test('the words of the status and the lines nobody has a say about come through', async () => {
  const { head, body } = await get(port, '/words');
  assert.match(head, /^HTTP\/1\.1 299 My Own Words\r\n/);
  assert.match(head, /X-One: 1\r\nX-Two: 2\r\n/);
  assert.equal(body, 'body');
  assert.equal(headerOf(head, 'X-Status'), undefined);
});

test('Server, Date, X-Accel-* and what is about the connection stay behind', async () => {
  const head = await headOf('/hidden');
  assert.match(head, /Server: portico/);
  assert.match(head, /Date: \w+, /);
  assert.match(head, /X-Shown: 1\r\n/);
  for (const name of ['X-Pad', 'X-Accel-Expires', 'Keep-Alive'])
    assert.equal(headerOf(head, name), undefined, name);
  const passed = await headOf('/pass/hidden');
  assert.equal(headerOf(passed, 'Server'), 'theirs');
  assert.equal(headerOf(passed, 'Date'), 'then');
  assert.equal(headerOf(passed, 'X-Accel-Expires'), '5');
});

test('proxy_hide_header hides in either case', async () => {
  const head = await headOf('/hide/secret');
  assert.equal(headerOf(head, 'X-Secret'), undefined);
  assert.equal(headerOf(head, 'X-Other'), undefined);
  assert.equal(headerOf(head, 'X-Shown'), '1');
});

test('Content-Type, Last-Modified and ETag are there once', async () => {
  const head = await headOf('/type');
  assert.equal(headerOf(head, 'Content-Type'), 'text/plain; charset="UTF-8"');
  assert.equal(headerOf(head, 'Last-Modified'), 'Thu, 01 Jan 1970 00:00:10 GMT');
  assert.equal(head.match(/^etag: "e"\r$/gim)?.length, 1);
  const twice = await headOf('/twice');
  assert.equal(headerOf(twice, 'Content-Type'), 'text/one');
  assert.match(twice, /Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n/);
  await portico.logged(
    'upstream sent duplicate header line: "Content-Type: text/two", previous value: "Content-Type: text/one", ignored',
  );
});

test('a body of unknown length is sent in chunks, or to the end of the connection', async () => {
  const chunked = await ask(port, 'GET /chunked HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  assert.match(
    chunked,
    /Transfer-Encoding: chunked\r\n[\s\S]*\r\n\r\n[\s\S]*hello[\s\S]* world\r\n0\r\n\r\n$/,
  );
  const old = await ask(port, 'GET /chunked HTTP/1.0\r\n\r\n');
  assert.match(old, /\r\n\r\nhello world$/);
  assert.doesNotMatch(old, /Transfer-Encoding/);
});

test('trailers are passed on where proxy_pass_trailers says so, less those that are hidden', async () => {
  const text = await ask(port, 'GET /trailers/chunked HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  assert.match(text, /\r\n0\r\nX-Sum: 11\r\n\r\n$/);
});

test('an answer without a body keeps its headers', async () => {
  assert.equal((await get(port, '/nothing')).status, 204);
  assert.equal(headerOf((await get(port, '/same')).head, 'ETag'), '"e"');
  const head = await ask(port, 'HEAD /head HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  assert.match(head, /Content-Length: 100\r\n[\s\S]*\r\n\r\n$/);
});

test('a head that cannot be understood is 502', async () => {
  assert.equal((await get(port, '/invalid')).status, 502);
  await portico.logged('upstream sent duplicate header line: "Content-Length: 2"');
  assert.equal((await get(port, '/large')).status, 502);
  await portico.logged('upstream sent too big header while reading response header from upstream');
});

test('Location and Refresh are rewritten by default where they begin with the URL of proxy_pass', async () => {
  const to = `http://127.0.0.1:${backend.port}`;
  const location = async (path: string, value: string) =>
    headerOf(await headOf(path + encodeURIComponent(value)), 'Location');
  const front = `http://localhost:${port}`;
  assert.equal(await location('/default/location?', `${to}/there`), `${front}/default/there`);
  assert.equal(await location('/location?', `${to}/there`), `${front}/there`);
  assert.equal(await location('/default/location?', 'http://other/there'), 'http://other/there');
  assert.equal(await location('/default/location?', '/relative'), '/relative');
  assert.equal(await location('/off/location?', `${to}/there`), `${to}/there`);
  assert.equal(await location('/own/location?', 'http://elsewhere/x'), 'https://localhost/x');
  assert.equal(await location('/own/location?', 'http://name.test/x'), `${front}/name/x`);
  assert.equal(await location('/own/location?', 'http://upper/x'), `${front}/lower/`);
  assert.equal(await location('/own/location?', `${to}/x`), `${front}/own/x`);
  assert.equal(await location('/own/nested/location?', `${to}/x`), `${front}/own/x`);
  const refresh = await headOf(`/default/refresh?${encodeURIComponent(`${to}/x`)}`);
  assert.match(refresh, /X-Before: 1\r\nRefresh: 5; url=\/default\/x\r\nX-After: 1\r\n/);
});

test('domains, paths and flags of cookies are rewritten', async () => {
  const cookie = async (text: string) =>
    headerOf(await headOf(`/cookies/cookie?${encodeURIComponent(text)}`), 'Set-Cookie');
  assert.equal(await cookie('a=b; Domain=.INNER.test; Path=/app/x'), 'a=b; Domain=.outer.test; Path=/x');
  assert.equal(await cookie('a=b; domain=x.y.example'), 'a=b; domain=y.example');
  assert.equal(await cookie('a=b; path=/up/z; Max-Age=5'), 'a=b; path=/z; Max-Age=5');
  assert.equal(await cookie('a=b; path=/other'), 'a=b; path=/other');
  assert.equal(await cookie('session=1'), 'session=1; Secure; SameSite=Lax');
  assert.equal(await cookie('SESSION=1; secure; samesite=LAX'), 'SESSION=1; secure; samesite=LAX');
  assert.equal(await cookie('nobody=1; Secure; HttpOnly; SameSite=None; Path=/'), 'nobody=1; Path=/');
  assert.equal(await cookie('strict=1; SameSite=Lax'), 'strict=1; SameSite=Strict; HttpOnly');
  assert.equal(await cookie('flag'), 'flag');
});

test('X-Accel-Redirect leads to another location, with some of the headers', async () => {
  const { head, body, status } = await get(port, '/jump');
  assert.deepEqual([status, body], [200, 'inside: x=1']);
  assert.equal(headerOf(head, 'Set-Cookie'), 'kept=1');
  assert.equal(headerOf(head, 'Content-Type'), 'text/kept');
  assert.equal(headerOf(head, 'X-Lost'), undefined);
  assert.equal((await get(port, '/jump-empty')).body, 'named');
  assert.equal((await get(port, '/jump-unsafe')).status, 404);
  await portico.logged('unsafe URI "/../etc" was detected');
  assert.equal((await get(port, '/ignore/jump')).body, 'ignored');
});

test('proxy_intercept_errors has error pages take the place of answers', async () => {
  const { status, body, head } = await get(port, '/intercept/missing');
  assert.deepEqual([status, body], [404, 'our page']);
  assert.equal(headerOf(head, 'X-Theirs'), undefined);
  const login = await get(port, '/intercept/login');
  assert.equal(login.status, 401);
  assert.match(login.head, /WWW-Authenticate: Basic realm="a"\r\nWWW-Authenticate: Other\r\n/);
  assert.equal((await get(port, '/missing')).body, 'theirs');
});

test('one connection serves one client request after another', async () => {
  using client = await openClient(port);
  for (const path of ['/words', '/missing', '/same', '/nothing', '/words']) {
    assert.ok((await client.get(path)).status > 200, path);
  }
});
