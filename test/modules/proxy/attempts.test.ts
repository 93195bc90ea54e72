import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { get, openClient } from '../../support/client.ts';
import { type RunningPortico, startPortico } from '../../support/portico.ts';
import { freePorts } from '../../support/ports.ts';
import { ask } from '../../support/raw-client.ts';
import { answer, type Backend, headerOf, startBackend } from './backend.ts';

let good: Backend;
let bad: Backend;
let portico: RunningPortico;
let port: number;
let dead: number;

before(async () => {
  good = await startBackend(({ target, count }, socket) => {
    if (target.startsWith('/silent')) return undefined;
    if (target.startsWith('/stale') && count > 1) {
      // As a server that closes an idle connection just when a request comes.
      socket.destroy();
      return undefined;
    }
    return answer('good');
  });
  bad = await startBackend(({ target }, socket) => {
    const status = /^\/status\/(\d+)/.exec(target)?.[1];
    if (status !== undefined) return answer('bad', '', `${status} Bad`);
    if (target.startsWith('/garbage')) return 'HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n';
    if (target.startsWith('/silent')) return undefined;
    socket.destroy();
    return undefined;
  });
  [port, dead] = (await freePorts(2)) as [number, number];
  const servers = `server 127.0.0.1:${bad.port} max_fails=0; server 127.0.0.1:${good.port} max_fails=0 backup;`;
  portico = await startPortico({
    http: `
      upstream pair { ${servers} }
      upstream dead { server 127.0.0.1:${dead} max_fails=0; server 127.0.0.1:${good.port} max_fails=0 backup; }
      upstream gone { server 127.0.0.1:${dead}; server 127.0.0.1:${dead}; }
      upstream single { server 127.0.0.1:${good.port}; keepalive 4; }
      server {
        listen 127.0.0.1:${port};
        add_header X-Addr $upstream_addr always;
        add_header X-Status $upstream_status always;
        location / { proxy_pass http://pair; }
        location /dead/ { proxy_pass http://dead/; }
        location /gone/ { proxy_pass http://gone/; }
        location /refused/ { proxy_pass http://127.0.0.1:${dead}; }
        location /codes/ { proxy_pass http://pair/; proxy_next_upstream http_500 http_503 http_404 http_429; }
        location /invalid/ { proxy_pass http://pair/; proxy_next_upstream error invalid_header; }
        location /always/ { proxy_pass http://pair/; proxy_next_upstream error http_503 non_idempotent; }
        location /never/ { proxy_pass http://pair/; proxy_next_upstream off; }
        location /once/ { proxy_pass http://pair/; proxy_next_upstream_tries 1; }
        location /late/ { proxy_pass http://pair/; proxy_read_timeout 300ms; proxy_next_upstream_timeout 100ms; }
        location /wait/ { proxy_pass http://pair/; proxy_read_timeout 100ms; }
        location /kept/ { proxy_pass http://single/; }
        location /again/ { proxy_pass http://127.0.0.1:${dead}/; error_page 502 = /second; }
        location /second { proxy_pass http://single/; }
        location /stream/ { proxy_pass http://pair/; proxy_request_buffering off; }
      }`,
  });
});

after(async () => {
  await portico?.[Symbol.asyncDispose]();
  await good?.close();
  await bad?.close();
});

/** The outcome of a request: status, and what was asked. */
async function outcome(
  request: string,
): Promise<{ status: number; addresses: string; statuses: string; body: string }> {
  const text = await ask(port, request);
  const head = text.slice(0, text.indexOf('\r\n\r\n') + 2);
  const name = (addresses: string) =>
    addresses
      .replaceAll(`127.0.0.1:${good.port}`, 'good')
      .replaceAll(`127.0.0.1:${bad.port}`, 'bad')
      .replaceAll(`127.0.0.1:${dead}`, 'dead');
  return {
    status: Number(text.slice(9, 12)),
    addresses: name(headerOf(head, 'X-Addr') ?? ''),
    statuses: headerOf(head, 'X-Status') ?? '',
    body: text.slice(head.length + 2),
  };
}

function getting(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
}

