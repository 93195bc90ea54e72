/** Files of certificates and keys that directives name, and what is said of those that cannot be read, in nginx's words. */
import { ConfigError, type Statement } from '../config/statement.ts';
import { describeError, isSystemError } from '../log/system-errors.ts';
import type { Link } from './link.ts';

/** A file name made absolute: relative ones start where the configuration file is. */
export function certificatePath(name: string, link: Link): string {
  return name.startsWith('/') ? name : link.runtime.configPrefix + name;
}

/**
 * Reads a file of PEM as OpenSSL does for nginx.
 * @param path absolute, or `data:` and the text itself
 * @param failure the beginning of the message: `cannot load certificate "/x.crt": BIO_new_file() failed`
 * @throws ConfigError
 */
export function readPemFile(path: string, failure: string, link: Link): Buffer {
  if (path.startsWith('data:')) return Buffer.from(path.slice(5), 'latin1');
  try {
    return link.runtime.readFile(path);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw new ConfigError(`${failure} (SSL: ${openingError(path, error)})`, { cause: error });
  }
}

/** OpenSSL's two errors for a file that it cannot open. */
function openingError(path: string, error: NodeJS.ErrnoException): string {
  const number = Math.abs(error.errno ?? 0);
  const code = (0x80000000 + number).toString(16).toUpperCase();
  const missing = error.code === 'ENOENT' || error.code === 'ENXIO';
  const second = missing ? '10000080:BIO routines::no such file' : '10080002:BIO routines::system lib';
  // `2: No such file or directory` without the number.
  const reason = describeError(error).replace(/^\d+: /, '');
  return `error:${code}:system library::${reason}:calling fopen(${path}, r) error:${second}`;
}

/**
 * Reads a file that is no PEM.
 * @throws ConfigError `open() "/x" failed (2: No such file or directory)`
 */
export function readPlainFile(path: string, statement: Statement | undefined, link: Link): Buffer {
  try {
    return link.runtime.readFile(path);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw new ConfigError(`open() "${path}" failed (${describeError(error)})`, { statement, cause: error });
  }
}

/** OpenSSL's words for PEM without what is looked for. */
export function noStartLine(expected: string): string {
  return `(SSL: error:0480006C:PEM routines::no start line:Expecting: ${expected})`;
}

/** An error of Node's crypto as OpenSSL prints it: `error:0A0000B9:SSL routines::no cipher match`. */
export function opensslError(error: unknown): string {
  const { message, opensslErrorStack } = error as Error & { opensslErrorStack?: readonly string[] };
  // Node has the last one first, and some of them twice.
  return [...new Set([message, ...(opensslErrorStack ?? [])])].join(' ');
}
