/** One turn of one contender: load for about a second, or idle connections, and what it cost. */
import { setTimeout as sleep } from 'node:timers/promises';
import { processorBetween, processTree, readClocks, residentMemory } from './accounting.ts';
import type { Contender } from './contender.ts';
import { weighIdle } from './idle.ts';
import type { Placement } from './machine.ts';
import type { Keeper } from './process-keeper.ts';
import type { Workload } from './workloads.ts';
import { describeErrors, type LoadResult, runWrk } from './wrk.ts';

/** One turn of one contender. */
export interface Turn {
  /** What went wrong, in words: such a turn counts for nothing. Empty when nothing did. */
  readonly trouble: string;
  /** In the workload's unit: microseconds a request, milliseconds a gigabyte, kilobytes a connection. */
  readonly cost: number;
  /** Microseconds of processor, over all threads of all its processes. */
  readonly processor?: number;
  /** Microseconds its threads were ready but did not get a processor: high where others used it. */
  readonly waited?: number;
  /** Processor time as a share of the time that went by: below 0.9 the load was the bottleneck. */
  readonly busy?: number;
  readonly requests?: number;
  readonly requestsPerSecond?: number;
  /** Bytes carried, up and down, each second. */
  readonly bytesPerSecond?: number;
  /** Microseconds. */
  readonly p50?: number;
  readonly p99?: number;
  /** Resident memory right after, in kB. */
  readonly memory: number;
}

/** One run of wrk, with the proxy's clocks read before and after. */
export async function loadTurn(
  keeper: Keeper,
  workload: Workload,
  contender: Contender,
  placement: Placement,
  seconds: number,
): Promise<Turn> {
  const load = workload.load;
  if (load === undefined) throw new Error(`${workload.name} has no load`);
  const before = readClocks(processTree(contender.kept.pid));
  let result: LoadResult;
  try {
    result = await runWrk(keeper, contender.port, { ...load, seconds }, placement.load);
  } catch (error) {
    // wrk does not begin where nobody listens: the proxy has ended in an earlier turn.
    return { trouble: (error as Error).message.replaceAll('\n', ' '), cost: Number.NaN, memory: 0 };
  }
  // wrk has dropped its connections in the middle of requests: their end belongs to this turn.
  await sleep(20);
  const tree = processTree(contender.kept.pid);
  const after = readClocks(tree);
  const processor = processorBetween(before, after);
  const carried = result.bytes + result.requests * (workload.uploaded ?? 0);
  const cost =
    workload.unit === 'gigabyte'
      ? processor / 1000 / (carried / 1e9)
      : processor / Math.max(1, result.requests);
  return {
    trouble: tree.length === 0 ? 'it has ended' : describeErrors(result),
    cost,
    processor: Math.round(processor),
    waited: Math.round(after.waited - before.waited),
    busy: processor / result.duration,
    requests: result.requests,
    requestsPerSecond: result.requests / (result.duration / 1e6),
    bytesPerSecond: carried / (result.duration / 1e6),
    // Answers that have not ended within the turn have no duration.
    p50: result.requests > 0 ? result.p50 : undefined,
    p99: result.requests > 0 ? result.p99 : undefined,
    memory: residentMemory(tree),
  };
}

/** Idle connections, after a little load, so that what a proxy allocates once is there already. */
export async function idleTurn(
  keeper: Keeper,
  contender: Contender,
  connections: number,
  placement: Placement,
  warmUp: number,
): Promise<Turn> {
  await runWrk(keeper, contender.port, { path: '/small', connections: 64, seconds: warmUp }, placement.load);
  const result = await weighIdle(keeper, contender.kept.pid, contender.port, connections, placement.load);
  return {
    trouble: result.trouble,
    cost: (result.after - result.before) / Math.max(1, result.open),
    memory: result.after,
  };
}