function posting(path: string, body = 'body'): string {
  return `POST ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

test('a server that breaks the connection is followed by another', async () => {
  assert.deepEqual(await outcome(getting('/')), {
    status: 200,
    addresses: 'bad, good',
    statuses: '502, 200',
    body: 'good',
  });
  await portico.logged(
    'upstream prematurely closed connection while reading response header from upstream, client: 127.0.0.1',
  );
});

test('a server that cannot be connected to is followed by another, after POST too', async () => {
  assert.equal((await outcome(getting('/dead/'))).addresses, 'dead, good');
  assert.equal((await outcome(posting('/dead/'))).addresses, 'dead, good');
  const line = await portico.logged(
    'connect() failed (111: Connection refused) while connecting to upstream',
  );
  assert.match(line, new RegExp(`upstream: "http://127\\.0\\.0\\.1:${dead}/"`));
});

test('a request that is not idempotent is not sent twice, unless it may be', async () => {
  assert.equal((await outcome(posting('/'))).status, 502);
  const { addresses, body } = await outcome(posting('/always/'));
  assert.deepEqual([addresses, body], ['bad, good', 'good']);
  assert.equal(good.requests.at(-1)?.body, 'body');
});

test('answers are taken for failures where proxy_next_upstream says so', async () => {
  for (const status of [500, 503, 404, 429]) {
    const { addresses, statuses } = await outcome(getting(`/codes/status/${status}`));
    assert.deepEqual([addresses, statuses], ['bad, good', `${status}, 200`]);
  }
  assert.deepEqual(await outcome(getting('/codes/status/502')), {
    status: 502,
    addresses: 'bad',
    statuses: '502',
    body: 'bad',
  });
  assert.equal((await outcome(getting('/status/503'))).body, 'bad');
  assert.equal((await outcome(getting('/invalid/garbage'))).addresses, 'bad, good');
  assert.equal((await outcome(getting('/garbage'))).status, 502);
});

test('off, tries and timeout end the attempts', async () => {
  assert.deepEqual((await outcome(getting('/never/'))).addresses, 'bad');
  assert.deepEqual((await outcome(getting('/once/'))).addresses, 'bad');
  const late = await outcome(getting('/late/silent'));
  assert.deepEqual([late.status, late.addresses], [504, 'bad']);
  const waited = await outcome(getting('/wait/silent'));
  assert.deepEqual([waited.status, waited.addresses, waited.statuses], [504, 'bad, good', '504, 504']);
  await portico.logged(
    'upstream timed out (110: Connection timed out) while reading response header from upstream',
  );
});

test('with all servers down, nobody is asked', async () => {
  const first = await outcome(getting('/gone/'));
  assert.deepEqual([first.status, first.addresses], [502, 'dead, dead']);
  await portico.logged('upstream server temporarily disabled while connecting to upstream');
  const second = await outcome(getting('/gone/'));
  assert.deepEqual([second.status, second.addresses, second.statuses], [502, 'gone', '502']);
  const line = await portico.logged('no live upstreams while connecting to upstream');
  assert.match(line, /upstream: "http:\/\/gone\/"/);
  assert.equal((await get(port, '/refused/')).status, 502);
});

test('an idle connection that turns out to be closed is replaced', async () => {
  using client = await openClient(port);
  assert.equal((await client.get('/kept/')).body, 'good');
  const { connections } = good;
  for (let time = 0; time < 3; time++) {
    const { status, head } = await client.get('/kept/stale');
    assert.equal(status, 200);
    assert.equal(headerOf(head, 'X-Status'), time === 0 ? '502, 200' : '502, 200');
  }
  assert.equal(good.connections, connections + 3);
});

test('servers asked before and after an internal redirect are told apart', async () => {
  const { addresses, statuses } = await outcome(getting('/again/'));
  assert.deepEqual([addresses, statuses], ['dead : good', '502 : 200']);
});

test('a body that is passed on as it comes is not sent again', async () => {
  const { connections } = bad;
  using client = await openClient(port);
  client.write('PUT /stream/ HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf');
  while (bad.connections === connections) await new Promise((resolve) => setImmediate(resolve));
  client.write('rest');
  const { status, head } = await client.answer();
  assert.equal(status, 502);
  assert.equal(headerOf(head, 'X-Addr'), `127.0.0.1:${bad.port}`);
});
