/**
 * What one thread lends to the configuration it links: its timers, its place in the shared tables, its name
 * resolution. A worker has the real things; the master's check has ones that record what the workers will need.
 */
import type { ConnectionLimit } from '../event/connection-limit.ts';
import type { TimerWheel } from '../event/timers.ts';
import type { ErrorLog } from '../log/error-log.ts';
import type { OpenFiles } from '../log/open-files.ts';
import type { ConnectionCounters } from '../shared/counters.ts';
import type { PeerParameters, PeerTable } from '../shared/peer-table.ts';

/** Made by the master when it starts. */
export interface ProcessSecret {
  /** 32 random bytes. */
  readonly bytes: Uint8Array;
  /** When it was made, in milliseconds since the epoch. */
  readonly madeAt: number;
}

export interface Runtime {
  /** Number of this worker, from 0; -1 in the master, which serves nothing. */
  readonly worker: number;
  /** `-p`: where relative file names start, with a slash at its end. */
  readonly prefix: string;
  /** Directory of the main configuration file, with a slash at its end: where relative certificate names start. */
  readonly configPrefix: string;
  readonly timers: TimerWheel;
  readonly peers: PeerTable;
  readonly counters: ConnectionCounters;
  readonly connections: ConnectionLimit;
  /** Where a configuration without `error_log` writes: `-e`. */
  readonly errorLog: ErrorLog;
  /** Log files open in this thread. */
  readonly files: OpenFiles;
  /**
   * The slot of the shared peer table that belongs to a key. The master gives slots out and the workers are told:
   * the same key means the same slot in every thread and over every reload.
   * @throws ConfigError when the table is full
   */
  slot(key: string): number;
  /**
   * What a peer's slot is to be configured with (`PeerTable.configure`). The master notes it while it links, and writes
   * it to the table once the configuration is accepted, before any worker hears of it; a worker does nothing.
   */
  configurePeer(slot: number, group: number, parameters: PeerParameters): void;
  /**
   * Addresses of a host name, in text, in the order the system gave them. Resolved once, in the master, so that
   * all workers agree.
   * @throws Error when the name has no address
   */
  resolve(host: string): Promise<readonly string[]>;
  /**
   * A file the configuration names, whole. The master reads it, once for each configuration, and the workers get what
   * it has read: all of them the same, also when they are started later, and have become a user who may not read it.
   * @param path full name, latin1
   * @throws NodeJS.ErrnoException where it cannot be read
   */
  readFile(path: string): Buffer;
  /**
   * Memory that all threads share, zeroed when it is made. The same key and size mean the same memory in every thread
   * and over every reload, for as long as a configuration asks for it.
   */
  sharedMemory(key: string, size: number): SharedArrayBuffer;
  /** What keys that all workers have to agree on are derived from. */
  readonly secret: ProcessSecret;
  /**
   * Things that outlive one configuration in this thread, by key: connection pools to upstream servers that did not
   * change. `create` makes the thing the first time. What a new configuration has not asked for is closed once the
   * old configuration is no longer in use.
   */
  keep<Kept extends { close(): void }>(key: string, create: () => Kept): Kept;
}
