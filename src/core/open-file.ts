/**
 * Opening and looking at files on behalf of a request, with `disable_symlinks`. Synchronous, as in nginx: for a file
 * whose directory the system knows it takes a few microseconds, a quarter of what the way over another thread costs.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, type Stats, statSync } from 'node:fs';
import { describeError, describeFileError, isSystemError } from '../log/system-errors.ts';
import type { Exchange } from './exchange.ts';
import { OPEN_FILES, type SymlinkPolicy } from './file-directives.ts';
import { log } from './log.ts';

const SLASH = 47;

/** An open file. Who has it closes it with `closeFile`. */
export interface OpenFile {
  readonly descriptor: number;
  readonly stats: Stats;
}

/** Why a file could not be opened or looked at. */
export interface FileFailure {
  /** The system call that failed, as the log names it: `open()`. */
  readonly call: string;
  readonly error: NodeJS.ErrnoException;
}

// Without waiting: a FIFO nobody writes to must not stop the worker.
const READ = constants.O_RDONLY | constants.O_NONBLOCK;
/** A directory one may pass through, whether or not one may list it. Node does not name O_PATH. */
const PASS = 0o10000000 | constants.O_DIRECTORY | constants.O_NONBLOCK;

/**
 * Opens a file for reading.
 * @param path absolute, as a byte string
 */
export function openFile(exchange: Exchange, path: string): OpenFile | FileFailure {
  const { symlinks } = exchange.location;
  const start = symlinks === undefined ? -1 : checkedFrom(exchange, symlinks, path);
  let descriptor = -1;
  let call = 'open()';
  try {
    if (start < 0) descriptor = openSync(systemPath(path), READ);
    else {
      if (start === 0) call = 'openat()';
      const isAbsolute = path.charCodeAt(0) === SLASH;
      const top = start > 0 ? systemPath(path.slice(0, start)) : isAbsolute ? '/' : '.';
      const directory = openSync(top, PASS);
      call = 'openat()';
      descriptor = openChecked(directory, path, start > 0 || isAbsolute ? start + 1 : 0, symlinks!.ifOwner);
    }
    call = 'fstat()';
    return { descriptor, stats: fstatSync(descriptor) };
  } catch (error) {
    if (descriptor >= 0) closeFile(exchange, descriptor, path);
    return failure(call, error);
  }
}

/**
 * Looks at a file by its name.
 * @param path absolute, as a byte string
 * @returns undefined where there is no such file, or its name leads through something that is no directory
 */
export function statFile(exchange: Exchange, path: string): Stats | undefined | FileFailure {
  const { symlinks } = exchange.location;
  if (symlinks !== undefined && checkedFrom(exchange, symlinks, path) >= 0) {
    const opened = openFile(exchange, path);
    if ('call' in opened) return isMissing(opened) ? undefined : opened;
    closeFile(exchange, opened.descriptor, path);
    return opened.stats;
  }
  try {
    // An error object costs many times what the look at a missing file costs.
    return statSync(systemPath(path), { throwIfNoEntry: false });
  } catch (error) {
    const failed = failure('stat()', error);
    return isMissing(failed) ? undefined : failed;
  }
}

/**
 * Looks for a file, where it does not matter why there is none (`try_files`, `if (-f ...)`).
 * @param path absolute, or relative to the program's directory; as a byte string
 * @returns undefined where there is none, or it cannot be looked at: then the error log says why
 */
export function findFile(exchange: Exchange, path: string): Stats | undefined {
  const found = statFile(exchange, path);
  if (found === undefined || !('call' in found)) return found;
  if (found.error.code !== 'ENAMETOOLONG') log(exchange, 'crit', describeFailure(path, found));
  return undefined;
}

/** Why `statFile` found nothing; undefined where there is something by now. */
export function whyMissing(exchange: Exchange, path: string): FileFailure | undefined {
  if (exchange.location.symlinks !== undefined) {
    const opened = openFile(exchange, path);
    if ('call' in opened) return opened;
    closeFile(exchange, opened.descriptor, path);
    return undefined;
  }
  try {
    statSync(systemPath(path));
    return undefined;
  } catch (error) {
    return failure('stat()', error);
  }
}

