/** A plain HTTP/1.1 client connection for tests: raw bytes out, whole answers in. */
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { createWatch, opened } from './wait.ts';

/** One answer. */
export interface Answer {
  readonly status: number;
  /** Status line and header lines, as a byte string. */
  readonly head: string;
  readonly body: string;
}

/** A connection. */
export interface Client {
  readonly socket: Socket;
  /** Whether the other side has closed it. */
  readonly closed: boolean;
  /** Resolves when it is closed. */
  readonly ended: Promise<void>;
  /** Sends bytes. */
  write(text: string): void;
  /** The next answer; its body must have a Content-Length, or none. */
  answer(): Promise<Answer>;
  /** Sends `GET path` with a Host and waits for the answer. */
  get(path: string): Promise<Answer>;
  close(): void;
  [Symbol.dispose](): void;
}

/** Connects to a port of 127.0.0.1, or as `options` say. @param tls nobody's certificate is checked */
export async function openClient(to: number | NetConnectOpts, tls = false): Promise<Client> {
  const tcp = connect(typeof to === 'number' ? { host: '127.0.0.1', port: to } : to);
  const socket = tls ? connectTls({ socket: tcp, rejectUnauthorized: false }) : tcp;
  await opened(socket, tls ? 'secureConnect' : 'connect');
  let received = '';
  let closed = false;
  const watch = createWatch(() => received);
  socket.on('data', (bytes: Buffer) => {
    received += bytes.toString('latin1');
    watch.wake();
  });
  socket.on('error', () => {});
  const ended = new Promise<void>((resolve) => {
    const end = () => {
      closed = true;
      watch.wake();
      resolve();
    };
    socket.once('end', end);
    socket.once('close', end);
  });

  function takeAnswer(): Answer | undefined {
    const end = received.indexOf('\r\n\r\n');
    if (end >= 0) {
      const head = received.slice(0, end + 2);
      const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
      if (received.length >= end + 4 + length) {
        const body = received.slice(end + 4, end + 4 + length);
        received = received.slice(end + 4 + length);
        return { status: Number(head.slice(9, 12)), head, body };
      }
    }
    if (!closed) return undefined;
    throw new Error(
      `the connection was closed before the answer was complete: ${received.slice(0, 500)} (${received.length} bytes)`,
    );
  }
  const answer = () => watch.wait('the answer', takeAnswer);

  return {
    socket,
    get closed() {
      return closed;
    },
    ended,
    write: (text) => void socket.write(Buffer.from(text, 'latin1')),
    answer,
    get(path) {
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      return answer();
    },
    close: () => socket.destroy(),
    [Symbol.dispose]: () => socket.destroy(),
  };
}

/** One request on a connection of its own. */
export async function get(to: number | NetConnectOpts, path = '/', tls = false): Promise<Answer> {
  using client = await openClient(to, tls);
  return await client.get(path);
}

/** Whether nobody accepts connections there. */
export async function isRefused(to: number | NetConnectOpts): Promise<boolean> {
  try {
    (await openClient(to)).close();
    return false;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ECONNREFUSED' || code === 'ENOENT') return true;
    // It has waited to be accepted when the listener was closed: the next one is refused.
    if (code === 'ECONNRESET') return false;
    throw error;
  }
}
