/** Workers that die are replaced: at once, unless they die young, then later and later. */
import { listenerKey } from '../core/listen.ts';
import { checkAddresses } from './addresses.ts';
import { isExclusive } from './crew.ts';
import { configure } from './generations.ts';
import type { Service } from './service.ts';
import type { WorkerHandle } from './workers.ts';

/** A worker that lives shorter than this is not replaced at once. */
const SHORT_LIFE = 1000;
const FIRST_DELAY = 100;
const LONGEST_DELAY = 30_000;

/** Replaces workers. */
export interface Replacement {
  /** A worker has died that was not told to. */
  died(worker: WorkerHandle): void;
}

/**
 * @param serially does one thing after the other
 * @param shutDown called where nobody is left to listen at an address
 */
export function createReplacement(
  service: Service,
  serially: (work: () => Promise<void>) => Promise<void>,
  shutDown: (how: 'fast', code: number) => Promise<void>,
): Replacement {
  const { crew, generations } = service;
  const { log } = service.master.startup;
  let shortLives = 0;

  /** Starts as many workers as are missing, on the configuration in use. */
  async function replaceMissing(): Promise<void> {
    while (service.shuttingDown === undefined) {
      const { current } = generations;
      if (current === undefined || crew.workers.size >= current.workers) return;
      const worker = crew.start(service.identity?.userId);
      if (!(await configure(worker, current, log))) {
        // Dead, or it could not: `died` sees to the next attempt.
        worker.terminate('it could not link the configuration');
        return;
      }
      const exclusive = crew.exclusiveHolder(current.addresses) === worker;
      const addresses = current.addresses.filter((address) => exclusive || !isExclusive(address));
      const failures = await crew.listen(worker, current.number, addresses);
      if (failures === undefined || service.shuttingDown !== undefined) return;
      for (const { key, message } of failures) {
        log.write('emerg', `${message} in worker ${worker.number}`);
        if (!crew.serves(key)) {
          const { text } = current.addresses.find((address) => listenerKey(address) === key)!;
          log.write('emerg', `nobody is left to listen on ${text}, exiting`);
          return shutDown('fast', 1);
        }
      }
      worker.tell({ kind: 'commit', generation: current.number });
      worker.tell({ kind: 'begin' });
      log.write('notice', `start worker ${worker.number} (thread ${worker.systemThread})`);
    }
  }

  /** Gives a Unix socket whose worker has died to one that lives, which its replacement need not be. */
  async function shareExclusive(): Promise<void> {
    const { current } = generations;
    if (current === undefined || service.shuttingDown !== undefined) return;
    const holder = crew.exclusiveHolder(current.addresses);
    const lost = current.addresses.filter(
      (address) => isExclusive(address) && !crew.serves(listenerKey(address)),
    );
    if (holder === undefined || lost.length === 0) return;
    if (!(await checkAddresses(lost, log, false))) return;
    const failures = await crew.listen(holder, current.number, lost);
    for (const { message } of failures ?? []) {
      log.write('emerg', `${message} in worker ${holder.number}`);
    }
  }

  return {
    died(worker) {
      const life = performance.now() - worker.startedAt;
      shortLives = life < SHORT_LIFE ? shortLives + 1 : 0;
      if (shortLives === 0) {
        void serially(replaceMissing);
        void serially(shareExclusive);
        return;
      }
      const delay = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** (shortLives - 1));
      log.write(
        'alert',
        `worker ${worker.number} lived for ${Math.round(life)} ms, its replacement starts in ${delay} ms`,
      );
      setTimeout(() => serially(replaceMissing), delay);
      void serially(shareExclusive);
    },
  };
}
