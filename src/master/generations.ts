/** The configurations that workers have linked: the one in use, and those before it that have requests under way. */
import type { OwnedErrorLog } from '../log/error-log.ts';
import type { ConfigureMessage } from '../worker/messages.ts';
import type { Checked } from './check.ts';
import type { MasterLog } from './startup.ts';
import type { WorkerHandle } from './workers.ts';

/** One of them. */
export interface Generation extends Checked {
  readonly number: number;
  readonly errorLog: OwnedErrorLog;
  /** Workers that have not let it go. */
  readonly holders: Set<WorkerHandle>;
}

/** All of them. */
export interface Generations {
  /** The one in use; undefined before there is one. */
  current: Generation | undefined;
  add(generation: Generation): void;
  /** Takes back `add`, for one that is not going to be used. */
  remove(generation: Generation): void;
  /** A worker has let one go, by its number; without a number: all, for it has ended. */
  release(worker: WorkerHandle, number?: number): void;
  /** Closes those that nobody holds any more. */
  closeUnused(): void;
}

/** None at first. */
export function createGenerations(): Generations {
  const all = new Set<Generation>();
  const generations: Generations = {
    current: undefined,
    add: (generation) => void all.add(generation),
    remove: (generation) => void all.delete(generation),
    release(worker, number) {
      for (const generation of all) {
        if (number === undefined || generation.number === number) generation.holders.delete(worker);
      }
      generations.closeUnused();
    },
    closeUnused() {
      for (const generation of all) {
        if (generation === generations.current || generation.holders.size > 0) continue;
        all.delete(generation);
        generation.slots.close();
      }
    },
  };
  return generations;
}

/** Has a worker link a configuration. @returns whether it did; what kept it from it has been logged */
export async function configure(
  worker: WorkerHandle,
  generation: Generation,
  log: MasterLog,
): Promise<boolean> {
  generation.holders.add(worker);
  const answer = await worker.ask(configureMessage(generation), ['linked', 'unlinkable']);
  if (answer?.kind === 'linked') return true;
  generation.holders.delete(worker);
  if (answer?.kind === 'unlinkable') log.write(answer.level, answer.message);
  return false;
}

function configureMessage(generation: Generation): ConfigureMessage {
  return {
    kind: 'configure',
    generation: generation.number,
    statements: generation.configuration.statements,
    slots: generation.slots.entries(),
    addresses: generation.hosts,
    files: generation.files,
    memory: generation.memory,
  };
}
