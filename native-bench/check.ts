/** Checks that a proxy does what the others do: one that does less would be weighed lighter than it is. */
import { get as getPlain, type IncomingMessage } from 'node:http';
import { get as getSecure } from 'node:https';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { clientFrame, serverFrame, upgradedAt, upgradeRequest } from './messages.ts';
import type { Setup } from './setup.ts';
import { CIPHER_SUITE, KEY_EXCHANGE } from './tls-files.ts';

/** How long an answer may take, in milliseconds. */
const PATIENCE = 10_000;

const tlsOptions = {
  host: '127.0.0.1',
  rejectUnauthorized: false,
  minVersion: 'TLSv1.3',
  ciphers: CIPHER_SUITE,
  ecdhCurve: KEY_EXCHANGE,
} as const;

/**
 * Checks a proxy that listens on this port of 127.0.0.1.
 * @throws Error that says what it does in another way
 */
export async function checkContender(name: string, port: number, setup: Setup): Promise<void> {
  await checkAnswers(name, port, setup.tls);
  if (setup.tls) await checkSessions(name, port);
  if (setup.websocket) await checkEcho(name, port);
}

/**
 * Asks for what the backend got: without the four headers, or on a new connection for each request, a
 * proxy would be doing less than the others, or more.
 */
async function checkAnswers(name: string, port: number, tls: boolean): Promise<void> {
  // As many requests as the largest group has servers, and one more, so that a connection has to repeat.
  let connectionWasKept = false;
  for (let request = 0; request <= 40; request++) {
    const { status, body } = await ask(port, '/headers', tls);
    const [host, realIp, forwardedFor, forwardedProto, servedOnConnection] = body.split('|');
    const wanted = ['127.0.0.1', '127.0.0.1', '10.1.2.3, 127.0.0.1', tls ? 'https' : 'http'];
    const got = [host, realIp, forwardedFor, forwardedProto];
    if (status !== 200 || got.some((value, index) => value !== wanted[index])) {
      throw new Error(`${name} forwards something else: status ${status}, ${JSON.stringify(got)}`);
    }
    if (Number(servedOnConnection) > 1) connectionWasKept = true;
  }
  if (!connectionWasKept) throw new Error(`${name} does not keep its connections to the backend`);
}

function ask(port: number, path: string, tls: boolean): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const options = {
      ...tlsOptions,
      port,
      path,
      headers: { 'X-Forwarded-For': '10.1.2.3' },
      agent: false,
    };
    const request = (tls ? getSecure : getPlain)(options, (response: IncomingMessage) => {
      let body = '';
      response.setEncoding('latin1');
      response.on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', reject);
    });
    request.setTimeout(PATIENCE, () => request.destroy(new Error(`no answer from port ${port}`)));
    request.on('error', reject);
  });
}

/** Comes back with the session it was given: where the others resume it, so must this one. */
async function checkSessions(name: string, port: number): Promise<void> {
  const first = await visit(port, undefined);
  const second = await visit(port, first.session);
  if (!second.resumed) throw new Error(`${name} does not resume TLS sessions`);
}

/** One request on a connection of its own; the session comes with the answer or before it. */
function visit(port: number, session: Buffer | undefined): Promise<{ session?: Buffer; resumed: boolean }> {
  return new Promise((resolve, reject) => {
    let given: Buffer | undefined;
    const socket = connectTls({ ...tlsOptions, port, session });
    socket.setTimeout(PATIENCE, () => socket.destroy(new Error(`no answer from port ${port}`)));
    socket.on('session', (each) => {
      given = each;
    });
    socket.once('secureConnect', () => {
      socket.write('GET /small HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n');
    });
    socket.once('end', () => {
      resolve({ session: given, resumed: socket.isSessionReused() });
      socket.destroy();
    });
    socket.once('error', reject);
    socket.resume();
  });
}

/** Says something over a WebSocket, and waits for it to come back. */
function checkEcho(name: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(upgradeRequest, 'latin1'));
    let received = Buffer.alloc(0);
    let said = false;
    socket.setTimeout(PATIENCE, () => socket.destroy(new Error(`${name} passes no message on`)));
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      try {
        const start = upgradedAt(received);
        if (start === undefined) return;
        if (!said) socket.write(clientFrame);
        said = true;
        const answer = received.subarray(start);
        if (answer.length < serverFrame.length) return;
        if (!answer.equals(serverFrame)) throw new Error(answer.toString('hex'));
        socket.destroy();
        resolve();
      } catch (error) {
        socket.destroy(new Error(`${name} answers something else: ${(error as Error).message}`));
      }
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error(`${name} closes WebSockets`)));
  });
}
