/** What a run has found, and what follows from it. */
import type { Machine } from './machine.ts';
import type { Setup } from './setup.ts';
import { differences, median, medianRatio, spread } from './statistics.ts';
import type { Turn } from './turn.ts';
import type { Method } from './weigh.ts';
import type { Unit, Workload } from './workloads.ts';

/** All turns of one peer with one setup. */
export interface Series {
  readonly peer: string;
  readonly setup: Setup;
  readonly turns: readonly Turn[];
}

/** All that was found for one workload. */
export interface Weighing {
  readonly workload: Workload;
  readonly placement: string;
  readonly series: readonly Series[];
  /** Peers that did not start, or do something else than the others, and why. */
  readonly failures: readonly string[];
}

/** One line of the table: medians over the valid turns. */
export interface Line {
  readonly peer: string;
  readonly setup: Setup;
  readonly cost: number;
  /** How far the middle half of the costs lies apart, as a share of the median. */
  readonly spread: number;
  /** The median of the cost divided by nginx's in the same round and with the same setup. */
  readonly ratioToNginx: number;
  /** The same with this peer's own first setup; NaN for that one itself. */
  readonly ratioToFirstSetup: number;
  /** Of a workload about what is added: the difference to the first setup, and that divided by nginx's. */
  readonly added: number;
  readonly addedRatioToNginx: number;
  readonly requestsPerSecond: number;
  readonly bytesPerSecond: number;
  readonly busy: number;
  readonly p50: number;
  readonly p99: number;
  readonly resumed: number;
  readonly memory: number;
  readonly rounds: number;
  /** What made turns invalid, each kind once. */
  readonly trouble: readonly string[];
  readonly invalid: number;
}

/** What is written as JSON. */
export interface Report {
  readonly date: string;
  readonly command: string;
  readonly machine: Machine;
  readonly versions: Readonly<Record<string, string>>;
  readonly backend: string;
  readonly method: Method;
  /** Lines about what was left out, and why. */
  readonly notes: readonly string[];
  readonly workloads: readonly WorkloadReport[];
}

/** One workload of the report: its lines, and every turn they come from. */
export interface WorkloadReport {
  readonly name: string;
  readonly title: string;
  readonly unit: Unit;
  readonly placement: string;
  readonly lines: readonly Line[];
  readonly failures: readonly string[];
  readonly series: readonly Series[];
}

/** Reduces the turns of a workload to its lines. */
export function summarize({ workload, placement, series, failures }: Weighing): WorkloadReport {
  const find = (peer: string, setup: Setup): Series | undefined =>
    series.find((each) => each.peer === peer && each.setup.label === setup.label);
  const [first] = workload.setups;
  const addedOf = (each: Series | undefined): (number | undefined)[] => {
    const own = each && find(each.peer, first);
    return each === undefined || own === undefined ? [] : differences(costs(each), costs(own));
  };
  const lines = series.map((each): Line => {
    const nginx = find('nginx', each.setup);
    const own = find(each.peer, first);
    const isFirst = each.setup.label === first.label;
    const valid = each.turns.filter((turn) => turn.trouble === '');
    const added = workload.added && !isFirst ? addedOf(each) : [];
    return {
      peer: each.peer,
      setup: each.setup,
      cost: median(valid.map((turn) => turn.cost)),
      spread: spread(valid.map((turn) => turn.cost)),
      ratioToNginx: nginx === undefined ? Number.NaN : medianRatio(costs(each), costs(nginx)),
      ratioToFirstSetup: own === undefined || isFirst ? Number.NaN : medianRatio(costs(each), costs(own)),
      added: median(added.filter((value) => value !== undefined)),
      addedRatioToNginx: medianRatio(added, addedOf(nginx)),
      requestsPerSecond: median(present(valid, 'requestsPerSecond')),
      bytesPerSecond: median(present(valid, 'bytesPerSecond')),
      busy: median(present(valid, 'busy')),
      p50: median(present(valid, 'p50')),
      p99: median(present(valid, 'p99')),
      resumed: median(present(valid, 'resumed')),
      memory: median(valid.map((turn) => turn.memory)),
      rounds: each.turns.length,
      trouble: [...new Set(each.turns.map((turn) => turn.trouble).filter((text) => text !== ''))],
      invalid: each.turns.length - valid.length,
    };
  });
  return {
    name: workload.name,
    title: workload.title,
    unit: workload.unit,
    placement,
    lines,
    failures,
    series,
  };
}

/** The costs by round, missing where the turn is invalid. */
function costs(series: Series): (number | undefined)[] {
  return series.turns.map((turn) => (turn.trouble === '' ? turn.cost : undefined));
}

function present(
  turns: readonly Turn[],
  key: 'requestsPerSecond' | 'bytesPerSecond' | 'busy' | 'p50' | 'p99' | 'resumed',
): number[] {
  return turns.map((turn) => turn[key]).filter((value) => value !== undefined);
}
