import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { check } from '../../support/check.ts';
import { createSandbox, type RunningPortico, type Sandbox, startPortico } from '../../support/portico.ts';
import { freePort } from '../../support/ports.ts';
import { ask, GZIP } from '../filter-client.ts';

const PAGE = 'page '.repeat(100);

let sandbox: Sandbox;
let portico: RunningPortico;
let port: number;

before(async () => {
  sandbox = createSandbox();
  sandbox.write('html/page.html', PAGE);
  port = await freePort();
  portico = await startPortico({
    sandbox,
    http: `
      map $arg_expires $expires { default $arg_expires; }
      server {
        listen 127.0.0.1:${port};
        root html;
        types { text/html html; }
        add_header X-Outer outer;
        location / { add_header X-Inner $arg_value; add_header ETag '"new"'; add_header Last-Modified ''; }
        location /merged/ { add_header X-Inner inner; add_header_inherit merge; alias html/; }
        location /off/ { add_header_inherit off; alias html/; }
        location /always/ { add_header X-Safe safe; add_header X-Always always always; return 500; }
        location /hour/ { expires 1h; alias html/; }
        location /past/ { expires -1; alias html/; }
        location /modified/ { expires modified +1h; alias html/; }
        location /epoch/ { expires epoch; add_header Cache-Control public; alias html/; }
        location /max/ { expires max; alias html/; }
        location /daily/ { expires @15h30m; alias html/; }
        location /now/ { expires 0; alias html/; }
        location /variable/ { expires $expires; alias html/; }
        location /error/ { expires 1h; return 404; }
        location /proxied/ { expires 1h; proxy_pass http://127.0.0.1:${port}/epoch/; }
        location /trailer/ {
          add_trailer X-Length $body_bytes_sent; add_trailer X-Empty ''; gzip on;
          alias html/;
        }
        location /plain/ { add_trailer X-A a; chunked_transfer_encoding off; alias html/; }
      }
    `,
  });
});

after(async () => {
  await portico?.stop();
  sandbox?.remove();
});

test('add_header adds, replaces ETag, and takes Last-Modified away where it is empty', async () => {
  const { headers } = await ask(port, '/page.html?value=v');
  assert.equal(headers['x-inner'], 'v');
  assert.equal(headers['x-outer'], undefined);
  assert.equal(headers.etag, '"new"');
  assert.equal(headers['last-modified'], undefined);
  assert.equal((await ask(port, '/page.html')).headers['x-inner'], undefined);
});

test('add_header_inherit merges with what stands outside, or does without', async () => {
  const merged = await ask(port, '/merged/page.html');
  assert.equal(merged.headers['x-inner'], 'inner');
  assert.equal(merged.headers['x-outer'], 'outer');
  assert.equal((await ask(port, '/off/page.html')).headers['x-outer'], undefined);
  assert.equal((await ask(port, '/hour/page.html')).headers['x-outer'], 'outer');
});

test('an error has only the lines that are for always', async () => {
  const { headers } = await ask(port, '/always/');
  assert.equal(headers['x-safe'], undefined);
  assert.equal(headers['x-always'], 'always');
});

/** Seconds from Date to Expires. */
function distance(headers: { readonly expires?: string; readonly date?: string }): number {
  return (Date.parse(String(headers.expires)) - Date.parse(String(headers.date))) / 1000;
}

test('expires tells time and Cache-Control in each of its forms', async () => {
  const hour = (await ask(port, '/hour/page.html')).headers;
  assert.ok(Math.abs(distance(hour) - 3600) <= 1);
  assert.equal(hour['cache-control'], 'max-age=3600');
  const past = (await ask(port, '/past/page.html')).headers;
  assert.ok(Math.abs(distance(past) + 1) <= 1);
  assert.equal(past['cache-control'], 'no-cache');
  const modified = (await ask(port, '/modified/page.html')).headers;
  assert.equal(
    Date.parse(String(modified.expires)) - Date.parse(String(modified['last-modified'])),
    3_600_000,
  );
  const epoch = (await ask(port, '/epoch/page.html')).headers;
  assert.equal(epoch.expires, 'Thu, 01 Jan 1970 00:00:01 GMT');
  assert.equal(epoch['cache-control'], 'no-cache, public');
  const maximum = (await ask(port, '/max/page.html')).headers;
  assert.equal(maximum.expires, 'Thu, 31 Dec 2037 23:55:55 GMT');
  assert.equal(maximum['cache-control'], 'max-age=315360000');
  const now = (await ask(port, '/now/page.html')).headers;
  assert.equal(now.expires, now.date);
  assert.equal(now['cache-control'], 'max-age=0');
});

test('a time of the day is the next of its kind', async () => {
  const { headers } = await ask(port, '/daily/page.html');
  const expires = new Date(String(headers.expires));
  assert.equal(expires.getHours(), 15);
  assert.equal(expires.getMinutes(), 30);
  assert.ok(distance(headers) > 0 && distance(headers) <= 25 * 3600);
  assert.match(String(headers['cache-control']), /^max-age=\d+$/);
});

test('expires may be a variable; what cannot be understood says nothing', async () => {
  for (const [value, cacheControl] of [
    ['epoch', 'no-cache'],
    ['max', 'max-age=315360000'],
    ['off', undefined],
    ['10', 'max-age=10'],
    ['+1d', 'max-age=86400'],
    ['-10', 'no-cache'],
    ['what', undefined],
    ['@99h', undefined],
  ] as const) {
    const { headers } = await ask(port, `/variable/page.html?expires=${value}`);
    assert.equal(headers['cache-control'], cacheControl, value);
  }
});

test('errors do not expire, and what an upstream says is replaced', async () => {
  assert.equal((await ask(port, '/error/')).headers.expires, undefined);
  const { headers } = await ask(port, '/proxied/page.html');
  assert.equal(headers['cache-control'], 'max-age=3600');
  assert.ok(Math.abs(distance(headers) - 3600) <= 1);
});

test('trailers come behind a body in chunks, compressed or not, with values of its end', async () => {
  const plain = await ask(port, '/trailer/page.html');
  assert.equal(plain.headers['transfer-encoding'], 'chunked');
  assert.equal(plain.body.toString(), PAGE);
  assert.match(String(plain.trailers['x-length']), /^\d+$/);
  assert.equal('x-empty' in plain.trailers, false);
  const packed = await ask(port, '/trailer/page.html', GZIP);
  assert.equal(gunzipSync(packed.body).toString(), PAGE);
  assert.ok('x-length' in packed.trailers);
  const head = await ask(port, '/trailer/page.html', {}, 'HEAD');
  assert.equal(head.headers['content-length'], String(PAGE.length));
  const whole = await ask(port, '/plain/page.html');
  assert.equal(whole.headers['content-length'], String(PAGE.length));
  assert.deepEqual({ ...whole.trailers }, {});
});

test('times that are none are errors', async () => {
  for (const [line, message] of [
    ['expires x;', '"expires" directive invalid value in '],
    ['expires changed 1h;', '"expires" directive invalid value in '],
    ['expires @25h;', '"expires" directive daily time value must be less than 24 hours in '],
    ['expires modified @1h;', '"expires" directive daily time cannot be used with "modified" parameter in '],
    ['expires 1h; expires 2h;', '"expires" directive is duplicate in '],
    ['add_header a b c;', 'invalid parameter "c" in '],
  ] as const) {
    const { code, text } = await check(`server { listen 127.0.0.1:1; ${line} }`);
    assert.equal(code, 1, line);
    assert.ok(text.includes(message), text);
  }
});
