/** The command line. */
import { parseArgs } from 'node:util';
import { peers } from './peers.ts';
import type { Method } from './weigh.ts';
import { type Sweep, workloads } from './workloads.ts';

/** What a run is asked to do. */
export interface Options {
  readonly workloads: readonly string[];
  readonly peers: readonly string[];
  readonly method: Method;
  readonly quick: boolean;
  readonly sweep: Sweep | undefined;
  /** Where the JSON goes; the chart goes beside it. */
  readonly json: string;
}

/** What `--help` prints. */
export const usage = `npm run bench -- [options]

Does the same work with Portico and with other proxies, in turns, and says what each costs.

  --only NAME[,NAME]     these workloads: ${workloads.map((each) => each.name).join(', ')}
  --peers NAME[,NAME]    these proxies: ${peers.map((each) => each.name).join(', ')}
  --rounds N             turns of each proxy (9)
  --seconds N            seconds of a turn (1)
  --quick                a first look, at some of them, in two minutes
  --sweep worker_connections=256,1024,4096
  --sweep worker_processes=1,2
                         each workload once with each value
  --json FILE            where the results go, with a chart beside (native-bench/results/last.json)
`;

/**
 * Reads the arguments.
 * @param fallback where the JSON goes when nothing is said
 * @returns undefined when help was asked for
 * @throws Error that says what is wrong
 */
export function readOptions(argv: readonly string[], fallback: string): Options | undefined {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      only: { type: 'string', multiple: true },
      peers: { type: 'string', multiple: true },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      sweep: { type: 'string' },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const rounds = readNumber('--rounds', values.rounds, values.quick ? 3 : 9);
  if (!Number.isInteger(rounds)) throw new Error(`--rounds: a whole number, not ${rounds}`);
  const seconds = readNumber('--seconds', values.seconds, values.quick ? 0.4 : 1);
  const asked = readNames(
    '--only',
    values.only,
    workloads.map((each) => each.name),
  );
  return {
    workloads:
      values.quick && values.only === undefined
        ? workloads.filter((each) => !each.thorough).map((each) => each.name)
        : asked,
    peers: readNames(
      '--peers',
      values.peers,
      peers.map((each) => each.name),
    ),
    method: { rounds, seconds, warmUp: values.quick ? 0.8 : 3 * seconds },
    quick: values.quick,
    sweep: values.sweep === undefined ? undefined : readSweep(values.sweep),
    json: values.json ?? fallback,
  };
}

/**
 * Reads `setting=value,value`.
 * @throws Error for another setting, and for what is no number
 */
function readSweep(text: string): Sweep {
  const [setting, list = ''] = text.split('=');
  if (setting !== 'worker_connections' && setting !== 'worker_processes') {
    throw new Error(`--sweep: worker_connections or worker_processes, not ${setting}`);
  }
  const values = list.split(',').map((value) => readNumber(`--sweep ${setting}`, value, Number.NaN));
  if (!values.every(Number.isInteger)) throw new Error(`--sweep ${setting}: whole numbers, not ${list}`);
  return { setting, values };
}

function readNames(option: string, given: readonly string[] | undefined, known: readonly string[]): string[] {
  if (given === undefined) return [...known];
  const names = given.flatMap((list) => list.split(',')).filter((name) => name !== '');
  for (const name of names) {
    if (!known.includes(name)) throw new Error(`${option}: no ${name}; there are ${known.join(', ')}`);
  }
  return known.filter((name) => names.includes(name));
}

function readNumber(option: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const number = Number(text);
  if (!(number > 0) || text.trim() === '') throw new Error(`${option}: a number above 0, not '${text}'`);
  return number;
}
