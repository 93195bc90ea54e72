/**
 * Opens connections, has one request answered on each, and leaves them idle until its input ends.
 *
 *     node idle-connections.ts KIND PORT COUNT
 *
 * KIND is `plain`, `tls`, or `websocket`, where it is a message that is answered, after the upgrade.
 *
 * Prints `{"open":N}` when all have been opened or given up, and again at the end: how many are open, and have been
 * answered as they should be.
 */
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { clientFrame, serverFrame, upgradedAt, upgradeRequest } from '../messages.ts';
import { CIPHER_SUITE, KEY_EXCHANGE } from '../tls-files.ts';

/** How many are being opened at a time. */
const AT_ONCE = 100;

const kind = process.argv[2];
const [port, count] = process.argv.slice(3).map(Number);
const open = new Set<Socket>();
let started = 0;
let settled = 0;

/** Looks at all that has come: whether that is the answer; undefined while more has to come. */
type Answered = (received: Buffer) => boolean | undefined;

/** A request for /small, and its answer. */
function ask(socket: Socket): Answered {
  socket.write('GET /small HTTP/1.1\r\nHost: idle\r\n\r\n');
  return (received) => {
    const end = received.indexOf('\r\n\r\n');
    if (end < 0 || received.length < end + 4 + 100) return undefined;
    return received.toString('latin1', 0, 13) === 'HTTP/1.1 200 ';
  };
}

/** An upgrade, a message, and that message back. */
function converse(socket: Socket): Answered {
  let said = false;
  socket.write(upgradeRequest, 'latin1');
  return (received) => {
    try {
      const start = upgradedAt(received);
      if (start === undefined) return undefined;
      if (!said) {
        said = true;
        socket.write(clientFrame);
      }
      if (received.length < start + serverFrame.length) return undefined;
      return received.subarray(start).equals(serverFrame);
    } catch {
      return false; // the upgrade was refused
    }
  };
}

function openNext(): void {
  if (started >= count) return;
  started++;
  const host = '127.0.0.1';
  const socket =
    kind === 'tls'
      ? connectTls({
          ...{ port, host, rejectUnauthorized: false, minVersion: 'TLSv1.3' },
          ...{ ciphers: CIPHER_SUITE, ecdhCurve: KEY_EXCHANGE },
        })
      : connect({ port, host });
  let received = Buffer.alloc(0);
  let answered: Answered = () => false;
  let waiting = true;
  const settle = (good: boolean): void => {
    if (!waiting) return;
    waiting = false;
    received = Buffer.alloc(0);
    if (good) open.add(socket);
    else socket.destroy();
    if (++settled === count) report();
    else openNext();
  };
  socket.on(kind === 'tls' ? 'secureConnect' : 'connect', () => {
    answered = kind === 'websocket' ? converse(socket) : ask(socket);
  });
  socket.on('data', (chunk) => {
    if (!waiting) return;
    received = Buffer.concat([received, chunk]);
    const good = answered(received);
    if (good !== undefined) settle(good);
  });
  socket.on('error', () => {}); // `close` follows
  socket.on('close', () => {
    open.delete(socket);
    settle(false);
  });
}

function report(): void {
  process.stdout.write(`${JSON.stringify({ open: open.size })}\n`);
}

for (let each = 0; each < AT_ONCE; each++) openNext();
process.stdin.resume();
process.stdin.on('end', () => {
  process.stdout.write(`${JSON.stringify({ open: open.size })}\n`, () => process.exit(0));
});
