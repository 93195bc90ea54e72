/** What the master knows while it serves. Its parts change it one after the other, in the order `supervise` lets them. */
import type { Tables } from './check.ts';
import type { Crew } from './crew.ts';
import type { Generations } from './generations.ts';
import type { Identity } from './privileges.ts';
import type { Startup } from './startup.ts';
import type { WorkerPool } from './workers.ts';

/** What the master works with. */
export interface Master {
  readonly startup: Startup;
  readonly tables: Tables;
  readonly pool: WorkerPool;
  /** The environment the process was started with. */
  readonly environment: Readonly<NodeJS.ProcessEnv>;
  readonly daemonized: boolean;
  /** Called once, when the first configuration is in use and its error log takes the messages. */
  readonly announce: () => void;
}

/** What it has come to. */
export interface Service {
  readonly master: Master;
  readonly crew: Crew;
  readonly generations: Generations;
  /** Whom the process has become; undefined: nobody else. */
  identity: Identity | undefined;
  /** The pid file that has been written; '' for none. */
  pidPath: string;
  shuttingDown: 'graceful' | 'fast' | undefined;
}
