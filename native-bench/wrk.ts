/** One run of wrk. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Keeper, Kept } from './process-keeper.ts';
import { tlsFiles } from './tls-files.ts';

const script = fileURLToPath(new URL('load/report.lua', import.meta.url));

/** SIGINT, signal 2, in a mask of signals. */
const SIGINT_BIT = 2n;

/** What wrk is to do. */
export interface Load {
  readonly path: string;
  readonly connections: number;
  /** Seconds; wrk itself knows whole ones only, others are ended with a signal, and none is shorter than 0.4. */
  readonly seconds: number;
  readonly headers?: readonly string[];
  /** Bytes of body to send with each request. */
  readonly upload?: number;
  /** Whether to speak TLS. */
  readonly tls?: boolean;
}

/** What wrk counted. */
export interface LoadResult {
  readonly requests: number;
  /** Microseconds from start to end. */
  readonly duration: number;
  /** Bytes of answers, heads too, of unfinished ones too. */
  readonly bytes: number;
  /** Connections that could not be opened, or failed on a read or write. */
  readonly connect: number;
  readonly read: number;
  readonly write: number;
  /** Answers of 400 and above. */
  readonly status: number;
  /** Answers that took over ten seconds. */
  readonly timeout: number;
  /** Microseconds. */
  readonly p50: number;
  readonly p99: number;
  /** Of the handshakes, those that resumed a session. */
  readonly resumed?: number;
}

/**
 * Runs wrk once against a port of 127.0.0.1.
 * @throws Error when wrk fails
 */
export async function runWrk(
  keeper: Keeper,
  port: number,
  load: Load,
  cores: readonly number[],
): Promise<LoadResult> {
  const whole = Number.isInteger(load.seconds) && load.seconds > 0;
  const wrk = keeper.start({
    name: 'wrk',
    program: 'wrk',
    arguments: [
      '--threads=1',
      `--connections=${load.connections}`,
      `--duration=${whole ? load.seconds : 3600}s`,
      '--timeout=10s',
      '--latency',
      `--script=${script}`,
      ...(load.headers ?? []).map((header) => `--header=${header}`),
      `${load.tls ? 'https' : 'http'}://127.0.0.1:${port}${load.path}`,
      '--',
      String(load.upload ?? 0),
    ],
    cores,
    environment: { OPENSSL_CONF: tlsFiles(keeper.directory).clientConfiguration },
  });
  if (!whole) await interruptAfter(wrk, load.seconds);
  await wrk.ended;
  return parseWrk(readFileSync(wrk.outputFile, 'latin1'));
}

/** Interrupts wrk after some time of load. Before it has its handler in place, the signal would kill it. */
async function interruptAfter(wrk: Kept, seconds: number): Promise<void> {
  while (wrk.child.exitCode === null && wrk.child.signalCode === null) {
    if (handlesInterrupt(wrk.pid)) break;
    await sleep(5);
  }
  await sleep(seconds * 1000);
  wrk.child.kill('SIGINT');
}

/** Whether a process has a handler for SIGINT; it has not when it has just ended. */
function handlesInterrupt(pid: number): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0';
    return (BigInt(`0x${caught}`) & SIGINT_BIT) !== 0n;
  } catch {
    return false;
  }
}

/**
 * Finds the line that load/report.lua prints.
 * @throws Error with all of the output, when there is none
 */
export function parseWrk(output: string): LoadResult {
  const mark = 'portico-bench ';
  const start = output.lastIndexOf(`\n${mark}`);
  const end = output.indexOf('\n', start + 1);
  if (start < 0 || end < 0) throw new Error(`wrk failed:\n${output.trim()}`);
  return JSON.parse(output.slice(start + 1 + mark.length, end)) as LoadResult;
}

/** What went wrong in a run, in words; empty when nothing did. */
export function describeErrors(result: LoadResult): string {
  const parts: string[] = [];
  if (result.requests === 0 && result.bytes === 0) parts.push('no answer at all');
  if (result.status > 0) parts.push(`${result.status} answers of 400 or above`);
  if (result.connect > 0) parts.push(`${result.connect} connections refused`);
  if (result.read > 0) parts.push(`${result.read} reads failed`);
  if (result.write > 0) parts.push(`${result.write} writes failed`);
  if (result.timeout > 0) parts.push(`${result.timeout} answers late`);
  return parts.join(', ');
}
