/**
 * One worker thread: takes a configuration, links it, serves until it is told to stop. Piscina calls the default
 * export once for each worker, as one long task.
 */
import { setPriority } from 'node:os';
import { threadId } from 'node:worker_threads';
import { buildScopes } from '../config/scope.ts';
import { ConfigError } from '../config/statement.ts';
import { eventsDirectives } from '../core/events.ts';
import { linkSite } from '../core/link.ts';
import { mainDirectives } from '../core/main.ts';
import type { Site } from '../core/site.ts';
import { engines } from '../engines/index.ts';
import { ConnectionLimit } from '../event/connection-limit.ts';
import { createTimerWheel } from '../event/timers.ts';
import { createErrorLog, type ErrorLog, threadNumber } from '../log/error-log.ts';
import { LEVELS } from '../log/levels.ts';
import { createOpenFiles, type OpenFiles } from '../log/open-files.ts';
import { describeError, isSystemError } from '../log/system-errors.ts';

import { ConnectionCounters } from '../shared/counters.ts';
import { PeerTable } from '../shared/peer-table.ts';
import { slotLookup } from '../shared/slot-directory.ts';
import { createKeptThings } from './kept.ts';
import { createListeningSockets, type Opened } from './listeners.ts';
import { type ConfigureMessage, type MasterMessage, receive, type ServeTask, send } from './messages.ts';
import { modules, registry } from './registry.ts';
import { createRuntime, type Thread } from './runtime.ts';

/**
 * Turns of the event loop until every socket that has been closed is gone: one hands over what the master has accepted
 * just before, one closes that, and one ends the closing. A thread that ended sooner would take the process with it.
 */
const CLOSING_TURNS = 3;

/** How often a worker that is shutting down looks whether its last connection has gone, in milliseconds. */
const DRAIN_INTERVAL = 20;

/** A configuration of this worker that is linked and not yet let go. */
interface Linked {
  readonly generation: number;
  readonly site: Site;
  /** `worker_connections`. */
  readonly connections: number;
  /** `worker_priority`. */
  readonly priority: number;
}

/** Opens the log of `-e`; standard error where the file cannot be opened, which the master has told already. */
function openDefaultLog(path: string, files: OpenFiles): ErrorLog {
  const level = LEVELS.error;
  const standardError = { kind: 'stderr', path: '', level, json: false } as const;
  if (path === '') return createErrorLog([standardError], files);
  try {
    return createErrorLog([{ kind: 'file', path, level, json: false }], files);
  } catch {
    return createErrorLog([standardError], files);
  }
}

/** Calls back after so many turns of the event loop. */
function afterTurns(turns: number, done: () => void): void {
  setImmediate(() => (turns > 1 ? afterTurns(turns - 1, done) : done()));
}

