/** The pid file. */
import {
  closeSync,
  existsSync,
  fchownSync,
  ftruncateSync,
  openSync,
  renameSync,
  truncateSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { pathBytes } from '../config/glob.ts';
import { describeFileError, isSystemError } from '../log/system-errors.ts';

/** A pid file that is open and not written yet. */
export interface PidFile {
  readonly path: string;
  /** Writes this process's id. */
  write(): void;
  /** Closes it without having written. */
  close(): void;
}

/**
 * Prepares a pid file. It is not there, and one that is there stays as it is, until `write`: whoever waits for the file
 * may take it as the word that every listener accepts.
 *
 * A process that is about to become another user may not be allowed to make files in that directory any more: for it
 * the file is made at once, empty, and belongs to that user.
 * @param owner the user id the process is going to have, if it is not to stay who it is
 * @throws Error with nginx's message
 */
export function openPidFile(path: string, owner?: number): PidFile {
  const temporary = owner === undefined ? `${path}.${process.pid}` : path;
  const isNew = temporary !== path || !existsSync(pathBytes(path));
  let descriptor: number;
  try {
    descriptor = openSync(pathBytes(temporary), 'a+', 0o644);
    if (owner !== undefined) fchownSync(descriptor, owner, -1);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw new Error(describeFileError('open()', path, error), { cause: error });
  }
  return {
    path,
    write() {
      ftruncateSync(descriptor);
      writeSync(descriptor, `${process.pid}\n`);
      closeSync(descriptor);
      if (temporary !== path) renameSync(pathBytes(temporary), pathBytes(path));
    },
    close() {
      closeSync(descriptor);
      if (isNew) removePidFile(temporary);
    },
  };
}

/**
 * Removes a pid file.
 * @returns nginx's message where that failed; the file has been emptied then, if that could be done
 */
export function removePidFile(path: string): string | undefined {
  try {
    unlinkSync(pathBytes(path));
    return undefined;
  } catch (error) {
    try {
      truncateSync(pathBytes(path));
    } catch {
      // Not ours to write to either.
    }
    return isSystemError(error) ? describeFileError('unlink()', path, error) : String(error);
  }
}
