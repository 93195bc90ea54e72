/** A client that says exactly what it is told, and remembers every byte it hears. */
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

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

/** How long a wait may take before the test fails, in milliseconds. */
const PATIENCE = 10_000;

/** Connects. @param tls nobody's certificate is checked */
export async function rawClient(where: number | NetConnectOpts, tls = false): Promise<RawClient> {
  const options = typeof where === 'number' ? { port: where, host: '127.0.0.1' } : where;
  const tcp = connect({ ...options, allowHalfOpen: true } as NetConnectOpts);
  const socket = tls ? connectTls({ socket: tcp, rejectUnauthorized: false }) : tcp;
  const chunks: Buffer[] = [];
  let ended = false;
  let wake = () => {};
  socket.on('data', (chunk) => {
    chunks.push(chunk);
    wake();
  });
  const end = () => {
    ended = true;
    wake();
  };
  socket.on('end', end);
  socket.on('close', end);
  socket.on('error', end);
  await new Promise<void>((resolve, reject) => {
    socket.once(tls ? 'secureConnect' : 'connect', resolve);
    socket.once('error', reject);
  });
  const heard = () => Buffer.concat(chunks).toString('latin1');

  function wait(satisfied: () => boolean, what: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`${what} did not come; heard: ${JSON.stringify(heard())}`)),
        PATIENCE,
      );
      wake = () => {
        if (!satisfied()) return;
        clearTimeout(timer);
        wake = () => {};
        resolve(heard());
      };
      wake();
    });
  }

  return {
    socket,
    heard,
    send: (text) => {
      socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
    },
    finish: () => socket.end(),
    until: (condition) => {
      const satisfied = typeof condition === 'function' ? condition : (text: string) => condition.test(text);
      return wait(() => ended || satisfied(heard()), String(condition));
    },
    closed: () => wait(() => ended, 'the end').finally(() => socket.destroy()),
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
