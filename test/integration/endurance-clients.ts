/**
 * Many client connections in a process of their own: a program that a test forks, because one process may not have as
 * many files open as the test wants connections. What it is told, and what it says, are the messages below.
 */
import { connect, type Socket } from 'node:net';

/** What a test tells it. `window` is how many connections are busy at a time. */
export type Order =
  | { readonly kind: 'open'; readonly port: number; readonly count: number; readonly window: number }
  | { readonly kind: 'serve'; readonly path: string; readonly body: string; readonly window: number }
  | { readonly kind: 'close' };

/** What it answers once it has done so; `errors` are the first few. */
export interface Done {
  readonly open: number;
  readonly served: number;
  readonly errors: readonly string[];
}

const ERRORS_TOLD = 5;

interface Connection {
  readonly socket: Socket;
  received: string;
  settle: ((error?: string) => void) | undefined;
}

const connections = new Set<Connection>();
const errors: string[] = [];
let served = 0;

function fail(error: string): void {
  if (errors.length < ERRORS_TOLD) errors.push(error);
}

function open(port: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    const connection: Connection = { socket, received: '', settle: undefined };
    let reason = 'closed by the server';
    socket.setEncoding('latin1');
    socket.once('connect', () => {
      connections.add(connection);
      resolve();
    });
    socket.on('data', (text: string) => {
      connection.received += text;
      const end = connection.received.indexOf('\r\n\r\n');
      if (end < 0) return;
      const length = Number(
        /^content-length: *(\d+)/im.exec(connection.received.slice(0, end))?.[1] ?? 'NaN',
      );
      if (Number.isNaN(length)) connection.settle?.(`an answer without a length: ${connection.received}`);
      else if (connection.received.length >= end + 4 + length) connection.settle?.();
    });
    socket.once('error', (error) => {
      reason = String(error);
    });
    socket.once('close', () => {
      connections.delete(connection);
      fail(reason);
      connection.settle?.(reason);
      resolve();
    });
  });
}

function serve(connection: Connection, path: string, body: string): Promise<void> {
  return new Promise((resolve) => {
    connection.settle = (error) => {
      connection.settle = undefined;
      const { received } = connection;
      connection.received = '';
      if (error !== undefined) fail(error);
      else if (!received.startsWith('HTTP/1.1 200 ') || !received.endsWith(`\r\n\r\n${body}`)) {
        fail(`another answer: ${received.slice(0, 300)}`);
      } else served++;
      resolve();
    };
    connection.socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  });
}

/** Does work for each item, a few at a time. */
async function each<Item>(
  items: Iterable<Item>,
  window: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  await Promise.all(
    Array.from({ length: window }, async () => {
      for (let next = iterator.next(); next.done !== true; next = iterator.next()) await work(next.value);
    }),
  );
}

async function obey(order: Order): Promise<void> {
  if (order.kind === 'close') {
    // A reset leaves nothing behind at the system: ports in TIME_WAIT would be missing in the next run.
    for (const { socket } of connections) socket.removeAllListeners('close').resetAndDestroy();
    process.disconnect();
    return;
  }
  served = 0;
  if (order.kind === 'open') await each(Array(order.count).fill(order.port), order.window, open);
  else await each([...connections], order.window, (connection) => serve(connection, order.path, order.body));
  const done: Done = { open: connections.size, served, errors };
  process.send?.(done);
}

process.on('message', (order: Order) => void obey(order));
process.on('disconnect', () => process.exit());