/** Runs one worker. Resolves when it has stopped and holds nothing any more. */
export default function serve(task: ServeTask): Promise<void> {
  const { port } = task;
  const files = createOpenFiles(task.owner === undefined ? {} : { owner: task.owner });
  const defaultLog = openDefaultLog(task.errorLog, files);
  const sockets = createListeningSockets((site) => {
    const old = linked.find((other) => other.site === site);
    if (old !== undefined && old !== linked.at(-1)) setImmediate(releaseWhenUnused, old);
  });
  const kept = createKeptThings();
  /** The newest is last; those before it have requests under way. */
  let linked: Linked[] = [];
  let pending: Linked | undefined;
  let priority = 0;

  const errorLog = () => (linked.at(-1)?.site.errorLog ?? defaultLog) as ErrorLog;
  const thread: Thread = {
    worker: task.worker,
    prefix: task.prefix,
    configPrefix: task.configPrefix,
    timers: createTimerWheel(),
    peers: PeerTable.attach(task.peers, task.worker),
    counters: new ConnectionCounters(task.counters, task.worker),
    connections: new ConnectionLimit(0, (level, message) => errorLog().write(level, message)),
    errorLog: defaultLog,
    files,
    kept,
    secret: task.secret,
  };

  // The thread ends by an error nobody has caught: what has been gathered for the logs is not to go with it.
  process.on('uncaughtExceptionMonitor', () => files.flushSync());

  const { promise, resolve } = Promise.withResolvers<void>();
  let ending = false;
  let finished = false;
  /** Dying of an error. */
  let failing = false;
  let closesBeforeDying = false;
  /** Goes on with the end of a thread by an error, once the master hands nothing over to it any more. */
  let detached: (() => void) | undefined;

  async function configure(message: ConfigureMessage): Promise<void> {
    const { generation } = message;
    const slots = slotLookup(message.slots);
    const addresses = new Map(message.addresses);
    const contents = new Map(message.files);
    const memory = new Map(message.memory);
    const runtime = createRuntime(thread, generation, {
      slot: (key) => slots.slotOf(key),
      configurePeer: () => {},
      async resolve(host) {
        const found = addresses.get(host);
        if (found === undefined) throw new Error(`the master has not resolved "${host}"`);
        return found;
      },
      readFile(path) {
        const found = contents.get(path);
        if (found === undefined) throw new Error(`the master has not read "${path}"`);
        return Buffer.from(found.buffer, found.byteOffset, found.byteLength);
      },
      sharedMemory(key) {
        const found = memory.get(key);
        if (found === undefined) throw new Error(`the master has made no memory for "${key}"`);
        return found;
      },
    });
    try {
      const scope = buildScopes(message, registry);
      const site = await linkSite(scope, modules, runtime);
      if (finished) {
        site.close();
        return;
      }
      const events = scope.children('events')[0];
      const connections = events?.settings(eventsDirectives).worker_connections ?? 512;
      pending = { generation, site, connections, priority: scope.settings(mainDirectives).worker_priority };
      if (linked.length === 0) {
        thread.connections.limit = connections;
        // While the process may still be root's: only root can ask for more than the usual.
        setOwnPriority(pending);
      }
      send(port, { kind: 'linked', generation });
    } catch (error) {
      kept.release(generation);
      const message = error instanceof ConfigError ? error.format() : describeFailure(error);
      const level = error instanceof ConfigError ? error.level : 'emerg';
      send(port, { kind: 'unlinkable', generation, level, message });
    }
  }

  /** `worker_priority`: Linux takes the priority of a thread for that of a process. */
  function setOwnPriority({ priority: wanted, site }: Linked): void {
    if (wanted === priority) return;
    try {
      setPriority(0, Math.max(-20, Math.min(19, wanted)));
      priority = wanted;
    } catch (error) {
      const { info } = error as { info?: NodeJS.ErrnoException };
      site.errorLog.write(
        'alert',
        `setpriority(${wanted}) failed (${describeError(info ?? (error as Error))})`,
      );
    }
  }

  function commit(): void {
    if (pending === undefined) return;
    const previous = linked.at(-1);
    linked.push(pending);
    sockets.commit(pending.site);
    thread.connections.limit = pending.connections;
    setOwnPriority(pending);
    pending = undefined;
    if (previous !== undefined) {
      // Not inside the last request's own clean-up.
      previous.site.onUnused = () => setImmediate(releaseWhenUnused, previous);
      releaseWhenUnused(previous);
    }
  }

  /** Lets a replaced configuration go once no request is on it and no connection can begin one on it. */
  function releaseWhenUnused(old: Linked): void {
    const { site } = old;
    if (site.users > 0 || sockets.holds(site) || !linked.includes(old)) return;
    site.onUnused = undefined;
    linked = linked.filter((other) => other !== old);
    site.close();
    kept.release(old.generation);
    send(port, { kind: 'released', generation: old.generation });
  }

  function abandon(): void {
    if (pending === undefined) return;
    sockets.abandon(pending.site);
    pending.site.close();
    kept.release(pending.generation);
    pending = undefined;
  }

  function drain(timeout: number): void {
    if (ending) return;
    ending = true;
    errorLog().write('notice', 'gracefully shutting down');
    abandon();
    for (const { site } of linked) site.draining = true;
    sockets.closeAll();
    const deadline = timeout === 0 ? Number.POSITIVE_INFINITY : performance.now() + timeout;
    const look = () => {
      // Again and again: a pool may have taken a connection back since.
      thread.connections.closeAllIdle();
      if (thread.connections.used > 0 && performance.now() < deadline) return;
      clearInterval(interval);
      finish();
    };
    const interval = setInterval(look, DRAIN_INTERVAL);
    look();
  }

  function finish(): void {
    if (finished) return;
    finished = true;
    errorLog().write('notice', 'exiting');
    sockets.closeAll();
    sockets.destroyConnections();
    // The sockets' `close` events come first: requests that were cut off are logged like any other.
    afterTurns(CLOSING_TURNS, () => {
      for (const { site } of linked) site.close();
      pending?.site.close();
      kept.releaseAll();
      thread.timers.stopAll();
      files.closeAll();
      port.close();
      resolve();
    });
  }

  /**
   * A thread that ends with sockets of uWebSockets.js aborts the process. So an error that nobody has caught waits until
   * the master hands nothing over to this worker any more, however long that takes, and all connections are closed.
   */
  function closeBeforeDying(): void {
    if (closesBeforeDying) return;
    closesBeforeDying = true;
    function fail(error: unknown): void {
      // What goes wrong while it ends is of no interest.
      if (failing) return;
      failing = true;
      ending = true;
      detached = () => {
        detached = undefined;
        sockets.destroyConnections();
        afterTurns(CLOSING_TURNS, () => {
          process.off('uncaughtException', fail);
          throw error;
        });
      };
      send(port, { kind: 'failing' });
    }
    process.on('uncaughtException', fail);
  }

  async function handle(message: MasterMessage): Promise<void> {
    // Nobody would close what is opened now.
    if (failing || finished) return;
    switch (message.kind) {
      case 'configure':
        return configure(message);
      case 'listen': {
        const site = pending?.site ?? linked.at(-1)?.site;
        let opened: Opened = { failures: [], descriptors: [] };
        // A master that is about to shut down may ask for it when this worker drains already.
        if (site !== undefined && !ending) {
          if (site.listeners.some(({ address }) => engines[address.engine].masterListens)) closeBeforeDying();
          opened = await sockets.open(site, message.keys);
          // A worker that was already serving when it was given a further address, a Unix socket say.
          if (pending === undefined && !ending) sockets.commit(site);
        }
        send(port, { kind: 'listening', generation: message.generation, ...opened });
        return;
      }
      case 'commit':
        return commit();
      case 'abandon':
        return abandon();
      case 'begin':
        return sockets.begin();
      case 'reopen':
        errorLog().write('notice', 'reopening logs');
        return files.reopen((failure) => errorLog().write('emerg', failure));
      case 'quit':
        return drain(message.timeout);
      case 'stop':
      case 'detached':
        return;
    }
  }

  let queue: Promise<void> = Promise.resolve();
  receive<MasterMessage>(port, (message) => {
    if (message.kind === 'stop') {
      // At once, whatever else has been asked for. The master hands nothing over any more: it might be dying of an error.
      ending = true;
      if (detached !== undefined) detached();
      else finish();
      return;
    }
    if (message.kind === 'detached') {
      detached?.();
      return;
    }
    queue = queue
      .then(() => handle(message))
      .catch((error: unknown) => {
        // A mistake of ours: the thread ends and is replaced, as for any other.
        setImmediate(() => {
          throw error;
        });
      });
  });
  send(port, { kind: 'started', thread: threadId, systemThread: threadNumber });
  return promise;
}

/** Something other than a ConfigError that kept a configuration from being linked. */
function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return isSystemError(error) ? describeError(error) : (error.stack ?? error.message);
}
