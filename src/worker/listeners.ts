/**
 * The listening sockets of one worker. A reload leaves those alone that both configurations have; one that the new
 * configuration lacks stops accepting, and its connections end with the request they are at.
 */
import type { Listener, Site } from '../core/site.ts';
import { type NodeListener, openNodeListener } from '../engines/node/listener.ts';
import { describeError, isSystemError } from '../log/system-errors.ts';
import type { ListenFailure } from './messages.ts';

/** The sockets of one worker. */
export interface ListeningSockets {
  /**
   * Opens the sockets of some addresses of a site.
   * @returns those that could not be opened
   */
  open(site: Site, addresses: readonly string[]): Promise<ListenFailure[]>;
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
  const open = new Map<string, NodeListener>();
  /** Closed, with connections. */
  const retired = new Set<NodeListener>();
  let serving = false;

  function retire(listener: NodeListener): void {
    retired.add(listener);
    listener.retire(() => {
      retired.delete(listener);
      emptied(listener.site);
    });
  }

  return {
    async open(site, addresses) {
      const failures: ListenFailure[] = [];
      await Promise.all(
        site.listeners.map(async (listener: Listener) => {
          const { text } = listener.address;
          if (!addresses.includes(text) || open.has(text)) return;
          const socket = openNodeListener(listener, site);
          open.set(text, socket);
          try {
            await socket.ready;
          } catch (error) {
            open.delete(text);
            failures.push({ address: text, ...describeListenError(error) });
          }
        }),
      );
      return failures;
    },

    abandon(site) {
      for (const [text, socket] of open) {
        if (socket.site !== site) continue;
        open.delete(text);
        socket.close();
      }
    },

    commit(site) {
      const listeners = new Map(site.listeners.map((listener) => [listener.address.text, listener]));
      for (const [text, socket] of open) {
        const listener = listeners.get(text);
        if (listener === undefined) {
          open.delete(text);
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

function describeListenError(error: unknown): { call: string; reason: string } {
  if (!isSystemError(error)) return { call: 'listen()', reason: String(error) };
  // Node says `listen` of both; these two are the errors that only the second can have.
  return { call: 'bind()', reason: describeError(error) };
}
