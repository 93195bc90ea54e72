/**
 * The listening sockets of one worker. A reload leaves those alone that both configurations have; one that the new
 * configuration lacks stops accepting, and its connections end with the request they are at.
 */
import { listenerKey } from '../core/listen.ts';
import type { Listener, Site } from '../core/site.ts';
import type { EngineListener } from '../engines/engine.ts';
import { engines } from '../engines/index.ts';
import { describeError, isSystemError } from '../log/system-errors.ts';
import type { Descriptor, ListenFailure } from './messages.ts';

/** What became of `open`. */
export interface Opened {
  readonly failures: readonly ListenFailure[];
  readonly descriptors: readonly Descriptor[];
}

/** The sockets of one worker. */
export interface ListeningSockets {
  /**
   * Opens the sockets of some addresses of a site.
   * @param keys `listenerKey` of each
   * @returns those that could not be opened, and what the master hands connections over by, where it listens
   */
  open(site: Site, keys: readonly string[]): Promise<Opened>;
  /** Takes back what `open` did for a site that is not going to be used. */
  abandon(site: Site): void;
  /** Puts a site in use: listeners it shares with the one before serve it, those it lacks are closed. */
  commit(site: Site): void;
  /** Serves what has been accepted, from now on. */
  begin(): void;
  /** Stops accepting altogether; connections go on until they are idle. */
  closeAll(): void;
  /** Closes all client connections at once. */
  destroyConnections(): void;
  /** Whether connections are open that a closed listener of this site has accepted: a request may begin on them. */
  holds(site: Site): boolean;
}

/**
 * The sockets of one worker, none at first.
 * @param emptied told when the last connection of a closed listener has gone
 */
export function createListeningSockets(emptied: (site: Site) => void): ListeningSockets {
  /** By key. */
  const open = new Map<string, EngineListener>();
  /** Closed, with connections. */
  const retired = new Set<EngineListener>();
  let serving = false;

  function retire(listener: EngineListener): void {
    retired.add(listener);
    listener.retire(() => {
      retired.delete(listener);
      emptied(listener.site);
    });
  }

  return {
    async open(site, keys) {
      const failures: ListenFailure[] = [];
      const descriptors: Descriptor[] = [];
      await Promise.all(
        site.listeners.map(async (listener: Listener) => {
          const { address } = listener;
          const key = listenerKey(address);
          if (!keys.includes(key)) return;
          const present = open.get(key);
          let socket: EngineListener | undefined;
          try {
            if (present !== undefined) {
              const changed = present.prepare?.(listener);
              if (changed !== undefined) descriptors.push({ key, descriptor: changed });
              return;
            }
            socket = engines[address.engine].open(listener, site);
            open.set(key, socket);
            await socket.ready;
            const { descriptor } = socket;
            if (descriptor !== undefined) descriptors.push({ key, descriptor });
          } catch (error) {
            if (present === undefined) open.delete(key);
            socket?.close();
            failures.push({ key, message: describeListenError(address.text, error) });
          }
        }),
      );
      return { failures, descriptors };
    },

    abandon(site) {
      for (const [key, socket] of open) {
        if (socket.site !== site) {
          socket.abandon?.();
          continue;
        }
        open.delete(key);
        socket.close();
      }
    },

    commit(site) {
      const listeners = new Map(site.listeners.map((listener) => [listenerKey(listener.address), listener]));
      for (const [key, socket] of open) {
        const listener = listeners.get(key);
        if (listener === undefined) {
          open.delete(key);
          retire(socket);
        } else if (socket.site !== site) {
          socket.replace(listener, site);
        }
      }
      if (serving) for (const socket of open.values()) socket.begin();
    },

    begin() {
      serving = true;
      for (const socket of open.values()) socket.begin();
    },

    closeAll() {
      for (const socket of open.values()) retire(socket);
      open.clear();
    },

    destroyConnections() {
      for (const socket of open.values()) socket.destroyConnections();
      for (const socket of retired) socket.destroyConnections();
    },

    holds(site) {
      for (const socket of retired) if (socket.site === site) return true;
      return false;
    },
  };
}

function describeListenError(address: string, error: unknown): string {
  if (!isSystemError(error)) return `listen() to ${address} failed (${String(error)})`;
  // Node says `listen` of both, and nearly always it is the first.
  return `bind() to ${address} failed (${describeError(error)})`;
}
