/**
 * The real program for tests: starts scripts/portico on a configuration in a directory of its own, waits until it
 * accepts connections, sends it signals, reads what it wrote, and stops it.
 *
 * ```ts
 * const port = await freePort();
 * await using portico = await startPortico({ http: `server { listen 127.0.0.1:${port}; return 200 "hello"; }` });
 * const answer = await fetch(`http://127.0.0.1:${port}/`);
 * ```
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PATIENCE, until } from './wait.ts';

/** The launcher. */
export const LAUNCHER = fileURLToPath(new URL('../../scripts/portico', import.meta.url));

/** A directory of one test, with a slash at its end. */
export interface Sandbox {
  readonly directory: string;
  /** Full name of a file in it. */
  path(name: string): string;
  /** Writes a file in it, as latin1, making directories as needed; returns its full name. */
  write(name: string, text: string): string;
  /** Reads a file in it, as latin1; '' where there is none. */
  read(name: string): string;
  remove(): void;
  [Symbol.dispose](): void;
}

/** Makes an empty directory; `conf/` and `logs/` in it, so that it can be a prefix. */
export function createSandbox(): Sandbox {
  const directory = `${mkdtempSync(join(tmpdir(), 'portico-test-'))}/`;
  mkdirSync(`${directory}conf`);
  mkdirSync(`${directory}logs`);
  const remove = () => rmSync(directory, { recursive: true, force: true });
  return {
    directory,
    path: (name) => directory + name,
    write(name, text) {
      mkdirSync(dirname(directory + name), { recursive: true });
      writeFileSync(directory + name, text, 'latin1');
      return directory + name;
    },
    read: (name) => (existsSync(directory + name) ? readFileSync(directory + name, 'latin1') : ''),
    remove,
    [Symbol.dispose]: remove,
  };
}

/** What a program that has ended left behind. */
export interface Ended {
  /** The exit code; null where a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the launcher to its end: for `-t`, `-T`, `-s`, `-v`. */
export function runPortico(
  args: readonly string[],
  { environment = {}, directory }: { environment?: NodeJS.ProcessEnv; directory?: string } = {},
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(LAUNCHER, args, {
      cwd: directory,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output = collectOutput(child);
    const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE);
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, ...output() });
    });
  });
}

/** What to start. A configuration is made of the parts, unless `configuration` is the whole of it. */
export interface StartOptions {
  /** What stands in `http { }`. */
  readonly http?: string;
  /** Further statements of the main context. `daemon off`, `pid` and `error_log` are there already. */
  readonly main?: string;
  /** What stands in `events { }`. */
  readonly events?: string;
  /** The engine that `events` has serve; not said unless told. */
  readonly engine?: string;
  /** `worker_processes`, 1 unless told. */
  readonly workers?: number;
  /** Level of logs/error.log, `info` unless told. */
  readonly level?: string;
  /** The whole configuration file; must say `daemon off;` and `pid logs/portico.pid;`. */
  readonly configuration?: string;
  /** Further arguments of the command line. */
  readonly args?: readonly string[];
  /** Further environment variables. */
  readonly environment?: NodeJS.ProcessEnv;
  /** A directory made before, with files in it; it is the caller's to remove then. */
  readonly sandbox?: Sandbox;
  /** Do not wait for the pid file: the test expects the start to fail. */
  readonly expectFailure?: boolean;
}

