/**
 * The scales: does the same work with Portico and with what one would use instead, side by side.
 *
 *     npm run bench -- --help
 *
 * docs/performance.md says what is measured and how to read it. Ends with 1 when a turn was invalid.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Backend, startBackend } from './backend.ts';
import { drawChart } from './chart.ts';
import { allowedCores, describeMachine, findProgram, type Placement, placeOn, versionOf } from './machine.ts';
import { type Options, readOptions, usage } from './options.ts';
import { type Peer, peers } from './peers.ts';
import { createKeeper, type Keeper } from './process-keeper.ts';
import { type Report, summarize, type WorkloadReport } from './results.ts';
import { formatTable } from './table.ts';
import { weigh } from './weigh.ts';
import { swept, type Workload, workloads } from './workloads.ts';

const lastResults = fileURLToPath(new URL('results/last.json', import.meta.url));

/** A line that the next one overwrites, where a person watches; silent elsewhere. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

function say(text: string): void {
  progress('');
  process.stdout.write(`${text}\n`);
}

/** The versions of all that takes part, and the peers that are installed. */
function lookAround(options: Options, note: (line: string) => void) {
  const versions: Record<string, string> = { node: process.version };
  const wrk = findProgram('wrk');
  if (wrk === undefined) throw new Error('wrk is not installed: apt-get install wrk');
  if (findProgram('taskset') === undefined)
    throw new Error('taskset is not installed: apt-get install util-linux');
  versions.wrk = versionOf(wrk, '-v', /wrk (?:debian\/)?(\S+)/);
  const present: Peer[] = [];
  for (const peer of peers) {
    if (!options.peers.includes(peer.name)) continue;
    const version = peer.version();
    if (version === undefined) note(`${peer.name} left out: it is not installed`);
    else {
      versions[peer.name] = version;
      present.push(peer);
    }
  }
  return { versions, present };
}

/** The backend on the processors that a workload leaves to it; moved only when those change. */
async function backendOn(keeper: Keeper, placement: Placement, last: Moved | undefined): Promise<Moved> {
  const cores = placement.load.join(',');
  if (last?.cores === cores) return last;
  if (last !== undefined) await Promise.all(last.backend.kept.map(keeper.end));
  return { cores, backend: await startBackend(keeper, placement.load) };
}

interface Moved {
  readonly cores: string;
  readonly backend: Backend;
}

/** Weighs all workloads; writes the results after each, so that a run cut short is not lost. */
async function run(options: Options, keeper: Keeper): Promise<Report> {
  const notes: string[] = [];
  const note = (line: string): void => {
    notes.push(line);
    say(`  ${line}`);
  };
  const machine = describeMachine();
  const { versions, present } = lookAround(options, note);
  say(`${machine.processor}, ${machine.cores} processors, Linux ${machine.kernel}, ${machine.system}`);
  say(
    Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', '),
  );
  if (machine.loadBefore > 0.3) {
    note(`the machine is busy (load ${machine.loadBefore.toFixed(2)}): believe ratios rather than figures`);
  }
  say('');

  const reports: WorkloadReport[] = [];
  let moved: Moved | undefined;
  const report = (): Report => ({
    date: new Date().toISOString(),
    command: ['npm run bench --', ...process.argv.slice(2)].join(' '),
    machine,
    versions,
    backend: moved?.backend.description ?? '',
    method: options.method,
    notes,
    workloads: reports,
  });
  for (const name of options.workloads) {
    const plain = workloads.find((each) => each.name === name) as Workload;
    const workload = options.sweep === undefined ? plain : swept(plain, options.sweep);
    const workers = Math.max(...workload.setups.map((setup) => setup.workers));
    const placement = placeOn(allowedCores(), workers);
    moved = await backendOn(keeper, placement, moved);
    const librariesTakePart = options.quick ? workload.librariesInQuick : !workload.withoutLibraries;
    const invited = present.filter((peer) => librariesTakePart || !peer.library);
    if (invited.length === 0) note(`${workload.name}: none of the peers takes part`);
    const method =
      workload.idle === undefined ? options.method : { ...options.method, rounds: idleRounds(options) };
    const weighing = await weigh(
      keeper,
      workload,
      invited,
      moved.backend,
      placement,
      method,
      (text) => progress(`${workload.name}: ${text}`),
      (line) => note(`${workload.name}: ${line}`),
    );
    const found = summarize(weighing);
    reports.push(found);
    say(formatTable(found));
    write(options.json, report());
  }
  return report();
}

/** The JSON, and the chart beside it. */
function write(json: string, report: Report): void {
  mkdirSync(dirname(json), { recursive: true });
  writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(chartBeside(json), drawChart(report));
}

function chartBeside(json: string): string {
  return join(dirname(json), `${basename(json, '.json')}.svg`);
}

/** Memory does not vary as time does, and a round of it takes longer. */
function idleRounds(options: Options): number {
  return options.quick ? 1 : Math.min(3, options.method.rounds);
}

async function main(): Promise<number> {
  let options: Options | undefined;
  try {
    options = readOptions(process.argv.slice(2), lastResults);
  } catch (error) {
    process.stderr.write(`bench: ${(error as Error).message}\n`);
    return 2;
  }
  if (options === undefined) {
    process.stdout.write(usage);
    return 0;
  }
  const keeper = createKeeper();
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.once(signal, () => {
      progress('');
      process.exit(code); // the keeper's handler of `exit` ends all that runs
    });
  }
  try {
    const report = await run(options, keeper);
    say(`${options.json}\n${chartBeside(options.json)}`);
    const bad = report.workloads.some(
      ({ lines, failures }) => failures.length > 0 || lines.some((line) => line.invalid > 0),
    );
    return bad ? 1 : 0;
  } catch (error) {
    say(`bench: ${(error as Error).message}`);
    return 1;
  } finally {
    await keeper.endAll();
  }
}

process.exitCode = await main();
