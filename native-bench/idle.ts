/** Weighs idle connections: how much more memory a proxy has when so many clients have fallen silent. */
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { processTree, residentMemory } from './accounting.ts';
import type { Keeper } from './process-keeper.ts';

/** How long a proxy has to settle (buffers given back, garbage collected) before it is weighed, in ms. */
const SETTLE = 1_500;

/** What load/idle-connections.ts prints. */
interface Count {
  readonly open: number;
}

/** What was found. */
export interface IdleResult {
  /** Resident memory with and without the connections, in kB. */
  readonly before: number;
  readonly after: number;
  /** How many connections there were. */
  readonly open: number;
  /** In words, what went wrong; empty when nothing did. */
  readonly trouble: string;
}

/**
 * Opens the connections, weighs the proxy, and closes them.
 * @param proxy its process id
 * @param kind what load/idle-connections.ts does on each of them first
 * @param connections how many
 * @param patience how long opening them may take, in ms
 */
export async function weighIdle(
  keeper: Keeper,
  proxy: number,
  port: number,
  kind: 'plain' | 'tls' | 'websocket',
  connections: number,
  cores: readonly number[],
  patience = 60_000,
): Promise<IdleResult> {
  await sleep(SETTLE);
  const before = residentMemory(processTree(proxy));
  const client = keeper.start(
    {
      name: 'idle-connections',
      program: process.execPath,
      arguments: [
        fileURLToPath(new URL('load/idle-connections.ts', import.meta.url)),
        ...[kind, port, connections].map(String),
      ],
      cores,
    },
    'pipe',
  );
  const timer = setTimeout(() => client.child.kill('SIGKILL'), patience);
  const counts: Count[] = [];
  const lines = createInterface({ input: client.child.stdout! });
  let after = before;
  for await (const line of lines) {
    counts.push(JSON.parse(line) as Count);
    if (counts.length > 1) break;
    await sleep(SETTLE);
    after = residentMemory(processTree(proxy));
    client.child.stdin?.end();
  }
  clearTimeout(timer);
  await keeper.end(client);
  const [, last] = counts;
  if (last === undefined) return { before, after, open: 0, trouble: 'the connections could not be opened' };
  const lost = connections - last.open;
  return { before, after, open: last.open, trouble: lost > 0 ? `${lost} connections refused or closed` : '' };
}
