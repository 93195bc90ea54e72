import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { getSystemErrorMap } from 'node:util';
import { pathBytes } from './glob.ts';
import { ConfigError, type SourceFile } from './statement.ts';

/** Where an `include` stands; undefined for the main file, whose absence has no place. */
export interface Place {
  readonly file: string;
  readonly line: number;
}

/** A file that was read, and what tells it from all others however it is named. */
export interface OpenedFile extends SourceFile {
  readonly identity: string;
}

/**
 * Reads one configuration file whole.
 *
 * @param path its full name, as a byte string without NUL
 * @throws ConfigError `open() "..." failed (2: No such file or directory)`, and for reading in the same way
 */
export function readSourceFile(path: string, place: Place | undefined): OpenedFile {
  const descriptor = attempt('open()', path, place, 'emerg', () => openSync(pathBytes(path), 'r'));
  try {
    const information = attempt('fstat()', path, undefined, 'emerg', () => fstatSync(descriptor));
    const buffer = Buffer.alloc(information.size);
    let length = 0;
    while (length < buffer.length) {
      const count = attempt('pread()', path, undefined, 'crit', () =>
        readSync(descriptor, buffer, length, buffer.length - length, length),
      );
      if (count === 0) {
        throw new ConfigError(`pread() returned only ${length} bytes instead of ${buffer.length}`, {
          file: path,
          line: 1,
        });
      }
      length += count;
    }
    return { path, text: buffer.toString('latin1'), identity: `${information.dev}:${information.ino}` };
  } finally {
    closeSync(descriptor);
  }
}

/** Does what may fail, and turns a failed system call into nginx's message about it. */
function attempt<Result>(
  call: string,
  path: string,
  place: Place | undefined,
  level: 'emerg' | 'crit',
  operation: () => Result,
): Result {
  try {
    return operation();
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === undefined) throw error;
    throw new ConfigError(`${call} "${path}" failed`, { ...place, level, errno, cause: error });
  }
}

/** The C library's words for what can happen to a file, where they are not those of Node. */
const reasons: Readonly<Record<string, string>> = {
  EPERM: 'Operation not permitted',
  ENOENT: 'No such file or directory',
  EIO: 'Input/output error',
  ENXIO: 'No such device or address',
  ENOMEM: 'Cannot allocate memory',
  EACCES: 'Permission denied',
  EBUSY: 'Device or resource busy',
  ENODEV: 'No such device',
  ENOTDIR: 'Not a directory',
  EISDIR: 'Is a directory',
  EINVAL: 'Invalid argument',
  ENFILE: 'Too many open files in system',
  EMFILE: 'Too many open files',
  ETXTBSY: 'Text file busy',
  EOVERFLOW: 'Value too large for defined data type',
  ENAMETOOLONG: 'File name too long',
  ELOOP: 'Too many levels of symbolic links',
  ESTALE: 'Stale file handle',
};

function errnoOf(error: unknown): { readonly code: number; readonly text: string } | undefined {
  if (!(error instanceof Error) || !('errno' in error) || typeof error.errno !== 'number') return undefined;
  const [name, description] = getSystemErrorMap().get(error.errno) ?? ['', 'Unknown error'];
  return { code: Math.abs(error.errno), text: reasons[name] ?? description };
}
