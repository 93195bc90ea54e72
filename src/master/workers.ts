/**
 * The worker threads: one Piscina pool, one long task for each worker, one MessagePort to each. Here a worker is
 * started, spoken to, and buried; what it is told, and when, is `start.ts`.
 */
import { MessageChannel, type MessagePort, type Worker } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { type MasterMessage, receive, type ServeTask, send, type WorkerMessage } from '../worker/messages.ts';
import type { Tables } from './check.ts';
import type { Startup } from './startup.ts';

/** A worker that does not answer for so long hangs, and is ended. Milliseconds. */
const PATIENCE = 30_000;

/** How long a worker that may not be ended from outside has to end by itself. Milliseconds. */
const GRACE = 1000;

/** How a worker ended. */
export interface Ending {
  /** What it died of; undefined where it had been told to end. */
  readonly error: Error | undefined;
}

/** One worker. */
export interface WorkerHandle {
  readonly number: number;
  /** When it was started, by `performance.now()`. */
  readonly startedAt: number;
  /** Its number at the system, once it has started. */
  systemThread: number;
  /** Told to end, or about to be. */
  retiring: boolean;
  /** It has sockets of uWebSockets.js: a thread that is ended with these takes the process with it. */
  mustEndItself: boolean;
  /** About to die, or given up: nothing is handed over to it any more, whatever it still says. */
  readonly failing: boolean;
  /** It has been given up, and its thread is still there. */
  readonly lost: boolean;
  /** Resolves when its thread is gone and what it had counted in the shared tables has been given back. */
  readonly ended: Promise<Ending>;
  /** Whether it has ended. */
  readonly gone: boolean;
  tell(message: MasterMessage): void;
  /**
   * Sends a message and waits for the answer.
   * @returns undefined where the worker ended instead
   */
  ask<Kind extends WorkerMessage['kind']>(
    message: MasterMessage,
    answer: readonly Kind[],
  ): Promise<Extract<WorkerMessage, { kind: Kind }> | undefined>;
  /**
   * Ends its thread, whatever it is doing. One that must end by itself is told to, and left alone if it does not.
   * @param reason what `ended` gives as its error, unless it had been told to end
   */
  terminate(reason: string): void;
}

/** What a worker says unasked. */
export interface WorkerEvents {
  /** It has let a generation go. */
  released(worker: WorkerHandle, generation: number): void;
  /** It has sockets of uWebSockets.js and is about to die: nothing may be handed over to it any more. */
  failing(worker: WorkerHandle): void;
}

/** The pool. */
export interface WorkerPool {
  /** Starts a worker with the lowest free number. */
  start(owner: number | undefined, events: WorkerEvents): WorkerHandle;
  /** How many workers there can be. */
  readonly capacity: number;
}

/** The file that a worker runs, beside this one's folder: `.ts` in a repository, `.js` in a package. */
const SERVE = new URL(
  `../worker/serve${import.meta.url.slice(import.meta.url.lastIndexOf('.'))}`,
  import.meta.url,
).href;

/**
 * Opens the pool, without workers.
 * @param capacity how many workers there can be
 */
