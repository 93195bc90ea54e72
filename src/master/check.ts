/**
 * Reads and checks a configuration as a whole, by linking it as a worker would, and writes down what the workers will
 * need to link it themselves: slots of the peer table, and addresses of host names.
 */

import { lookup } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { Settings } from '../config/declaration.ts';
import { loadConfiguration } from '../config/load.ts';
import type { Scope } from '../config/scope.ts';
import { ConfigError, type Configuration, formatWarning, type Warning } from '../config/statement.ts';
import { eventsDirectives } from '../core/events.ts';
import { linkSite } from '../core/link.ts';
import type { ListenAddress } from '../core/listen.ts';
import { errorLogTargets, type MainDirectives, mainDirectives } from '../core/main.ts';
import type { ProcessSecret } from '../core/runtime.ts';
import { engines } from '../engines/index.ts';
import { ConnectionLimit } from '../event/connection-limit.ts';
import { createTimerWheel } from '../event/timers.ts';
import { NO_ERROR_LOG } from '../log/error-log.ts';
import type { ErrorLogTarget } from '../log/error-log-target.ts';
import { LEVELS } from '../log/levels.ts';
import { describeError, isSystemError } from '../log/system-errors.ts';
import type { ConnectionCounters } from '../shared/counters.ts';
import type { PeerParameters, PeerTable } from '../shared/peer-table.ts';
import type { SlotDirectory, SlotGeneration } from '../shared/slot-directory.ts';
import { createKeptThings } from '../worker/kept.ts';
import { modules, registry } from '../worker/registry.ts';
import { createRuntime } from '../worker/runtime.ts';
import { type Identity, readIdentity } from './privileges.ts';
import type { Startup } from './startup.ts';

/** A configuration that has been read, each directive for itself. */
export interface Loaded {
  readonly configuration: Configuration;
  readonly scope: Scope;
  readonly main: Settings<MainDirectives>;
  /** How many workers it asks for. */
  readonly workers: number;
  /** Full name of the pid file. */
  readonly pid: string;
  readonly identity: Identity | undefined;
  /** Where the master's own messages go. */
  readonly errorLogs: readonly ErrorLogTarget[];
}

/** What has been found out by linking it. */
export interface Checked extends Loaded {
  readonly addresses: readonly ListenAddress[];
  readonly slots: SlotGeneration;
  readonly hosts: readonly (readonly [host: string, addresses: readonly string[]])[];
  /** What the slots of its peers are to be configured with. */
  readonly peers: readonly PeerSetting[];
  /** What has been read and made for it. */
  readonly files: readonly (readonly [path: string, contents: Buffer])[];
  readonly memory: readonly (readonly [key: string, memory: SharedArrayBuffer])[];
}

/** Arguments of `PeerTable.configure`. */
export interface PeerSetting {
  readonly slot: number;
  readonly group: number;
  readonly parameters: PeerParameters;
}

/** The shared tables. */
export interface Tables {
  readonly peers: PeerTable;
  readonly counters: ConnectionCounters;
  readonly directory: SlotDirectory;
  readonly secret: ProcessSecret;
}

/**
 * Reads the configuration file.
 * @param present whom the process has become already
 * @throws ConfigError
 */
export function load(startup: Startup, present: Identity | undefined): Loaded {
  const warn = (warning: Warning) => startup.log.write('warn', formatWarning(warning));
  const { configuration, scope } = loadConfiguration(
    { path: startup.configuration, commandLine: startup.directives },
    registry,
    warn,
  );
  const main = scope.settings(mainDirectives);
  const identity = readIdentity(main.user, present, (message, statement) => warn({ message, statement }));
  const cpus = main.worker_processes === 'auto' ? availableParallelism() : main.worker_processes;
  const level = LEVELS.error;
  const { errorLog } = startup;
  return {
    configuration,
    scope,
    main,
    workers: main.master_process ? cpus : 1,
    pid: startup.path(main.pid),
    identity,
    errorLogs: errorLogTargets(scope, startup.prefix) ?? [
      errorLog === ''
        ? { kind: 'stderr', path: '', level, json: false }
        : { kind: 'file', path: errorLog, level, json: false },
    ],
  };
}

/**
 * Links a configuration that has been loaded. Log files are opened for that, and closed again.
 * @param generation the number the workers will know it by
 * @param present shared memory of the configuration in use
 * @throws ConfigError, or Error with nginx's message where a log file cannot be opened
 */
