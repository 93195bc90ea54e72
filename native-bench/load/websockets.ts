/**
 * Sends messages over WebSockets, the next one on each as soon as the one before has come back.
 *
 *     node websockets.ts PORT CONNECTIONS SECONDS
 *
 * Prints `{"open":N,"failed":N}` when all are open, begins when a line comes on its input, prints what it
 * counted in the form of load/report.lua's line, without the mark, and ends when its input does.
 */
import { connect, type Socket } from 'node:net';
import { Latencies } from '../latencies.ts';
import { clientFrame, serverFrame, upgradedAt, upgradeRequest } from '../messages.ts';

const [port, connections, seconds] = process.argv.slice(2).map(Number);

const sockets: Socket[] = [];
/** When the message that is under way on each socket was sent, in ms; 0 for none. */
const sentAt = new Float64Array(connections);
let failedToOpen = 0;
let broken = 0;
const latencies = new Latencies();
let bytes = 0;
let outstanding = 0;
let started = 0;
let deadline = 0;
let reported = false;

/** Everything a socket receives goes into this one buffer, and is looked at before the next does. */
const shared = Buffer.allocUnsafeSlow(65_536);

function send(index: number, now: number): void {
  sentAt[index] = now;
  sockets[index].write(clientFrame);
}

/** All of a message has come: on to the next, unless time is up. */
function received(index: number): void {
  const now = performance.now();
  latencies.add(now - sentAt[index]);
  if (now < deadline) send(index, now);
  else stop(index);
}

function stop(index: number): void {
  sentAt[index] = 0;
  if (--outstanding === 0) report();
}

function open(index: number): Promise<void> {
  return new Promise((resolve) => {
    let head: Buffer | undefined = Buffer.alloc(0);
    let pending = 0;
    const fail = (): void => {
      if (head !== undefined) {
        head = undefined;
        failedToOpen++;
        resolve();
      } else if (!reported) {
        broken++;
        if (sentAt[index] !== 0) stop(index);
      }
    };
    const socket = connect({
      port,
      host: '127.0.0.1',
      noDelay: true,
      onread: {
        buffer: shared,
        callback: (count) => {
          if (head !== undefined) {
            head = Buffer.concat([head, shared.subarray(0, count)]);
            try {
              if (upgradedAt(head) === undefined) return true;
            } catch {
              socket.destroy();
              return true;
            }
            head = undefined;
            resolve();
            return true;
          }
          bytes += count;
          if (pending === 0 && shared[0] !== serverFrame[0]) {
            socket.destroy(); // a close frame, or not what we know
            return true;
          }
          pending += count;
          if (pending >= serverFrame.length) {
            pending -= serverFrame.length;
            received(index);
          }
          return true;
        },
      },
    });
    sockets[index] = socket;
    socket.once('connect', () => socket.write(upgradeRequest, 'latin1'));
    socket.on('error', () => {}); // `close` follows
    socket.once('close', fail);
  });
}

function report(): void {
  if (reported) return;
  reported = true;
  const duration = Math.round((performance.now() - started) * 1000);
  const result = {
    ...{
      requests: latencies.count,
      duration,
      bytes,
      connect: failedToOpen,
      read: broken,
      write: 0,
      status: 0,
    },
    ...{ timeout: outstanding, p50: latencies.at(0.5), p99: latencies.at(0.99) },
  };
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

function begin(): void {
  started = performance.now();
  deadline = started + seconds * 1000;
  for (const [index, socket] of sockets.entries()) {
    if (socket.destroyed) continue;
    outstanding++;
    send(index, started);
  }
  if (outstanding === 0) report();
  // An answer that never comes.
  setTimeout(report, seconds * 1000 + 10_000).unref();
}

await Promise.all(Array.from({ length: connections }, (_, index) => open(index)));
process.stdout.write(`${JSON.stringify({ open: connections - failedToOpen, failed: failedToOpen })}\n`);
process.stdin.once('data', begin);
process.stdin.once('end', () => process.exit(0));
