/**
 * The addresses at which the master itself listens, for the engine uWebSockets.js: it hands each connection to one of the
 * workers that have joined, in turn. A worker is known by the descriptor of its app, which is an address in memory: it
 * has to leave before its app goes.
 */
import { chmodSync } from 'node:fs';
import { pathBytes } from '../config/glob.ts';
import { type ListenAddress, listenerKey } from '../core/listen.ts';
import { removeSocketFile, socketPath } from '../core/socket-file.ts';
import { type ListenSocket, loadUws, type UwsApp } from '../engines/uws/native.ts';
import { describeFileError, isSystemError } from '../log/system-errors.ts';
import type { Descriptor, ListenFailure } from '../worker/messages.ts';
import type { MasterLog } from './startup.ts';

/** The listening sockets of the master. */
export interface Acceptors {
  /** Listens, unless it does already. @returns what has gone wrong */
  open(address: ListenAddress): ListenFailure | undefined;
  /**
   * A worker takes connections from now on, of addresses that are open or will be; of one where it does already, by
   * this instead, from `commit` on.
   */
  join(worker: number, descriptors: readonly Descriptor[]): void;
  /** Puts in use what workers have joined with where they had before. */
  commit(): void;
  /** Forgets it. */
  abandon(): void;
  /** A worker takes no more. Connections that are on their way to it arrive before anything it is told afterwards. */
  leave(worker: number): void;
  /** Stops listening at all addresses but these. @param keys `listenerKey` of each */
  keep(keys: ReadonlySet<string>): void;
  /** The keys of all addresses that are open. */
  readonly keys: Iterable<string>;
  /** Whether a worker has joined at any address. */
  has(worker: number): boolean;
}

interface Acceptor {
  readonly app: UwsApp;
  readonly workers: Map<number, number>;
  /** What workers are to be handed connections by instead, after `commit`. */
  readonly prepared: Map<number, number>;
  socket: ListenSocket | undefined;
  /** The file of a Unix socket; '' for others. */
  path: string;
}

/** How the keys of addresses with TLS begin. */
const TLS_KEY = 'uws ssl ';

/** None at first. uWebSockets.js is loaded with the first one. */
export function createAcceptors(log: Pick<MasterLog, 'write'>): Acceptors {
  const acceptors = new Map<string, Acceptor>();

  /** @param key `listenerKey` of an address of uWebSockets.js */
  function acceptorOf(key: string): Acceptor {
    let acceptor = acceptors.get(key);
    if (acceptor === undefined) {
      // It only hands over the bare connections: no handshake is ever done here. But its kind must be the workers'.
      const app = key.startsWith(TLS_KEY) ? loadUws().SSLApp({}) : loadUws().App();
      // Without workers it accepts for itself: nobody would answer.
      app.filter((connection, count) => {
        if (count > 0) connection.close();
      });
      acceptor = { app, workers: new Map(), prepared: new Map(), socket: undefined, path: '' };
      acceptors.set(key, acceptor);
    }
    return acceptor;
  }

  function stopListening(acceptor: Acceptor): void {
    const { socket, path } = acceptor;
    acceptor.socket = undefined;
    acceptor.path = '';
    const failure = path === '' ? undefined : removeSocketFile(path);
    if (failure !== undefined) log.write('emerg', failure);
    if (socket !== undefined) loadUws().us_listen_socket_close(socket);
  }

  function close(acceptor: Acceptor): void {
    stopListening(acceptor);
    const { app, workers } = acceptor;
    for (const descriptor of workers.values()) app.removeChildAppDescriptor(descriptor);
    app.close();
  }

  return {
    open(address) {
      const key = listenerKey(address);
      const acceptor = acceptorOf(key);
      if (acceptor.socket !== undefined) return undefined;
      const listening = (socket: ListenSocket | false) => {
        if (socket !== false) acceptor.socket = socket;
      };
      if (address.family === 'unix') {
        const { path } = address;
        acceptor.app.listen_unix(listening, socketPath(path));
        if (acceptor.socket !== undefined) {
          acceptor.path = path;
          try {
            // Everybody may connect, as with nginx.
            chmodSync(pathBytes(path), 0o666);
          } catch (error) {
            stopListening(acceptor);
            if (!isSystemError(error)) throw error;
            return { key, message: describeFileError('chmod()', path, error) };
          }
        }
      } else acceptor.app.listen(address.host, address.port, listening);
      if (acceptor.socket !== undefined) return undefined;
      return { key, message: `listen() to ${address.text} failed (uWebSockets.js does not say why)` };
    },

    join(worker, descriptors) {
      for (const { key, descriptor } of descriptors) {
        const { app, workers, prepared } = acceptorOf(key);
        if (workers.has(worker)) {
          prepared.set(worker, descriptor);
          continue;
        }
        workers.set(worker, descriptor);
        app.addChildAppDescriptor(descriptor);
      }
    },

    commit() {
      for (const { app, workers, prepared } of acceptors.values()) {
        for (const [worker, descriptor] of prepared) {
          app.addChildAppDescriptor(descriptor);
          app.removeChildAppDescriptor(workers.get(worker)!);
          workers.set(worker, descriptor);
        }
        prepared.clear();
      }
    },

    abandon() {
      for (const { prepared } of acceptors.values()) prepared.clear();
    },

    leave(worker) {
      for (const { app, workers, prepared } of acceptors.values()) {
        prepared.delete(worker);
        const descriptor = workers.get(worker);
        if (descriptor === undefined) continue;
        workers.delete(worker);
        app.removeChildAppDescriptor(descriptor);
      }
    },

    keep(keys) {
      for (const [key, acceptor] of acceptors) {
        if (keys.has(key)) continue;
        acceptors.delete(key);
        close(acceptor);
      }
    },

    get keys() {
      return [...acceptors].filter(([, { socket }]) => socket !== undefined).map(([key]) => key);
    },

    has(worker) {
      for (const { workers } of acceptors.values()) if (workers.has(worker)) return true;
      return false;
    },
  };
}
