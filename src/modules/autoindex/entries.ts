/** What is in a directory. */
import { lstatSync, readdir, type Stats, statSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Exchange } from '../../core/exchange.ts';
import { log } from '../../core/log.ts';
import { describeFileError, isSystemError } from '../../log/system-errors.ts';

const readDirectory = promisify(readdir);

/** Files that are looked at in one turn of the event loop; looking at one takes a microsecond or two. */
const BATCH = 256;

/** One file, directory or something else. */
export interface Entry {
  /** As a byte string. */
  readonly name: string;
  readonly kind: 'directory' | 'file' | 'other';
  /** When it was changed, in seconds since the epoch. */
  readonly modified: number;
  /** In bytes. */
  readonly size: number;
}

/**
 * Reads a directory: directories first, each kind in the order of its bytes; nothing whose name begins with a dot.
 * @param path as a byte string, without a slash at its end
 * @returns undefined where a file cannot be looked at, which the error log says, and where nobody waits any more
 * @throws system errors of opendir(3)
 */
export async function readEntries(exchange: Exchange, path: string): Promise<Entry[] | undefined> {
  const { epilogues } = exchange;
  const names = await readDirectory(Buffer.from(path, 'latin1'), { encoding: 'latin1' });
  const entries: Entry[] = [];
  for (let index = 0; index < names.length; index++) {
    if (index % BATCH === BATCH - 1) {
      await new Promise((resolve) => setImmediate(resolve));
      if (exchange.overSince(epilogues)) return undefined;
    }
    const name = names[index]!;
    if (name.startsWith('.')) continue;
    const stats = lookAt(exchange, `${path}/${name}`);
    if (stats === undefined) return undefined;
    if (stats !== null) entries.push(entryOf(name, stats));
  }
  return entries.sort(compare);
}

/**
 * A symbolic link is what it leads to, unless that is not there.
 * @returns null for what may not be looked at and is left out, undefined for other failures
 */
function lookAt(exchange: Exchange, path: string): Stats | null | undefined {
  const bytes = Buffer.from(path, 'latin1');
  let call = 'stat()';
  try {
    const stats = statSync(bytes, { throwIfNoEntry: false });
    if (stats !== undefined) return stats;
    call = 'lstat()';
    return lstatSync(bytes);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    if (error.code === 'ELOOP' && call === 'stat()') {
      const link = lstatSync(bytes, { throwIfNoEntry: false });
      if (link !== undefined) return link;
    }
    log(exchange, 'crit', describeFileError(call, path, error));
    return error.code === 'EACCES' && call === 'stat()' ? null : undefined;
  }
}

function entryOf(name: string, stats: Stats): Entry {
  return {
    name,
    kind: stats.isDirectory() ? 'directory' : stats.isFile() ? 'file' : 'other',
    modified: Math.floor(stats.mtimeMs / 1000),
    size: stats.size,
  };
}

function compare(one: Entry, other: Entry): number {
  const directory = one.kind === 'directory';
  if (directory !== (other.kind === 'directory')) return directory ? -1 : 1;
  return one.name < other.name ? -1 : 1;
}
