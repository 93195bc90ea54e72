import { readlinkSync } from 'node:fs';
import { threadId } from 'node:worker_threads';
import { errorLogTime } from '../event/clock.ts';
import { holdDebugging } from './debugging.ts';
import { createJsonLines, type JsonLines } from './error-log-json.ts';
import type { ErrorLogTarget } from './error-log-target.ts';
import { LEVELS, type LevelName } from './levels.ts';
import { formatContext, type LogContext } from './log-context.ts';
import type { OpenFiles, SharedLogFile } from './open-files.ts';
import { createSyslogSender, type SyslogSender } from './syslog.ts';
import { describeError } from './system-errors.ts';

export type { LogContext };

/** Makes the context of a message. Called only when the message is written. */
export type ContextSource = () => LogContext | string;

/** The error log of one level of the configuration: all its `error_log` targets. */
export interface ErrorLog {
  /** The least severe level that any target takes, as a number of LEVELS; 0 when there is no target. */
  readonly level: number;
  /** Whether any target takes messages of that level. */
  enabled(level: LevelName): boolean;
  /**
   * Writes one message to every target that takes its level, as
   * `2026/11/21 10:00:00 [error] 123#456: *7 message (111: Connection refused) while ..., client: ...`.
   * Never throws.
   * @param level how bad it is
   * @param message a byte string
   * @param connection serial number of the connection it is about; 0: of none
   * @param context what it is about; a string is written as it is and begins with its own separator
   * @param error system error, to be written in brackets behind the message
   */
  write(
    level: LevelName,
    message: string,
    connection?: number,
    context?: ContextSource,
    error?: NodeJS.ErrnoException,
  ): void;
  /** The same targets, each taking everything, whatever its level: for a connection of `debug_connection`. */
  readonly everything: ErrorLog;
}

/** An error log with the one who opened it. */
export interface OwnedErrorLog extends ErrorLog {
  /** Gives the files back. Nothing is written afterwards. */
  close(): void;
}

/** Options of createErrorLog. */
export interface ErrorLogOptions {
  /**
   * Asked at each message of level warn or worse: whether it is to go to standard error too, as
   * `portico: [emerg] message`. nginx does so until it has started. Default: no.
   */
  readonly echo?: () => boolean;
  /** Where it is told that a message could not be sent to syslog. Default: the log itself. */
  readonly trouble?: () => ErrorLog;
}

/** Bytes of a line, line feed included (nginx: NGX_MAX_ERROR_STR). */
export const LINE_LIMIT = 2048;

/** nginx keeps this much of a line free for the system error. */
const ROOM_FOR_ERROR = 50;

/**
 * This thread's number at the system, as `ps -L` shows it and nginx logs it; where the system does not tell (it takes
 * Linux's /proc), Node's number of the thread.
 */
export const threadNumber: number = systemThreadNumber();

function systemThreadNumber(): number {
  try {
    const link = readlinkSync('/proc/thread-self');
    const number = Number(link.slice(link.lastIndexOf('/') + 1));
    return Number.isInteger(number) ? number : threadId;
  } catch {
    return threadId;
  }
}

/** Appends a system error; what comes before gives way to it when the line is long. */
function withError(line: string, error: NodeJS.ErrnoException): string {
  const room = LINE_LIMIT - ROOM_FOR_ERROR;
  return `${line.length > room ? `${line.slice(0, room)}...` : line} (${describeError(error)})`;
}

/** Nginx's levels count from 1, those of syslog from 0. */
const SYSLOG_OFFSET = 1;

interface OpenTarget {
  readonly level: number;
  readonly standardError: boolean;
  readonly json: JsonLines | undefined;
  /** Takes one line, with its line feed. The buffer may have gone to other targets too: nobody changes it. */
  append(line: Buffer, severity: number): void;
  close(): void;
}

function openFileTarget(file: SharedLogFile): Pick<OpenTarget, 'append' | 'close'> {
  return { append: (line) => file.write(line), close: () => file.close() };
}

function openSyslogTarget(sender: SyslogSender): Pick<OpenTarget, 'append' | 'close'> {
  return {
    append: (line, severity) => sender.send(severity - SYSLOG_OFFSET, line.subarray(0, -1)),
    close: () => sender.close(),
  };
}

