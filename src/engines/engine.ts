/** What an engine is to the rest of the program: it listens at addresses, and makes exchanges of what comes there. */
import type { Warning } from '../config/statement.ts';
import type { Listener, Site } from '../core/site.ts';

/** One address that an engine serves in one worker. */
export interface EngineListener {
  /** Resolves once clients can connect, as far as the worker has a part in it; rejects with the system's error. */
  readonly ready: Promise<void>;
  /** The configuration that requests begin with. */
  readonly site: Site;
  /** What the master hands connections over by, where it is the master that listens. */
  readonly descriptor?: number;
  /** Starts to serve what has been accepted, and what will be. */
  begin(): void;
  /**
   * Makes ready for a reload what takes long, or may fail; for listeners whose connections the master hands over.
   * @returns what the master hands connections over by once it is in use, where that changes
   * @throws Error where it cannot
   */
  prepare?(listener: Listener): number | undefined;
  /** Takes that back: the reload has failed. */
  abandon?(): void;
  /** A reload: requests that begin from now on, on old connections too, are served by the new configuration. */
  replace(listener: Listener, site: Site): void;
  /** Stops accepting, before `begin`. */
  close(): void;
  /**
   * Stops accepting, closes idle connections (one by one, or all of them when nobody asks for anything: as the engine
   * can), and lets the others end with the request they are at.
   * @param emptied called once when no connection is left
   */
  retire(emptied: () => void): void;
  /** Closes every connection at once. */
  destroyConnections(): void;
}

/** An engine. */
export interface Engine {
  /** The master listens and hands connections to the workers in turn; else each worker listens for itself. */
  readonly masterListens: boolean;
  /**
   * Checks that it can serve a listener as its configuration says.
   * @param warn hears of what can be served, but not quite as it says
   * @throws ConfigError
   */
  check(listener: Listener, warn: (warning: Warning) => void): void;
  /** Opens a listener in a worker. */
  open(listener: Listener, site: Site): EngineListener;
}
