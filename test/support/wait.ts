/** Waiting for something to be so, where there is no event to wait for: a file, a process, a line in a log. */

/** How long a test waits before it calls the thing it waits for missing. */
export const PATIENCE = 15_000;

/**
 * Looks again and again until `look` returns something truthy, which is the result.
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
