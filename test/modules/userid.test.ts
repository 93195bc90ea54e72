import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { check } from '../support/check.ts';
import { createSandbox, type RunningPortico, type Sandbox, startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import { ask } from './filter-client.ts';

let sandbox: Sandbox;
let portico: RunningPortico;
let port: number;

before(async () => {
  sandbox = createSandbox();
  port = await freePort();
  portico = await startPortico({
    sandbox,
    http: `
      server {
        listen 127.0.0.1:${port};
        add_header X-Got $uid_got;
        add_header X-Set $uid_set;
        location / { userid on; userid_service 1; return 200; }
        location /marked { userid v1; userid_mark m; userid_name id; return 200; }
        location /all {
          userid on; userid_domain example.com; userid_path /all; userid_expires max; userid_p3p 'CP="X"';
          userid_flags secure httponly samesite=lax;
          return 200;
        }
        location /reset { userid on; set $uid_reset log; return 200; }
        location /log { userid log; return 200; }
        location /address { userid on; return 200; }
        location /off { return 200; }
      }
    `,
  });
});

after(async () => {
  await portico?.stop();
  sandbox?.remove();
});

async function cookieOf(path: string, cookie?: string) {
  const { headers } = await ask(port, path, cookie === undefined ? {} : { Cookie: cookie });
  return { cookie: headers['set-cookie']?.[0], got: headers['x-got'], given: headers['x-set'], headers };
}

test('a client without a cookie is given one, another each time, and one with a cookie keeps it', async () => {
  const first = await cookieOf('/');
  assert.match(first.cookie!, /^uid=AAAAA[A-Za-z0-9+/]{17}==; path=\/$/);
  assert.match(String(first.given), /^uid=01000000[0-9A-F]{24}$/);
  const second = await cookieOf('/');
  assert.notEqual(second.cookie, first.cookie);
  const again = await cookieOf('/', first.cookie!.split(';')[0]);
  assert.equal(again.cookie, undefined);
  assert.equal(again.got, first.given);
  assert.equal(again.given, undefined);
});

test('the number begins with the address of the server, unless userid_service says otherwise', async () => {
  const { cookie } = await cookieOf('/address');
  const bytes = Buffer.from(/^uid=([^;]+)/.exec(cookie!)![1]!, 'base64');
  assert.deepEqual([...bytes.subarray(0, 4)], [127, 0, 0, 1]);
  assert.ok(Math.abs(bytes.readUInt32BE(4) - Date.now() / 1000) < 60);
});

test('a cookie is marked, and one without the mark is sent again with it', async () => {
  const { cookie } = await cookieOf('/marked');
  assert.match(cookie!, /^id=[A-Za-z0-9+/]{22}m=; path=\/$/);
  const value = /^id=(.{22})/.exec(cookie!)![1];
  assert.equal((await cookieOf('/marked', `id=${value}m=`)).cookie, undefined);
  assert.equal((await cookieOf('/marked', `id=${value}==`)).cookie, `id=${value}m=; path=/`);
});

test('the attributes of the cookie are as configured', async () => {
  const { cookie, headers } = await cookieOf('/all');
  assert.match(
    cookie!,
    /^uid=.{24}; expires=Thu, 31-Dec-37 23:55:55 GMT; domain=example\.com; path=\/all; secure; httponly; samesite=lax$/,
  );
  assert.equal(headers['p3p'], 'CP="X"');
});

test('$uid_reset gives another number, and may be logged', async () => {
  const { cookie } = await cookieOf('/');
  const known = cookie!.split(';')[0]!;
  const reset = await cookieOf('/reset', known);
  assert.ok(reset.cookie !== undefined && !reset.cookie.startsWith(known));
  await portico.logged(/userid cookie "uid=[0-9A-F]{32}" was reset/);
});

test('userid log looks at cookies and gives none', async () => {
  const { cookie } = await cookieOf('/');
  const looked = await cookieOf('/log', cookie!.split(';')[0]);
  assert.equal(looked.cookie, undefined);
  assert.match(String(looked.got), /^uid=/);
  assert.equal((await cookieOf('/off', cookie!.split(';')[0])).got, undefined);
});

test('a cookie that is none is logged, and replaced', async () => {
  assert.ok((await cookieOf('/', 'uid=short')).cookie);
  await portico.logged('client sent too short userid cookie "uid=short"');
  assert.ok((await cookieOf('/', 'uid=!!!!!!!!!!!!!!!!!!!!!!!!')).cookie);
  await portico.logged('client sent invalid userid cookie');
});

test('a mark that is none is an error', async () => {
  const { code, text } = await check('userid_mark xx;');
  assert.equal(code, 1);
  assert.ok(
    text.includes('"userid_mark" directive value must be "off" or a single letter, digit or "="'),
    text,
  );
});
