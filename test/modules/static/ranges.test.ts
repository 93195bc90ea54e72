import assert from 'node:assert/strict';
import { utimesSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { startSite } from './site.ts';

const TEXT = 'abcdefghijklmnopqrstuvwxyz';
const DATE = 'Sun, 09 Sep 2001 01:46:40 GMT';
const ETAG = '"3b9aca00-1a"';

const LOCATIONS = `
  location /none/ { alias %ROOT%/; max_ranges 0; }
  location /two/ { alias %ROOT%/; max_ranges 2; }
  location /off/ { alias %ROOT%/; if_modified_since off; }
  location /before/ { alias %ROOT%/; if_modified_since before; etag off; }
  location /charset/ { alias %ROOT%/; charset utf-8; }
  location /page/ { alias %ROOT%/; error_page 412 416 /page.html; }
  location /memory { return 200 "in memory"; }
  location /gif { empty_gif; }`;

function prepare(sandbox: { write(name: string, text: string): string }): void {
  utimesSync(sandbox.write('root/t.txt', TEXT), 1e9, 1e9);
  sandbox.write('root/page.html', 'the page');
}

test('one range is sent as it is, several between boundaries', async () => {
  await using site = await startSite(LOCATIONS, prepare);
  const range = (value: string, path = '/t.txt') => site.get(path, { headers: { range: value } });
  const one = await range('bytes=2-4');
  assert.deepEqual([one.status, one.body], [206, 'cde']);
  assert.equal(one.headers['content-range'], 'bytes 2-4/26');
  assert.equal(one.headers['content-length'], '3');
  assert.equal(one.headers['accept-ranges'], undefined);
  assert.equal((await range('bytes=-3')).body, 'xyz');
  const two = await range('bytes=0-1,-2', '/charset/t.txt');
  assert.equal(two.status, 206);
  const [, boundary] = /^multipart\/byteranges; boundary=(\d{20})$/.exec(two.headers['content-type']!)!;
  const head = `\r\n--${boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes `;
  assert.equal(two.body, `${head}0-1/26\r\n\r\nab${head}24-25/26\r\n\r\nyz\r\n--${boundary}--\r\n`);
  const whole = await range('bytes=0-1,3-4,6-7', '/two/t.txt');
  assert.deepEqual([whole.status, whole.body, whole.headers['accept-ranges']], [200, TEXT, 'bytes']);
  const none = await range('bytes=0-1', '/none/t.txt');
  assert.deepEqual([none.status, none.headers['accept-ranges']], [200, undefined]);
  const beyond = await range('bytes=26-');
  assert.deepEqual([beyond.status, beyond.headers['content-range']], [416, 'bytes */26']);
  assert.equal(beyond.headers.etag, undefined);
  assert.equal((await range('bytes=26-', '/page/t.txt')).body, 'the page');
  assert.equal((await range('bytes=0-1', '/memory')).status, 200);
  const head206 = await site.get('/t.txt', { method: 'HEAD', headers: { range: 'bytes=0-1' } });
  assert.deepEqual([head206.status, head206.headers['content-length'], head206.body], [206, '2', '']);
});

test('If-Range lets ranges of the very file through', async () => {
  await using site = await startSite(LOCATIONS, prepare);
  const status = async (condition: string) =>
    (await site.get('/t.txt', { headers: { range: 'bytes=0-1', 'if-range': condition } })).status;
  assert.equal(await status(ETAG), 206);
  assert.equal(await status(DATE), 206);
  assert.equal(await status('"other"'), 200);
  assert.equal(await status(`W/${ETAG}`), 200);
  assert.equal(await status('Sun, 09 Sep 2001 01:46:41 GMT'), 200);
});

test('conditions that do not hold get 304 and 412', async () => {
  await using site = await startSite(LOCATIONS, prepare);
  const ask = (headers: Record<string, string>, path = '/t.txt') => site.get(path, { headers });
  const same = await ask({ 'if-none-match': ETAG });
  assert.deepEqual([same.status, same.body, same.headers.etag], [304, '', ETAG]);
  assert.equal(same.headers['last-modified'], DATE);
  assert.equal(same.headers['content-type'], undefined);
  assert.equal(same.headers['accept-ranges'], undefined);
  assert.equal((await ask({ 'if-modified-since': DATE })).status, 304);
  assert.equal((await ask({ 'if-modified-since': DATE }, '/off/t.txt')).status, 200);
  assert.equal((await ask({ 'if-modified-since': 'Sun, 09 Sep 2001 01:46:41 GMT' })).status, 200);
  assert.equal(
    (await ask({ 'if-modified-since': 'Sun, 09 Sep 2001 01:46:41 GMT' }, '/before/t.txt')).status,
    304,
  );
  const failed = await ask({ 'if-match': '"other"' });
  assert.deepEqual([failed.status, failed.headers.etag], [412, undefined]);
  assert.match(failed.body, /412 Precondition Failed/);
  assert.equal((await ask({ 'if-unmodified-since': 'Sun, 09 Sep 2001 01:46:39 GMT' })).status, 412);
  assert.equal((await ask({ 'if-match': '"other"' }, '/page/t.txt')).body, 'the page');
  assert.equal((await ask({ 'if-match': '"other"' }, '/memory')).status, 412);
  assert.equal((await ask({ 'if-modified-since': 'Mon, 28 Sep 1970 06:00:00 GMT' }, '/gif')).status, 304);
});

test('an answer of an upstream server is not judged again', async () => {
  await using site = await startSite(
    `location /up/ { return 200 "fresh"; }
     location /proxy/ { proxy_set_header If-None-Match ""; proxy_set_header If-Match ""; proxy_pass http://unix:%ROOT%/../up.sock:/up/; }
     listen unix:%ROOT%/../up.sock;`,
    prepare,
  );
  assert.equal((await site.get('/proxy/x', { headers: { 'if-match': '"x"' } })).body, 'fresh');
  assert.equal((await site.get('/proxy/x', { headers: { 'if-none-match': '*' } })).status, 200);
});

test('the length of an answer to any ranges is that of its body, and its parts are those of the file', async () => {
  await using site = await startSite(LOCATIONS, prepare);
  const part = fc.tuple(fc.nat(30), fc.nat(30)).map(([from, count]) => `${from}-${from + count}`);
  await fc.assert(
    fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 4 }), async (parts) => {
      const { status, headers, body } = await site.get('/t.txt', {
        headers: { range: `bytes=${parts.join(',')}` },
      });
      assert.equal(body.length, Number(headers['content-length']));
      if (status === 200) assert.equal(body, TEXT);
      if (status !== 206) return;
      const ranges = [...`${headers['content-range'] ?? ''}${body}`.matchAll(/bytes (\d+)-(\d+)\/26/g)];
      assert.ok(ranges.length > 0);
      for (const [, from, to] of ranges) assert.ok(body.includes(TEXT.slice(Number(from), Number(to) + 1)));
    }),
    { seed: 1, numRuns: 60 },
  );
});
