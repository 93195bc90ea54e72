/** A thousand WebSockets, and a thousand over TLS, live through ten reloads, and leave nothing behind. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { test } from 'node:test';
import { connect as connectTls, createSecureContext, type SecureContext } from 'node:tls';
import { WebSocket, WebSocketServer } from 'ws';
import { createCertificate } from '../../scripts/x509.ts';
import { ENGINE_NAMES } from '../../src/core/engine-name.ts';
import { get } from '../support/client.ts';
import { createSandbox, startPortico } from '../support/portico.ts';
import { freePorts } from '../support/ports.ts';
import { writeCertificate } from '../support/tls-client.ts';
import { until } from '../support/wait.ts';
import { countsAreZero, memoryMeter, onlyIdle, startBackend, threads } from './endurance-load.ts';

/** As many without TLS, and as many with it. */
const SOCKETS = 1000;
const RELOADS = 10;
/** So many more of either kind are opened after each reload, so that every configuration has some. */
const LATER = 10;
/** Opened, or asked, at a time. */
const WINDOW = 100;
/** `max_conns` of each of the two backends: those of the WebSockets, and some. */
const PLACES = SOCKETS + RELOADS * LATER + 20;
/** Memory in use, in bytes, may have grown by so much. */
const MEMORY_MARGIN = 4_000_000;
/** Milliseconds in which an answer must have come. */
const PATIENCE = 20_000;

/** Does something with each, so many at a time. */
async function each<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  for (let from = 0; from < items.length; from += WINDOW) {
    await Promise.all(items.slice(from, from + WINDOW).map(work));
  }
}

/** Opens a WebSocket. @param trust over TLS: whose certificates it takes */
async function openSocket(port: number, trust: SecureContext | undefined): Promise<WebSocket> {
  const socket = new WebSocket('ws://localhost/ws', {
    perMessageDeflate: false,
    createConnection: () => {
      const where = { host: '127.0.0.1', port };
      return trust === undefined
        ? connectTcp(where)
        : connectTls({ ...where, secureContext: trust, servername: 'localhost' });
    },
  });
  await once(socket, 'open', { signal: AbortSignal.timeout(PATIENCE) });
  return socket;
}

/** Sends a message and waits until it has come back. */
async function echo(socket: WebSocket, text: string): Promise<void> {
  const answer = once(socket, 'message', { signal: AbortSignal.timeout(PATIENCE) });
  socket.send(text);
  assert.equal((await answer)[0].toString(), text);
}

/** The ways in which one can end, and the code that its client is told. */
const ENDINGS: readonly { readonly code: number; end(socket: WebSocket): void }[] = [
  { code: 4001, end: (socket) => socket.close(4001, 'bye') },
  { code: 4000, end: (socket) => socket.send('close') },
  { code: 1006, end: (socket) => socket.terminate() },
  { code: 1006, end: (socket) => socket.send('drop') },
];

/** Ends all of them, half from each side, with a close frame and without. */
async function endAll(sockets: readonly WebSocket[]): Promise<void> {
  const codes = await Promise.all(
    sockets.map(async (socket, index) => {
      const closed = once(socket, 'close', { signal: AbortSignal.timeout(PATIENCE) });
      ENDINGS[index % ENDINGS.length]!.end(socket);
      return (await closed)[0] as number;
    }),
  );
  const expected = sockets.map((_, index) => ENDINGS[index % ENDINGS.length]!.code);
  assert.deepEqual(codes, expected);
}

/** Which configurations a process holds on to: each has an access log of its own, open for as long as it is there. */
function generationsHeld(pid: number): number[] {
  const numbers = new Set<number>();
  for (const descriptor of readdirSync(`/proc/${pid}/fd`)) {
    let target = '';
    try {
      target = readlinkSync(`/proc/${pid}/fd/${descriptor}`);
    } catch {
      // It has been closed since.
    }
    const number = /\/generation-(\d+)\.log$/.exec(target)?.[1];
    if (number !== undefined) numbers.add(Number(number));
  }
  return [...numbers].sort((a, b) => a - b);
}

