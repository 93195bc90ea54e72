/** Temporary files for bodies that do not fit in memory: appended to at one end, read at the other. */
import { closeSync, mkdirSync, openSync, read, unlinkSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/** Where temporary files are made: `client_body_temp_path path [level1 [level2 [level3]]]`. */
export interface TempPath {
  /** Full path of the directory. */
  readonly directory: string;
  /** How many digits of the number name each level of subdirectories. */
  readonly levels: readonly number[];
}

let lastNumber = 0;

export class TempFile {
  /** Full path; the name is gone already unless the file is to be kept. */
  readonly path: string;
  /** Bytes written so far. */
  size = 0;
  readonly #descriptor: number;
  readonly #named: boolean;
  #reads = 0;
  #closed = false;

  /**
   * Makes a new file, for the owner only.
   * @param named true keeps its name until `close`; else it is unlinked at once, so that no crash can leave it behind
   * @throws NodeJS.ErrnoException as open(2) does
   */
  constructor(where: TempPath, worker: number, named = false) {
    for (;;) {
      lastNumber++;
      // Each worker numbers for itself; its own number keeps them apart.
      const number = String(lastNumber * 1000 + (worker + 1)).padStart(10, '0');
      const path = pathOf(where, number);
      try {
        this.#descriptor = openSync(Buffer.from(path, 'latin1'), 'wx+', 0o600);
        this.path = path;
        break;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'EEXIST') continue;
        if (code !== 'ENOENT') throw error;
        mkdirSync(Buffer.from(dirname(path), 'latin1').toString(), { recursive: true, mode: 0o700 });
      }
    }
    this.#named = named;
    if (!named) unlinkSync(Buffer.from(this.path, 'latin1'));
  }

  /** Appends, blocking as nginx does: the page cache takes it. @throws NodeJS.ErrnoException as write(2) does */
  append(chunk: Buffer): void {
    let offset = 0;
    while (offset < chunk.length) {
      offset += writeSync(this.#descriptor, chunk, offset, chunk.length - offset, this.size + offset);
    }
    this.size += chunk.length;
  }

  /**
   * Reads into a buffer, off the event loop.
   * @param done hears the error, if any, and how many bytes there were; called also after `close`
   */
  read(
    position: number,
    into: Buffer,
    done: (error: NodeJS.ErrnoException | null, length: number) => void,
  ): void {
    this.#reads++;
    read(this.#descriptor, into, 0, into.length, position, (error, length) => {
      this.#reads--;
      // The descriptor's number may be given to another file: it is closed only once nobody reads from it.
      if (this.#closed && this.#reads === 0) closeSync(this.#descriptor);
      done(error, length);
    });
  }

  /** The descriptor, for reads and copies that finish before `close`. */
  get descriptor(): number {
    return this.#descriptor;
  }

  /** Lets go of the file. @param remove false keeps a named file */
  close(remove = true): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#named && remove) {
      try {
        unlinkSync(Buffer.from(this.path, 'latin1'));
      } catch {
        // Somebody else has removed it, which is what was wanted.
      }
    }
    if (this.#reads === 0) closeSync(this.#descriptor);
  }
}

function pathOf(where: TempPath, number: string): string {
  let end = number.length;
  let directory = where.directory;
  for (const digits of where.levels) {
    directory += `/${number.slice(end - digits, end)}`;
    end -= digits;
  }
  return `${directory}/${number}`;
}
