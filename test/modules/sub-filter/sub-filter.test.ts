import assert from 'node:assert/strict';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { check } from '../../support/check.ts';
import { openClient } from '../../support/client.ts';
import { createSandbox, type RunningPortico, type Sandbox, startPortico } from '../../support/portico.ts';
import { freePorts } from '../../support/ports.ts';
import { until } from '../../support/wait.ts';
import { ask, GZIP } from '../filter-client.ts';

const LONG = '<p>one two ONE three</p>'.repeat(20_000);

let sandbox: Sandbox;
let portico: RunningPortico;
let upstream: Server;
let port: number;
const held: ServerResponse[] = [];

before(async () => {
  sandbox = createSandbox();
  sandbox.write('html/page.html', 'one two ONE three');
  sandbox.write('html/empty.html', '');
  sandbox.write('html/long.html', LONG);
  sandbox.write('html/page.txt', 'one');
  const [front, back] = await freePorts(2);
  port = front!;
  upstream = createServer((_question, answer) => {
    answer.setHeader('Content-Type', 'text/html');
    answer.setHeader('ETag', '"a"');
    answer.flushHeaders();
    held.push(answer);
  });
  await new Promise<void>((resolve) => upstream.listen(back, '127.0.0.1', resolve));
  portico = await startPortico({
    sandbox,
    http: `
      server {
        listen 127.0.0.1:${front};
        root html;
        types { text/html html; text/plain txt; }
        sub_filter one 1;
        sub_filter three $arg_three;
        location / { }
        location /all/ { sub_filter_once off; alias html/; }
        location /kept/ { sub_filter_last_modified on; alias html/; }
        location /variable/ { sub_filter_once off; sub_filter $arg_what [$arg_what]; alias html/; }
        location /packed/ { sub_filter_once off; sub_filter one 11; gzip on; charset utf-8; alias html/; }
        location /live/ { proxy_buffering off; sub_filter_once off; sub_filter one 1; proxy_pass http://127.0.0.1:${back}/; }
      }
    `,
  });
});

after(async () => {
  await portico?.stop();
  upstream?.closeAllConnections();
  upstream?.close();
  sandbox?.remove();
});

test('each string is replaced once, by a value with variables, and dates and length go', async () => {
  const answer = await ask(port, '/page.html?three=3');
  assert.equal(answer.body.toString(), '1 two ONE 3');
  assert.equal(answer.headers['content-length'], undefined);
  assert.equal(answer.headers['last-modified'], undefined);
  assert.equal(answer.headers.etag, undefined);
});

test('sub_filter_once off replaces all, in either case', async () => {
  assert.equal((await ask(port, '/all/page.html')).body.toString(), '1 two 1 ');
  const { body } = await ask(port, '/all/long.html?three=3');
  assert.equal(body.toString(), LONG.replaceAll('one', '1').replaceAll('ONE', '1').replaceAll('three', '3'));
});

test('sub_filter_last_modified keeps the date and a weak ETag', async () => {
  const { headers } = await ask(port, '/kept/page.html');
  assert.ok(headers['last-modified']);
  assert.match(String(headers.etag), /^W\//);
});

test('what is looked for may have variables, and is not looked for where it is empty', async () => {
  assert.equal((await ask(port, '/variable/page.html?what=tw')).body.toString(), 'one [tw]o ONE three');
  const untouched = await ask(port, '/variable/page.html');
  assert.equal(untouched.body.toString(), 'one two ONE three');
  assert.equal(untouched.headers['content-length'], '17');
});

test('other types and empty answers are left alone', async () => {
  assert.equal((await ask(port, '/page.txt')).body.toString(), 'one');
  assert.equal((await ask(port, '/empty.html')).headers['content-length'], '0');
});

test('what has been replaced is compressed after that, and HEAD says the same', async () => {
  const { body, headers } = await ask(port, '/packed/long.html', GZIP);
  assert.equal(headers['content-type'], 'text/html; charset=utf-8');
  assert.equal(gunzipSync(body).toString(), LONG.replaceAll('one', '11').replaceAll('ONE', '11'));
  const head = await ask(port, '/packed/long.html', GZIP, 'HEAD');
  assert.equal(head.headers['content-encoding'], 'gzip');
});

test('without proxy_buffering only what may be the beginning of a match is waited with', async () => {
  using client = await openClient(port);
  let received = '';
  client.socket.on('data', (bytes: Buffer) => {
    received += bytes.toString('latin1');
  });
  client.write('GET /live/ HTTP/1.0\r\n\r\n');
  const answer = await until('the question', () => held.shift());
  answer.write('x on');
  await until('what cannot match', () => received.endsWith('x '));
  answer.write('e y o');
  await until('what was replaced', () => received.endsWith('x 1 y '));
  answer.end('n');
  await client.ended;
  assert.ok(received.endsWith('x 1 y on'));
});

test('a slow reader gets all of it', async () => {
  using client = await openClient(port);
  client.write('GET /all/long.html?three=3 HTTP/1.0\r\n\r\n');
  let size = 0;
  client.socket.on('data', (bytes: Buffer) => {
    size += bytes.length;
    client.socket.pause();
    setTimeout(() => client.socket.resume(), 2);
  });
  await client.ended;
  assert.ok(size > LONG.length / 2);
});

test('an empty search pattern, and too many, are errors', async () => {
  for (const [lines, message] of [
    ["sub_filter '' x;", 'empty search pattern'],
    ['sub_filter a b;'.repeat(256), 'number of search patterns exceeds 255'],
  ] as const) {
    const { code, text } = await check(`server { listen 127.0.0.1:1; ${lines} }`);
    assert.equal(code, 1);
    assert.ok(text.includes(`[emerg] ${message} in `), text);
  }
});
