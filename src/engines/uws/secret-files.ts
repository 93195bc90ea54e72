/**
 * Texts for what only reads files by name: keys, for uWebSockets.js. They may come from where this process could not read
 * them again (root's files, keys that were encrypted, the configuration itself), and nobody else is to find them.
 *
 * On Linux they get files without a name (O_TMPFILE), in memory where there is such a file system, and are read through
 * the process's own descriptors. Elsewhere they get a name in a directory of their own, for as long as it takes.
 */
import { closeSync, constants, existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Linux's __O_TMPFILE, which Node.js has no name for; it goes together with O_DIRECTORY. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;
const OWN_DESCRIPTORS = '/proc/self/fd';

/** Writes a file without a name. @returns its descriptor; undefined where the system, or its file systems, have none */
export function writeNameless(text: Buffer): number | undefined {
  if (process.platform !== 'linux' || !existsSync(OWN_DESCRIPTORS)) return undefined;
  for (const directory of ['/dev/shm', tmpdir()]) {
    let descriptor: number | undefined;
    try {
      descriptor = openSync(directory, O_TMPFILE | constants.O_RDWR, 0o600);
      writeFileSync(descriptor, text);
      return descriptor;
    } catch {
      // The next may have them, or have room.
      if (descriptor !== undefined) closeSync(descriptor);
    }
  }
  return undefined;
}

/** Some texts that can be read by name until they are closed. */
export class SecretFiles {
  private readonly paths = new Map<Buffer, string>();
  private readonly descriptors: number[] = [];
  private directory: string | undefined = undefined;
  private readonly nameless: typeof writeNameless;

  constructor(nameless = writeNameless) {
    this.nameless = nameless;
  }

  /**
   * The name that a text can be read by; one for each.
   * @throws Error of the system where it cannot be written
   */
  path(text: Buffer): string {
    let path = this.paths.get(text);
    if (path === undefined) {
      path = this.write(text);
      this.paths.set(text, path);
    }
    return path;
  }

  private write(text: Buffer): string {
    const descriptor = this.nameless(text);
    if (descriptor !== undefined) {
      this.descriptors.push(descriptor);
      return `${OWN_DESCRIPTORS}/${descriptor}`;
    }
    // Nobody else may look into it.
    this.directory ??= mkdtempSync(join(tmpdir(), 'portico-'));
    const path = join(this.directory, String(this.paths.size));
    writeFileSync(path, text, { mode: 0o600, flag: 'wx' });
    return path;
  }

  /** Removes all of them. */
  close(): void {
    this.paths.clear();
    for (const descriptor of this.descriptors.splice(0)) closeSync(descriptor);
    if (this.directory !== undefined) rmSync(this.directory, { recursive: true, force: true });
    this.directory = undefined;
  }
}
