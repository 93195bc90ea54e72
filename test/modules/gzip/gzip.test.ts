import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { after, before, test } from 'node:test';
import { createGunzip, gunzipSync, gzipSync } from 'node:zlib';
import { openClient } from '../../support/client.ts';
import { createSandbox, type RunningPortico, type Sandbox, startPortico } from '../../support/portico.ts';
import { freePorts } from '../../support/ports.ts';
import { until } from '../../support/wait.ts';
import { ask, GZIP } from '../filter-client.ts';

const PAGE = `<html>${'<p>Portico stands before the house. '.repeat(500)}</html>`;
const LARGE = Buffer.from(Array.from({ length: 400_000 }, (_, index) => `line ${index * 7919}\n`).join(''));

let sandbox: Sandbox;
let portico: RunningPortico;
let upstream: Server;
let port: number;
/** Answers the upstream has begun under /hold and that wait for the test. */
const held: ServerResponse[] = [];
/** Bytes of LARGE the upstream has got rid of for /endless, over all its answers. */
let endless = 0;

before(async () => {
  sandbox = createSandbox();
  sandbox.write('html/page.html', PAGE);
  sandbox.write('html/small.html', 'small');
  sandbox.write('html/large.txt', LARGE.toString('latin1'));
  const [front, back] = await freePorts(2);
  port = front!;
  upstream = createServer((question, answer) => {
    const url = question.url ?? '';
    answer.setHeader('Content-Type', 'text/html');
    if (url.startsWith('/hold')) {
      held.push(answer);
      answer.flushHeaders();
    } else if (url.startsWith('/endless')) {
      const more = () => {
        while (!answer.destroyed) {
          endless += 65_536;
          // Nothing that could be compressed much.
          if (!answer.write(randomBytes(65_536))) break;
        }
      };
      answer.on('drain', more);
      answer.on('error', () => {});
      more();
    } else if (url.startsWith('/packed')) {
      answer.setHeader('Content-Encoding', 'gzip');
      answer.setHeader('ETag', '"a"');
      answer.end(gzipSync(PAGE));
    } else if (url.startsWith('/broken')) {
      answer.setHeader('Content-Encoding', 'gzip');
      const packed = gzipSync(LARGE);
      // The checksum.
      packed[packed.length - 6]! ^= 0xff;
      answer.end(packed);
    } else if (url.startsWith('/cut')) {
      answer.setHeader('Content-Encoding', 'gzip');
      const packed = gzipSync(LARGE);
      answer.end(packed.subarray(0, packed.length >> 1));
    } else if (url.startsWith('/large-packed')) {
      answer.setHeader('Content-Encoding', 'gzip');
      answer.end(gzipSync(LARGE));
    } else {
      answer.setHeader('ETag', '"a"');
      answer.setHeader('Accept-Ranges', 'bytes');
      for (const [name, value] of new URLSearchParams(url.split('?')[1])) answer.setHeader(name, value);
      answer.end(PAGE);
    }
  });
  await new Promise<void>((resolve) => upstream.listen(back, '127.0.0.1', resolve));
  portico = await startPortico({
    sandbox,
    http: `
      log_format ratio '$uri $gzip_ratio $status $body_bytes_sent';
      access_log logs/ratio.log ratio;
      gzip on;
      gzip_types text/plain;
      server {
        listen 127.0.0.1:${front};
        root html;
        types { text/html html; text/plain txt; image/png png; }
        location / { gzip_vary on; }
        location /off/ { gzip off; alias html/; }
        location /level9/ { gzip_comp_level 9; gzip_window 4k; gzip_hash 8k; alias html/; }
        location /old/ { gzip_http_version 1.0; alias html/; }
        location /disabled/ { gzip_disable "^badbot" msie6; alias html/; }
        location /proxied/ { proxy_pass http://127.0.0.1:${back}/; }
        location /expired/ { gzip_proxied expired no-cache private; proxy_pass http://127.0.0.1:${back}/; }
        location /dated/ { gzip_proxied no_etag; proxy_pass http://127.0.0.1:${back}/; }
        location /any/ { gzip_proxied any; proxy_pass http://127.0.0.1:${back}/; }
        location /live/ { proxy_buffering off; proxy_pass http://127.0.0.1:${back}/; }
        location /unpacked/ { gunzip on; gzip off; gzip_vary on; proxy_pass http://127.0.0.1:${back}/; }
        location /direct/ { gunzip on; proxy_buffering off; proxy_pass http://127.0.0.1:${back}/; }
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

let seed = 1;
function randomBytes(size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  for (let index = 0; index < size; index += 4) {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    bytes.writeUInt32LE(seed, index);
  }
  return bytes;
}

test('a file is compressed for a client that accepts it, and the head says so', async () => {
  const answer = await ask(port, '/page.html', GZIP);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['content-encoding'], 'gzip');
  assert.equal(answer.headers.vary, 'Accept-Encoding');
  assert.equal(answer.headers['content-length'], undefined);
  assert.equal(answer.headers['accept-ranges'], undefined);
  assert.match(String(answer.headers.etag), /^W\/"/);
  assert.equal(gunzipSync(answer.body).toString('latin1'), PAGE);
  assert.ok(answer.body.length < PAGE.length / 10);
});

test('a client that does not accept it gets the file as it is, with the same Vary', async () => {
  const answer = await ask(port, '/page.html', { 'Accept-Encoding': 'gzip;q=0' });
  assert.equal(answer.headers['content-encoding'], undefined);
  assert.equal(answer.headers.vary, 'Accept-Encoding');
  assert.equal(answer.headers['content-length'], String(PAGE.length));
  assert.match(String(answer.headers.etag), /^"/);
  assert.equal(answer.body.toString('latin1'), PAGE);
});

test('what is short, or of another type, or not to be compressed, is not', async () => {
  for (const path of ['/small.html', '/off/page.html']) {
    const answer = await ask(port, path, GZIP);
    assert.equal(answer.headers['content-encoding'], undefined, path);
    assert.equal(answer.headers.vary, undefined, path);
  }
});

test('HEAD has the head of GET and no body, and the connection goes on', async () => {
  using client = await openClient(port);
  client.write('HEAD /page.html HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n');
  const first = await client.answer();
  assert.match(first.head, /\r\nContent-Encoding: gzip\r\n/);
  assert.doesNotMatch(first.head, /Content-Length|Transfer-Encoding/);
  assert.equal((await client.get('/small.html')).body, 'small');
});

test('a large file comes whole, whatever the level and the window', async () => {
  for (const path of ['/large.txt', '/level9/large.txt']) {
    const { body } = await ask(port, path, GZIP);
    assert.ok(gunzipSync(body).equals(LARGE), path);
  }
});

test('HTTP/1.0 gets nothing compressed unless gzip_http_version says so', async () => {
  for (const [path, isCompressed] of [
    ['/page.html', false],
    ['/old/page.html', true],
  ] as const) {
    using client = await openClient(port);
    client.write(`GET ${path} HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n`);
    const { head } = await client.answer();
    assert.equal(/Content-Encoding: gzip/.test(head), isCompressed, path);
  }
});

test('gzip_disable names browsers', async () => {
  for (const [agent, isCompressed] of [
    ['BadBot/1.0', false],
    ['good badbot', true],
    ['Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)', false],
    ['Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)', true],
  ] as const) {
    const { headers } = await ask(port, '/disabled/page.html', { ...GZIP, 'User-Agent': agent });
    assert.equal(headers['content-encoding'] === 'gzip', isCompressed, agent);
  }
});

test('a request that came through a proxy gets what gzip_proxied allows', async () => {
  const via = { ...GZIP, Via: '1.1 proxy' };
  const soon = encodeURIComponent(new Date(Date.now() + 60_000).toUTCString());
  const past = encodeURIComponent(new Date(Date.now() - 60_000).toUTCString());
  for (const [path, isCompressed] of [
    ['/proxied/', false],
    ['/any/', true],
    ['/expired/', true],
    [`/expired/?Expires=${past}`, true],
    [`/expired/?Expires=${soon}`, false],
    ['/expired/?Cache-Control=private', true],
    ['/expired/?Cache-Control=max-age%3D1,%20no-cache', true],
    ['/expired/?Cache-Control=no-store', false],
    ['/expired/?Cache-Control=max-age%3D1', false],
    ['/dated/', false],
  ] as const) {
    const { headers } = await ask(port, path, via);
    assert.equal(headers['content-encoding'] === 'gzip', isCompressed, path);
  }
});

test('an answer of an upstream is compressed unless it is already, and offers no ranges', async () => {
  const plain = await ask(port, '/proxied/', GZIP);
  assert.equal(gunzipSync(plain.body).toString('latin1'), PAGE);
  assert.equal(plain.headers.etag, 'W/"a"');
  assert.equal(plain.headers['accept-ranges'], undefined);
  const packed = await ask(port, '/proxied/packed', GZIP);
  assert.equal(packed.headers.etag, '"a"');
  assert.equal(gunzipSync(packed.body).toString('latin1'), PAGE);
});

test('without proxy_buffering each piece can be decompressed as soon as it has come', async () => {
  held.length = 0;
  using client = await openClient(port);
  client.write('GET /live/hold HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n');
  const answer = await until('the question', () => held[0]);
  answer.end();
  await client.ended;
  held.length = 0;
  using streaming = await openClient(port);
  const inflated: string[] = [];
  const gunzip = createGunzip().on('data', (piece: Buffer) => inflated.push(piece.toString()));
  let head = '';
  streaming.socket.on('data', (bytes: Buffer) => {
    const text =
      head === '' ? (head += bytes.toString('latin1')).split('\r\n\r\n')[1]! : bytes.toString('latin1');
    // Chunks come whole here: each is one write.
    for (const [, body] of text.matchAll(/[0-9a-f]+\r\n([\s\S]*?)\r\n(?=[0-9a-f]+\r\n|$)/g)) {
      if (body !== '') gunzip.write(Buffer.from(body!, 'latin1'));
    }
  });
  streaming.write('GET /live/hold HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n');
  const live = await until('the question', () => held[0]);
  for (const word of ['one', 'two', 'three']) {
    live.write(word);
    await until(word, () => inflated.join('').endsWith(word));
  }
  live.end();
});

test('$gzip_ratio tells how much smaller a body became, and has no value where it did not', async () => {
  const { body } = await ask(port, '/page.html?ratio', GZIP);
  await ask(port, '/off/page.html', GZIP);
  const log = await until('the lines', () => {
    const text = sandbox.read('logs/ratio.log');
    return text.includes('/off/page.html - ') ? text : '';
  });
  const ratio = Number(/^\/page\.html ([\d.]+) /m.exec(log)![1]);
  assert.ok(Math.abs(ratio - PAGE.length / body.length) < 0.01, log);
});

/** Memory of the whole program, in bytes. */
function residentBytes(): number {
  const pages = readFileSync(`/proc/${portico.pid}/statm`, 'latin1').split(' ')[1];
  return Number(pages) * 4096;
}

test('a client that does not read holds the upstream up, and the memory stays bounded', async () => {
  endless = 0;
  const before = residentBytes();
  using client = await openClient(port);
  client.socket.pause();
  client.write('GET /live/endless HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n');
  let last = -1;
  await until('the upstream to stop', async () => {
    if (endless === last && endless > 0) return true;
    last = endless;
    await new Promise((resolve) => setTimeout(resolve, 150));
    return false;
  });
  assert.ok(endless < 40 * 1024 * 1024, `${endless} bytes`);
  assert.ok(residentBytes() - before < 100 * 1024 * 1024);
});

test('clients that go in the middle of compressed answers leave nothing behind', async () => {
  for (const path of ['/large.txt', '/live/endless', '/unpacked/large-packed', '/direct/large-packed']) {
    for (let round = 0; round < 5; round++) {
      const client = await openClient(port);
      client.write(
        `GET ${path} HTTP/1.1\r\nHost: a\r\n${path.startsWith('/un') || path.startsWith('/di') ? '' : 'Accept-Encoding: gzip\r\n'}\r\n`,
      );
      await new Promise((resolve) => client.socket.once('data', resolve));
      client.close();
    }
  }
  assert.equal((await ask(port, '/small.html')).body.toString(), 'small');
  await until(
    'the connections of the upstream to close',
    () =>
      new Promise<boolean>((resolve) => {
        upstream.closeIdleConnections();
        upstream.getConnections((_error, count) => resolve(count === 0));
      }),
  );
  assert.doesNotMatch(portico.errorLog(), /\[(alert|crit|emerg)\]/);
});

test('gunzip decompresses for a client that accepts nothing compressed', async () => {
  const answer = await ask(port, '/unpacked/packed');
  assert.equal(answer.body.toString('latin1'), PAGE);
  assert.equal(answer.headers['content-encoding'], undefined);
  assert.equal(answer.headers['content-length'], undefined);
  assert.equal(answer.headers.vary, 'Accept-Encoding');
  assert.equal(answer.headers.etag, 'W/"a"');
  const packed = await ask(port, '/unpacked/packed', GZIP);
  assert.equal(packed.headers['content-encoding'], 'gzip');
  assert.equal(packed.headers.vary, 'Accept-Encoding');
  for (const path of ['/unpacked/large-packed', '/direct/large-packed']) {
    assert.ok((await ask(port, path)).body.equals(LARGE), path);
  }
  const head = await ask(port, '/unpacked/packed', {}, 'HEAD');
  assert.equal(head.headers['content-encoding'], undefined);
  assert.equal(head.body.length, 0);
});

test('a slow reader of what gunzip makes gets all of it', async () => {
  using client = await openClient(port);
  client.write('GET /unpacked/large-packed HTTP/1.0\r\n\r\n');
  let size = 0;
  client.socket.on('data', (bytes: Buffer) => {
    size += bytes.length;
    client.socket.pause();
    setTimeout(() => client.socket.resume(), 1);
  });
  await client.ended;
  assert.ok(size > LARGE.length);
});

test('what cannot be decompressed ends the connection, and the error log says why', async () => {
  const broken = await ask(port, '/unpacked/broken');
  assert.equal(broken.complete, false);
  assert.ok(LARGE.subarray(0, broken.body.length).equals(broken.body));
  await portico.logged(/\[error\] .*inflate\(\) failed: 0, -3/);
  const cut = await ask(port, '/unpacked/cut');
  assert.equal(cut.complete, false);
  await portico.logged(/\[error\] .*inflate\(\) returned -5 on response end/);
  assert.equal((await ask(port, '/small.html')).status, 200);
});
