/**
 * What groups of upstream servers need of the thread they are linked in: core's `Runtime` and `Link` have all of it.
 */
import type { Statement } from '../config/statement.ts';
import type { ConnectionLimit } from '../event/connection-limit.ts';
import type { TimerWheel } from '../event/timers.ts';
import type { PeerParameters, PeerTable } from '../shared/peer-table.ts';

/** See `Runtime` of core/runtime.ts. */
export interface UpstreamRuntime {
  /** -1 in the master, which serves nothing. */
  readonly worker: number;
  readonly timers: TimerWheel;
  readonly peers: PeerTable;
  readonly connections: ConnectionLimit;
  slot(key: string): number;
  /**
   * What a peer's slot is to be configured with. The master writes it to the table once the configuration is accepted;
   * in a worker it has been written already, and this does nothing.
   */
  configurePeer(slot: number, group: number, parameters: PeerParameters): void;
  resolve(host: string): Promise<readonly string[]>;
  keep<Kept extends { close(): void }>(key: string, create: () => Kept): Kept;
}

/** See `Link` of core/link.ts. */
export interface UpstreamLink {
  readonly runtime: UpstreamRuntime;
  defer(task: () => Promise<void>): void;
  warn(statement: Statement, message: string): void;
  state<State>(key: symbol, create: () => State): State;
}
