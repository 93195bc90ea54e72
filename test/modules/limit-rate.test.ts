import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { openClient } from '../support/client.ts';
import { createSandbox, type RunningPortico, type Sandbox, startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import { ask, GZIP } from './filter-client.ts';

const BODY = Buffer.from(Array.from({ length: 30_000 }, (_, index) => `${index * 7919}\n`).join(''));

let sandbox: Sandbox;
let portico: RunningPortico;
let port: number;

before(async () => {
  sandbox = createSandbox();
  sandbox.write('html/body.html', BODY.toString('latin1'));
  port = await freePort();
  portico = await startPortico({
    sandbox,
    http: `
      server {
        listen 127.0.0.1:${port};
        root html;
        types { text/html html; }
        gzip on;
        gzip_comp_level 9;
        location / { limit_rate $arg_rate; limit_rate_after $arg_after; }
        location /chosen/ { set $limit_rate 200k; alias html/; }
      }
    `,
  });
});

after(async () => {
  await portico?.stop();
  sandbox?.remove();
});

/** How long an answer takes, in milliseconds. */
async function timed(path: string, headers: Readonly<Record<string, string>> = {}) {
  const start = performance.now();
  const answer = await ask(port, path, headers);
  return { ...answer, milliseconds: performance.now() - start };
}

test('an answer goes no faster than allowed, whole', async () => {
  // 250 kB at 100 kB/s: the second that has begun counts as over, so two more are waited for at most, and one at least.
  const { body, milliseconds } = await timed('/body.html?rate=100k');
  assert.ok(body.equals(BODY));
  assert.ok(milliseconds > 900, `${milliseconds} ms`);
});

test('the first bytes are not counted where limit_rate_after says so, and a variable sets the rate', async () => {
  const { body, milliseconds } = await timed('/body.html?rate=1k&after=1m');
  assert.ok(body.equals(BODY));
  assert.ok(milliseconds < 900, `${milliseconds} ms`);
  assert.ok((await timed('/chosen/body.html')).body.equals(BODY));
});

test('what is limited is what is sent: after compression', async () => {
  const { body, milliseconds } = await timed('/body.html?rate=200k', GZIP);
  assert.ok(gunzipSync(body).equals(BODY));
  assert.ok(body.length < 200_000, String(body.length));
  assert.ok(milliseconds < 900, `${milliseconds} ms`);
});

test('a rate that cannot be understood is none, and HEAD does not wait', async () => {
  assert.ok((await timed('/body.html?rate=x')).milliseconds < 900);
  const start = performance.now();
  assert.equal((await ask(port, '/body.html?rate=1', {}, 'HEAD')).status, 200);
  assert.ok(performance.now() - start < 900);
});

test('a client that goes while it is made to wait is forgotten', async () => {
  using client = await openClient(port);
  client.write('GET /body.html?rate=1k HTTP/1.1\r\nHost: a\r\n\r\n');
  await new Promise((resolve) => client.socket.once('data', resolve));
  client.close();
  assert.equal((await ask(port, '/body.html')).status, 200);
  assert.doesNotMatch(portico.errorLog(), /\[(alert|crit|emerg)\]/);
});
