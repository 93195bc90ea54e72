/** `keepalive_pipeline` in the whole program: clients whose requests arrive in one turn of the event loop. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { type Client, openClient } from '../../support/client.ts';
import { type RunningPortico, startPortico } from '../../support/portico.ts';
import { freePort } from '../../support/ports.ts';
import { rawClient } from '../../support/raw-client.ts';
import { until } from '../../support/wait.ts';
import { answer, type PathServer, startPathServer } from '../../upstream/path-server.ts';

/** More than all socket buffers between the server and the client hold. */
const LARGE = 16 * 1024 * 1024;

let one: PathServer;
let two: PathServer;
let portico: RunningPortico;
let port: number;
let clients: Client[] = [];
/** Requests that wait at a server. */
let held: { server: string; path: string; socket: Socket }[] = [];
/** The next request for `/once/close` has its connection closed instead of an answer. */
let closing = false;

function serve(server: string) {
  return (path: string, socket: Socket): string | undefined => {
    if (path.startsWith('/hold')) {
      held.push({ server, path, socket });
      return undefined;
    }
    if (path.startsWith('/large')) return answer('x'.repeat(LARGE));
    if (path.startsWith('/last')) {
      socket.end(answer(path, 'Connection: close\r\n'));
      return undefined;
    }
    if (path.startsWith('/cut') && closing) {
      closing = false;
      socket.destroy();
      return undefined;
    }
    return socket.writableEnded || socket.destroyed ? undefined : answer(path);
  };
}

function configuration(): string {
  return `
    upstream single { server ${one.address}; keepalive 8; keepalive_pipeline 8; }
    upstream plain { server ${one.address}; keepalive 8; }
    upstream least { least_conn; server ${one.address}; server ${two.address}; keepalive 8; keepalive_pipeline 16; }
    upstream limited { server ${one.address} max_conns=3; server ${two.address} max_conns=3; keepalive_pipeline 16; }
    map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
    server {
      listen 127.0.0.1:${port};
      add_header X-Addr $upstream_addr always;
      add_header X-Status $upstream_status always;
      location / { proxy_pass http://single; }
      location /plain/ { proxy_pass http://plain/; }
      location /least/ { proxy_pass http://least/; }
      location /limited/ { proxy_pass http://limited/; }
      location /unbuffered/ { proxy_pass http://single/; proxy_buffering off; }
      location /once/ { proxy_pass http://single/; proxy_next_upstream off; }
      location /closing/ { proxy_pass http://single/; proxy_set_header Connection close; }
      location /upgrade/ {
        proxy_pass http://single/;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
      }
      location /body/ { proxy_pass http://single/; proxy_set_body some; }
    }`;
}

before(async () => {
  one = await startPathServer(serve('one'));
  two = await startPathServer(serve('two'));
  port = await freePort();
  portico = await startPortico({ http: configuration() });
});

afterEach(() => {
  for (const client of clients) client.close();
  clients = [];
  held = [];
  one.chunks.length = 0;
  two.chunks.length = 0;
});

after(async () => {
  await portico?.[Symbol.asyncDispose]();
  await one?.close();
  await two?.close();
});

/** Stops the program, every thread of it. */
async function freeze(): Promise<void> {
  portico.signal('SIGSTOP');
  const tasks = `/proc/${portico.pid}/task/`;
  await until('the program to stop', () =>
    readdirSync(tasks).every((task) => /^State:\s+T/m.test(readFileSync(`${tasks}${task}/status`, 'latin1'))),
  );
}

/** Has as many clients send their requests while Portico does not look, so that it finds all of them at once. */
async function sendTogether(requests: readonly string[]): Promise<Client[]> {
  const senders = await Promise.all(requests.map(() => openClient(port)));
  clients.push(...senders);
  // Each has been accepted once it has been answered.
  await Promise.all(senders.map((client) => client.get('/plain/ready')));
  one.chunks.length = 0;
  two.chunks.length = 0;
  await freeze();
  for (const [index, client] of senders.entries()) {
    if (!client.socket.write(requests[index]!, 'latin1')) await once(client.socket, 'drain');
  }
  portico.signal('SIGCONT');
  return senders;
}

const getting = (path: string, lines = ''): string => `GET ${path} HTTP/1.1\r\nHost: test\r\n${lines}\r\n`;

