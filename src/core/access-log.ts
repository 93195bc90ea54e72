/** The access log: nginx's http_log module. */
import { statSync } from 'node:fs';
import { pathBytes } from '../config/glob.ts';
import type { Scope } from '../config/scope.ts';
import { ConfigError, type Statement } from '../config/statement.ts';
import { type AccessLogWriter, createAccessLogWriter } from '../log/access-log-writer.ts';
import { createSyslogSender } from '../log/syslog.ts';
import type { SyslogTarget } from '../log/syslog-target.ts';
import { describeError } from '../log/system-errors.ts';
import { accessLogDirectives, DEFAULT_PATH, type ParsedAccessLog } from './access-log-directives.ts';
import type { Exchange } from './exchange.ts';
import { documentRoot } from './file-path.ts';
import type { Link } from './link.ts';
import { log } from './log.ts';
import {
  LogFileCache,
  type LogFileCacheOptions,
  LogFilesOfTurn,
  type NamedLogFiles,
} from './log-file-cache.ts';
import {
  COMBINED,
  compileLogFormat,
  type LogFormat,
  type ParsedLogFormat,
  parseLogFormat,
} from './log-format.ts';
import { resolveServer } from './main.ts';
import { defineModule } from './module.ts';
import type { Template } from './template.ts';

const NAME = 'http_log';
/** Takes whole lines. */
interface LineWriter {
  readonly writer: Pick<AccessLogWriter, 'write'>;
}

/** A file with a name of its own. All `access_log` with that name share it, its buffer too. */
interface LogTarget extends LineWriter {
  readonly path: string;
  buffer: number;
  flush: number;
  gzip: number;
  /** Set once everything else has been linked; the master's check leaves it as it is. */
  writer: Pick<AccessLogWriter, 'write'>;
}

/** One `access_log`, linked. */
interface AccessLog {
  readonly format: LogFormat;
  readonly condition: Template | undefined;
  /** A file or a syslog server, or a file's name to be made for each request. */
  readonly target: LineWriter | Template;
}

/** What is known of one configuration's logs while it is linked. */
interface AccessLogs {
  /** By name in lower case, which is how nginx looks for them; of several the first. */
  readonly formats: Map<string, LogFormat>;
  /** Compiled where it is used: with it come variables. */
  combined: LogFormat | undefined;
  /** By full path. */
  readonly targets: Map<string, LogTarget>;
  readonly logs: Map<Statement, AccessLog>;
  readonly caches: Map<LogFileCacheOptions, LogFileCache>;
  uncached: LogFilesOfTurn | undefined;
}

const STATE = Symbol(NAME);
const NOWHERE: LogTarget['writer'] = { write() {} };

function accessLogsOf(link: Link): AccessLogs {
  return link.state<AccessLogs>(STATE, () => ({
    formats: new Map(),
    combined: undefined,
    targets: new Map(),
    logs: new Map(),
    caches: new Map(),
    uncached: undefined,
  }));
}

// ---- linking ----

/** Writes a line for every request when it is over, to each of the logs of its location. */
export const accessLog = defineModule({
  name: NAME,
  directives: accessLogDirectives,

  http(settings, scope, link) {
    const formats = new Map(settings.log_format.map((format) => [format.statement, format]));
    declare(scope, formats, link);
    // Opened last, as in nginx: a configuration that is wrong elsewhere makes no files.
    link.defer(async () => openTargets(scope, link));
    return undefined;
  },

  location({ access_log: list, open_log_file_cache: cache }, _scope, link) {
    const { logs } = accessLogsOf(link);
    if (list.length === 0) return { log: writeAlways(defaultLog(link)) };
    // `off` beside other logs: nginx writes none of them.
    if (list.some(({ path }) => path === 'off')) return undefined;
    const writes = list.map(({ statement }) => writeOne(logs.get(statement)!, cache, link));
    if (writes.length === 1) return { log: writes[0] };
    return {
      log(exchange) {
        for (let index = 0; index < writes.length; index++) writes[index](exchange);
      },
    };
  },
});

/** Goes through `log_format` and `access_log` in the order of the file: a format has to come before its use. */
function declare(scope: Scope, formats: ReadonlyMap<Statement, ParsedLogFormat>, link: Link): void {
  const known = accessLogsOf(link);
  const own = scope.own(accessLogDirectives).access_log ?? [];
  let next = 0;
  for (const { module, name, statement, scope: inner } of scope.entries) {
    if (inner !== undefined) declare(inner, formats, link);
    if (module !== NAME) continue;
    if (name === 'log_format') {
      const format = formats.get(statement)!;
      const lower = format.name.toLowerCase();
      const compiled = compileLogFormat(format, link.variables);
      if (!known.formats.has(lower)) known.formats.set(lower, compiled);
    } else if (name === 'access_log') {
      const parsed = own[next++];
      if (parsed.path !== 'off') known.logs.set(statement, linkLog(parsed, link));
    }
  }
}

