/** Puts a configuration in use on all workers, step by step; whatever fails, everything is as it was. */
import { listenerKey } from '../core/listen.ts';
import { createErrorLog, type OwnedErrorLog } from '../log/error-log.ts';
import { describeError, describeFileError, isSystemError } from '../log/system-errors.ts';
import { checkAddresses } from './addresses.ts';
import { type Checked, check, describeConfigurationError, type Loaded, type PeerSetting } from './check.ts';
import { applyEnvironment } from './environment.ts';
import { configure, type Generation } from './generations.ts';
import { openPidFile, type PidFile, removePidFile } from './pid-file.ts';
import { become, needsPrivileges } from './privileges.ts';
import type { Service } from './service.ts';
import type { MasterLog } from './startup.ts';
import type { WorkerHandle } from './workers.ts';

/** What is under way, to be taken back where it fails. */
interface Attempt {
  readonly number: number;
  readonly added: WorkerHandle[];
  checked: Checked | undefined;
  generation: Generation | undefined;
  pidFile: PidFile | undefined;
  errorLog: OwnedErrorLog | undefined;
}

/**
 * Puts a configuration in use, or leaves everything as it was and says why.
 * @param number what the workers will know it by
 * @returns whether it did
 */
export async function apply(service: Service, loaded: Loaded, number: number): Promise<boolean> {
  const { log } = service.master.startup;
  const attempt: Attempt = {
    number,
    added: [],
    checked: undefined,
    generation: undefined,
    pidFile: undefined,
    errorLog: undefined,
  };
  if (loaded.workers > service.master.pool.capacity) {
    const { capacity } = service.master.pool;
    log.write('emerg', `no more than ${capacity} worker_processes are possible without a restart`);
    return false;
  }
  let next: Generation;
  try {
    next = await prepare(service, loaded, attempt);
  } catch (error) {
    const { level, message } = describeConfigurationError(error);
    log.write(level, message);
    return giveUp(service, attempt);
  }

  try {
    if (!(await makeReady(service, next, attempt))) return giveUp(service, attempt);
  } catch (error) {
    await giveUp(service, attempt);
    throw error;
  }
  putInUse(service, next, attempt);
  return true;
}

/** Has the workers link it and everything open for it. @returns whether nothing is left that can fail */
async function makeReady(service: Service, next: Generation, { added }: Attempt): Promise<boolean> {
  const { crew, generations, master } = service;
  // Peers that both configurations have are changed when nothing can fail any more.
  const inUse = new Set(generations.current?.slots.entries().map(([, slot]) => slot));
  configurePeers(
    service,
    next.peers.filter(({ slot }) => !inUse.has(slot)),
  );
  const linked = await Promise.all(
    [...crew.workers].map((worker) => configure(worker, next, master.startup.log)),
  );
  // What a shutdown has closed is not opened again.
  if (linked.includes(false) || service.shuttingDown !== undefined) return false;
  if (!(await openListeners(service, next)) || service.shuttingDown !== undefined) return false;
  if (added.some((worker) => worker.gone)) return false;
  configurePeers(
    service,
    next.peers.filter(({ slot }) => inUse.has(slot)),
  );
  return true;
}

/** All that is done before workers hear of it. @throws ConfigError, or Error with nginx's message */
async function prepare(service: Service, loaded: Loaded, attempt: Attempt): Promise<Generation> {
  const { crew, generations, master } = service;
  const { startup, tables } = master;
  // They load what they need while the master checks.
  const owner = (service.identity ?? loaded.identity)?.userId;
  while (crew.workers.size < loaded.workers) attempt.added.push(crew.start(owner));
  const checked = await check(startup, loaded, tables, attempt.number, generations.current?.memory);
  attempt.checked = checked;
  const errorLog = createErrorLog(loaded.errorLogs, startup.files);
  attempt.errorLog = errorLog;
  const generation = { ...checked, number: attempt.number, errorLog, holders: new Set<WorkerHandle>() };
  attempt.generation = generation;
  generations.add(generation);
  if (loaded.pid !== service.pidPath) attempt.pidFile = openPidFile(loaded.pid, owner);
  changeDirectory(loaded.main.working_directory);
  return generation;
}

