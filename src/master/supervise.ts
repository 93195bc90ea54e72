/**
 * The master while it serves: obeys signals, and ends. What it does with configurations is in apply.ts, what it does
 * about workers that die in replacement.ts.
 *
 * Whatever takes several steps (a reload, the replacement of a worker) is done one after the other, so that no two of
 * them see each other half done. Shutting down does not wait for them.
 */
import { apply, removeOwnPidFile } from './apply.ts';
import { describeConfigurationError, type Loaded, load, warnOfLimits } from './check.ts';
import { createCrew } from './crew.ts';
import { createGenerations } from './generations.ts';
import { createReplacement } from './replacement.ts';
import type { Master, Service } from './service.ts';
import { type Action, onSignals } from './signals.ts';
import type { Ending, WorkerHandle } from './workers.ts';

/** How long workers may take for a fast shutdown before the process ends without them (nginx: a second). */
const FAST_SHUTDOWN = 1000;

/**
 * Starts the workers on the first configuration, and serves from then on.
 * @returns false where it could not be started, which has been logged; workers may be left then, and the process has to
 *   end
 */
export async function supervise(master: Master, first: Loaded): Promise<boolean> {
  const { startup } = master;
  const { log } = startup;
  const generations = createGenerations();
  const crew = createCrew(master.pool, log, { released: generations.release, ended: buried });
  const service: Service = {
    master,
    crew,
    generations,
    identity: undefined,
    pidPath: '',
    shuttingDown: undefined,
  };
  const replacement = createReplacement(service, serially, shutDown);
  let lastNumber = 0;

  function buried(worker: WorkerHandle, { error }: Ending): void {
    generations.release(worker);
    const stopping = service.shuttingDown !== undefined;
    const { number, systemThread } = worker;
    if (error === undefined && (worker.retiring || stopping)) {
      log.write('notice', `worker ${number} (thread ${systemThread}) exited`);
    } else if (systemThread === 0) {
      // What a worker imports is broken, say. A worker that is to be added fails the reload, too, or the start.
      log.write('alert', `worker ${number} could not start: ${describeDeath(error)}`);
    } else log.write('alert', `worker ${number} (thread ${systemThread}) died: ${describeDeath(error)}`);
    if (!worker.retiring && !stopping && generations.current !== undefined) replacement.died(worker);
  }

  async function reload(): Promise<void> {
    if (service.shuttingDown !== undefined || generations.current === undefined) return;
    log.write('notice', 'reconfiguring');
    let applied = false;
    try {
      const loaded = load(startup, service.identity);
      warnOfLimits(startup, loaded);
      applied = await apply(service, loaded, ++lastNumber);
    } catch (error) {
      const { level, message } = describeConfigurationError(error);
      log.write(level, message);
    }
    if (service.shuttingDown !== undefined) return;
    const { number } = generations.current;
    if (applied) log.write('notice', `configuration ${number} is in use`);
    else log.write('error', `reload failed, configuration ${number} stays in use`);
  }

  // ---- one thing after the other ----

  let queue: Promise<void> = Promise.resolve();
  function serially(work: () => Promise<void>): Promise<void> {
    queue = queue.then(work).catch((error: unknown) => {
      log.write('alert', `a mistake in the master: ${describeDeath(error)}`);
    });
    return queue;
  }

  // ---- the end ----

  /** `worker_shutdown_timeout`, in milliseconds; 0: no limit. */
  const shutdownTimeout = (): number => generations.current?.main.worker_shutdown_timeout ?? 0;

  async function shutDown(how: 'graceful' | 'fast', code = 0): Promise<void> {
    if (service.shuttingDown === 'fast' || service.shuttingDown === how) return;
    service.shuttingDown = how;
    const ended = Promise.all([...crew.workers, ...crew.retired].map((worker) => worker.ended));
    crew.keep(new Set());
    crew.tellAll(how === 'fast' ? { kind: 'stop' } : { kind: 'quit', timeout: shutdownTimeout() });
    if (how === 'graceful') await ended;
    else await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, FAST_SHUTDOWN))]);
    if (service.shuttingDown !== how) return;
    removeOwnPidFile(service, log);
    log.write('notice', 'exit');
    startup.files.closeAll();
    endProcess(code);
  }

  /** Ends the process, also while a thread does not end that may not be ended from outside: then without its exit code. */
  function endProcess(code: number): void {
    if (crew.isStuck) process.kill(process.pid, 'SIGKILL');
    else process.exit(code);
  }

  const actions: Readonly<Record<Action, () => void>> = {
    stop: () => void shutDown('fast'),
    quit: () => void shutDown('graceful'),
    reload: () => void serially(reload),
    reopen() {
      log.write('notice', 'reopening logs');
      startup.files.reopen((failure) => log.write('emerg', failure));
      crew.tellAll({ kind: 'reopen' });
    },
    stopAccepting: () =>
      void serially(async () => {
        crew.keep(new Set());
        for (const worker of [...crew.workers]) crew.retire(worker, shutdownTimeout());
      }),
    upgrade() {
      log.write(
        'error',
        'the binary cannot be changed on the fly, for listening sockets cannot be handed to another process: ' +
          'send QUIT, and start the new one when this one has ended',
      );
    },
  };
  onSignals(master.daemonized, log, actions);
  // Neither signals nor threads that are about to end keep an event loop alive; this process ends when it says so.
  setInterval(() => {}, 0x7fff_ffff);

  process.on('uncaughtException', (error) => {
    log.write('emerg', `a mistake in the master, exiting: ${describeDeath(error)}`);
    void shutDown('fast', 2);
  });

  const started = await apply(service, first, ++lastNumber);
  // Told to end meanwhile: it does, and has not failed.
  return started || service.shuttingDown !== undefined;
}

function describeDeath(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