export async function check(
  startup: Startup,
  loaded: Loaded,
  tables: Tables,
  generation: number,
  present: Checked['memory'] = [],
): Promise<Checked> {
  if (!loaded.scope.has('events')) throw new ConfigError('no "events" section in configuration');
  const { log } = startup;
  const slots = tables.directory.open();
  const hosts = new Map<string, readonly string[]>();
  const peers: PeerSetting[] = [];
  const contents = new Map<string, Buffer>();
  const memory = new Map<string, SharedArrayBuffer>();
  const kept = createKeptThings();
  const timers = createTimerWheel();
  const runtime = createRuntime(
    {
      worker: -1,
      prefix: startup.prefix,
      configPrefix: startup.configPrefix,
      timers,
      peers: tables.peers,
      counters: tables.counters,
      connections: new ConnectionLimit(0, () => {}),
      errorLog: NO_ERROR_LOG,
      files: startup.files,
      kept,
      secret: tables.secret,
    },
    generation,
    {
      slot(key) {
        try {
          return slots.slotOf(key);
        } catch (error) {
          throw new ConfigError((error as Error).message, { cause: error });
        }
      },
      configurePeer: (slot, group, parameters) => peers.push({ slot, group, parameters }),
      async resolve(host) {
        const known = hosts.get(host);
        if (known !== undefined) return known;
        const found = (await lookup(host, { all: true, order: 'verbatim' })).map(({ address }) => address);
        hosts.set(host, found);
        return found;
      },
      readFile(path) {
        let found = contents.get(path);
        if (found === undefined) {
          found = readFileSync(Buffer.from(path, 'latin1'));
          contents.set(path, found);
        }
        return found;
      },
      sharedMemory(key, size) {
        let found = memory.get(key);
        if (found === undefined) {
          const old = present.find(([other]) => other === key)?.[1];
          found = old?.byteLength === size ? old : new SharedArrayBuffer(size);
          memory.set(key, found);
        }
        return found;
      },
    },
  );
  try {
    const warn = (warning: Warning) => log.write('warn', formatWarning(warning));
    const site = await linkSite(loaded.scope, modules, runtime, warn);
    const addresses = site.listeners.map((listener) => listener.address);
    try {
      for (const listener of site.listeners) engines[listener.address.engine].check(listener, warn);
    } finally {
      site.close();
    }
    return {
      ...loaded,
      addresses,
      slots,
      hosts: [...hosts],
      peers,
      files: [...contents],
      memory: [...memory],
    };
  } catch (error) {
    slots.close();
    throw error;
  } finally {
    kept.releaseAll();
    timers.stopAll();
  }
}

/** The greatest number of files this process may have open, or undefined where the system does not say. */
export function openFilesLimit(): number | undefined {
  try {
    const limits = readFileSync('/proc/self/limits', 'latin1');
    const [, , hard] = /^Max open files\s+(\S+)\s+(\S+)/m.exec(limits) ?? [];
    return hard === undefined || hard === 'unlimited' ? undefined : Number(hard);
  } catch {
    return undefined;
  }
}

/** Warns where the limit of open files is too low for what the configuration says. */
export function warnOfLimits(startup: Startup, loaded: Loaded): void {
  const limit = openFilesLimit();
  if (limit === undefined) return;
  const wanted = loaded.main.worker_rlimit_nofile;
  if (wanted !== undefined && wanted > limit) {
    startup.log.write(
      'warn',
      `"worker_rlimit_nofile" is ${wanted}, but this process may not open more than ${limit} files: ` +
        `raise the limit before it starts ("ulimit -Hn ${wanted}", or "LimitNOFILE=${wanted}" for systemd)`,
    );
  }
  const events = loaded.scope.children('events')[0];
  const connections = (events?.settings(eventsDirectives).worker_connections ?? 0) * loaded.workers;
  if (connections > limit) {
    startup.log.write('warn', `${connections} worker_connections exceed open file resource limit: ${limit}`);
  }
}

/** What there is to say about an error of `load` or `check`: the level and the text for the error log. */
export function describeConfigurationError(error: unknown): {
  readonly level: 'emerg' | ConfigError['level'];
  readonly message: string;
} {
  if (error instanceof ConfigError) return { level: error.level, message: error.format() };
  if (!(error instanceof Error)) throw error;
  // A log file that cannot be opened has its whole message; anything else is a mistake of ours, told in full.
  if (isSystemError(error.cause)) return { level: 'emerg', message: error.message };
  return {
    level: 'emerg',
    message: isSystemError(error) ? describeError(error) : (error.stack ?? error.message),
  };
}