/** Closes a file that was opened for a request. */
export function closeFile(exchange: Exchange, descriptor: number, path: string): void {
  try {
    closeSync(descriptor);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    log(exchange, 'alert', describeFileError('close()', path, error));
  }
}

/** The status that answers a request whose file cannot be had: 404, 403 or 500. */
export function statusOfFailure({ error }: FileFailure): number {
  switch (error.code) {
    case 'ENOENT':
    case 'ENOTDIR':
    case 'ENAMETOOLONG':
      return 404;
    case 'EACCES':
    case 'EMLINK':
    case 'ELOOP':
      return 403;
    default:
      return 500;
  }
}

/** Whether a symbolic link was in the way that may not be followed. */
export function isForbiddenLink({ error }: FileFailure): boolean {
  return error.code === 'ELOOP' || error.code === 'EMLINK';
}

/** nginx's line about a file that could not be had. */
export function describeFailure(path: string, { call, error }: FileFailure): string {
  return describeFileError(call, path, error);
}

/** The reason alone, in the words of the system: `2: No such file or directory`. */
export function reasonOf({ error }: FileFailure): string {
  return describeError(error);
}

function isMissing({ error }: FileFailure): boolean {
  return error.code === 'ENOENT' || error.code === 'ENOTDIR';
}

/** A byte string as fs takes it: most are ASCII, and need no copy. */
function systemPath(path: string): string | Buffer {
  return /[\x80-\xff]/.test(path) ? Buffer.from(path, 'latin1') : path;
}

function failure(call: string, error: unknown): FileFailure {
  if (!isSystemError(error)) throw error;
  // A name with a NUL, which the system never gets to see: there is no such file.
  if (error.code === 'ERR_INVALID_ARG_VALUE') {
    return { call, error: Object.assign(new Error(), { code: 'ENOENT', errno: -2 }) };
  }
  return { call, error };
}

/**
 * From where on a name is looked at for symbolic links.
 * @returns how long the beginning is in which they are followed; -1 where that is all of it
 */
function checkedFrom(exchange: Exchange, { from }: SymlinkPolicy, path: string): number {
  if (from === undefined) return 0;
  const beginning = from.constant ?? from.evaluate(exchange);
  const { length } = beginning;
  if (length === 0 || !path.startsWith(beginning)) return 0;
  if (length === path.length) return -1;
  if (path.charCodeAt(length) === SLASH) return length;
  return path.charCodeAt(length - 1) === SLASH ? length - 1 : 0;
}

/**
 * Opens a file without following symbolic links in its name from `start` on, or only those whose owner is that of what
 * they lead to. The name is gone through directory by directory, each opened below the one before it through
 * `/proc/self/fd`, as openat(2) does: nobody can exchange a directory for a link between look and use.
 * @param top the directory in which the name goes on at `start`; it is closed in any case
 * @throws as `fs.openSync`; ELOOP for a link that is not followed
 */
function openChecked(top: number, path: string, start: number, ifOwner: boolean): number {
  let directory = top;
  try {
    let position = start;
    for (;;) {
      const slash = path.indexOf('/', position);
      if (slash < 0) break;
      if (slash > position) {
        const inner = openBelow(directory, path.slice(position, slash), PASS, ifOwner);
        closeSync(directory);
        directory = inner;
      }
      position = slash + 1;
    }
    // What ends with a slash is a directory, or it is not there.
    if (position === path.length) return openSync(`${OPEN_FILES}${directory}/.`, READ);
    return openBelow(directory, path.slice(position), READ, ifOwner);
  } finally {
    closeSync(directory);
  }
}

function openBelow(directory: number, name: string, flags: number, ifOwner: boolean): number {
  const path = systemPath(`${OPEN_FILES}${directory}/${name}`);
  if (!ifOwner) return openSync(path, flags | constants.O_NOFOLLOW);
  const descriptor = openSync(path, flags);
  let owned = false;
  try {
    // It is not known whether a link was followed, so owners are compared where there is none, too.
    owned = fstatSync(descriptor).uid === lstatSync(path).uid;
  } finally {
    if (!owned) closeSync(descriptor);
  }
  if (owned) return descriptor;
  throw Object.assign(new Error(`${name}: owners differ`), { code: 'ELOOP', errno: -40 });
}
