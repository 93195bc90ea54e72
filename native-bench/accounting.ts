/**
 * What processes have cost, in the kernel's own accounting.
 *
 * `/proc/PID/task/TID/schedstat` counts nanoseconds, where `/proc/PID/stat` counts clock ticks of 10 ms:
 * over a round of a second that is the difference between a figure and a guess.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** A reading of all threads of some processes. */
export interface Reading {
  /** Time on a processor by `PID/TID`, in microseconds. */
  readonly processor: ReadonlyMap<string, number>;
  /** Time waiting for a processor, in microseconds, over all threads. */
  readonly waited: number;
}

/**
 * The process and all it has started that still runs, and so on down.
 * @param root a process id
 */
export function processTree(root: number): number[] {
  const found: number[] = [];
  const waiting = [root];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const threads = listThreads(next);
    if (threads.length === 0) continue;
    found.push(next);
    for (const thread of threads) {
      const children = readIfThere(`/proc/${next}/task/${thread}/children`);
      for (const child of children.split(' ')) if (child !== '') waiting.push(Number(child));
    }
  }
  return found;
}

/** Reads the clocks of all threads of these processes; one that has just gone is left out. */
export function readClocks(processes: readonly number[]): Reading {
  const processor = new Map<string, number>();
  let waited = 0;
  for (const process of processes) {
    for (const thread of listThreads(process)) {
      const clocks = parseSchedstat(readIfThere(`/proc/${process}/task/${thread}/schedstat`));
      if (clocks === undefined) continue;
      processor.set(`${process}/${thread}`, clocks.processor);
      waited += clocks.waited;
    }
  }
  return { processor, waited };
}

/**
 * Microseconds of processor between two readings. A thread that is new counts from nothing; one that has
 * ended in between is lost, which no peer's threads do while they are loaded.
 */
export function processorBetween(before: Reading, after: Reading): number {
  let sum = 0;
  for (const [thread, time] of after.processor) sum += time - (before.processor.get(thread) ?? 0);
  return sum;
}

/**
 * One line of schedstat: nanoseconds running, nanoseconds waiting, time slices.
 * @returns both in microseconds, or undefined for an empty file, which a thread that ends leaves
 */
export function parseSchedstat(text: string): { processor: number; waited: number } | undefined {
  const fields = text.trim().split(' ');
  if (fields.length < 2) return undefined;
  return { processor: Number(fields[0]) / 1000, waited: Number(fields[1]) / 1000 };
}

/**
 * Resident memory of the processes together, in kB. Pages that several of them share (the code of nginx's
 * master and worker, say) count for each its part, which is what "proportional" (Pss) means.
 */
export function residentMemory(processes: readonly number[]): number {
  let sum = 0;
  for (const process of processes) {
    const rollup = readIfThere(`/proc/${process}/smaps_rollup`);
    const proportional = /^Pss:\s+(\d+) kB$/m.exec(rollup);
    if (proportional !== null) {
      sum += Number(proportional[1]);
      continue;
    }
    const status = readIfThere(`/proc/${process}/status`);
    sum += Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0);
  }
  return sum;
}

function listThreads(process: number): string[] {
  try {
    return readdirSync(`/proc/${process}/task`);
  } catch {
    return []; // it has ended
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return ''; // it has ended, or is not ours to read
  }
}
