/** Files of access logs whose names have variables: opened when a line comes, and kept open for a while or not. */
import { statSync } from 'node:fs';
import { pathBytes } from '../config/glob.ts';
import type { AccessLogWriter } from '../log/access-log-writer.ts';

/** Opens a log by its full path. @throws Error with nginx's message, `open() "/x" failed (...)` */
export type OpenLog = (path: string) => AccessLogWriter;

/** Where lines for a name go. */
export interface NamedLogFiles {
  /**
   * Appends a line.
   * @param path full name, a byte string
   * @param line with its line feed
   * @throws Error as `OpenLog` does
   */
  write(path: string, line: string): void;
  /** Closes all files. */
  close(): void;
}

/** Without `open_log_file_cache`: a file is open from its first line to the end of that turn of the event loop. */
export class LogFilesOfTurn implements NamedLogFiles {
  readonly #open: OpenLog;
  readonly #writers = new Map<string, AccessLogWriter>();
  #immediate: NodeJS.Immediate | undefined = undefined;

  constructor(open: OpenLog) {
    this.#open = open;
  }

  write(path: string, line: string): void {
    let writer = this.#writers.get(path);
    if (writer === undefined) {
      writer = this.#open(path);
      this.#writers.set(path, writer);
      this.#immediate ??= setImmediate(() => this.close());
    }
    writer.write(line);
  }

  close(): void {
    if (this.#immediate !== undefined) clearImmediate(this.#immediate);
    this.#immediate = undefined;
    for (const writer of this.#writers.values()) writer.close();
    this.#writers.clear();
  }
}

/** Parameters of `open_log_file_cache`. */
export interface LogFileCacheOptions {
  /** The most names remembered, and files kept open. */
  readonly max: number;
  /** Seconds after its last use that a file is closed. */
  readonly inactive: number;
  /** How often a file must have been used within that time to be kept open. */
  readonly minimumUses: number;
  /** Seconds after which it is looked whether the name still means the file. */
  readonly valid: number;
}

interface Entry {
  /** Undefined where the file has not been used often enough to be kept open. */
  writer: AccessLogWriter | undefined;
  uses: number;
  /** Milliseconds of the clock `now`. */
  usedAt: number;
  checkedAt: number;
  /** Device and inode. */
  identity: string;
}

/** How many that have expired are closed with each use: a bound on the work one request is charged with. */
const EXPIRED_PER_USE = 2;

/** `open_log_file_cache max=...`. As in nginx, files that nobody uses any more are closed when others are used. */
export class LogFileCache implements NamedLogFiles {
  readonly #open: OpenLog;
  readonly #options: LogFileCacheOptions;
  readonly #now: () => number;
  /** The one used longest ago first. */
  readonly #entries = new Map<string, Entry>();

  /** @param now milliseconds, never going back */
  constructor(open: OpenLog, options: LogFileCacheOptions, now: () => number = () => performance.now()) {
    this.#open = open;
    this.#options = options;
    this.#now = now;
  }

  /** How many files are open. */
  get size(): number {
    let open = 0;
    for (const { writer } of this.#entries.values()) if (writer !== undefined) open++;
    return open;
  }

  write(path: string, line: string): void {
    const now = this.#now();
    this.#closeExpired(now);
    let entry = this.#entries.get(path);
    if (entry === undefined)
      entry = { writer: undefined, uses: 0, usedAt: now, checkedAt: now, identity: '' };
    else this.#entries.delete(path);
    // Last in order: used just now.
    this.#entries.set(path, entry);
    entry.uses++;
    entry.usedAt = now;
    if (entry.writer !== undefined && now - entry.checkedAt > this.#options.valid * 1000) {
      entry.checkedAt = now;
      if (identityOf(path) !== entry.identity) this.#shut(entry);
    }
    if (entry.writer === undefined) this.#openFor(path, entry, now);
    entry.writer!.write(line);
    if (entry.uses < this.#options.minimumUses) this.#shut(entry);
    while (this.#entries.size > this.#options.max) this.#closeOldest();
  }

  close(): void {
    while (this.#entries.size > 0) this.#closeOldest();
  }

  #openFor(path: string, entry: Entry, now: number): void {
    try {
      entry.writer = this.#open(path);
    } catch (error) {
      this.#entries.delete(path);
      throw error;
    }
    entry.checkedAt = now;
    if (entry.uses >= this.#options.minimumUses) entry.identity = identityOf(path);
  }

  #shut(entry: Entry): void {
    entry.writer?.close();
    entry.writer = undefined;
  }

  #closeExpired(now: number): void {
    let closed = 0;
    for (const { usedAt } of this.#entries.values()) {
      if (closed === EXPIRED_PER_USE || now - usedAt <= this.#options.inactive * 1000) return;
      this.#closeOldest();
      closed++;
    }
  }

  #closeOldest(): void {
    for (const [path, entry] of this.#entries) {
      this.#entries.delete(path);
      this.#shut(entry);
      return;
    }
  }
}

/** What the name means now; '' where it means nothing. */
function identityOf(path: string): string {
  const status = statSync(pathBytes(path), { throwIfNoEntry: false });
  return status === undefined ? '' : `${status.dev} ${status.ino}`;
}