/**
 * Opens the error log of one level of the configuration.
 * @param targets its `error_log` directives, with absolute paths
 * @param files where the files are opened
 * @throws as OpenFiles.open; what had been opened is closed again
 */
export function createErrorLog(
  targets: readonly ErrorLogTarget[],
  files: OpenFiles,
  options: ErrorLogOptions = {},
): OwnedErrorLog {
  const open: OpenTarget[] = [];
  /** The level of the message that is being written as JSON. */
  let severityOfJson = 0;
  let releaseDebugging: (() => void) | undefined;
  const close = () => {
    for (const target of open.splice(0)) target.close();
    releaseDebugging?.();
    releaseDebugging = undefined;
  };
  try {
    for (const target of targets) open.push(openTarget(target));
  } catch (error) {
    close();
    throw error;
  }
  // The one that takes most first, as nginx.
  open.sort((one, other) => other.level - one.level);

  const echo = options.echo;
  const level = Math.max(0, ...open.map((target) => target.level));
  const identity = `${process.pid}#${threadNumber}: `;
  if (level >= LEVELS.debug) releaseDebugging = holdDebugging();

  function openTarget(target: ErrorLogTarget): OpenTarget {
    const standardError = target.kind === 'stderr';
    let made: Pick<OpenTarget, 'append' | 'close'>;
    if (target.kind === 'syslog') {
      made = openSyslogTarget(
        createSyslogSender(target.syslog, (name, message) =>
          (options.trouble?.() ?? log).write(name, message),
        ),
      );
    } else {
      made = openFileTarget(standardError ? files.standardError() : files.open(target.path));
    }
    // JSON lines are appended while `write` runs, for one message at a time.
    const append = (line: Buffer) => made.append(line, severityOfJson);
    const json = target.json ? createJsonLines(threadNumber, append) : undefined;
    return { level: target.level, standardError, json, ...made };
  }

  function write(
    unlimited: boolean,
    name: LevelName,
    message: string,
    connection: number,
    context: ContextSource | undefined,
    error: NodeJS.ErrnoException | undefined,
  ): void {
    const severity = LEVELS[name];
    if (severity > level && !unlimited) return;
    // A debug message has no context (it would be repeated on every line).
    const about = context === undefined || name === 'debug' ? '' : context();
    let text = '';
    let bytes: Buffer | undefined;
    const format = () => {
      const origin = connection === 0 ? identity : `${identity}*${connection} `;
      const line = `${errorLogTime()} [${name}] ${origin}${message}`.slice(0, LINE_LIMIT);
      text = (error === undefined ? line : withError(line, error)) + formatContext(about);
      if (text.length >= LINE_LIMIT) text = text.slice(0, LINE_LIMIT - 1);
    };
    let wroteStandardError = false;
    for (const target of open) {
      if (target.level < severity && !unlimited) break;
      if (target.standardError) wroteStandardError = true;
      if (target.json !== undefined) {
        severityOfJson = severity;
        target.json.write(name, message, connection, about, error);
        continue;
      }
      if (bytes === undefined) {
        format();
        bytes = Buffer.from(`${text}\n`, 'latin1');
      }
      target.append(bytes, severity);
    }
    if (wroteStandardError || severity > LEVELS.warn || echo === undefined || !echo()) return;
    if (text === '') format();
    const start =
      text.indexOf(identity) + identity.length + (connection === 0 ? 0 : `*${connection} `.length);
    const standardError = files.standardError();
    standardError.write(Buffer.from(`portico: [${name}] ${text.slice(start)}\n`, 'latin1'));
    standardError.close();
  }

  const log: OwnedErrorLog = {
    level,
    enabled: (name) => LEVELS[name] <= level,
    write: (name, message, connection = 0, context, error) =>
      write(false, name, message, connection, context, error),
    everything: {
      level: LEVELS.debug,
      enabled: () => true,
      write: (name, message, connection = 0, context, error) =>
        write(true, name, message, connection, context, error),
      get everything() {
        return this;
      },
    },
    close,
  };
  return log;
}

/** A log that takes nothing: for a thread that has not got its configuration yet, and for tests. */
export const NO_ERROR_LOG: ErrorLog = {
  level: 0,
  enabled: () => false,
  write: () => {},
  get everything() {
    return NO_ERROR_LOG;
  },
};
