/** Waiting for something to be so. */
import type { Socket } from 'node:net';

/** How long a test waits before it calls the thing it waits for missing. */
export const PATIENCE = 15_000;

/**
 * For what has no event to wait for: a file, a process, a line in a log. Looks again and again until `look` returns something truthy, which is the result.
 * @param what names it in the error: `the pid file`
 * @throws Error when it has not come after `patience` milliseconds; with the text of `explain`
 */
export async function until<Found>(
  what: string,
  look: () => Found | Promise<Found>,
  { patience = PATIENCE, explain = () => '' }: { patience?: number; explain?: () => string } = {},
): Promise<NonNullable<Found>> {
  const deadline = performance.now() + patience;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== null && found !== false && found !== 0 && found !== '') return found;
    if (performance.now() > deadline) throw new Error(`waited ${patience} ms for ${what}\n${explain()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** What is heard on a connection, and who waits for it. */
export interface Watch {
  /** Has everybody who waits look. */
  wake(): void;
  /**
   * Waits until `look` returns something.
   * @param what names it in the error
   * @throws Error when it has not come after PATIENCE, and what `look` throws
   */
  wait<Found>(what: string, look: () => Found | undefined): Promise<Found>;
}

/** @param heard what has been heard so far, for the error */
export function createWatch(heard: () => string): Watch {
  const waiting = new Set<() => void>();
  return {
    wake() {
      for (const look of [...waiting]) look();
    },
    wait(what, look) {
      return new Promise((resolve, reject) => {
        const end = () => {
          clearTimeout(timer);
          waiting.delete(check);
        };
        const check = () => {
          try {
            const found = look();
            if (found === undefined) return;
            end();
            resolve(found);
          } catch (error) {
            end();
            reject(error as Error);
          }
        };
        const timer = setTimeout(() => {
          end();
          reject(new Error(`${what} did not come; heard: ${JSON.stringify(heard().slice(0, 2000))}`));
        }, PATIENCE);
        waiting.add(check);
        check();
      });
    },
  };
}

/**
 * Waits until a socket has its connection.
 * @param event that says so: `secureConnect` where there is a handshake, too
 * @throws Error where it is refused, or closed before, or takes longer than PATIENCE
 */
export async function opened(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  const timer = setTimeout(() => socket.destroy(new Error(`no ${event}`)), PATIENCE);
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once(event, resolve);
      socket.once('error', reject);
      socket.once('close', () => reject(new Error(`closed before ${event}`)));
    });
  } finally {
    clearTimeout(timer);
  }
}