/** A running Portico. */
export interface RunningPortico {
  readonly sandbox: Sandbox;
  /** The process that was started, which is the one that serves. */
  readonly process: ChildProcess;
  readonly pid: number;
  /** Resolves when the process has ended. */
  readonly ended: Promise<Ended>;
  /** What it has written to its standard error and output until now. */
  stderr(): string;
  stdout(): string;
  /** logs/error.log as it is now. */
  errorLog(): string;
  /** Writes the configuration file anew, from the parts that are given; the others are as at the start. */
  configure(
    options: Pick<
      StartOptions,
      'http' | 'main' | 'events' | 'engine' | 'workers' | 'level' | 'configuration'
    >,
  ): void;
  signal(name: NodeJS.Signals): void;
  /** Sends HUP and waits until the error log says what became of it. */
  reload(): Promise<'done' | 'failed'>;
  /** Waits for text in the error log: all of it, or what comes after `from` (a length of `errorLog()`). */
  logged(text: string | RegExp, from?: number): Promise<string>;
  /** Ends it: gracefully with QUIT, at once with TERM (unless told otherwise). */
  stop(signal?: NodeJS.Signals): Promise<Ended>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The configuration file that `startPortico` writes for these options. */
export function configurationText(options: StartOptions): string {
  return (
    options.configuration ??
    [
      'daemon off;',
      'pid logs/portico.pid;',
      `error_log logs/error.log ${options.level ?? 'info'};`,
      `worker_processes ${options.workers ?? 1};`,
      options.main ?? '',
      `events { ${options.engine === undefined ? '' : `use ${options.engine};`} ${options.events ?? 'worker_connections 1024;'} }`,
      `http { ${options.http ?? ''} }`,
      '',
    ].join('\n')
  );
}

/**
 * Starts it, and waits for the pid file: every listener accepts connections then.
 * @throws Error with what it wrote where it ends instead
 */
export async function startPortico(options: StartOptions): Promise<RunningPortico> {
  const sandbox = options.sandbox ?? createSandbox();
  let current = options;
  sandbox.write('conf/portico.conf', configurationText(options));
  const child = spawn(
    LAUNCHER,
    ['-p', sandbox.directory, '-c', 'conf/portico.conf', '-e', 'logs/error.log', ...(options.args ?? [])],
    { env: { ...process.env, ...options.environment }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const output = collectOutput(child);
  let over: Ended | undefined;
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      over = { code, signal, ...output() };
      resolve(over);
    });
  });
  const explain = () => `stderr: ${output().stderr}\nerror log: ${sandbox.read('logs/error.log')}`;

  async function stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    if (over !== undefined) return over;
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE);
    const result = await ended;
    clearTimeout(timer);
    return result;
  }

  async function logged(text: string | RegExp, from = 0): Promise<string> {
    const found = await until(
      `"${text}" in the error log`,
      () =>
        sandbox
          .read('logs/error.log')
          .slice(from)
          .split('\n')
          .find((line) => (typeof text === 'string' ? line.includes(text) : text.test(line))),
      { explain },
    );
    return found;
  }

  const portico: RunningPortico = {
    sandbox,
    process: child,
    pid: child.pid!,
    ended,
    stderr: () => output().stderr,
    stdout: () => output().stdout,
    errorLog: () => sandbox.read('logs/error.log'),
    configure(changes) {
      current = { ...current, ...changes };
      sandbox.write('conf/portico.conf', configurationText(current));
    },
    signal: (name) => child.kill(name),
    async reload() {
      const from = sandbox.read('logs/error.log').length;
      child.kill('SIGHUP');
      const line = await logged(/\] .*(?:configuration \d+ (?:is|stays) in use)/, from);
      return line.includes('is in use') ? 'done' : 'failed';
    },
    logged,
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
      if (options.sandbox === undefined) sandbox.remove();
    },
  };

  if (options.expectFailure === true) return portico;
  try {
    await until('the pid file', () => over !== undefined || sandbox.read('logs/portico.pid') !== '', {
      explain,
    });
    if (over !== undefined) throw new Error(`Portico ended at once, with code ${over.code}\n${explain()}`);
    return portico;
  } catch (error) {
    await portico[Symbol.asyncDispose]();
    throw error;
  }
}

function collectOutput(child: ChildProcess): () => { stdout: string; stderr: string } {
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('latin1').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding('latin1').on('data', (text: string) => {
    stderr += text;
  });
  return () => ({ stdout, stderr });
}

/**
 * Environment of a Portico whose workers a test can crash.
 * @param file a name in the test's sandbox; to crash one worker, write the file
 * @param how at once, or when it is told to listen: the modules of those names
 */
export function crashable(file: string, how: 'crash' | 'crash-at-listen' = 'crash'): NodeJS.ProcessEnv {
  return {
    NODE_OPTIONS: `--import=${new URL(`${how}.ts`, import.meta.url).href}`,
    NODE_TEST_CRASH_FILE: file,
  };
}