for (const engine of ENGINE_NAMES) {
  test(`${SOCKETS} WebSockets, and ${SOCKETS} over TLS, survive ${RELOADS} reloads, and leave nothing behind, with ${engine}`, async (t) => {
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
    const [port, tlsPort] = (await freePorts(2)) as [number, number];
    const http = (generation: number) => `
      log_format short '$status $request_uri';
      ssl_certificate server.crt;
      ssl_certificate_key server.key;
      upstream backends {
        least_conn;
        server 127.0.0.1:${one.port} max_conns=${PLACES} max_fails=0;
        server 127.0.0.1:${other.port} max_conns=${PLACES} max_fails=0;
      }
      server {
        listen 127.0.0.1:${port};
        listen 127.0.0.1:${tlsPort} ssl;
        access_log off;
        location / { proxy_pass http://backends; }
        location /ws {
          access_log logs/generation-${generation}.log short;
          proxy_pass http://backends;
          proxy_set_header Upgrade $http_upgrade;
          proxy_set_header Connection upgrade;
        }
        location = /generation { return 200 "${generation}"; }
        location = /status { stub_status; }
      }`;
    using sandbox = createSandbox();
    const authority = createCertificate({ name: 'Test authority', authority: true });
    writeCertificate(sandbox, 'server', { name: 'localhost', hosts: ['localhost'], issuer: authority });
    const trust = createSecureContext({ ca: authority.certificate });
    const meter = memoryMeter(sandbox);
    await using portico = await startPortico({
      sandbox,
      engine,
      workers: 2,
      level: 'notice',
      events: 'worker_connections 8192;',
      http: http(0),
      environment: meter.environment,
    });
    const held = (...expected: readonly number[]) =>
      until(
        `configurations ${expected} and no others to be held`,
        () => generationsHeld(portico.pid).join() === expected.join(),
        { explain: () => `held are ${generationsHeld(portico.pid)}` },
      );

    /** Opens them, reloads with all of them open, and closes them in every way there is. */
    async function round(count: number, first: number, last: number): Promise<void> {
      const all: WebSocket[] = [];
      /** Opens so many of each kind. */
      async function open(number: number): Promise<WebSocket[]> {
        const opened: WebSocket[] = [];
        await each(
          Array.from({ length: 2 * number }, (_, index) => index % 2 === 1),
          async (secure) => {
            const socket = await openSocket(secure ? tlsPort : port, secure ? trust : undefined);
            opened.push(socket);
            all.push(socket);
          },
        );
        await each(opened, (socket) => echo(socket, 'first words'));
        return opened;
      }
      const earliest = await open(count);
      const later: WebSocket[] = [];
      try {
        for (let generation = first + 1; generation <= last; generation++) {
          portico.configure({ http: http(generation) });
          assert.equal(await portico.reload(), 'done');
          assert.equal((await get(port, '/generation')).body, String(generation));
          later.push(...(await open(LATER)));
          // A tenth of them: all are asked in the end.
          await each(
            earliest.filter((_, index) => index % 10 === generation % 10),
            (socket) => echo(socket, `in ${generation}`),
          );
        }
        const generations = Array.from({ length: last - first + 1 }, (_, index) => first + index);
        await held(...generations);
        await each(all, (socket) => echo(socket, 'last words'));
        assert.ok(all.every(({ readyState }) => readyState === WebSocket.OPEN));

        // A configuration goes with the last of its WebSockets, however old those of others are.
        await endAll(earliest);
        await held(...generations.slice(1));
        await endAll(later);
        await held(last);
      } finally {
        for (const socket of all) socket.terminate();
      }
      await onlyIdle(port, 0);
      // Each is in the log of the configuration on which it began.
      for (let generation = first; generation < last; generation++) {
        const lines = sandbox.read(`logs/generation-${generation}.log`).split('\n').slice(0, -1);
        const expected = generation === first ? 2 * count : 2 * LATER;
        assert.deepEqual(lines, Array(expected).fill('101 /ws'));
      }
    }

    // Code that runs for the first time takes memory for good.
    await round(SOCKETS / 4, 0, 3);
    sandbox.write('logs/generation-3.log', '');
    const threadsBefore = threads(portico.pid);
    const memoryBefore = await meter.read(3);
    await round(SOCKETS, 3, 3 + RELOADS);
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
