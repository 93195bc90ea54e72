/**
 * A connection of each thread to itself, which nothing is ever sent on.
 *
 * In uWebSockets.js 20.57 a request cannot be upgraded inside its own `cork`: when that ends it takes the WebSocket for
 * an answer, looks at memory that is no longer there, and sometimes closes the connection. And outside of any `cork` it
 * complains on standard error. So the upgrade happens inside the `cork` of this connection, which has no other effect.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ListenSocket, loadUws, type UwsApp, type UwsResponse } from './native.ts';

interface Spare {
  readonly app: UwsApp;
  readonly client: Socket;
  /** Resolves when the connection is there, or cannot be made. */
  readonly ready: Promise<void>;
  /** Undefined until the connection is there, and where it could not be made. */
  connection: UwsResponse | undefined;
  /** Stops listening, and removes the socket's file. */
  stopListening(): void;
}

let users = 0;
let spare: Spare | undefined;

/** Makes the connection, for the first who asks. @returns resolves when it is there, or cannot be made */
export function holdSpareConnection(): Promise<void> {
  if (++users === 1) spare = makeSpare();
  return spare?.ready ?? Promise.resolve();
}

/** @returns undefined where there is no place for its socket: uWebSockets.js then complains */
function makeSpare(): Spare | undefined {
  let directory: string;
  try {
    directory = mkdtempSync(join(tmpdir(), 'portico-'));
  } catch {
    return undefined;
  }
  const uws = loadUws();
  const app = uws.App();
  app.setIdleTimeout(0);
  const path = join(directory, 'socket');
  let listening: ListenSocket | undefined;
  app.listen_unix((socket) => {
    if (socket !== false) listening = socket;
  }, path);
  const { promise, resolve } = Promise.withResolvers<void>();
  const client = connect(path);
  client.unref();
  const made: Spare = {
    app,
    client,
    ready: promise,
    connection: undefined,
    stopListening() {
      if (listening !== undefined) uws.us_listen_socket_close(listening);
      listening = undefined;
      rmSync(directory, { recursive: true, force: true });
    },
  };
  const settle = () => {
    made.stopListening();
    resolve();
  };
  app.filter((connection, count) => {
    made.connection = count > 0 ? connection : undefined;
    if (count > 0) settle();
  });
  client.on('error', settle);
  client.on('close', settle);
  return made;
}

/** Lets go of it; with the last user it is closed. */
export function releaseSpareConnection(): void {
  if (--users > 0 || spare === undefined) return;
  const { app, client } = spare;
  spare.stopListening();
  app.close();
  client.destroy();
  spare = undefined;
}

/** Calls back inside its `cork`. */
export function insideSpareCork(upgrade: () => void): void {
  const connection = spare?.connection;
  if (connection === undefined) upgrade();
  else connection.cork(upgrade);
}
