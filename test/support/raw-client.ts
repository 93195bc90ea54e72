/** A client that says exactly what it is told, and remembers every byte it hears. */
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { createWatch, opened } from './wait.ts';

/** One connection of it. */
export interface RawClient {
  readonly socket: Socket;
  /** All bytes heard so far, as latin1. */
  heard(): string;
  send(text: string | Buffer): void;
  /** Ends our direction; the other one stays open. */
  finish(): void;
  /** Waits until what has been heard satisfies a condition, or the server has closed. */
  until(condition: RegExp | ((heard: string) => boolean)): Promise<string>;
  /** Waits until the server has closed the connection. */
  closed(): Promise<string>;
  destroy(): void;
  /** Ends it with a reset. */
  reset(): void;
}

/** Connects. @param tls nobody's certificate is checked */
export async function rawClient(where: number | NetConnectOpts, tls = false): Promise<RawClient> {
  const options = typeof where === 'number' ? { port: where, host: '127.0.0.1' } : where;
  const tcp = connect({ ...options, allowHalfOpen: true } as NetConnectOpts);
  const socket = tls ? connectTls({ socket: tcp, rejectUnauthorized: false }) : tcp;
  const chunks: Buffer[] = [];
  let ended = false;
  const heard = () => Buffer.concat(chunks).toString('latin1');
  const watch = createWatch(heard);
  socket.on('data', (chunk) => {
    chunks.push(chunk);
    watch.wake();
  });
  const end = () => {
    ended = true;
    watch.wake();
  };
  socket.on('end', end);
  socket.on('close', end);
  socket.on('error', end);
  await opened(socket, tls ? 'secureConnect' : 'connect');

  return {
    socket,
    heard,
    send: (text) => {
      socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
    },
    finish: () => socket.end(),
    until: (condition) => {
      const satisfied = typeof condition === 'function' ? condition : (text: string) => condition.test(text);
      return watch.wait(String(condition), () => (ended || satisfied(heard()) ? heard() : undefined));
    },
    closed: () => watch.wait('the end', () => (ended ? heard() : undefined)).finally(() => socket.destroy()),
    destroy: () => socket.destroy(),
    reset: () => tcp.resetAndDestroy(),
  };
}

/** One request on a connection of its own, closed by the server: the whole answer. */
export async function ask(port: number, request: string, tls = false): Promise<string> {
  const client = await rawClient(port, tls);
  client.send(request);
  return client.closed();
}
