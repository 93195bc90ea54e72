/** A thousand WebSockets live through ten reloads, and leave nothing behind. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { ENGINE_NAMES } from '../../src/core/engine-name.ts';
import { get } from '../support/client.ts';
import { createSandbox, startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import { until } from '../support/wait.ts';
import { countsAreZero, memoryMeter, onlyIdle, startBackend, threads } from './endurance-load.ts';

const SOCKETS = 1000;
const RELOADS = 10;
/** Opened, or asked, at a time. */
const WINDOW = 100;
/** `max_conns` of each backend: those of the WebSockets, and some. */
const PLACES = SOCKETS / 2 + 20;
/** Memory in use, in bytes, may have grown by so much. */
const MEMORY_MARGIN = 4_000_000;

/** Does something with each, so many at a time. */
async function each<Item>(
  items: readonly Item[],
  work: (item: Item, index: number) => Promise<void>,
): Promise<void> {
  for (let from = 0; from < items.length; from += WINDOW) {
    await Promise.all(items.slice(from, from + WINDOW).map((item, index) => work(item, from + index)));
  }
}

async function openSocket(port: number): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, { perMessageDeflate: false });
  await once(socket, 'open');
  return socket;
}

/** Sends a message and waits until it has come back. */
async function echo(socket: WebSocket, text: string): Promise<void> {
  const answer = once(socket, 'message', { signal: AbortSignal.timeout(20_000) });
  socket.send(text);
  assert.equal((await answer)[0].toString(), text);
}

for (const engine of ENGINE_NAMES) {
  test(`${SOCKETS} WebSockets survive ${RELOADS} reloads, and leave nothing behind, with ${engine}`, async (t) => {
    using one = await startBackend('one');
    using other = await startBackend('other');
    const backends = [one, other];
    const servers = backends.map(({ server }) => new WebSocketServer({ server, perMessageDeflate: false }));
    for (const webSockets of servers) {
      webSockets.on('connection', (socket) => {
        socket.on('message', (data, binary) => {
          if (data.toString() === 'close') socket.close(4000, 'as you like');
          else if (data.toString() === 'drop') socket.terminate();
          else socket.send(data, { binary });
        });
      });
    }
    const port = await freePort();
    const http = (generation: number) => `
      access_log off;
      upstream backends {
        least_conn;
        server 127.0.0.1:${one.port} max_conns=${PLACES} max_fails=0;
        server 127.0.0.1:${other.port} max_conns=${PLACES} max_fails=0;
      }
      server {
        listen 127.0.0.1:${port};
        location / { proxy_pass http://backends; }
        location /ws {
          proxy_pass http://backends;
          proxy_set_header Upgrade $http_upgrade;
          proxy_set_header Connection upgrade;
        }
        location = /generation { return 200 "${generation}"; }
        location = /status { stub_status; }
      }`;
    using sandbox = createSandbox();
    const meter = memoryMeter(sandbox);
    await using portico = await startPortico({
      sandbox,
      engine,
      workers: 2,
      level: 'notice',
      events: 'worker_connections 4096;',
      http: http(0),
      environment: meter.environment,
    });

    /** Opens them, reloads with all of them open, and closes them in every way there is. */
    async function round(count: number, reloads: number): Promise<void> {
      const sockets: WebSocket[] = [];
      try {
        await each(Array.from({ length: count }), async () => {
          sockets.push(await openSocket(port));
        });
        await each(sockets, (socket, index) => echo(socket, `first ${index}`));
        for (let reload = 1; reload <= reloads; reload++) {
          portico.configure({ http: http(reload) });
          assert.equal(await portico.reload(), 'done');
          assert.equal((await get(port, '/generation')).body, String(reload));
          await each(sockets, (socket, index) => echo(socket, `${reload} ${index}`));
        }
        assert.ok(sockets.every(({ readyState }) => readyState === WebSocket.OPEN));
        const codes = await Promise.all(
          sockets.map(async (socket, index) => {
            const closed = once(socket, 'close', { signal: AbortSignal.timeout(20_000) });
            // Half of them from each side, with a close frame and without.
            if (index % 4 === 0) socket.close(4001, 'bye');
            else if (index % 4 === 1) socket.send('close');
            else if (index % 4 === 2) socket.terminate();
            else socket.send('drop');
            return (await closed)[0] as number;
          }),
        );
        for (const [index, code] of codes.entries()) assert.equal(code, [4001, 4000, 1006, 1006][index % 4]);
      } finally {
        for (const socket of sockets) socket.terminate();
      }
      await onlyIdle(port, 0);
    }

    // Code that runs for the first time takes memory for good.
    await round(SOCKETS / 2, 3);
    const threadsBefore = threads(portico.pid);
    const memoryBefore = await meter.read(3);
    await round(SOCKETS, RELOADS);
    assert.equal(threads(portico.pid), threadsBefore, 'threads');
    const grown = (await meter.read(3)) - memoryBefore;
    t.diagnostic(`memory in use ${memoryBefore} bytes before, ${grown} more afterwards`);
    assert.ok(grown < MEMORY_MARGIN, `memory in use has grown by ${grown} bytes`);

    await countsAreZero(port, backends, 2 * PLACES);
    await onlyIdle(port, 0);
    await until('the backends to be left alone', () => servers.every(({ clients }) => clients.size === 0));
    assert.doesNotMatch(portico.errorLog(), /\[(?:warn|error|crit|alert|emerg)\] (?!.*no live upstreams)/);
    assert.equal(portico.stderr(), '');
    assert.equal((await portico.stop('SIGQUIT')).code, 0);
  });
}
