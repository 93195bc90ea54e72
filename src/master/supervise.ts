/**
 * The master while it serves: puts configurations in use on all workers, replaces workers that die, and obeys signals.
 *
 * Whatever takes several steps (a reload, the replacement of a worker) is done one after the other, so that no two of
 * them see each other half done. Shutting down does not wait for them.
 */
import type { ListenAddress } from '../core/listen.ts';
import { createErrorLog, type OwnedErrorLog } from '../log/error-log.ts';
import { describeError, describeFileError, isSystemError } from '../log/system-errors.ts';
import type { ConfigureMessage, ListenFailure } from '../worker/messages.ts';
import { checkAddresses } from './addresses.ts';
import {
  type Checked,
  check,
  describeConfigurationError,
  type Loaded,
  load,
  type PeerSetting,
  type Tables,
  warnOfLimits,
} from './check.ts';
import { applyEnvironment } from './environment.ts';
import { openPidFile, type PidFile, removePidFile } from './pid-file.ts';
import { become, type Identity, needsPrivileges } from './privileges.ts';
import { type Action, onSignals } from './signals.ts';
import type { Startup } from './startup.ts';
import type { Ending, WorkerHandle, WorkerPool } from './workers.ts';

/** How long workers may take for a fast shutdown before the process ends without them (nginx: a second). */
const FAST_SHUTDOWN = 1000;

/** A worker that lives shorter than this is not replaced at once. */
const SHORT_LIFE = 1000;
const FIRST_DELAY = 100;
const LONGEST_DELAY = 30_000;

/** What the master works with. */
export interface Master {
  readonly startup: Startup;
  readonly tables: Tables;
  readonly pool: WorkerPool;
  /** The environment the process was started with. */
  readonly environment: Readonly<NodeJS.ProcessEnv>;
  readonly daemonized: boolean;
  /** Called once, when the first configuration is in use and its error log takes the messages. */
  readonly announce: () => void;
}

/** A configuration that workers have linked. */
interface Generation extends Checked {
  readonly number: number;
  readonly errorLog: OwnedErrorLog;
  /** Workers that have not let it go. */
  readonly holders: Set<WorkerHandle>;
}

/**
 * Starts the workers on the first configuration, and serves from then on.
 * @returns false where it could not be started, which has been logged; workers may be left then, and the process has to
 *   end
 */