function linkLog(
  { statement, path, format, buffer, flush, gzip, condition, syslog }: ParsedAccessLog,
  link: Link,
): AccessLog {
  const { targets } = accessLogsOf(link);
  const target =
    syslog !== undefined
      ? openSyslog(syslog, statement, link)
      : path.includes('$')
        ? link.template(statement, link.path(path))
        : targetOf(path, link);
  const log: AccessLog = {
    format: findFormat(format, statement, link),
    condition: condition === '' ? undefined : link.template(statement, condition),
    target,
  };
  if (buffer > 0) {
    const other = targets.get(link.path(path))!;
    if (other.buffer > 0 && (other.buffer !== buffer || other.flush !== flush || other.gzip !== gzip)) {
      throw new ConfigError(`access_log "${path}" already defined with conflicting parameters`, {
        statement,
      });
    }
    Object.assign(other, { buffer, flush, gzip });
  }
  return log;
}

/** Nothing is opened before there is a line to send. */
function openSyslog(target: SyslogTarget, statement: Statement, link: Link): LineWriter {
  link.defer(() => resolveServer(target.server, statement, (host) => link.runtime.resolve(host)));
  const sender = createSyslogSender(target, (level, message) => link.mainErrorLog.write(level, message));
  link.onClose(() => sender.close());
  return { writer: { write: (line) => sender.send(target.severity, line.slice(0, -1)) } };
}

function targetOf(name: string, link: Link): LogTarget {
  const { targets } = accessLogsOf(link);
  const path = link.path(name);
  let target = targets.get(path);
  if (target === undefined) {
    target = { path, buffer: 0, flush: 0, gzip: 0, writer: NOWHERE };
    targets.set(path, target);
  }
  return target;
}

function findFormat(name: string, statement: Statement | undefined, link: Link): LogFormat {
  const known = accessLogsOf(link);
  const lower = name.toLowerCase();
  if (lower === 'combined') {
    known.combined ??= compileLogFormat(COMBINED_FORMAT, link.variables);
    return known.combined;
  }
  const format = known.formats.get(lower);
  if (format === undefined) throw new ConfigError(`unknown log format "${name}"`, { statement });
  return format;
}

const COMBINED_FORMAT = parseLogFormat({
  name: 'log_format',
  args: ['combined', COMBINED],
  file: '',
  line: 0,
});

function defaultLog(link: Link): AccessLog & { readonly target: LogTarget } {
  return {
    format: findFormat('combined', undefined, link),
    condition: undefined,
    target: targetOf(DEFAULT_PATH, link),
  };
}

/** Opens every file with a name of its own, used or not. In the master that is only a test of whether it can be. */
function openTargets(http: Scope, link: Link): void {
  const { files, timers, worker } = link.runtime;
  for (const target of accessLogsOf(link).targets.values()) {
    const { path, buffer: size, flush, gzip } = target;
    if (worker < 0) files.open(path).close();
    else {
      const buffering = size > 0 ? { size, flush, gzip } : undefined;
      const writer = createAccessLogWriter(files, path, link.errorLog(http), timers, buffering);
      target.writer = writer;
      link.onClose(() => writer.close());
    }
  }
}

// ---- writing ----

type LogHandler = (exchange: Exchange) => void;

function writeOne(log: AccessLog, cache: LogFileCacheOptions | 'off', link: Link): LogHandler {
  const { condition, format, target } = log;
  const write =
    'writer' in target
      ? writeAlways({ format, target })
      : writeByName(format, target, namedFiles(cache, link));
  if (condition === undefined) return write;
  return (exchange) => {
    const value = condition.evaluate(exchange);
    if (value !== '' && value !== '0') write(exchange);
  };
}

function writeAlways({
  format,
  target,
}: {
  readonly format: LogFormat;
  readonly target: LineWriter;
}): LogHandler {
  return (exchange) => target.writer.write(`${format(exchange)}\n`);
}

function writeByName(format: LogFormat, name: Template, files: NamedLogFiles): LogHandler {
  return (exchange) => {
    if (!rootExists(exchange)) return;
    try {
      files.write(name.evaluate(exchange), `${format(exchange)}\n`);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      log(exchange, 'crit', `${error.message} while logging request`);
    }
  };
}

/** The files of logs with variables in their names, as `open_log_file_cache` says. */
function namedFiles(options: LogFileCacheOptions | 'off', link: Link): NamedLogFiles {
  const known = accessLogsOf(link);
  const { files, timers, errorLog } = link.runtime;
  const open = (path: string): AccessLogWriter => createAccessLogWriter(files, path, errorLog, timers);
  if (options === 'off') {
    if (known.uncached === undefined) {
      const uncached = new LogFilesOfTurn(open);
      known.uncached = uncached;
      link.onClose(() => uncached.close());
    }
    return known.uncached;
  }
  let cache = known.caches.get(options);
  if (cache === undefined) {
    const made = new LogFileCache(open, options);
    cache = made;
    known.caches.set(options, made);
    link.onClose(() => made.close());
  }
  return cache;
}

/**
 * nginx asks for the document root before it writes a log with variables in its name: with `root` made of the same
 * variables, nobody can have files made for whatever is in a Host header.
 */
function rootExists(exchange: Exchange): boolean {
  const root = documentRoot(exchange);
  let reason: string;
  try {
    if (statSync(pathBytes(root)).isDirectory()) return true;
    reason = '20: Not a directory';
  } catch (error) {
    reason = describeError(error as NodeJS.ErrnoException);
  }
  log(exchange, 'error', `testing "${root}" existence failed (${reason}) while logging request`);
  return false;
}
