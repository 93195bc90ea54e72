/** The workers there are, and which of them listens where. */
import { ENGINE_NAMES } from '../core/engine-name.ts';
import { type ListenAddress, listenerKey } from '../core/listen.ts';
import { engines } from '../engines/index.ts';
import type { ListenFailure, MasterMessage } from '../worker/messages.ts';
import { createAcceptors } from './acceptors.ts';
import type { MasterLog } from './startup.ts';
import type { Ending, WorkerHandle, WorkerPool } from './workers.ts';

/** Who hears of what happens to workers. */
export interface CrewEvents {
  /** A worker has let a configuration go. */
  readonly released: (worker: WorkerHandle, generation: number) => void;
  /** A worker is gone, and the crew has forgotten it. */
  readonly ended: (worker: WorkerHandle, ending: Ending) => void;
}

/** The workers. */
export interface Crew {
  /** Those that serve, or are about to. */
  readonly workers: ReadonlySet<WorkerHandle>;
  /** Those that have been told to end, and are still there. */
  readonly retired: ReadonlySet<WorkerHandle>;
  /** Starts a worker. @param owner user id that its log files are to belong to */
  start(owner: number | undefined): WorkerHandle;
  /** Has a worker end when its connections have. @param timeout milliseconds it may take; 0: no limit */
  retire(worker: WorkerHandle, timeout: number): void;
  /**
   * The worker that opens what only one can: Unix sockets. It keeps them while it lives.
   * @param addresses those in use
   */
  exclusiveHolder(addresses: readonly ListenAddress[]): WorkerHandle | undefined;
  /** Opens addresses in one worker. @returns what failed; undefined where the worker ended */
  listen(
    worker: WorkerHandle,
    generation: number,
    addresses: readonly ListenAddress[],
  ): Promise<readonly ListenFailure[] | undefined>;
  /**
   * Opens addresses in all workers, those that only one can open in `holder`, and the master's in the master.
   * @returns what failed
   */
  listenAll(
    generation: number,
    addresses: readonly ListenAddress[],
    holder: WorkerHandle | undefined,
  ): Promise<readonly ListenFailure[]>;
  /** Whether a worker serves an address. @param key its `listenerKey` */
  serves(key: string): boolean;
  /** Whether an address is taken by ourselves: workers of either engine share it with those of the other. */
  holds(address: ListenAddress): boolean;
  /**
   * Whether an address is a Unix socket of ours that another engine serves, or the same with TLS instead of without: its
   * file is that of one listening socket, so that a second one cannot be opened beside the first.
   */
  holdsOtherwise(address: ListenAddress): boolean;
  /** Stops listening, in the master, at all addresses but these, and forgets who has served the others. */
  keep(keys: ReadonlySet<string>): void;
  /** Hands connections over by what workers have prepared for the configuration that is in use from now on. */
  commit(): void;
  /** Forgets what they have prepared. */
  abandon(): void;
  /** Tells all workers, those that are ending too. */
  tellAll(message: MasterMessage): void;
  /** Whether a thread has not ended, or will not, that may not be ended from outside. */
  readonly isStuck: boolean;
}

/** None at first. */
export function createCrew(pool: WorkerPool, log: Pick<MasterLog, 'write'>, events: CrewEvents): Crew {
  const workers = new Set<WorkerHandle>();
  const retired = new Set<WorkerHandle>();
  /** Keys of the addresses that a worker serves. */
  const serving = new Map<WorkerHandle, Set<string>>();
  const acceptors = createAcceptors(log);
  /** Given up: their threads are still there, or were when this was looked at last. */
  const lost = new Set<WorkerHandle>();

  function bury(worker: WorkerHandle): void {
    acceptors.leave(worker.number);
    for (const other of lost) if (!other.lost) lost.delete(other);
    if (worker.lost) lost.add(worker);
    workers.delete(worker);
    retired.delete(worker);
    serving.delete(worker);
  }

  async function listen(
    worker: WorkerHandle,
    generation: number,
    addresses: readonly ListenAddress[],
  ): Promise<readonly ListenFailure[] | undefined> {
    const keys = addresses.map(listenerKey);
    // From the moment it begins to open them.
    if (addresses.some(isMasters)) worker.mustEndItself = true;
    const answer = await worker.ask({ kind: 'listen', generation, keys }, ['listening']);
    if (answer === undefined) return undefined;
    const { failures, descriptors } = answer;
    const failed = new Set(failures.map(({ key }) => key));
    for (const key of keys) if (!failed.has(key)) serving.get(worker)?.add(key);
    if (!worker.retiring && !worker.failing) acceptors.join(worker.number, descriptors);
    return failures;
  }

  function serves(key: string): boolean {
    for (const keys of serving.values()) if (keys.has(key)) return true;
    return false;
  }

  /** Whichever engine it is, with TLS or without. */
  function servesAnyhow(address: ListenAddress): boolean {
    return ENGINE_NAMES.some((engine) =>
      [false, true].some((ssl) => serves(listenerKey({ ...address, engine, ssl }))),
    );
  }

  return {
    workers,
    retired,
    listen,

    start(owner) {
      const worker = pool.start(owner, {
        released: events.released,
        failing: ({ number }) => acceptors.leave(number),
      });
      workers.add(worker);
      serving.set(worker, new Set());
      void worker.ended.then((ending) => {
        bury(worker);
        events.ended(worker, ending);
      });
      return worker;
    },

    retire(worker, timeout) {
      worker.retiring = true;
      acceptors.leave(worker.number);
      workers.delete(worker);
      retired.add(worker);
      serving.set(worker, new Set());
      worker.tell({ kind: 'quit', timeout });
    },

    exclusiveHolder(addresses) {
      let lowest: WorkerHandle | undefined;
      for (const worker of workers) {
        for (const address of addresses) {
          if (isExclusive(address) && serving.get(worker)?.has(listenerKey(address))) return worker;
        }
        if (lowest === undefined || worker.number < lowest.number) lowest = worker;
      }
      return lowest;
    },

    async listenAll(generation, addresses, holder) {
      const shared = addresses.filter((address) => !isExclusive(address));
      const results = await Promise.all(
        [...workers].map((worker) => listen(worker, generation, worker === holder ? addresses : shared)),
      );
      const failures = results.flatMap((found) => found ?? []);
      // Now that there are workers to hand connections to.
      for (const address of addresses) {
        if (!isMasters(address)) continue;
        const failure = acceptors.open(address);
        if (failure !== undefined) failures.push(failure);
      }
      return failures;
    },

    serves,

    holds(address) {
      return serves(listenerKey(address)) || (address.family !== 'unix' && servesAnyhow(address));
    },

    holdsOtherwise(address) {
      return address.family === 'unix' && !serves(listenerKey(address)) && servesAnyhow(address);
    },

    keep(kept) {
      acceptors.keep(kept);
      for (const keys of serving.values()) for (const key of keys) if (!kept.has(key)) keys.delete(key);
    },

    commit: acceptors.commit,
    abandon: acceptors.abandon,

    tellAll(message) {
      for (const worker of workers) worker.tell(message);
      for (const worker of retired) worker.tell(message);
    },

    get isStuck() {
      return (
        [...lost].some((worker) => worker.lost) ||
        [...workers, ...retired].some(({ mustEndItself, gone }) => mustEndItself && !gone)
      );
    },
  };
}

/** Whether only one worker can listen there. */
export function isExclusive(address: ListenAddress): boolean {
  return address.family === 'unix' && !isMasters(address);
}

/** Whether the master listens there. */
function isMasters({ engine }: ListenAddress): boolean {
  return engine !== undefined && engines[engine].masterListens;
}
