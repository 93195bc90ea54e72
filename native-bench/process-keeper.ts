/**
 * Owns everything a run leaves on the machine: the processes it starts and one temporary directory. Both
 * are gone when the run is, whichever way it ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** How long a proxy may take to accept its first connection, in milliseconds. */
const START_PATIENCE = 15_000;
/** How long a process may take to end after it was asked, before it is killed, in milliseconds. */
const END_PATIENCE = 2_000;

/** What to start, and where it may run. */
export interface Command {
  /** For messages and the names of its files. */
  readonly name: string;
  readonly program: string;
  readonly arguments: readonly string[];
  /** Processors it is pinned to; none leaves it free. */
  readonly cores: readonly number[];
  readonly environment?: Readonly<Record<string, string>>;
  /** A file it writes (its pid) once it serves; a program may try its ports out before that. */
  readonly readyFile?: string;
}

/** A process in the keeper's care. */
export interface Kept {
  readonly name: string;
  readonly pid: number;
  readonly child: ChildProcess;
  /** Where its standard output goes, unless that is a pipe. */
  readonly outputFile: string;
  readonly readyFile: string | undefined;
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
}

/** See createKeeper. */
export interface Keeper {
  /** A directory only this run uses. */
  readonly directory: string;
  /** Starts a process with its output in a file, or in a pipe for the caller to read. */
  start(command: Command, output?: 'file' | 'pipe'): Kept;
  /**
   * Waits until it has written its `readyFile`, and something accepts connections on the port.
   * @throws Error with the end of the process's output, when it ends or takes too long
   */
  waitForPort(kept: Kept, port: number): Promise<void>;
  /** Asks a process and all it has started to end, and kills what has not after two seconds. */
  end(kept: Kept): Promise<void>;
  /** Ends everything and removes the directory. Safe to call again. */
  endAll(): Promise<void>;
}

/**
 * Makes the keeper of one run. Until `endAll`, an `exit` handler of this process kills whatever is left,
 * so that an error nobody caught leaves nothing behind either.
 */
export function createKeeper(): Keeper {
  const directory = mkdtempSync(join(tmpdir(), 'portico-bench-'));
  const running = new Set<Kept>();
  let started = 0;

  const atExit = (): void => {
    for (const kept of running) signalGroup(kept.pid, 'SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  };
  process.on('exit', atExit);

  async function end(kept: Kept): Promise<void> {
    if (!running.has(kept)) return;
    signalGroup(kept.pid, 'SIGTERM');
    let timer: NodeJS.Timeout | undefined;
    const tooLong = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, END_PATIENCE);
    });
    await Promise.race([kept.ended, tooLong]);
    clearTimeout(timer);
    signalGroup(kept.pid, 'SIGKILL'); // the leader may have gone before its children
    await kept.ended;
  }

  return {
    directory,

    start(command, output = 'file') {
      const outputFile = join(directory, `${++started}-${command.name}.out`);
      const file = openSync(outputFile, 'w');
      const pin = command.cores.length > 0 ? ['taskset', '-c', command.cores.join(',')] : [];
      const [program, ...rest] = [...pin, command.program, ...command.arguments];
      const child = spawn(program, rest, {
        // A group of its own: Ctrl-C in the terminal reaches only us, and we end the group as one.
        detached: true,
        cwd: directory,
        env: { ...process.env, ...command.environment },
        stdio: ['pipe', output === 'pipe' ? 'pipe' : file, file],
      });
      closeSync(file);
      const { pid } = child;
      if (pid === undefined) {
        child.once('error', () => {}); // the same as is thrown here
        throw new Error(`cannot start ${command.name}: is ${program} installed?`);
      }
      child.stdin?.on('error', () => {}); // it has ended; `ended` says so
      const ended = new Promise<void>((resolve) => {
        child.once('exit', () => {
          // What it had started has no further use, and its group no leader that would end it.
          signalGroup(pid, 'SIGKILL');
          running.delete(kept);
          resolve();
        });
      });
      const { name, readyFile } = command;
      const kept: Kept = { name, pid, child, outputFile, readyFile, ended };
      running.add(kept);
      return kept;
    },

    async waitForPort(kept, port) {
      const deadline = performance.now() + START_PATIENCE;
      const { readyFile } = kept;
      while ((readyFile !== undefined && !isWritten(readyFile)) || !(await accepts(port))) {
        if (kept.child.exitCode !== null || kept.child.signalCode !== null) {
          throw new Error(`${kept.name} ended at once:\n${endOf(kept.outputFile)}`);
        }
        if (performance.now() > deadline) {
          throw new Error(`${kept.name} does not listen on port ${port}:\n${endOf(kept.outputFile)}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },

    end,

    async endAll() {
      await Promise.all([...running].map(end));
      rmSync(directory, { recursive: true, force: true });
      process.removeListener('exit', atExit);
    },
  };
}

/** Sends a signal to a process group, if there still is one. */
function signalGroup(leader: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-leader, signal);
  } catch {
    // it has ended
  }
}

/** Whether a file is there and has something in it: some make their pid file before they serve, and empty. */
function isWritten(path: string): boolean {
  return (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 0;
}

/** Whether something accepts connections on this port of 127.0.0.1. */
function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** The last lines of a file. */
function endOf(path: string): string {
  return readFileSync(path, 'latin1').trimEnd().split('\n').slice(-15).join('\n');
}
