/**
 * Opens connections, has one request answered on each, and leaves them idle until its input ends.
 *
 *     node idle-connections.ts PORT COUNT
 *
 * Prints `{"open":N,"failed":N}` when all are there, and again at the end: how many still are, and how many
 * could not be opened, were not answered with 200, or were closed.
 */
import { connect, type Socket } from 'node:net';

/** How many are being opened at a time. */
const AT_ONCE = 100;

const [port, count] = process.argv.slice(2).map(Number);
const open = new Set<Socket>();
let started = 0;
let settled = 0;
let failed = 0;

function openNext(): void {
  if (started >= count) return;
  started++;
  const socket = connect({ port, host: '127.0.0.1' });
  let answer = '';
  let waiting = true;
  const settle = (good: boolean): void => {
    if (!waiting) return;
    waiting = false;
    if (good) open.add(socket);
    else socket.destroy();
    if (++settled === count) report();
    else openNext();
  };
  socket.on('connect', () => socket.write('GET /small HTTP/1.1\r\nHost: idle\r\n\r\n'));
  socket.on('data', (chunk) => {
    if (!waiting) return;
    answer += chunk.toString('latin1');
    const end = answer.indexOf('\r\n\r\n');
    if (end >= 0 && answer.length >= end + 4 + 100) settle(/^HTTP\/1\.1 200 /.test(answer));
  });
  socket.on('error', () => {}); // `close` follows
  socket.on('close', () => {
    open.delete(socket);
    failed++;
    settle(false);
  });
}

function report(): void {
  process.stdout.write(`${JSON.stringify({ open: open.size, failed })}\n`);
}

for (let each = 0; each < AT_ONCE; each++) openNext();
process.stdin.resume();
process.stdin.on('end', () => {
  process.stdout.write(`${JSON.stringify({ open: open.size, failed })}\n`, () => process.exit(0));
});
