/** Weighs one workload: starts the contenders, and has them take turns. */
import type { Backend } from './backend.ts';
import { type Contender, startContender } from './contender.ts';
import type { Placement } from './machine.ts';
import type { Peer } from './peers.ts';
import type { Keeper } from './process-keeper.ts';
import type { Series, Weighing } from './results.ts';
import { idleTurn, loadTurn, type Turn } from './turn.ts';
import type { Workload } from './workloads.ts';

/** How long the weighing takes and who takes part. */
export interface Method {
  readonly rounds: number;
  /** Seconds of a round. */
  readonly seconds: number;
  /** Seconds of load before the first round, so that just-in-time compilers have done their work. */
  readonly warmUp: number;
}

/** Where a weighing says what it does. */
type Progress = (text: string) => void;

/**
 * Weighs one workload with all peers that can take part.
 * @param note called with one line for each reason why some cannot, and for each that fails
 */
export async function weigh(
  keeper: Keeper,
  workload: Workload,
  peers: readonly Peer[],
  backend: Backend,
  placement: Placement,
  method: Method,
  progress: Progress,
  note: (line: string) => void,
): Promise<Weighing> {
  const entries: { peer: Peer; setup: (typeof workload.setups)[number] }[] = [];
  /** Who is left out, by reason: several of them have the same. */
  const leftOut = new Map<string, Set<string>>();
  for (const setup of workload.setups) {
    for (const peer of peers) {
      const reason = peer.unable(setup);
      if (reason === undefined) entries.push({ peer, setup });
      else leftOut.set(reason, (leftOut.get(reason) ?? new Set()).add(peer.name));
    }
  }
  for (const [reason, names] of leftOut) note(`${[...names].join(', ')} left out: ${reason}`);
  const failures: string[] = [];
  const start = async (entry: (typeof entries)[number]): Promise<Contender | undefined> => {
    try {
      return await startContender(keeper, entry.peer, entry.setup, backend, placement.proxy);
    } catch (error) {
      failures.push(`${entry.peer.name} FAILED: ${(error as Error).message}`);
      note(failures[failures.length - 1]);
      return undefined;
    }
  };
  // Machine code from a compiler is warm as soon as its connections are open.
  const warmUp = (peer: Peer): number => (peer.compiled ? Math.min(0.4, method.warmUp) : method.warmUp);
  const seconds = method.seconds * (workload.stretch ?? 1);
  const turns: Turn[][] = entries.map(() => []);
  const name = (index: number): string => {
    const { peer, setup } = entries[index];
    return setup.label === '' ? peer.name : `${peer.name}, ${setup.label}`;
  };
  if (workload.idle !== undefined) {
    for (const { peer, setup } of entries) {
      const most = peer.mostClients(setup);
      if (most < workload.idle)
        note(`${peer.name}: only ${most} connections, the limit of open files is low`);
    }
    for (let round = 0; round < method.rounds; round++) {
      for (const [index, entry] of entries.entries()) {
        progress(`round ${round + 1}/${method.rounds} ${name(index)}`);
        // Started anew each time: what earlier connections have left behind would be taken for nothing.
        const contender = await start(entry);
        if (contender === undefined) continue;
        const connections = Math.min(workload.idle, entry.peer.mostClients(entry.setup));
        turns[index].push(await idleTurn(keeper, contender, connections, placement, warmUp(entry.peer)));
        await keeper.end(contender.kept);
      }
    }
  } else {
    const contenders = new Map<number, Contender>();
    try {
      for (const [index, entry] of entries.entries()) {
        progress(`starting ${name(index)}`);
        const contender = await start(entry);
        if (contender !== undefined) contenders.set(index, contender);
      }
      for (const [index, contender] of contenders) {
        progress(`warming up ${name(index)}`);
        await loadTurn(keeper, workload, contender, placement, warmUp(contender.peer));
      }
      for (let round = 0; round < method.rounds; round++) {
        for (const [index, contender] of contenders) {
          progress(`round ${round + 1}/${method.rounds} ${name(index)}`);
          turns[index].push(await loadTurn(keeper, workload, contender, placement, seconds));
        }
      }
    } finally {
      await Promise.all([...contenders.values()].map((contender) => keeper.end(contender.kept)));
    }
  }
  const series: Series[] = entries.map(({ peer, setup }, index) => ({
    peer: peer.name,
    setup,
    turns: turns[index],
  }));
  return { workload, placement: placement.description, series, failures };
}
