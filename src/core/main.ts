/**
 * The directives of the main context: what holds for the whole process. What they do is in `master/`; here stands
 * only what they are.
 */

import type { ReadContext } from '../config/declaration.ts';
import type { Scope } from '../config/scope.ts';
import {
  accepted,
  choice,
  custom,
  flag,
  milliseconds,
  number,
  offset,
  statement,
  text,
  words,
} from '../config/setters.ts';
import { ConfigError, type Statement } from '../config/statement.ts';
import { parameter, parseNumber } from '../config/values.ts';
import { type ErrorLogTarget, readErrorLog } from '../log/error-log-target.ts';
import { resolveSyslogServer, type SyslogServer } from '../log/syslog-target.ts';
import { defineModule } from './module.ts';

const MAIN = ['main'];

function readWorkerProcesses(
  { args }: Statement,
  previous: number | 'auto' | undefined,
  report: ReadContext,
): number | 'auto' {
  if (previous !== undefined) report.failDirective('is duplicate');
  if (args[0] === 'auto') return 'auto';
  const count = parseNumber(args[0]!);
  // nginx takes 0 and then serves nobody.
  return count === undefined || count === 0 ? report.failDirective('invalid value') : count;
}

function readPriority({ args }: Statement, previous: number | undefined, report: ReadContext): number {
  if (previous !== undefined) report.failDirective('is duplicate');
  const word = args[0]!;
  const signed = word.startsWith('-') || word.startsWith('+');
  const value = parseNumber(signed ? word.slice(1) : word) ?? report.failDirective('invalid number');
  return word.startsWith('-') ? -value : value;
}

function checkAffinity({ args, name }: Statement, report: ReadContext): void {
  const masks = args[0] === 'auto' ? args.slice(1) : args;
  if (args[0] === 'auto' && masks.length > 1)
    report.fail(`invalid number of arguments in "${name}" directive`);
  for (const mask of masks) {
    for (const character of mask) {
      if (character !== '0' && character !== '1' && character !== ' ') {
        report.fail(`invalid character "${character}" in "${name}"`);
      }
    }
  }
}

function checkThreadPool({ args }: Statement, report: ReadContext): void {
  for (const word of args.slice(1)) {
    const threads = parameter(word, 'threads');
    const queue = parameter(word, 'max_queue');
    if (threads === undefined && queue === undefined) report.fail(`invalid parameter "${word}"`);
    if (threads !== undefined && (parseNumber(threads) ?? 0) === 0)
      report.fail(`invalid threads value "${word}"`);
    if (queue !== undefined && parseNumber(queue) === undefined)
      report.fail(`invalid max_queue value "${word}"`);
  }
  if (!args.slice(1).some((word) => word.startsWith('threads='))) {
    report.fail(`missing "threads" parameter`);
  }
}

/** A directive of nginx's that Portico cannot obey, and whose being ignored would change what the server does. */
function unsupported(why: string, arity: readonly [number, number] = [1, Number.POSITIVE_INFINITY]) {
  return custom<undefined>(MAIN, arity, undefined, ({ name }, _previous, report) =>
    report.fail(`"${name}" is not supported: ${why}`),
  );
}

/** `error_log`: several in one scope add up, an inner scope's replace the outer ones. */
function readErrorLogs(
  { args }: Statement,
  previous: readonly ErrorLogTarget[] | undefined,
  report: ReadContext,
): readonly ErrorLogTarget[] {
  const read = readErrorLog(args);
  if ('error' in read) report.fail(read.error);
  return [...(previous ?? []), read.target];
}

