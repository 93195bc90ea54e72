/** Starts the server: checks the configuration, opens everything, and hands over to `supervise`. */
import { arch, release, type } from 'node:os';
import { createConnectionCounters } from '../shared/counters.ts';
import { PeerTable } from '../shared/peer-table.ts';
import { SlotDirectory } from '../shared/slot-directory.ts';
import { PRODUCT } from '../version.ts';
import { describeConfigurationError, type Loaded, load, openFilesLimit, warnOfLimits } from './check.ts';
import { daemonize, daemonSide } from './daemon.ts';
import { applyEnvironment } from './environment.ts';
import { createProcessSecret } from './secret.ts';
import type { Startup } from './startup.ts';

/** Room for workers of later configurations, and for those of earlier ones that are still shutting down. */
const SMALLEST_CAPACITY = 64;

/** @returns the exit code where it did not come to serving; undefined where the process goes on */
export async function start(startup: Startup): Promise<number | undefined> {
  const { log } = startup;
  const daemon = daemonSide();
  if (daemon !== undefined) log.tellTo(daemon.descriptor);

  let loaded: Loaded;
  try {
    loaded = load(startup, undefined);
  } catch (error) {
    const { level, message } = describeConfigurationError(error);
    log.write(level, message);
    return 1;
  }
  if (loaded.main.daemon && daemon === undefined) {
    return daemonize(loaded.errorLogs.some(({ kind }) => kind === 'stderr'));
  }
  warnOfLimits(startup, loaded);

  const environment = { ...process.env };
  applyEnvironment(environment, loaded.main.env);
  process.title = `portico: master process ${process.argv.slice(2).join(' ')}`.trimEnd();

  const capacity = Math.max(SMALLEST_CAPACITY, loaded.workers * 2);
  const peers = PeerTable.create({ workers: capacity });
  const tables = {
    peers,
    counters: createConnectionCounters(capacity),
    directory: new SlotDirectory(peers),
    secret: createProcessSecret(),
  };
  // Not needed for a daemon's parent, nor where the configuration is bad.
  const [{ openWorkerPool }, { supervise }] = await Promise.all([
    import('./workers.ts'),
    import('./supervise.ts'),
  ]);
  const pool = openWorkerPool(startup, tables, capacity);
  const announce = () => {
    log.write('notice', PRODUCT);
    log.write('notice', `running on Node.js ${process.versions.node}`);
    log.write('notice', `OS: ${type()} ${release()} ${arch()}`);
    log.write('notice', `getrlimit(RLIMIT_NOFILE): ${openFilesLimit() ?? 'unlimited'}`);
  };
  const master = { startup, tables, pool, environment, daemonized: daemon !== undefined, announce };
  if (!(await supervise(master, loaded))) return 1;
  daemon?.up();
  return undefined;
}