export function openWorkerPool(startup: Startup, tables: Tables, capacity: number): WorkerPool {
  const pool = new Piscina({
    filename: SERVE,
    minThreads: 0,
    maxThreads: capacity,
    idleTimeout: 0,
    // The thread's event loop must turn while the task runs, and after it while sockets are being closed.
    atomics: 'disabled',
    recordTiming: false,
  });
  /** Numbers in use: two live threads never have the same. */
  const numbers = new Set<number>();
  /** Workers whose thread has not called `serve` yet. */
  const starting = new Set<(error: Error) => void>();
  // A thread that fails before it takes a task: Piscina does not know whose it was to be.
  pool.on('error', (error: Error) => {
    for (const fail of [...starting]) fail(error);
  });

  function start(owner: number | undefined, events: WorkerEvents): WorkerHandle {
    let number = 0;
    while (numbers.has(number)) number++;
    numbers.add(number);

    const { port1: port, port2 } = new MessageChannel();
    const abort = new AbortController();
    const waiting = new Set<(message: WorkerMessage | undefined) => boolean>();
    let thread: Worker | undefined;
    let gone = false;
    let isLost = false;
    let isFailing = false;
    /** Its thread is being ended from outside, and it had been told to end. */
    let told = false;
    let failure: Error | undefined;

    const task: ServeTask = {
      worker: number,
      port: port2,
      peers: tables.peers.buffer,
      counters: tables.counters.buffer,
      secret: tables.secret,
      prefix: startup.prefix,
      configPrefix: startup.configPrefix,
      errorLog: startup.errorLog,
      owner,
    };
    const failToStart = (error: Error) => {
      starting.delete(failToStart);
      failure ??= error;
      abort.abort();
    };
    starting.add(failToStart);

    receive<WorkerMessage>(port, (message) => {
      if (message.kind === 'started') {
        starting.delete(failToStart);
        thread = pool.threads.find(({ threadId }) => threadId === message.thread);
        handle.systemThread = message.systemThread;
      } else if (message.kind === 'released') {
        events.released(handle, message.generation);
      } else if (message.kind === 'failing') {
        fail();
        send(port, { kind: 'detached' });
      }
      for (const take of [...waiting]) if (take(message)) waiting.delete(take);
    });

    const lost = Promise.withResolvers<Ending>();

    function fail(): void {
      isFailing = true;
      events.failing(handle);
    }

    function terminate(reason: string): void {
      if (handle.retiring) told = true;
      else failure ??= new Error(reason);
      if (!handle.mustEndItself) {
        abort.abort();
        return;
      }
      fail();
      send(port, { kind: 'stop' });
      setTimeout(() => {
        if (gone) return;
        // Its number and what it has counted stay its own: it may wake up.
        gone = true;
        isLost = true;
        failure = new Error(`${reason}; its thread does not end, and is left alone`);
        giveUpWaiting();
        lost.resolve({ error: failure });
      }, GRACE).unref();
    }

    function giveUpWaiting(): void {
      for (const take of waiting) take(undefined);
      waiting.clear();
    }

    async function bury(): Promise<Ending> {
      // What the thread holds (sockets, locks) is free when it is gone, not when its task has failed.
      if (thread !== undefined && thread.threadId !== -1) {
        await new Promise((resolve) => thread?.once('exit', resolve));
      }
      starting.delete(failToStart);
      port.close();
      tables.peers.breakLocks(number);
      tables.peers.forfeit(number);
      tables.counters.forget(number);
      numbers.delete(number);
      gone = true;
      isLost = false;
      giveUpWaiting();
      return { error: failure };
    }

    const buried = pool.run(task, { transferList: [port2], signal: abort.signal }).then(
      () => bury(),
      (error: unknown) => {
        if (!told) failure ??= error instanceof Error ? error : new Error(String(error));
        return bury();
      },
    );

    const handle: WorkerHandle = {
      number,
      startedAt: performance.now(),
      systemThread: 0,
      retiring: false,
      mustEndItself: false,
      ended: Promise.race([buried, lost.promise]),
      get gone() {
        return gone;
      },
      get failing() {
        return isFailing;
      },
      get lost() {
        return isLost;
      },
      tell(message) {
        if (!gone) send(port, message);
      },
      ask(message, answer) {
        if (gone) return Promise.resolve(undefined);
        return new Promise((resolve) => {
          const timer = setTimeout(() => {
            terminate(`no answer to "${message.kind}" for ${PATIENCE / 1000} s`);
          }, PATIENCE);
          waiting.add((reply) => {
            if (reply !== undefined && !(answer as readonly string[]).includes(reply.kind)) return false;
            clearTimeout(timer);
            resolve(reply as never);
            return true;
          });
          send(port as MessagePort, message);
        });
      },
      terminate,
    };
    return handle;
  }

  return { start, capacity };
}
