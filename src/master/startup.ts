/**
 * What every use of the program begins with but `-v`: where its files are, and the log of `-e`, which takes messages
 * until the configuration's own error log does. Until then messages of level warn or worse are shown on standard error
 * too, as `portico: [emerg] ...`.
 */

import { mkdirSync, writeSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { pathBytes } from '../config/glob.ts';
import { REGEXP_ENGINE_OPTION } from '../core/regex.ts';
import { errorLogTime } from '../event/clock.ts';
import { createErrorLog, type ErrorLog, threadNumber } from '../log/error-log.ts';
import { LEVELS, type LevelName } from '../log/levels.ts';
import { createOpenFiles, type OpenFiles } from '../log/open-files.ts';

/** What the command line says about files; as in options.ts. */
export interface StartupOptions {
  readonly prefix: string | undefined;
  readonly errorLog: string | undefined;
  readonly configuration: string | undefined;
  readonly directives: string | undefined;
  /** Where the program is installed, which is the default prefix; with a slash at its end. */
  readonly installation: string;
}

/** Files, and the log. All names are byte strings. */
export interface Startup {
  /** `-p`, with a slash at its end. */
  readonly prefix: string;
  /** The configuration file's name. */
  readonly configuration: string;
  /** Its directory, with a slash at its end. */
  readonly configPrefix: string;
  /** `-e`; '' for standard error. */
  readonly errorLog: string;
  /** `-g` */
  readonly directives: string | undefined;
  /** Log files of the master. */
  readonly files: OpenFiles;
  readonly log: MasterLog;
  /** A file name as the configuration gives it, relative to the prefix. */
  path(name: string): string;
}

/** The log of the master: of `-e` at first, and later the configuration's. */
export interface MasterLog {
  write(level: LevelName, message: string, error?: NodeJS.ErrnoException): void;
  /** Writes to standard error, as nginx's `nginx: ` lines. */
  tell(text: string): void;
  /** Goes on with the error log of a configuration; nothing is shown on standard error any more. */
  use(log: ErrorLog): void;
  /** Has `tell` write to another descriptor: the pipe to the process that is waiting for this one to be up. */
  tellTo(descriptor: number): void;
}

function createMasterLog(path: string, files: OpenFiles): MasterLog {
  let descriptor = 2;
  let configured: ErrorLog | undefined;
  let first: ErrorLog | undefined;

  function tellBytes(text: string): void {
    try {
      writeSync(descriptor, Buffer.from(text, 'latin1'));
    } catch {
      // Nobody is there to be told.
    }
  }

  if (path !== '') {
    try {
      first = createErrorLog([{ kind: 'file', path, level: LEVELS.notice, json: false }], files);
    } catch (error) {
      tellBytes(`portico: [alert] could not open error log file: ${(error as Error).message}\n`);
    }
  }
  const toStandardError = path === '' || first === undefined;

  return {
    write(level, message, error) {
      if (configured !== undefined) return configured.write(level, message, 0, undefined, error);
      if (LEVELS[level] > LEVELS.notice) return;
      if (toStandardError) {
        return tellBytes(`${errorLogTime()} [${level}] ${process.pid}#${threadNumber}: ${message}\n`);
      }
      first?.write(level, message, 0, undefined, error);
      if (LEVELS[level] <= LEVELS.warn) tellBytes(`portico: [${level}] ${message}\n`);
    },
    tell: (text) => tellBytes(`portico: ${text}\n`),
    use(log) {
      configured = log;
    },
    tellTo(other) {
      descriptor = other;
    },
  };
}

/**
 * Where Portico is installed, `make install` has not been before it: the directory that the names of logs and of the
 * pid file begin with by default is made here. One that cannot be made is told of with the file that is to be in it.
 */
function makeLogDirectory(prefix: string): void {
  try {
    mkdirSync(pathBytes(`${prefix}logs`));
  } catch {
    // Nearly always because it is there.
  }
}

/** Works out the names and opens the log. */
export function openStartup(options: StartupOptions): Startup {
  // Before the first regular expression of a configuration is compiled; it holds for all threads.
  setFlagsFromString(REGEXP_ENGINE_OPTION);
  const given = options.prefix ?? options.installation;
  const prefix = given === '' || given.endsWith('/') ? given : `${given}/`;
  const path = (name: string) => (name.startsWith('/') ? name : prefix + name);
  const configuration = path(options.configuration ?? 'config/front-door.conf');
  const wanted = options.errorLog ?? 'logs/error.log';
  const errorLog = wanted === 'stderr' || wanted === '' ? '' : path(wanted);
  if (options.prefix === undefined) makeLogDirectory(prefix);
  const files = createOpenFiles();
  return {
    prefix,
    configuration,
    configPrefix: configuration.slice(0, configuration.lastIndexOf('/') + 1),
    errorLog,
    directives: options.directives,
    files,
    log: createMasterLog(errorLog, files),
    path,
  };
}
