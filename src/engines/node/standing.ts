/** Where one client connection stands in the worker's books: in the counts of `stub_status`, and among the idle ones. */
import type { Runtime } from '../../core/runtime.ts';
import type { ConnectionLimit, Reusable } from '../../event/connection-limit.ts';
import {
  ACTIVE_CONNECTIONS,
  type ConnectionCounters,
  HANDLED,
  type READING,
  WAITING,
  type WRITING,
} from '../../shared/counters.ts';
import type { ClientConnection } from './connection.ts';

/** What a connection is at. */
export type Activity = typeof READING | typeof WRITING | typeof WAITING;

export class ConnectionStanding implements Reusable {
  nextIdle: Reusable | undefined = undefined;
  previousIdle: Reusable | undefined = undefined;
  /** True while it stands in the queue of those that may be closed when places are short. */
  idle = false;
  activity: Activity = WAITING;
  private readonly connection: ClientConnection;
  private readonly counters: ConnectionCounters;
  private readonly connections: ConnectionLimit;

  /** Counts a connection for which the limit has granted a place. */
  constructor(connection: ClientConnection, { counters, connections }: Runtime) {
    this.connection = connection;
    this.counters = counters;
    this.connections = connections;
    counters.add(HANDLED, 1);
    counters.add(ACTIVE_CONNECTIONS, 1);
    counters.add(WAITING, 1);
  }

  become(activity: Activity): void {
    if (activity === this.activity) return;
    this.counters.move(this.activity, activity);
    this.activity = activity;
  }

  enterIdle(): void {
    this.idle = true;
    this.connections.enterIdle(this);
  }

  leaveIdle(): void {
    this.idle = false;
    this.connections.leaveIdle(this);
  }

  /** ConnectionLimit: its place is needed, and it has been taken out of the queue. */
  closeIdle(): void {
    this.idle = false;
    this.connection.close();
  }

  /** The connection is gone. */
  release(): void {
    if (this.idle) this.leaveIdle();
    this.counters.add(this.activity, -1);
    this.counters.add(ACTIVE_CONNECTIONS, -1);
    this.connections.release();
  }
}
