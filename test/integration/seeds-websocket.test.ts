/** config/websocket.conf: WebSockets with and without TLS, on both engines. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Agent, createServer, type IncomingMessage, request } from 'node:http';
import { after, before, beforeEach, describe, test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { makeCertificates } from '../../scripts/make-certificates.ts';
import { startProgram } from '../scripts/program.ts';
import { createSandbox, type Sandbox } from '../support/portico.ts';
import { until } from '../support/wait.ts';
import { type Shipped, shippedText, startShipped } from './seeds.ts';

/** The listeners of the file. */
const FRONTS = [
  { port: 8080, scheme: 'ws', what: 'node' },
  { port: 8443, scheme: 'wss', what: 'node over TLS' },
  { port: 8090, scheme: 'ws', what: 'uWebSockets.js' },
  { port: 8493, scheme: 'wss', what: 'uWebSockets.js over TLS' },
] as const;

/** A server behind it: echoes what a WebSocket says, and speaks a protocol of its own where it is asked to. */
interface EchoServer {
  readonly name: string;
  /** Heads of all requests that have come, those for WebSockets too. */
  readonly requests: IncomingMessage[];
  readonly sockets: WebSocketServer;
  stop(): Promise<void>;
}

async function startEchoServer(name: string, port: number): Promise<EchoServer> {
  const requests: IncomingMessage[] = [];
  const server = createServer((asked, response) => {
    requests.push(asked);
    response.end(name);
  });
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    handleProtocols: (offered) => (offered.has('second') ? 'second' : false),
  });
  server.on('upgrade', (asked, socket, head) => {
    requests.push(asked);
    if (asked.url === '/refused') {
      socket.end('HTTP/1.1 403 Forbidden\r\nX-Why: no reason\r\nContent-Length: 7\r\n\r\nnot you');
      return;
    }
    sockets.handleUpgrade(asked, socket, head, (webSocket) => {
      webSocket.on('message', (data, binary) => {
        if (data.toString() === 'your turn') webSocket.close(4242, 'the server is tired');
        else webSocket.send(data, { binary });
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    name,
    requests,
    sockets,
    async stop() {
      for (const socket of sockets.clients) socket.terminate();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe('config/websocket.conf', () => {
  let sandbox: Sandbox;
  let shipped: Shipped;
  let servers: EchoServer[];
  let ca: Buffer;
  const opened: WebSocket[] = [];

  /** Starts it. @param edit changes the text */
  async function start(edit?: (text: string) => string): Promise<void> {
    sandbox = createSandbox();
    makeCertificates(sandbox.path('conf/certificates'));
    ca = readFileSync(sandbox.path('conf/certificates/authority.crt'));
    shipped = await startShipped('websocket.conf', {
      engine: 'node',
      workers: 2,
      sandbox,
      backends: {},
      ...(edit === undefined ? {} : { edit }),
    });
    servers = [
      await startEchoServer('Server 1', shipped.port(3001)),
      await startEchoServer('Server 2', shipped.port(3002)),
    ];
  }

  async function stop(): Promise<void> {
    for (const socket of opened.splice(0)) socket.terminate();
    await shipped.stop();
    await Promise.all(servers.map((server) => server.stop()));
    sandbox.remove();
  }

  /** A WebSocket that checks the certificate, not yet open. */
  function connect(front: (typeof FRONTS)[number], path = '/ws', protocols: string[] = []): WebSocket {
    const url = `${front.scheme}://localhost:${shipped.port(front.port)}${path}`;
    // All listeners are IPv4's.
    const socket = new WebSocket(url, protocols, { ca, family: 4 });
    socket.on('error', () => {});
    opened.push(socket);
    return socket;
  }

  async function open(...args: Parameters<typeof connect>): Promise<WebSocket> {
    const socket = connect(...args);
    await once(socket, 'open', { signal: AbortSignal.timeout(15_000) });
    return socket;
  }

  async function say(socket: WebSocket, data: string | Buffer): Promise<[data: Buffer, binary: boolean]> {
    const answer = once(socket, 'message', { signal: AbortSignal.timeout(15_000) });
    socket.send(data);
    return (await answer) as [Buffer, boolean];
  }

  describe('as it is', () => {
    before(() => start());
    after(stop);
    beforeEach(async () => {
      for (const socket of opened.splice(0)) socket.terminate();
      await until('the servers to be left alone', () =>
        servers.every(({ sockets }) => sockets.clients.size === 0),
      );
      for (const { requests } of servers) requests.length = 0;
    });

    for (const front of FRONTS) {
      test(`${front.what}: text, bytes, pings, a protocol, and how it ends, both ways`, async () => {
        const socket = await open(front, '/ws', ['first', 'second']);
        assert.equal(socket.protocol, 'second');
        const [text, textIsBinary] = await say(socket, 'grüß dich');
        assert.deepEqual([text.toString(), textIsBinary], ['grüß dich', false]);
        const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index & 0xff));
        const [same, binary] = await say(socket, bytes);
        assert.ok(binary && same.equals(bytes));
        const pong = once(socket, 'pong');
        socket.ping('are you there');
        assert.equal((await pong)[0].toString(), 'are you there');

        const closed = once(socket, 'close');
        socket.send('your turn');
        const [code, reason] = await closed;
        assert.deepEqual([code, reason.toString()], [4242, 'the server is tired']);

        const other = await open(front);
        const [atServer] = servers.flatMap(({ sockets }) => [...sockets.clients]);
        const closedThere = once(atServer!, 'close');
        other.close(4321, 'so am I');
        const [codeThere, reasonThere] = await closedThere;
        assert.deepEqual([codeThere, reasonThere.toString()], [4321, 'so am I']);
      });

      test(`${front.what}: the server sees who asked for what`, async () => {
        await open(front, '/ws?x=1');
        const [{ headers, url }] = servers.flatMap(({ requests }) => requests) as [IncomingMessage];
        assert.equal(url, '/ws?x=1');
        assert.equal(headers.host, 'localhost');
        assert.equal(headers.connection, 'upgrade');
        assert.equal(headers.upgrade, 'websocket');
        assert.equal(headers['x-forwarded-proto'], front.scheme === 'ws' ? 'http' : 'https');
      });

      test(`${front.what}: what a server answers instead of 101 reaches the client as it is`, async () => {
        const socket = connect(front, '/refused');
        const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
        assert.equal(response.statusCode, 403);
        assert.equal(response.headers['x-why'], 'no reason');
        assert.equal((await response.toArray()).join(''), 'not you');
      });

      test(`${front.what}: a new one goes to the server that has fewer`, async () => {
        const counts = () => servers.map(({ sockets }) => sockets.clients.size);
        for (let pair = 1; pair <= 3; pair++) {
          await open(front);
          await open(front);
          assert.deepEqual(counts(), [pair, pair]);
        }
      });
    }

    test('a WebSocket that has ended does not count any more', async () => {
      const front = FRONTS[0];
      const counts = () => servers.map(({ sockets }) => sockets.clients.size);
      for (let socket = 0; socket < 4; socket++) await open(front);
      for (const socket of servers[1]!.sockets.clients) socket.close();
      await until(
        'two to end',
        () => opened.filter((socket) => socket.readyState === WebSocket.CLOSED).length === 2,
      );
      assert.deepEqual(counts(), [2, 0]);
      await open(front);
      await open(front);
      assert.deepEqual(counts(), [2, 2]);
    });

    test('other requests are passed to the same place, and share connections to the servers', async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      for (let asked = 0; asked < 10; asked++) {
        const sent = request({ agent, host: '127.0.0.1', port: shipped.port(8080), path: '/page' });
        sent.end();
        const [response] = (await once(sent, 'response')) as [IncomingMessage];
        assert.match((await response.toArray()).join(''), /^Server [12]$/);
      }
      agent.destroy();
      const requests = servers.flatMap((server) => server.requests);
      assert.equal(requests.length, 10);
      for (const { headers } of requests) {
        assert.equal(headers.connection, undefined);
        assert.equal(headers.upgrade, undefined);
      }
      assert.ok(new Set(requests.map(({ socket }) => socket)).size <= 2);
    });

    test('a reload closes none of them', async () => {
      const sockets = await Promise.all(FRONTS.map((front) => open(front)));
      assert.equal(await shipped.portico.reload(), 'done');
      for (const socket of sockets)
        assert.equal((await say(socket, 'still here'))[0].toString(), 'still here');
    });

    test('what it says to try with Node.js can be tried', async (context) => {
      const comment = shippedText('websocket.conf').replace(/^#( {3})?/gm, '');
      const [, program] = /node --eval '\n([^']*)'/.exec(comment)!;
      const { port } = shipped;
      const tried = startProgram(
        context,
        process.execPath,
        [
          '--eval',
          program!.replace(/localhost:(\d+)/, (_, documented) => `localhost:${port(Number(documented))}`),
        ],
        { env: { ...process.env, NODE_EXTRA_CA_CERTS: sandbox.path('conf/certificates/authority.crt') } },
      );
      await tried.line(/^hello$/);
    });
  });

  describe('with less patience', { concurrency: true }, () => {
    before(() => start((text) => text.replace('proxy_read_timeout 1h;', 'proxy_read_timeout 1500ms;')));
    after(stop);

    for (const front of FRONTS) {
      test(`${front.what}: one that is quiet is closed, one with pings is not`, async () => {
        const lively = await open(front);
        const pings = setInterval(() => lively.ping(), 50);
        try {
          const quiet = await open(front);
          assert.equal((await once(quiet, 'close'))[0], 1006);
        } finally {
          clearInterval(pings);
        }
        assert.equal((await say(lively, 'still here'))[0].toString(), 'still here');
      });
    }
  });
});
