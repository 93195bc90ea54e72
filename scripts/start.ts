/**
 * What `npm start` runs: two sample backends and, in front of them, Portico with its default
 * configuration, in the foreground.
 *
 *     node scripts/start.ts [--config file] [--url http://localhost:8080] [--backend 3001 ...] [--program file]
 *
 * SIGINT, SIGTERM and SIGQUIT go on to Portico; SIGHUP, which here means that the terminal is gone, ends
 * it too. The backends end after Portico has, and this program with Portico's exit code.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { connect, createServer } from 'node:net';
import { constants } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { portTakenExitCode } from './sample-backend.ts';

const root = resolve(import.meta.dirname, '..');

const { values: options } = parseArgs({
  options: {
    /** The configuration that Portico gets. */
    config: { type: 'string', default: join(root, 'config/front-door.conf') },
    /** Where that configuration listens. */
    url: { type: 'string', default: 'http://localhost:8080' },
    /** The port of one backend, and of the next. */
    backend: { type: 'string', multiple: true, default: ['3001', '3002'] },
    /** Another program in Portico's place; for tests. */
    program: { type: 'string', default: join(root, 'scripts/portico') },
  },
});

/** How long, in milliseconds, Portico has to end after a signal that asks for a fast end. */
const patience = 10_000;

/** How long, in milliseconds, a connection has to last to show that Portico serves. */
const keptFor = 100;

/** A failure to start that the message explains in full. */
class StartError extends Error {}

/** One sample backend, listening. */
interface Backend {
  readonly process: ChildProcess;
  /** Asks it to end, and resolves when it has. */
  end(): Promise<void>;
}

/** Resolves with the exit code as a shell would put it: 128 and the number, for a signal. */
function waitForExit(child: ChildProcess): Promise<number> {
  return new Promise((settle, fail) => {
    child.once('error', fail);
    child.once('exit', (code, signal) => {
      settle(signal === null ? (code ?? 0) : 128 + constants.signals[signal]);
    });
  });
}

/**
 * Starts a sample backend and passes on what it prints.
 *
 * @returns once it listens
 * @throws StartError when its port is taken, or it ends before it listens
 */
async function startBackend(name: string, port: string): Promise<Backend> {
  // The IPC channel carries nothing: its end tells the backend that this process is gone, even when it
  // was killed and could not say so.
  const child = spawn(process.execPath, [join(root, 'scripts/sample-backend.ts'), name, port], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  backends.add(child);
  const exited = waitForExit(child).finally(() => backends.delete(child));
  const listening = new Promise<void>((settle) => {
    createInterface({ input: child.stdout! }).on('line', (line) => {
      console.log(line);
      if (line.includes('] Listening on port ')) settle();
    });
  });
  const exitCode = await Promise.race([listening, exited]);
  if (exitCode === portTakenExitCode) {
    throw new StartError(`port ${port} is taken, and ${name} needs it: end the program that listens there`);
  }
  if (exitCode !== undefined) throw new StartError(`${name} ended with code ${exitCode} before it listened`);
  void exited.then((code) => {
    if (!ending) console.log(`[${name}] Ended with code ${code}`);
  });
  return {
    process: child,
    async end() {
      child.kill('SIGTERM');
      await exited;
    },
  };
}

/**
 * Makes sure that nothing listens where Portico is going to.
 *
 * @throws StartError when something does
 */
function checkPort(port: number): Promise<void> {
  return new Promise((settle, fail) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRINUSE') return settle(); // Portico itself will say what is wrong
      fail(new StartError(`port ${port} is taken, and Portico needs it: end the program that listens there`));
    });
    probe.listen(port, () => probe.close(() => settle()));
  });
}

/**
 * Whether something accepts connections there now, and keeps them: for a moment while it starts, Portico holds an
 * address only to see that it is free, and drops whoever connects.
 */
function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((settle) => {
    const socket = connect({ host, port });
    let kept = false;
    socket.once('connect', () => {
      setTimeout(() => {
        kept = true;
        socket.destroy();
      }, keptFor);
    });
    socket.on('error', () => undefined);
    socket.resume().once('close', () => settle(kept));
  });
}

/** Prints what to try, once Portico accepts connections. */
async function printHints(host: string, port: number, portico: ChildProcess): Promise<void> {
  while (portico.exitCode === null && portico.signalCode === null) {
    if (await accepts(host, port)) {
      const origin = options.url.replace(/\/$/, '');
      const hints = [
        [`curl ${origin}/`, 'again and again: the backends answer in turn, and say what they saw'],
        [`curl ${origin}/hello`, 'answered by Portico itself'],
        [`curl ${origin}/status`, 'connections and requests'],
        [`kill -HUP ${portico.pid}`, 'read the configuration again'],
      ];
      const width = Math.max(...hints.map(([command]) => command.length));
      console.log(
        [
          '',
          `Portico is ready at ${origin}, in front of ${options.backend.length} sample backends.`,
          'To try in another terminal:',
          '',
          ...hints.map(([command, purpose]) => `  ${command.padEnd(width)}   # ${purpose}`),
          '',
          'Ctrl-C ends everything.',
          '',
        ].join('\n'),
      );
      return;
    }
    await sleep(25);
  }
}

/** Every backend process that has not ended. */
const backends = new Set<ChildProcess>();
let portico: ChildProcess | undefined;
/** The signal that was asked to end this, if one was. */
let ending: NodeJS.Signals | undefined;

/** Passes on, in Portico's terms, that everything is to end. */
function end(signal: NodeJS.Signals): void {
  ending = signal;
  if (portico === undefined) {
    for (const backend of backends) backend.kill('SIGTERM');
    return;
  }
  // To Portico SIGHUP means: read the configuration again.
  portico.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal);
  // SIGQUIT lets requests under way take the time that they need.
  if (signal !== 'SIGQUIT') setTimeout(() => portico?.kill('SIGKILL'), patience).unref();
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP'] as const) {
  process.on(signal, end);
}

// An npm that was killed could pass on no signal. (Anyone else who started this may end and leave it
// running, as `nohup` does.)
if (process.env.npm_lifecycle_event === 'start') {
  const npm = process.ppid;
  setInterval(() => {
    if (process.ppid !== npm && ending === undefined) end('SIGTERM');
  }, 250).unref();
}

/** Starts everything and resolves, with the exit code, when everything has ended. */
async function run(): Promise<number> {
  const { hostname, port: portText, protocol } = new URL(options.url);
  const port = Number(portText || (protocol === 'https:' ? 443 : 80));
  const started: Backend[] = [];
  try {
    await checkPort(port);
    for (const [index, backendPort] of options.backend.entries()) {
      started.push(await startBackend(`Server ${index + 1}`, backendPort));
    }
    if (ending !== undefined) return 128 + constants.signals[ending];
    // Until it has read the configuration, which names an error log, Portico is to complain here.
    const porticoArguments = ['-e', 'stderr', '-c', resolve(options.config)];
    portico = spawn(options.program, porticoArguments, { stdio: 'inherit' });
    const exited = waitForExit(portico);
    void printHints(hostname, port, portico);
    return await exited;
  } catch (error) {
    if (ending !== undefined) return 128 + constants.signals[ending];
    if (!(error instanceof StartError)) throw error;
    console.error(`npm start: ${error.message}`);
    return 1;
  } finally {
    ending ??= 'SIGTERM';
    await Promise.all(started.map((backend) => backend.end()));
  }
}

process.exitCode = await run();
