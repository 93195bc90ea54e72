/** The machine a run is made on: its processors, its programs and their versions. */
import { execFileSync } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { delimiter, join } from 'node:path';

/** Which processors the proxies have and which the load and the backend have. */
export interface Placement {
  readonly proxy: readonly number[];
  readonly load: readonly number[];
  /** How that is, in words. */
  readonly description: string;
}

/** Where a program is, or undefined. Debian keeps servers in directories that are not on everybody's PATH. */
export function findProgram(name: string): string | undefined {
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/sbin'];
  for (const directory of directories) {
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not here
    }
  }
  return undefined;
}

/**
 * What a program says of its version, both streams, first match of the pattern's first group.
 * @returns `unknown` when it says nothing of that form
 */
export function versionOf(program: string, flag: string, pattern: RegExp): string {
  try {
    // Some write it to standard error, and wrk ends with 1 after it.
    const text = execFileSync('/bin/sh', ['-c', '"$0" "$1" 2>&1; true', program, flag], {
      encoding: 'latin1',
    });
    return pattern.exec(text)?.[1] ?? 'unknown';
  } catch {
    return 'unknown';
  }
}

/** nginx's workers give up root's rights, and with them the way into our temporary directory. */
export function userDirective(): string {
  return process.getuid?.() === 0 ? 'user root;' : '';
}

/** The processors this process may use. */
export function allowedCores(): number[] {
  const list = /^Cpus_allowed_list:\s*(.+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1];
  return list === undefined ? cpus().map((_, index) => index) : parseCoreList(list);
}

/** Reads the kernel's form of a set of processors: `0-3,8`. */
export function parseCoreList(list: string): number[] {
  return list
    .trim()
    .split(',')
    .flatMap((range) => {
      const [first, last = first] = range.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, offset) => first + offset);
    });
}

/**
 * Deals out the processors: one for each worker of a proxy, the next one for load and backend.
 *
 * The load has one and not all the others, so that a run on a large machine is as one on a small one.
 * Where there are too few, all share all of them.
 */
export function placeOn(cores: readonly number[], workers: number): Placement {
  if (cores.length < workers + 1) {
    return {
      proxy: cores,
      load: cores,
      description: `proxy, load and backend share processors ${cores.join(',')}`,
    };
  }
  const proxy = cores.slice(0, workers);
  const load = cores.slice(workers, workers + 1);
  return {
    proxy,
    load,
    description: `proxy on processor ${proxy.join(',')}, load and backend on ${load.join(',')}`,
  };
}

/** How many files this process and those it starts may have open. */
export function openFileLimit(): number {
  const limits = readFileSync('/proc/self/limits', 'latin1');
  const soft = /^Max open files\s+(\w+)/m.exec(limits)?.[1];
  return soft === undefined || soft === 'unlimited' ? 1_048_576 : Number(soft);
}

/** What the results say of the machine. */
export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryMegabytes: number;
  readonly kernel: string;
  readonly system: string;
  /** Processes that wanted a processor in the minute before the run. Near 0 is what one wants. */
  readonly loadBefore: number;
}

/** Reads all of it. */
export function describeMachine(): Machine {
  let system = 'unknown';
  try {
    system = /^PRETTY_NAME="?(.*?)"?$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? system;
  } catch {
    // some minimal images have none
  }
  return {
    processor: cpus()[0]?.model ?? 'unknown',
    cores: allowedCores().length,
    memoryMegabytes: Math.round(totalmem() / 1_048_576),
    kernel: release(),
    system,
    loadBefore: loadavg()[0],
  };
}
