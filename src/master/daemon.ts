/**
 * `daemon on`: the process that was started starts another, apart from the terminal, and ends when that one is up.
 * What goes wrong until then it tells for it, with exit code 1, as nginx does.
 *
 * Over a pipe (descriptor 3) the new process sends what is to be shown on standard error, and a NUL when it is up.
 */
import { spawn } from 'node:child_process';
import { closeSync, writeSync } from 'node:fs';
import type { Readable } from 'node:stream';

/** Tells the new process what it is. */
const VARIABLE = 'PORTICO_DAEMON';
const PIPE = 3;

/** The side of the new process. */
export interface Daemon {
  /** Where messages for standard error go until `up`. */
  readonly descriptor: number;
  /** Tells the process that waits that it may end. */
  up(): void;
}

/** Whether this process is the one that `daemonize` has started; its side if so. */
export function daemonSide(): Daemon | undefined {
  if (process.env[VARIABLE] === undefined) return undefined;
  delete process.env[VARIABLE];
  return {
    descriptor: PIPE,
    up() {
      try {
        writeSync(PIPE, '\0');
      } catch {
        // Whoever started it has not waited.
      }
      closeSync(PIPE);
    },
  };
}

/**
 * Starts this program again as a daemon and waits until it is up.
 * @param keepStandardError whether its log goes there; else it gets /dev/null for it
 * @returns the exit code
 */
export function daemonize(keepStandardError: boolean): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
      detached: true,
      stdio: ['ignore', 'ignore', keepStandardError ? 'inherit' : 'ignore', 'pipe'],
      env: { ...process.env, [VARIABLE]: '1' },
    });
    let up = false;
    child.once('error', reject);
    const pipe = child.stdio[PIPE] as Readable;
    pipe.on('data', (bytes: Buffer) => {
      const end = bytes.indexOf(0);
      if (end > 0 || end < 0) writeSync(2, end < 0 ? bytes : bytes.subarray(0, end));
      if (end >= 0) {
        up = true;
        resolve(0);
      }
    });
    // Not `exit`: what it has said comes first.
    child.once('close', (code) => {
      if (!up) resolve(code === null || code === 0 ? 1 : code);
    });
  });
}