/** The bodies of the answers. */
async function bodiesOf(senders: readonly Client[]): Promise<string[]> {
  const answers = await Promise.all(senders.map((client) => client.answer()));
  for (const { status, head } of answers) assert.equal(status, 200, head);
  return answers.map(({ body }) => body);
}

/** How many requests came in each chunk. */
const sizes = (server: PathServer): number[] =>
  server.chunks.map((chunk) => chunk.split(' ').length - 1).toSorted((left, right) => right - left);

test('requests that come together go to the server in as few writes as may be', async () => {
  const paths = Array.from({ length: 20 }, (_, index) => `/r${index}`);
  const senders = await sendTogether(paths.map((path) => getting(path)));
  assert.deepEqual(await bodiesOf(senders), paths);
  assert.deepEqual(sizes(one), [7, 7, 6]);
});

test('without the directive each has a connection of its own', async () => {
  const paths = ['/a', '/b', '/c'];
  const senders = await sendTogether(paths.map((path) => getting(`/plain${path}`)));
  assert.deepEqual(await bodiesOf(senders), paths);
  assert.deepEqual(sizes(one), [1, 1, 1]);
});

test('what has a body, may not be repeated, or is about the connection never shares one', async () => {
  const kinds: [string, string][] = [
    ['unbuffered answers', getting('/unbuffered/x')],
    ['no other server may be asked', getting('/once/x')],
    ['a connection header of the configuration', getting('/closing/x')],
    ['a body of the configuration', getting('/body/x')],
    [
      'a client that wants to upgrade',
      getting('/upgrade/x', 'Upgrade: websocket\r\nConnection: upgrade\r\n'),
    ],
    ['a client that expects something', getting('/x', 'Expect: 100-continue\r\n')],
    ['an empty POST', 'POST /x HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n'],
    ['DELETE', 'DELETE /x HTTP/1.1\r\nHost: test\r\n\r\n'],
  ];
  for (const [what, request] of kinds) {
    const senders = await sendTogether([request, request, request]);
    await Promise.all(senders.map((client) => client.answer()));
    assert.ok(
      sizes(one).every((size) => size <= 1),
      `${what}: ${one.chunks}`,
    );
    for (const client of clients.splice(0)) client.close();
  }
  const body = await sendTogether(Array(3).fill(`${getting('/x', 'Content-Length: 4\r\n')}body`));
  await until('the bodies', () => one.chunks.length >= 3);
  // The server takes the body for the beginning of another request.
  assert.ok(body.length === 3 && one.chunks.every((chunk) => chunk.split(' /').length <= 2));
});

test('a location that may upgrade shares connections for the requests that do not want to', async () => {
  const senders = await sendTogether([getting('/upgrade/a'), getting('/upgrade/b')]);
  assert.deepEqual(await bodiesOf(senders), ['/a', '/b']);
  assert.deepEqual(sizes(one), [2]);
});

test('HEAD and OPTIONS stand in a line with GET', async () => {
  const requests = ['GET', 'HEAD', 'OPTIONS', 'GET'].map(
    (method, index) => `${method} /hold${index} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n`,
  );
  const senders = await sendTogether(requests);
  await until('the requests', () => held.length === 4);
  assert.deepEqual(sizes(one), [4]);
  held[0]!.socket.write(
    `${answer('a')}HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n${answer('d')}`,
  );
  const [first, , third, fourth] = senders;
  assert.equal((await first!.answer()).body, 'a');
  assert.equal((await third!.answer()).status, 204);
  assert.equal((await fourth!.answer()).body, 'd');
});

test('a connection that the server closes in the middle costs no request', async () => {
  const paths = ['/a', '/last', '/b', '/c'];
  const senders = await sendTogether(paths.map((path) => getting(path)));
  assert.deepEqual(await bodiesOf(senders), paths);
  closing = true;
  const cut = await sendTogether(['/d', '/cut', '/e', '/f'].map((path) => getting(path)));
  assert.deepEqual(await bodiesOf(cut), ['/d', '/cut', '/e', '/f']);
});

test('a server that breaks off is asked no more by those behind: another one is', async () => {
  const senders = await sendTogether(
    ['/least/hold1', '/least/hold2', '/least/hold3', '/least/hold4'].map((path) => getting(path)),
  );
  await until('the requests', () => held.length === 4);
  const first = held.filter(({ server }) => server === held[0]!.server);
  assert.equal(first.length, 2);
  // The answer of one is cut off; the one behind it has not even begun.
  first[0]!.socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf');
  await until('the request that is sent again', () => held.length === 5);
  const again = held[4]!;
  assert.notEqual(again.server, first[0]!.server);
  assert.equal(again.path, first[1]!.path);
  for (const socket of new Set(
    held.filter((request) => request.server !== first[0]!.server).map(({ socket }) => socket),
  ))
    for (const request of held) if (request.socket === socket) socket.write(answer('late'));
  let cut = 0;
  for (const client of senders) {
    await client.answer().then(
      ({ body }) => assert.equal(body, 'late'),
      () => cut++,
    );
  }
  assert.equal(cut, 1);
});

