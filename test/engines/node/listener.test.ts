/** Clients that come before the worker has begun: between when its sockets listen and when all of them are to serve. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, beforeEach, test } from 'node:test';
import { parseText } from '../../../src/config/parser.ts';
import { buildScopes } from '../../../src/config/scope.ts';
import { linkSite } from '../../../src/core/link.ts';
import type { Site } from '../../../src/core/site.ts';
import { type NodeListener, openNodeListener } from '../../../src/engines/node/listener.ts';
import { ConnectionLimit } from '../../../src/event/connection-limit.ts';
import { createTimerWheel } from '../../../src/event/timers.ts';
import { NO_ERROR_LOG } from '../../../src/log/error-log.ts';
import { createOpenFiles } from '../../../src/log/open-files.ts';
import { createProcessSecret } from '../../../src/master/secret.ts';
import { ConnectionCounters, createConnectionCounters } from '../../../src/shared/counters.ts';
import { PeerTable } from '../../../src/shared/peer-table.ts';
import { createKeptThings } from '../../../src/worker/kept.ts';
import { modules, registry } from '../../../src/worker/registry.ts';
import { createRuntime } from '../../../src/worker/runtime.ts';
import { createSandbox, type Sandbox } from '../../support/portico.ts';
import { freePort } from '../../support/ports.ts';
import { type RawClient, rawClient } from '../../support/raw-client.ts';
import { writeCertificate } from '../../support/tls-client.ts';
import { until } from '../../support/wait.ts';

const counters = new ConnectionCounters(createConnectionCounters(1).buffer, 0);
let sandbox: Sandbox;
let site: Site;
let listener: NodeListener;
let port: number;
const clients: RawClient[] = [];

beforeEach(() => {
  sandbox = createSandbox();
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  listener.close();
  listener.destroyConnections();
  await until('all connections to be gone', () => counters.read().active === 0 && ends() === 0);
  site.close();
  site.runtime.timers.stopAll();
  sandbox.remove();
});

/** Links a configuration with one server, and opens its socket. Nothing is served yet. */
async function open(parameters: string, more = ''): Promise<void> {
  port = await freePort();
  const { directory: prefix } = sandbox;
  const text = `http {
    access_log off;
    server { listen 127.0.0.1:${port} ${parameters}; ${more} location / { return 200 "$request_method $uri"; } }
  }`;
  const unexpected = () => {
    throw new Error('this configuration has no use for it');
  };
  const runtime = createRuntime(
    {
      worker: 0,
      prefix,
      configPrefix: `${prefix}conf/`,
      timers: createTimerWheel(),
      peers: PeerTable.create({ workers: 1 }),
      counters,
      connections: new ConnectionLimit(16, () => {}),
      errorLog: NO_ERROR_LOG,
      files: createOpenFiles(),
      kept: createKeptThings(),
      secret: createProcessSecret(),
    },
    1,
    {
      slot: unexpected,
      configurePeer: unexpected,
      resolve: unexpected,
      readFile: (path) => Buffer.from(sandbox.read(path.slice(prefix.length)), 'latin1'),
      sharedMemory: (_key, size) => new SharedArrayBuffer(size),
    },
  );
  site = await linkSite(buildScopes(parseText(text, 'test.conf'), registry), modules, runtime);
  listener = openNodeListener(site.listeners[0]!, site);
  await listener.ready;
}

async function connect(tls = false): Promise<RawClient> {
  const client = await rawClient(port, tls);
  clients.push(client);
  return client;
}

/** Ends of TCP connections that this process has, those of its clients and those of the listener. */
function ends(): number {
  return process.getActiveResourcesInfo().filter((resource) => resource === 'TCPSocketWrap').length;
}

/** Turns of the event loop: what has arrived has been read, where anybody reads. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
}

test('what a client has sent before the worker begins is answered once it does', async () => {
  await open('');
  const client = await connect();
  await until('the connection to be accepted', () => ends() === 2);
  client.send('GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /second HTT');
  await turns();
  assert.equal(counters.read().active, 0);
  listener.begin();
  await client.until(/GET \/first$/);
  client.send('P/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  assert.match(await client.closed(), /GET \/first[\s\S]*GET \/second$/);
});

test('so is the first message of a TLS handshake', async () => {
  writeCertificate(sandbox, 'server', { name: 'localhost' });
  await open('ssl', 'ssl_certificate server.crt; ssl_certificate_key server.key;');
  const handshake = connect(true);
  await until('the connection to be accepted', () => ends() === 2);
  await turns();
  listener.begin();
  const client = await handshake;
  client.send('GET /secret HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  assert.match(await client.closed(), /GET \/secret$/);
});

test('a request whose client has ended its side meanwhile is answered, too', async () => {
  await open('');
  const client = await connect();
  await until('the connection to be accepted', () => ends() === 2);
  client.send('GET /last HTTP/1.0\r\n\r\n');
  client.finish();
  await once(client.socket, 'finish');
  await turns();
  listener.begin();
  assert.match(await client.closed(), /GET \/last$/);
});

test('clients that have gone meanwhile cost nothing', async () => {
  await open('');
  const before = counters.read();
  const [left, broken] = [await connect(), await connect()];
  await until('the connections to be accepted', () => ends() === 4);
  broken.send('GET /broken HTT');
  left.finish();
  broken.reset();
  await once(broken.socket, 'close');
  await turns();
  listener.begin();
  await left.closed();
  await until('both to be gone', () => ends() === 0 && counters.read().active === 0);
  const { accepted, handled, requests } = counters.read();
  assert.deepEqual(
    [accepted - before.accepted, handled - before.handled, requests - before.requests],
    [2, 2, 0],
  );
});

test('a client that waits for a worker that never begins is told by the end of the connection', async () => {
  await open('');
  const client = await connect();
  await until('the connection to be accepted', () => ends() === 2);
  client.send('GET / HTTP/1.0\r\n\r\n');
  await turns();
  listener.close();
  assert.equal(await client.closed(), '');
});
