import { closeSync, constants, fchmodSync, fchownSync, fstatSync, openSync, statSync } from 'node:fs';
import { createLogFile, type LogFile, type OwnedLogFile } from './log-file.ts';
import { describeError, isSystemError } from './system-errors.ts';

/**
 * The log files that are open in this thread, one descriptor a path however many directives name it.
 *
 * Every thread opens the files for itself and appends: a line is one write, so lines of several threads never mix.
 */
export interface OpenFiles {
  /**
   * The file of that path, opened (and made, mode 0644) unless it is open already. Each call must be answered by one
   * `close` of what it returns.
   *
   * A FIFO is opened without waiting for a reader, who may come and go.
   * @param path an absolute path, as a byte string
   * @throws Error with nginx's wording as its message, `open() "/x.log" failed (2: No such file or directory)`, and the
   *   system's error as its cause
   */
  open(path: string): SharedLogFile;
  /** `stderr` as a log: descriptor 2. Counted as with `open`, but never closed or reopened. */
  standardError(): SharedLogFile;
  /**
   * Opens every file again under its path (USR1: somebody has renamed it). What had been gathered goes into the old
   * file. A file that cannot be opened stays as it was, and that is reported.
   * @param report called with the text for the error log, at level emerg, once all files have been tried
   */
  reopen(report: (message: string) => void): void;
  /** Writes what has been gathered for any file. For a thread that stops: waits up to a second for slow readers. */
  flushSync(): void;
  /** Closes every file, after `flushSync`, whoever still holds it. For the end of a thread. */
  closeAll(): void;
  /** Paths open now. */
  paths(): string[];
}

/** A file of the registry, held by one of its users. */
export interface SharedLogFile extends LogFile {
  /** Gives the file back. The last user's `close` writes what is gathered and closes the descriptor. */
  close(): void;
}

/** Options of createOpenFiles. */
export interface OpenFilesOptions {
  /**
   * User id that files are to belong to (the `user` directive, when the program began as root), so that threads can
   * still open them when root's rights are gone. Default: files are left as they are.
   */
  readonly owner?: number;
}

interface Entry {
  readonly file: OwnedLogFile;
  users: number;
}

/** Always without blocking: a FIFO or terminal must not hold up a whole event loop. Means nothing to ordinary files. */
const FLAGS = constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK | constants.O_NOCTTY;

const OWNER_READS_AND_WRITES = constants.S_IRUSR | constants.S_IWUSR;

function isFifo(path: Buffer): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFIFO() === true;
}

/** Opens one log file. Errors have nginx's wording. */
function openForAppending(path: string, owner: number | undefined): number {
  const name = Buffer.from(path, 'latin1');
  let call = `open() "${path}"`;
  let descriptor = -1;
  try {
    // Open for reading too, a FIFO neither fails for want of a reader nor breaks when the reader is restarted: what
    // is written meanwhile waits in it.
    descriptor = openSync(name, FLAGS | (isFifo(name) ? constants.O_RDWR : constants.O_WRONLY), 0o644);
    if (owner !== undefined) {
      call = `fstat() "${path}"`;
      const status = fstatSync(descriptor);
      if (status.isFile()) {
        call = `chown("${path}", ${owner})`;
        if (status.uid !== owner) fchownSync(descriptor, owner, status.gid);
        call = `chmod() "${path}"`;
        if ((status.mode & OWNER_READS_AND_WRITES) !== OWNER_READS_AND_WRITES) {
          fchmodSync(descriptor, (status.mode | OWNER_READS_AND_WRITES) & 0o7777);
        }
      }
    }
    return descriptor;
  } catch (error) {
    if (descriptor !== -1) closeSync(descriptor);
    if (!isSystemError(error)) throw error;
    throw new Error(`${call} failed (${describeError(error)})`, { cause: error });
  }
}

/** The registry of one thread; it needs only one. */
export function createOpenFiles(options: OpenFilesOptions = {}): OpenFiles {
  const owner = options.owner;
  const entries = new Map<string, Entry>();
  let standardErrorFile: OwnedLogFile | undefined;

  /** One user's hold on a file: its `close` counts once. */
  function hold(file: LogFile, release: () => void): SharedLogFile {
    let held = true;
    return {
      path: file.path,
      write: file.write,
      writeMember: file.writeMember,
      flushSync: file.flushSync,
      beforeSwitch: file.beforeSwitch,
      onTrouble: file.onTrouble,
      close() {
        if (!held) return;
        held = false;
        release();
      },
    };
  }

  return {
    open(path) {
      let entry = entries.get(path);
      if (entry === undefined) {
        entry = { file: createLogFile(path, openForAppending(path, owner)), users: 0 };
        entries.set(path, entry);
      }
      const held = entry;
      held.users++;
      return hold(held.file, () => {
        held.users--;
        if (held.users > 0 || entries.get(path) !== held) return;
        entries.delete(path);
        held.file.end();
      });
    },

    standardError() {
      standardErrorFile ??= createLogFile('stderr', 2);
      return hold(standardErrorFile, () => {});
    },

    reopen(report) {
      const failures: string[] = [];
      for (const { file } of entries.values()) {
        try {
          file.switchTo(openForAppending(file.path, owner));
        } catch (error) {
          if (!(error instanceof Error)) throw error;
          failures.push(error.message);
        }
      }
      // Not before the error log itself has been reopened.
      for (const failure of failures) report(failure);
    },

    flushSync() {
      for (const { file } of entries.values()) file.flushSync();
      standardErrorFile?.flushSync();
    },

    closeAll() {
      for (const { file } of entries.values()) file.end();
      entries.clear();
      standardErrorFile?.flushSync();
    },

    paths() {
      return [...entries.keys()];
    },
  };
}
