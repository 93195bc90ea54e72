/**
 * What the master and a worker tell each other over the worker's MessagePort, msgpackr-encoded, and what a worker is
 * started with.
 *
 * The life of a configuration in a worker, told by the master step by step so that all workers take each step
 * together:
 *
 *     configure -> linked     linked beside the one in use
 *     listen    -> listening  sockets that it adds are open; clients may connect and wait
 *     commit                  in use; listeners that it lacks are closed
 *               -> released   the one before it has ended its last request, and holds nothing any more
 *     abandon                 instead of commit, where another worker or the master could not follow
 */
import type { MessagePort } from 'node:worker_threads';
import { pack, unpack } from 'msgpackr';
import type { Statement } from '../config/statement.ts';
import type { ProcessSecret } from '../core/runtime.ts';
import type { LevelName } from '../log/levels.ts';

/** What Piscina hands to `serve`. */
export interface ServeTask {
  /** The worker's number, from 0. */
  readonly worker: number;
  /** This worker's end of the control channel. */
  readonly port: MessagePort;
  /** Memory of the peer table and of the connection counters. */
  readonly peers: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
  readonly secret: ProcessSecret;
  /** `-p` and the directory of the configuration file, with a slash at their ends. */
  readonly prefix: string;
  readonly configPrefix: string;
  /** Full name of `-e`; '' for stderr. */
  readonly errorLog: string;
  /** User id that log files are to belong to; undefined: left as they are. */
  readonly owner: number | undefined;
}

/** One configuration, with what the master found out about it. */
export interface ConfigureMessage {
  readonly kind: 'configure';
  /** Counts up with every configuration the master has tried. */
  readonly generation: number;
  readonly statements: readonly Statement[];
  /** Keys and their slots in the peer table. */
  readonly slots: readonly (readonly [key: string, slot: number])[];
  /** Host names and their addresses. */
  readonly addresses: readonly (readonly [host: string, addresses: readonly string[]])[];
  /** Files the configuration names, whole. */
  readonly files: readonly (readonly [path: string, contents: Uint8Array])[];
  /** Shared memory, by key. It goes beside the packed message, for it is not copied. */
  readonly memory: readonly (readonly [key: string, memory: SharedArrayBuffer])[];
}

/** Opens the sockets of these addresses, by `listenerKey`; those that are open already stay. */
export interface ListenMessage {
  readonly kind: 'listen';
  readonly generation: number;
  readonly keys: readonly string[];
}

/** What the master says. */
export type MasterMessage =
  | ConfigureMessage
  | ListenMessage
  | { readonly kind: 'commit' | 'abandon'; readonly generation: number }
  /** Serve what has been accepted: the process is who it is to be. */
  | { readonly kind: 'begin' }
  | { readonly kind: 'reopen' }
  /** Ends when all requests have ended, or after `timeout` milliseconds where that is not 0. */
  | { readonly kind: 'quit'; readonly timeout: number }
  /** Ends at once. */
  | { readonly kind: 'stop' }
  /** Answer to `failing`: nothing is handed over to this worker any more. */
  | { readonly kind: 'detached' };

/** A socket that could not be opened. */
export interface ListenFailure {
  /** `listenerKey` */
  readonly key: string;
  /** nginx's: `bind() to 127.0.0.1:80 failed (98: Address already in use)`. */
  readonly message: string;
}

/** What the master hands connections over by to a worker that does not listen itself. */
export interface Descriptor {
  /** `listenerKey` */
  readonly key: string;
  readonly descriptor: number;
}

/** What a worker says. */
export type WorkerMessage =
  | { readonly kind: 'started'; readonly thread: number; readonly systemThread: number }
  | { readonly kind: 'linked'; readonly generation: number }
  /** It could not be linked here, although the master could: a file has changed, say. */
  | {
      readonly kind: 'unlinkable';
      readonly generation: number;
      readonly level: LevelName;
      readonly message: string;
    }
  | {
      readonly kind: 'listening';
      readonly generation: number;
      readonly failures: readonly ListenFailure[];
      readonly descriptors: readonly Descriptor[];
    }
  /** An error has not been caught: the thread closes what it has and ends. */
  | { readonly kind: 'failing' }
  | { readonly kind: 'released'; readonly generation: number };

/** Sends a message. */
export function send(port: MessagePort, message: MasterMessage | WorkerMessage): void {
  if (message.kind === 'configure') {
    const { memory, ...packed } = message;
    port.postMessage({ packed: pack(packed), memory });
  } else port.postMessage(pack(message));
}

/** Calls `receive` for each message that arrives; the port is open, and keeps the thread alive, until it is closed. */
export function receive<Message extends MasterMessage | WorkerMessage>(
  port: MessagePort,
  receive: (message: Message) => void,
): void {
  port.on('message', (sent: Uint8Array | { packed: Uint8Array; memory: ConfigureMessage['memory'] }) => {
    if (sent instanceof Uint8Array) receive(unpack(sent) as Message);
    else receive({ ...unpack(sent.packed), memory: sent.memory } as Message);
  });
}