export async function supervise(master: Master, first: Loaded): Promise<boolean> {
  const { startup, tables, pool } = master;
  const { log } = startup;
  const workers = new Set<WorkerHandle>();
  /** Told to end, and still there. */
  const retired = new Set<WorkerHandle>();
  /** Addresses that a worker listens on. */
  const serving = new Map<WorkerHandle, Set<string>>();
  const generations = new Set<Generation>();
  let current: Generation | undefined;
  let identity: Identity | undefined;
  let lastNumber = 0;
  let shortLives = 0;
  let shuttingDown: 'graceful' | 'fast' | undefined;
  let pidPath = '';

  // ---- workers ----

  function startWorker(owner: number | undefined): WorkerHandle {
    const worker = pool.start(owner, letGo);
    workers.add(worker);
    serving.set(worker, new Set());
    void worker.ended.then((ending) => buried(worker, ending));
    return worker;
  }

  function letGo(worker: WorkerHandle, number: number): void {
    for (const generation of generations) {
      if (generation.number === number) generation.holders.delete(worker);
    }
    closeUnusedGenerations();
  }

  function closeUnusedGenerations(): void {
    for (const generation of generations) {
      if (generation === current || generation.holders.size > 0) continue;
      generations.delete(generation);
      generation.slots.close();
    }
  }

  function buried(worker: WorkerHandle, { error }: Ending): void {
    workers.delete(worker);
    retired.delete(worker);
    serving.delete(worker);
    for (const generation of generations) generation.holders.delete(worker);
    closeUnusedGenerations();
    if (worker.retiring || (shuttingDown !== undefined && error === undefined)) {
      log.write('notice', `worker ${worker.number} (thread ${worker.systemThread}) exited`);
    } else {
      log.write(
        'alert',
        `worker ${worker.number} (thread ${worker.systemThread}) died: ${describeDeath(error)}`,
      );
    }
    if (worker.retiring || shuttingDown !== undefined || current === undefined) return;
    const life = performance.now() - worker.startedAt;
    shortLives = life < SHORT_LIFE ? shortLives + 1 : 0;
    if (shortLives === 0) {
      void serially(replaceMissing);
      return;
    }
    const delay = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** (shortLives - 1));
    log.write(
      'alert',
      `worker ${worker.number} lived for ${Math.round(life)} ms, its replacement starts in ${delay} ms`,
    );
    setTimeout(() => serially(replaceMissing), delay);
    void serially(shareExclusive);
  }

  function retire(worker: WorkerHandle, timeout: number): void {
    worker.retiring = true;
    workers.delete(worker);
    retired.add(worker);
    serving.set(worker, new Set());
    worker.tell({ kind: 'quit', timeout });
  }

  /** The worker that opens what only one can: Unix sockets. It keeps them while it lives. */
  function exclusiveHolder(): WorkerHandle | undefined {
    let lowest: WorkerHandle | undefined;
    for (const worker of workers) {
      for (const address of current?.addresses ?? []) {
        if (isExclusive(address) && serving.get(worker)?.has(address.text)) return worker;
      }
      if (lowest === undefined || worker.number < lowest.number) lowest = worker;
    }
    return lowest;
  }

  /** Opens addresses in one worker. @returns what failed; undefined where the worker ended */
  async function listen(
    worker: WorkerHandle,
    number: number,
    addresses: readonly ListenAddress[],
  ): Promise<readonly ListenFailure[] | undefined> {
    const texts = addresses.map(({ text }) => text);
    const answer = await worker.ask({ kind: 'listen', generation: number, addresses: texts }, ['listening']);
    if (answer === undefined) return undefined;
    const failed = new Set(answer.failures.map(({ address }) => address));
    for (const text of texts) if (!failed.has(text)) serving.get(worker)?.add(text);
    return answer.failures;
  }

  /** Opens, in each worker, those of the addresses that are its to open. @returns what failed */
  async function listenAll(
    number: number,
    addresses: readonly ListenAddress[],
  ): Promise<readonly ListenFailure[]> {
    const shared = addresses.filter((address) => !isExclusive(address));
    const holder = exclusiveHolder();
    const results = await Promise.all(
      [...workers].map((worker) => listen(worker, number, worker === holder ? addresses : shared)),
    );
    return results.flatMap((failures) => failures ?? []);
  }

  function configureMessage(generation: Generation): ConfigureMessage {
    return {
      kind: 'configure',
      generation: generation.number,
      statements: generation.configuration.statements,
      slots: generation.slots.entries(),
      addresses: generation.hosts,
    };
  }

  /** Has a worker link a configuration. @returns whether it did; what kept it from it has been logged */
  async function configure(worker: WorkerHandle, generation: Generation): Promise<boolean> {
    generation.holders.add(worker);
    const answer = await worker.ask(configureMessage(generation), ['linked', 'unlinkable']);
    if (answer?.kind === 'linked') return true;
    generation.holders.delete(worker);
    if (answer?.kind === 'unlinkable') log.write(answer.level, answer.message);
    return false;
  }

  /** Starts as many workers as are missing, on the configuration in use. */
  async function replaceMissing(): Promise<void> {
    while (current !== undefined && shuttingDown === undefined && workers.size < current.workers) {
      const worker = startWorker(identity?.userId);
      if (!(await configure(worker, current))) {
        // Dead, or it could not: `buried` sees to the next attempt.
        worker.terminate('it could not link the configuration');
        return;
      }
      const exclusive = exclusiveHolder() === worker;
      const addresses = current.addresses.filter((address) => exclusive || !isExclusive(address));
      const failures = await listen(worker, current.number, addresses);
      if (failures === undefined || shuttingDown !== undefined) return;
      for (const { address, call, reason } of failures) {
        log.write('emerg', `${call} to ${address} failed (${reason}) in worker ${worker.number}`);
        if (![...workers].some((other) => serving.get(other)?.has(address))) {
          log.write('emerg', `nobody is left to listen on ${address}, exiting`);
          return shutDown('fast', 1);
        }
      }
      worker.tell({ kind: 'commit', generation: current.number });
      worker.tell({ kind: 'begin' });
      log.write('notice', `start worker ${worker.number} (thread ${worker.systemThread})`);
    }
  }

  /** Gives a Unix socket whose worker has died to one that lives. */
  async function shareExclusive(): Promise<void> {
    if (current === undefined || shuttingDown !== undefined) return;
    const holder = exclusiveHolder();
    const lost = current.addresses.filter(
      (address) => isExclusive(address) && ![...serving.values()].some((texts) => texts.has(address.text)),
    );
    if (holder === undefined || lost.length === 0) return;
    if (!(await checkAddresses(lost, log, false))) return;
    await listen(holder, current.number, lost);
  }

  // ---- configurations ----

  /**
   * Puts a configuration in use, or leaves everything as it was and says why.
   * @returns whether it did
   */
  async function apply(loaded: Loaded): Promise<boolean> {
    const number = ++lastNumber;
    const added: WorkerHandle[] = [];
    let checked: Checked | undefined;
    let generation: Generation | undefined;
    let pidFile: PidFile | undefined;
    let errorLog: OwnedErrorLog | undefined;

    function giveUp(): false {
      for (const worker of workers) worker.tell({ kind: 'abandon', generation: number });
      for (const worker of added) {
        worker.retiring = true;
        worker.terminate('its configuration is not going to be used');
      }
      if (generation !== undefined) generations.delete(generation);
      checked?.slots.close();
      pidFile?.close();
      errorLog?.close();
      return false;
    }

    try {
      if (loaded.workers > pool.capacity) {
        log.write('emerg', `no more than ${pool.capacity} worker_processes are possible without a restart`);
        return false;
      }
      // They load what they need while the master checks.
      const owner = (identity ?? loaded.identity)?.userId;
      while (workers.size < loaded.workers) added.push(startWorker(owner));
      checked = await check(startup, loaded, tables, number);
      errorLog = createErrorLog(loaded.errorLogs, startup.files);
      generation = { ...checked, number, errorLog, holders: new Set() };
      generations.add(generation);
      if (loaded.pid !== pidPath) pidFile = openPidFile(loaded.pid, owner);
      changeDirectory(loaded.main.working_directory);
    } catch (error) {
      const { level, message } = describeConfigurationError(error);
      log.write(level, message);
      return giveUp();
    }
    const next = generation;

    // Peers that both configurations have are changed when nothing can fail any more.
    const inUse = new Set(current?.slots.entries().map(([, slot]) => slot));
    configurePeers(next.peers.filter(({ slot }) => !inUse.has(slot)));
    const linked = await Promise.all([...workers].map((worker) => configure(worker, next)));
    if (linked.includes(false) || shuttingDown === 'fast') return giveUp();

    const open = new Set([...serving.values()].flatMap((texts) => [...texts]));
    const missing = next.addresses.filter(({ text }) => !open.has(text));
    if (!(await checkAddresses(missing, log, false))) return giveUp();

    const dropsPrivileges = identity === undefined && next.identity !== undefined;
    const steps = dropsPrivileges
      ? [
          next.addresses.filter(needsPrivileges),
          next.addresses.filter((address) => !needsPrivileges(address)),
        ]
      : [next.addresses];
    for (const [step, addresses] of steps.entries()) {
      if (step === 1 && next.identity !== undefined) {
        try {
          become(next.identity);
        } catch (error) {
          const reason = isSystemError(error) ? describeError(error) : String(error);
          log.write('emerg', `the process cannot become "${next.identity.user}" (${reason})`);
          return giveUp();
        }
      }
      const failures = await listenAll(number, addresses);
      for (const { address, call, reason } of failures)
        log.write('emerg', `${call} to ${address} failed (${reason})`);
      if (failures.length > 0) return giveUp();
    }
    if ([...added].some((worker) => worker.gone)) return giveUp();

    // From here on nothing can fail.
    configurePeers(next.peers.filter(({ slot }) => inUse.has(slot)));
    const previous = current;
    current = next;
    identity ??= next.identity;
    log.use(next.errorLog);
    if (previous === undefined) master.announce();
    const kept = new Set(next.addresses.map(({ text }) => text));
    for (const worker of workers) {
      worker.tell({ kind: 'commit', generation: number });
      worker.tell({ kind: 'begin' });
      for (const text of serving.get(worker) ?? []) if (!kept.has(text)) serving.get(worker)?.delete(text);
    }
    for (const worker of added) {
      log.write('notice', `start worker ${worker.number} (thread ${worker.systemThread})`);
    }
    // Not the one with the Unix sockets: closing one removes its file, and that may be another worker's by then.
    const holder = exclusiveHolder();
    const others = [...workers]
      .filter((worker) => worker !== holder)
      .sort((one, other) => one.number - other.number);
    for (const worker of others.slice(next.workers - 1))
      retire(worker, next.main.worker_shutdown_timeout ?? 0);
    if (pidFile !== undefined) {
      pidFile.write();
      if (pidPath !== '') reportRemoval(removePidFile(pidPath));
      pidPath = pidFile.path;
    }
    applyEnvironment(master.environment, next.main.env);
    previous?.errorLog.close();
    closeUnusedGenerations();
    return true;
  }

  function configurePeers(settings: readonly PeerSetting[]): void {
    for (const { slot, group, parameters } of settings) tables.peers.configure(slot, group, parameters);
  }

  async function reload(): Promise<void> {
    if (shuttingDown !== undefined || current === undefined) return;
    log.write('notice', 'reconfiguring');
    let applied = false;
    try {
      const loaded = load(startup, identity);
      warnOfLimits(startup, loaded);
      applied = await apply(loaded);
    } catch (error) {
      const { level, message } = describeConfigurationError(error);
      log.write(level, message);
    }
    if (shuttingDown !== undefined) return;
    if (applied) log.write('notice', `configuration ${current.number} is in use`);
    else log.write('error', `reload failed, configuration ${current.number} stays in use`);
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

  function reportRemoval(failure: string | undefined): void {
    if (failure !== undefined) log.write('alert', failure);
  }

  async function shutDown(how: 'graceful' | 'fast', code = 0): Promise<void> {
    if (shuttingDown === 'fast' || shuttingDown === how) return;
    shuttingDown = how;
    const all = [...workers, ...retired];
    for (const worker of all) {
      worker.tell(
        how === 'fast'
          ? { kind: 'stop' }
          : { kind: 'quit', timeout: current?.main.worker_shutdown_timeout ?? 0 },
      );
    }
    const ended = Promise.all(all.map((worker) => worker.ended));
    if (how === 'graceful') await ended;
    else await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, FAST_SHUTDOWN))]);
    if (shuttingDown !== how) return;
    if (pidPath !== '') reportRemoval(removePidFile(pidPath));
    log.write('notice', 'exit');
    startup.files.closeAll();
    process.exit(code);
  }

  const actions: Readonly<Record<Action, () => void>> = {
    stop: () => void shutDown('fast'),
    quit: () => void shutDown('graceful'),
    reload: () => void serially(reload),
    reopen() {
      log.write('notice', 'reopening logs');
      startup.files.reopen((failure) => log.write('emerg', failure));
      for (const worker of [...workers, ...retired]) worker.tell({ kind: 'reopen' });
    },
    stopAccepting() {
      for (const worker of [...workers]) retire(worker, current?.main.worker_shutdown_timeout ?? 0);
    },
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

  return apply(first);
}

/** `working_directory`. */
function changeDirectory(directory: string | undefined): void {
  if (directory === undefined) return;
  try {
    process.chdir(Buffer.from(directory, 'latin1').toString());
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw new Error(describeFileError('chdir()', directory, error), { cause: error });
  }
}

/** Whether only one worker can listen there. */
function isExclusive(address: ListenAddress): boolean {
  return address.family === 'unix';
}

function describeDeath(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