test('least_conn and max_conns count requests, not connections', async () => {
  const least = await sendTogether(Array.from({ length: 10 }, (_, index) => getting(`/least/hold${index}`)));
  await until('the requests', () => held.length === 10);
  assert.equal(held.filter(({ server }) => server === 'one').length, 5);
  for (const { socket, path } of held.splice(0)) socket.write(answer(path));
  assert.deepEqual(
    await bodiesOf(least),
    least.map((_, index) => `/hold${index}`),
  );
  const limited = await sendTogether(Array.from({ length: 10 }, () => getting('/limited/hold')));
  await until('the requests', () => held.length === 6);
  const waiting: Client[] = [];
  let refused = 0;
  await Promise.all(
    limited.map(async (client, index) => {
      // Round robin: the first six find room.
      if (index < 6) waiting.push(client);
      else if ((await client.answer()).status === 502) refused++;
    }),
  );
  assert.equal(refused, 4);
  for (const { socket, path } of held.splice(0)) socket.write(answer(path));
  await bodiesOf(waiting);
  // Everything has been given back.
  const again = await sendTogether(Array.from({ length: 6 }, () => getting('/limited/x')));
  await bodiesOf(again);
});

test('a client that reads slowly does not hold up those behind it', async () => {
  const slow = await rawClient(port);
  slow.socket.pause();
  const senders = await Promise.all([openClient(port), openClient(port)]);
  clients.push(...senders);
  for (const client of senders) await client.get('/plain/ready');
  one.chunks.length = 0;
  await freeze();
  slow.send(getting('/large', 'Connection: close\r\n'));
  await new Promise((resolve) => setImmediate(resolve));
  for (const client of senders) client.write(getting('/after'));
  portico.signal('SIGCONT');
  assert.deepEqual(await bodiesOf(senders), ['/after', '/after']);
  // They have not been moved: what is large has been read ahead.
  assert.deepEqual(
    sizes(one).reduce((sum, size) => sum + size, 0),
    3,
  );
  slow.socket.resume();
  const text = await slow.closed();
  assert.equal(text.length - text.indexOf('\r\n\r\n') - 4, LARGE);
});

test('a client that goes away does no harm to the others', async () => {
  const senders = await sendTogether(['/hold0', '/hold1', '/hold2', '/hold3'].map((path) => getting(path)));
  await until('the requests', () => held.length === 4);
  senders[0]!.close();
  senders[2]!.close();
  await portico.logged(/client prematurely closed connection.*hold2/);
  held[0]!.socket.write(held.map(({ path }) => answer(path)).join(''));
  assert.deepEqual(await bodiesOf([senders[1]!, senders[3]!]), ['/hold1', '/hold3']);
  // The connection has not suffered.
  const accepted = one.accepted;
  assert.deepEqual(await bodiesOf(await sendTogether([getting('/x'), getting('/y')])), ['/x', '/y']);
  assert.ok(one.accepted <= accepted + 2);
});

test('a reload in the middle changes nothing for those who wait', async () => {
  const senders = await sendTogether(['/hold0', '/hold1', '/hold2'].map((path) => getting(path)));
  await until('the requests', () => held.length === 3);
  held[0]!.socket.write(answer('/hold0'));
  assert.equal((await senders[0]!.answer()).body, '/hold0');
  portico.configure({ http: configuration().replaceAll('keepalive_pipeline 8', 'keepalive_pipeline 4') });
  assert.equal(await portico.reload(), 'done');
  held[0]!.socket.write(answer('/hold1') + answer('/hold2'));
  assert.deepEqual(await bodiesOf(senders.slice(1)), ['/hold1', '/hold2']);
  const paths = Array.from({ length: 8 }, (_, index) => `/r${index}`);
  const later = await sendTogether(paths.map((path) => getting(path)));
  assert.deepEqual(await bodiesOf(later), paths);
  assert.deepEqual(sizes(one), [4, 4]);
});
