/** The thread's side of linking: what `core/runtime.ts` promises, for workers and for the master's check. */
import type { ProcessSecret, Runtime } from '../core/runtime.ts';
import type { ConnectionLimit } from '../event/connection-limit.ts';
import type { TimerWheel } from '../event/timers.ts';
import type { ErrorLog } from '../log/error-log.ts';
import type { OpenFiles } from '../log/open-files.ts';
import type { ConnectionCounters } from '../shared/counters.ts';
import type { PeerParameters, PeerTable } from '../shared/peer-table.ts';
import type { KeptThings } from './kept.ts';

/** What a thread has once, whatever its configuration. */
export interface Thread {
  /** Number of the worker; -1 in the master. */
  readonly worker: number;
  readonly prefix: string;
  readonly configPrefix: string;
  readonly timers: TimerWheel;
  readonly peers: PeerTable;
  readonly counters: ConnectionCounters;
  readonly connections: ConnectionLimit;
  readonly errorLog: ErrorLog;
  readonly files: OpenFiles;
  readonly kept: KeptThings;
  readonly secret: ProcessSecret;
}

/** What differs from one configuration to the next. */
export interface Lookups {
  readonly slot: (key: string) => number;
  readonly configurePeer: (slot: number, group: number, parameters: PeerParameters) => void;
  readonly resolve: (host: string) => Promise<readonly string[]>;
  readonly readFile: (path: string) => Buffer;
  readonly sharedMemory: (key: string, size: number) => SharedArrayBuffer;
}

/** The runtime of one configuration in one thread. */
export function createRuntime(thread: Thread, generation: number, lookups: Lookups): Runtime {
  return {
    worker: thread.worker,
    prefix: thread.prefix,
    configPrefix: thread.configPrefix,
    timers: thread.timers,
    peers: thread.peers,
    counters: thread.counters,
    connections: thread.connections,
    errorLog: thread.errorLog,
    files: thread.files,
    slot: lookups.slot,
    configurePeer: lookups.configurePeer,
    resolve: lookups.resolve,
    readFile: lookups.readFile,
    sharedMemory: lookups.sharedMemory,
    secret: thread.secret,
    keep: (key, create) => thread.kept.keep(generation, key, create),
  };
}
