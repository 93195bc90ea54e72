/** One turn of one contender: load for about a second, or idle connections, and what it cost. */
import { setTimeout as sleep } from 'node:timers/promises';
import { processorBetween, processTree, type Reading, readClocks, residentMemory } from './accounting.ts';
import type { Contender } from './contender.ts';
import { weighIdle } from './idle.ts';
import type { Placement } from './machine.ts';
import { runHandshakes, runMessages } from './own-loads.ts';
import type { Keeper } from './process-keeper.ts';
import type { Workload } from './workloads.ts';
import { describeErrors, type LoadResult, runWrk } from './wrk.ts';

/** One turn of one contender. */
export interface Turn {
  /** What went wrong, in words: such a turn counts for nothing. Empty when nothing did. */
  readonly trouble: string;
  /** In the workload's unit: microseconds a request or message, milliseconds a gigabyte, kilobytes a connection. */
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
  /** Share of the TLS handshakes that resumed a session, where they are what is weighed. */
  readonly resumed?: number;
  /** Resident memory right after, in kB. */
  readonly memory: number;
}

/** One run of the load, with the proxy's clocks read before and after. */
export async function loadTurn(
  keeper: Keeper,
  workload: Workload,
  contender: Contender,
  placement: Placement,
  seconds: number,
): Promise<Turn> {
  const { kept, port, setup } = contender;
  let before = readClocks(processTree(kept.pid));
  let after: Reading | undefined;
  let result: LoadResult;
  try {
    if (workload.messages !== undefined) {
      // Opening the connections is left out: it would cost as much as a hundred messages on each.
      result = await runMessages(
        keeper,
        port,
        { ...workload.messages, seconds },
        placement.load,
        () => {
          before = readClocks(processTree(kept.pid));
        },
        () => {
          after = readClocks(processTree(kept.pid));
        },
      );
    } else if (workload.handshakes !== undefined) {
      result = await runHandshakes(keeper, port, { ...workload.handshakes, seconds }, placement.load);
    } else if (workload.load !== undefined) {
      result = await runWrk(keeper, port, { ...workload.load, seconds, tls: setup.tls }, placement.load);
      // wrk has dropped its connections in the middle of requests: their end belongs to this turn.
      await sleep(20);
    } else {
      throw new Error(`${workload.name} has no load`);
    }
  } catch (error) {
    // wrk does not begin where nobody listens: the proxy has ended in an earlier turn.
    return { trouble: (error as Error).message.replaceAll('\n', ' '), cost: Number.NaN, memory: 0 };
  }
  const tree = processTree(kept.pid);
  after ??= readClocks(tree);
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
    resumed: result.resumed === undefined ? undefined : result.resumed / Math.max(1, result.requests),
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
  const { kept, port, setup } = contender;
  const load = { path: '/small', connections: 64, seconds: warmUp, tls: setup.tls };
  await runWrk(keeper, port, load, placement.load);
  const kind = setup.websocket ? 'websocket' : setup.tls ? 'tls' : 'plain';
  const result = await weighIdle(keeper, kept.pid, port, kind, connections, placement.load);
  return {
    trouble: result.trouble,
    cost: (result.after - result.before) / Math.max(1, result.open),
    memory: result.after,
  };
}
