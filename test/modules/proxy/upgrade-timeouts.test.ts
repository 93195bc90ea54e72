/**
 * How long a WebSocket may be quiet, or not be read, on each engine: `proxy_read_timeout`, `proxy_send_timeout` and
 * `send_timeout`.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { ENGINE_NAMES } from '../../../src/core/engine-name.ts';
import { createSandbox, type RunningPortico, type Sandbox, startPortico } from '../../support/portico.ts';
import { freePorts } from '../../support/ports.ts';
import { writeCertificate } from '../../support/tls-client.ts';

const FRONTS = ENGINE_NAMES.flatMap((engine) => [
  { engine, secure: false, what: engine },
  { engine, secure: true, what: `${engine} over TLS` },
]);
/** More than all buffers on the way take, in one message and in all. */
const MESSAGE = Buffer.alloc(1024 * 1024, 'x');
const MESSAGES = 16;

describe('timeouts of a WebSocket', () => {
  let sandbox: Sandbox;
  let server: WebSocketServer;
  let portico: RunningPortico;
  let ports: number[];

  before(async () => {
    server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
    server.on('connection', (socket, request) => {
      socket.on('error', () => {});
      if (request.url?.endsWith('/deaf')) request.socket.pause();
      else if (request.url?.endsWith('/flood')) {
        for (let sent = 0; sent < MESSAGES; sent++) socket.send(MESSAGE);
      } else if (request.url?.endsWith('/talking')) {
        const timer = setInterval(() => socket.send('and so on'), 50);
        socket.once('close', () => clearInterval(timer));
      } else if (request.url?.endsWith('/echo')) socket.on('message', (data) => socket.send(data));
    });
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    sandbox = createSandbox();
    writeCertificate(sandbox, 'server', { name: 'localhost' });
    ports = await freePorts(FRONTS.length);
    portico = await startPortico({
      sandbox,
      http: `
        server {
          ${FRONTS.map(({ engine, secure }, index) => `listen 127.0.0.1:${ports[index]}${secure ? ' ssl' : ''} engine=${engine};`).join('\n')}
          ssl_certificate server.crt;
          ssl_certificate_key server.key;
          proxy_set_header Upgrade $http_upgrade;
          proxy_set_header Connection upgrade;
          location /read { proxy_pass http://127.0.0.1:${port}; proxy_read_timeout 2s; }
          location /send { proxy_pass http://127.0.0.1:${port}; proxy_send_timeout 700ms; }
          location /client { proxy_pass http://127.0.0.1:${port}; send_timeout 700ms; }
        }`,
    });
  });
  after(async () => {
    await portico?.[Symbol.asyncDispose]();
    for (const socket of server?.clients ?? []) socket.terminate();
    server?.close();
    sandbox?.remove();
  });

  async function open(front: number, path: string): Promise<WebSocket> {
    const url = `${FRONTS[front]!.secure ? 'wss' : 'ws'}://127.0.0.1:${ports[front]}${path}`;
    const socket = new WebSocket(url, { rejectUnauthorized: false, perMessageDeflate: false });
    await once(socket, 'open');
    socket.on('error', () => {});
    return socket;
  }

  const end = (socket: WebSocket) => new Promise<number>((resolve) => socket.once('close', resolve));

  async function assertTimedOut(side: 'upstream' | 'client', path: string): Promise<void> {
    const line = await portico.logged(new RegExp(`${side} timed out.*${path} `));
    const expected = `${side} timed out (110: Connection timed out) while proxying upgraded connection`;
    assert.ok(line.includes('[info]') && line.includes(expected), line);
  }

  describe('that is quiet', { concurrency: true }, () => {
    for (const [index, { what }] of FRONTS.entries()) {
      test(`${what}: where nobody says anything for proxy_read_timeout, it is closed`, async () => {
        const socket = await open(index, `/read/${index}/quiet`);
        assert.equal(await end(socket), 1006);
        await assertTimedOut('upstream', `/read/${index}/quiet`);
      });

      test(`${what}: what either side says keeps it open`, async () => {
        const talkedTo = await open(index, `/read/${index}/talking`);
        const talking = await open(index, `/read/${index}/listening`);
        const timer = setInterval(() => talking.send('and so on'), 50);
        // One that was opened later is closed before.
        await end(await open(index, `/read/${index}/quiet/too`));
        clearInterval(timer);
        assert.equal(talkedTo.readyState, WebSocket.OPEN);
        assert.equal(talking.readyState, WebSocket.OPEN);
        talkedTo.terminate();
        talking.terminate();
      });
    }
  });

  // How much a server takes is no matter of TLS towards clients.
  describe('that is not read', { concurrency: true }, () => {
    for (const [index, { secure, what }] of FRONTS.entries()) {
      if (secure) continue;
      test(`${what}: proxy_send_timeout is for what is sent, not for silence`, async () => {
        const socket = await open(index, `/send/${index}/echo`);
        // A server that reads nothing is given up meanwhile.
        const deaf = await open(index, `/send/${index}/deaf`);
        for (let sent = 0; sent < MESSAGES; sent++) deaf.send(MESSAGE);
        assert.equal(await end(deaf), 1006);
        await assertTimedOut('upstream', `/send/${index}/deaf`);
        const answer = once(socket, 'message');
        socket.send('still here');
        assert.equal((await answer)[0].toString(), 'still here');
        socket.terminate();
      });

      test(`${what}: a server that neither reads nor speaks is given up after proxy_read_timeout, too`, async () => {
        const deaf = await open(index, `/read/${index}/deaf`);
        for (let sent = 0; sent < MESSAGES; sent++) deaf.send(MESSAGE);
        assert.equal(await end(deaf), 1006);
        await assertTimedOut('upstream', `/read/${index}/deaf`);
      });

      test(`${what}: a client that does not read is given up after send_timeout`, async () => {
        const socket = await open(index, `/client/${index}/flood`);
        socket.pause();
        await assertTimedOut('client', `/client/${index}/flood`);
        socket.resume();
        assert.equal(await end(socket), 1006);
      });
    }
  });
});