/** Opens what is not open yet. With root's rights only as long as it takes them. @returns whether all are open */
async function openListeners(
  { crew, generations, identity, master }: Service,
  next: Generation,
): Promise<boolean> {
  const { log } = master.startup;
  const changed = next.addresses.filter((address) => crew.holdsOtherwise(address));
  for (const { text } of changed) {
    log.write(
      'emerg',
      `${text} is in use: neither its engine nor, with uWebSockets.js, its "ssl" can be changed by a reload`,
    );
  }
  if (changed.length > 0) return false;
  const missing = next.addresses.filter((address) => !crew.holds(address));
  if (!(await checkAddresses(missing, log, false))) return false;

  const dropsPrivileges = identity === undefined && next.identity !== undefined;
  const steps = dropsPrivileges
    ? [next.addresses.filter(needsPrivileges), next.addresses.filter((address) => !needsPrivileges(address))]
    : [next.addresses];
  for (const [step, addresses] of steps.entries()) {
    if (step === 1 && next.identity !== undefined) {
      try {
        become(next.identity);
      } catch (error) {
        const reason = isSystemError(error) ? describeError(error) : String(error);
        log.write('emerg', `the process cannot become "${next.identity.user}" (${reason})`);
        return false;
      }
    }
    const holder = crew.exclusiveHolder(generations.current?.addresses ?? []);
    const failures = await crew.listenAll(next.number, addresses, holder);
    for (const { message } of failures) log.write('emerg', message);
    if (failures.length > 0) return false;
  }
  return true;
}

function putInUse(service: Service, next: Generation, { added, pidFile }: Attempt): void {
  const { crew, generations, master } = service;
  const { log } = master.startup;
  const previous = generations.current;
  generations.current = next;
  service.identity ??= next.identity;
  log.use(next.errorLog);
  if (previous === undefined) master.announce();
  crew.keep(new Set(next.addresses.map(listenerKey)));
  crew.commit();
  for (const worker of crew.workers) {
    worker.tell({ kind: 'commit', generation: next.number });
    worker.tell({ kind: 'begin' });
  }
  for (const worker of added) {
    log.write('notice', `start worker ${worker.number} (thread ${worker.systemThread})`);
  }
  // Not the one with the Unix sockets: closing one removes its file, and that may be another worker's by then.
  const holder = crew.exclusiveHolder(next.addresses);
  const others = [...crew.workers]
    .filter((worker) => worker !== holder)
    .sort((one, other) => one.number - other.number);
  for (const worker of others.slice(next.workers - 1)) {
    crew.retire(worker, next.main.worker_shutdown_timeout ?? 0);
  }
  if (pidFile !== undefined) {
    pidFile.write();
    removeOwnPidFile(service, log);
    service.pidPath = pidFile.path;
  }
  applyEnvironment(master.environment, next.main.env);
  previous?.errorLog.close();
  generations.closeUnused();
}

/** Takes back what has been done so far. What is open for the configuration in use stays. */
async function giveUp({ crew, generations, shuttingDown }: Service, attempt: Attempt): Promise<false> {
  const kept = shuttingDown === undefined ? generations.current?.addresses : undefined;
  crew.keep(new Set(kept?.map(listenerKey)));
  crew.abandon();
  for (const worker of crew.workers) worker.tell({ kind: 'abandon', generation: attempt.number });
  for (const worker of attempt.added) {
    worker.retiring = true;
    worker.terminate('its configuration is not going to be used');
  }
  if (attempt.generation !== undefined) generations.remove(attempt.generation);
  attempt.checked?.slots.close();
  attempt.pidFile?.close();
  attempt.errorLog?.close();
  // What workers have died of is in the log before the process ends.
  await Promise.all(attempt.added.filter(({ gone }) => gone).map(({ ended }) => ended));
  return false;
}

/** Removes the pid file that has been written, if there is one. */
export function removeOwnPidFile({ pidPath }: Service, log: MasterLog): void {
  if (pidPath === '') return;
  const failure = removePidFile(pidPath);
  if (failure !== undefined) log.write('alert', failure);
}

function configurePeers({ master }: Service, settings: readonly PeerSetting[]): void {
  for (const { slot, group, parameters } of settings) {
    master.tables.peers.configure(slot, group, parameters);
  }
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
