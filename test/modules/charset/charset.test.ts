import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import { after, before, test } from 'node:test';
import { check } from '../../support/check.ts';
import { createSandbox, type RunningPortico, type Sandbox, startPortico } from '../../support/portico.ts';
import { freePorts } from '../../support/ports.ts';
import { ask } from '../filter-client.ts';

const MAPS = `
  charset_map koi8-r windows-1251 { C1 E0; C2 E1; }
  charset_map koi8-r utf-8 { C1 D0B0; C2 D0B1; A4 E282AC; }
`;

let sandbox: Sandbox;
let portico: RunningPortico;
let upstream: Server;
let port: number;

before(async () => {
  sandbox = createSandbox();
  sandbox.write('html/koi.html', 'a\xc1\xc2\xff');
  sandbox.write('html/utf.html', 'a\xd0\xb0\xd0\xb1\xd0\xb2\xf0\x9f\x98\x80\xff\xe2');
  sandbox.write('html/plain.html', 'plain');
  sandbox.write('html/picture.png', 'x');
  const [front, back] = await freePorts(2);
  port = front!;
  upstream = createServer((question, answer) => {
    for (const [name, value] of new URLSearchParams(question.url!.split('?')[1]))
      answer.setHeader(name, value);
    answer.end(Buffer.from('\xc1', 'latin1'));
  });
  await new Promise<void>((resolve) => upstream.listen(back, '127.0.0.1', resolve));
  portico = await startPortico({
    sandbox,
    http: `
      ${MAPS}
      server {
        listen 127.0.0.1:${front};
        root html;
        types { text/html html; image/png png; }
        location / { charset utf-8; }
        location /from-koi/ { charset utf-8; source_charset koi8-r; alias html/; }
        location /to-koi/ { charset koi8-r; source_charset utf-8; alias html/; }
        location /windows/ { charset windows-1251; source_charset koi8-r; alias html/; }
        location /chosen/ { charset $arg_charset; source_charset koi8-r; alias html/; }
        location /moved { charset utf-8; return 301 /; }
        location /proxied/ { charset utf-8; proxy_pass http://127.0.0.1:${back}/; }
        location /overriding/ { charset utf-8; override_charset on; proxy_pass http://127.0.0.1:${back}/; }
        location /accelerated/ { source_charset koi8-r; proxy_pass http://127.0.0.1:${back}/; }
      }
    `,
  });
});

after(async () => {
  await portico?.stop();
  upstream?.close();
  sandbox?.remove();
});

test('the charset is named for text, not for pictures, and not for redirects', async () => {
  assert.equal((await ask(port, '/plain.html')).headers['content-type'], 'text/html; charset=utf-8');
  assert.equal((await ask(port, '/picture.png')).headers['content-type'], 'image/png');
  assert.equal((await ask(port, '/moved')).headers['content-type'], 'text/html');
  assert.equal((await ask(port, '/none.html')).headers['content-type'], 'text/html; charset=utf-8');
});

test('an answer is recoded to utf-8 and from it, and loses its length', async () => {
  const utf = await ask(port, '/from-koi/koi.html');
  assert.equal(utf.body.toString('latin1'), 'a\xd0\xb0\xd0\xb1?');
  assert.equal(utf.headers['content-length'], undefined);
  assert.equal(utf.headers['content-type'], 'text/html; charset=utf-8');
  const koi = await ask(port, '/to-koi/utf.html');
  assert.equal(koi.body.toString('latin1'), 'a\xc1\xc2&#1074;&#128512;?');
  assert.equal(koi.headers['content-type'], 'text/html; charset=koi8-r');
});

test('between single bytes an answer keeps its length', async () => {
  const { body, headers } = await ask(port, '/windows/koi.html');
  assert.equal(body.toString('latin1'), 'a\xe0\xe1?');
  assert.equal(headers['content-length'], '4');
});

test('the charset may be a variable; one there is no map to is logged, and the answer left alone', async () => {
  assert.equal(
    (await ask(port, '/chosen/koi.html?charset=UTF-8')).body.toString('latin1'),
    'a\xd0\xb0\xd0\xb1?',
  );
  const { body, headers } = await ask(port, '/chosen/koi.html?charset=ebcdic');
  assert.equal(body.toString('latin1'), 'a\xc1\xc2\xff');
  assert.equal(headers['content-type'], 'text/html');
  await portico.logged('no "charset_map" between the charsets "koi8-r" and "ebcdic"');
});

test('what an upstream says of its charset stays, to the byte, unless it is overridden', async () => {
  for (const [path, type, body] of [
    ['/proxied/?Content-Type=text/html', 'text/html; charset=utf-8', '\xc1'],
    ['/proxied/?Content-Type=text/html;Charset="koi8-r"', 'text/html;Charset="koi8-r"', '\xc1'],
    ['/overriding/?Content-Type=text/html;charset=koi8-r', 'text/html; charset=utf-8', '\xd0\xb0'],
    ['/accelerated/?Content-Type=text/html&X-Accel-Charset=utf-8', 'text/html; charset=utf-8', '\xd0\xb0'],
    ['/accelerated/?Content-Type=text/html', 'text/html', '\xc1'],
  ] as const) {
    const answer = await ask(port, path.replaceAll('"', '%22'));
    assert.equal(answer.headers['content-type'], type, path);
    assert.equal(answer.body.toString('latin1'), body, path);
  }
});

test('what is compressed is not recoded', async () => {
  const answer = await ask(port, '/overriding/?Content-Type=text/html;charset=koi8-r&Content-Encoding=br');
  assert.equal(answer.body.toString('latin1'), '\xc1');
  assert.equal(answer.headers['content-type'], 'text/html;charset=koi8-r');
});

test('maps that contradict each other, or cannot be read, are errors', async () => {
  for (const [lines, message] of [
    ['charset_map a A {}', '"charset_map" between the same charsets "a" and "A"'],
    ['charset_map utf-8 a {}', '"charset_map" with "utf-8" charset should be given in the second column'],
    ['charset_map a b {} charset_map b a {}', 'duplicate "charset_map" between "b" and "a"'],
    ['charset_map a b { 1 2 3; }', 'invalid parameters number'],
    ['charset_map a b { 100 2; }', 'invalid value "100"'],
    ['charset_map a b { 1 xx; }', 'invalid value "xx"'],
    ['charset_map a utf-8 { 80 F09F9880; }', 'invalid value "F09F9880"'],
    ['charset a; source_charset b;', 'no "charset_map" between the charsets "b" and "a"'],
  ] as const) {
    const { code, text } = await check(`${lines} server { listen 127.0.0.1:1; }`);
    assert.equal(code, 1, lines);
    assert.ok(text.includes(`[emerg] ${message}`), text);
  }
});