export const mainDirectives = {
  user: statement(MAIN, [1, 2], {
    syntax: 'user [group]',
    differs:
      'Holds for the whole process, master included, once the listeners are open. Without it the process stays who it is.',
  }),
  worker_processes: custom(MAIN, [1, 1], 1, readWorkerProcesses, {
    syntax: 'number | auto',
    defaultText: '1',
  }),
  worker_priority: custom(MAIN, [1, 1], 0, readPriority, { syntax: 'number', defaultText: '0' }),
  worker_shutdown_timeout: milliseconds(MAIN, undefined),
  worker_rlimit_nofile: number(MAIN, undefined, {
    differs:
      'Node.js uses the hard limit it is started with. A greater number is a warning that says what to do.',
  }),
  pid: text(MAIN, 'logs/portico.pid'),
  daemon: flag(MAIN, true),
  master_process: flag(MAIN, true, { differs: '`off` means one worker; the master stays.' }),
  working_directory: text(MAIN, undefined),
  env: words(MAIN, []),
  error_log: custom(
    ['main', 'http', 'server', 'location'],
    [1, Number.POSITIVE_INFINITY],
    [] as readonly ErrorLogTarget[],
    readErrorLogs,
    {
      syntax: 'file | stderr | syslog:server=address[,parameter=value] [level] [json]',
      defaultText: 'logs/error.log error',
      differs: '`json` writes one JSON object a line. Syslog over UDP only, and no memory log.',
    },
  ),

  load_module: unsupported('its modules are made for nginx', [1, 1]),
  ssl_engine: unsupported('Node.js has no OpenSSL engines to choose for all of TLS', [1, 1]),

  worker_cpu_affinity: accepted(MAIN, [1, Number.POSITIVE_INFINITY], 'The system places the threads.', {
    as: statement([], [1, Number.POSITIVE_INFINITY], { check: checkAffinity }),
  }),
  worker_rlimit_core: accepted(
    MAIN,
    [1, 1],
    'A process cannot change the limit it was started with in Node.js.',
    {
      as: offset([], 0),
    },
  ),
  timer_resolution: accepted(MAIN, [1, 1], 'The time is looked up when it is needed.', {
    as: milliseconds([], 0),
  }),
  pcre_jit: accepted(MAIN, [1, 1], 'V8 compiles regular expressions by itself.', { as: flag([], false) }),
  thread_pool: accepted(MAIN, [2, 3], 'Files are read on the threads of libuv.', {
    as: statement([], [2, 3], { check: checkThreadPool }),
    repeat: true,
  }),
  lock_file: accepted(MAIN, [1, 1], 'There is no accept mutex.'),
  debug_points: accepted(MAIN, [1, 1], 'There are none.', {
    as: choice([], { stop: 1, abort: 2 }, undefined),
  }),
  ssl_object_cache_inheritable: accepted(MAIN, [1, 1], 'A reload reads certificates again.', {
    as: flag([], true),
  }),
};

export type MainDirectives = typeof mainDirectives;

/** Lists of targets with absolute paths, so that scopes that share a list share the result too. */
const absoluteTargets = new WeakMap<readonly ErrorLogTarget[], readonly ErrorLogTarget[]>();

/**
 * What `error_log` says in a scope, with absolute paths.
 * @param prefix where relative names start, with a slash at its end
 * @returns one and the same list for all scopes that share it; undefined where no scope has any: the log of `-e` holds
 */
export function errorLogTargets(scope: Scope, prefix: string): readonly ErrorLogTarget[] | undefined {
  const targets = scope.settings(mainDirectives).error_log;
  if (targets.length === 0) return undefined;
  let absolute = absoluteTargets.get(targets);
  if (absolute === undefined) {
    absolute = targets.map((target) =>
      target.kind !== 'file' || target.path.startsWith('/')
        ? target
        : { ...target, path: prefix + target.path },
    );
    absoluteTargets.set(targets, absolute);
  }
  return absolute;
}

/**
 * Finds the addresses of syslog servers that `error_log` has by name, in a scope and all inside it.
 * @throws ConfigError `host not found in syslog server "..."`
 */
export async function resolveErrorLogServers(
  scope: Scope,
  resolve: (host: string) => Promise<readonly string[]>,
): Promise<void> {
  const targets = scope.own(mainDirectives).error_log ?? [];
  let next = 0;
  for (const { module, name, statement, scope: inner } of scope.entries) {
    if (module === main.name && name === 'error_log') {
      const target = targets[next++];
      if (target?.kind === 'syslog') await resolveServer(target.syslog.server, statement, resolve);
    }
    if (inner !== undefined) await resolveErrorLogServers(inner, resolve);
  }
}

/** @throws ConfigError `host not found in syslog server "..."` */
export async function resolveServer(
  server: SyslogServer,
  statement: Statement,
  resolve: (host: string) => Promise<readonly string[]>,
): Promise<void> {
  try {
    await resolveSyslogServer(server, resolve);
  } catch (error) {
    throw new ConfigError((error as Error).message, { statement, cause: error });
  }
}

/** nginx's core module. */
export const main = defineModule({ name: 'core', directives: mainDirectives });
