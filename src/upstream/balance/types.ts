/** What the rest of `upstream/` sees of a balancing method. */

import type { PeerTable } from '../../shared/peer-table.ts';

/** One address of a `server` directive: what nginx calls a peer. */
export interface PeerDescription {
  /** As in `$upstream_addr`: `127.0.0.1:8080`, `[::1]:8080`, `unix:/run/app.sock`. */
  address: string;
  /** The server as the `server` directive has it; consistent hashing places servers by it. */
  name: string;
  /** `weight=`, 1 or more. */
  weight: number;
  /** `max_fails=`; 0 = failures are not counted against it. */
  maxFails: number;
  /** `fail_timeout=`, in seconds. */
  failTimeout: number;
  /** `max_conns=`; 0 = no limit. */
  maxConns: number;
  /** `down`. */
  down: boolean;
  /** `drain`: only sessions already bound to it (`Selection.preferred`) go there. */
  draining?: boolean;
  /** `backup`. */
  backup: boolean;
  /** The peer's slot in the peer table. */
  slot: number;
}

/**
 * How an attempt ended, as nginx tells its balancers:
 * - `ok`: nothing to hold against the peer (also: the client went away);
 * - `next`: 403 or 404 with `proxy_next_upstream http_403|http_404`: tried elsewhere, not the peer's failure;
 * - `failed`: an unsuccessful attempt; counts towards `max_fails`.
 */
export type AttemptOutcome = 'ok' | 'next' | 'failed';

/**
 * The choosing for one request, from the first attempt to the last. It belongs to whoever serves the request and may be
 * used again for another: `Balancer.begin` makes it new. All but `tries` and `preferred` are the balancer's own.
 */
export interface Selection {
  /** Index in `Balancer.peers` of the peer counted for this request; -1 = none. */
  peer: number;
  /** How many attempts are left. The caller may lower it (`proxy_next_upstream_tries`) or give one back (an idle
   * connection that turned out to be closed). `release` counts it down. */
  tries: number;
  /** Index in `Balancer.peers` of the peer a session is bound to (`sticky`); -1 = none. Set between `begin` and `choose`. */
  preferred: number;
  /** What hash methods hash. */
  key: string;
  /** Whether the choice has gone on to the backup servers. It never goes back. */
  backup: boolean;
  /** Bit n: the n-th peer of the current set (primary or backup) has been tried. */
  tried: number;
  /** The same for peers 32 and on; null where no set has that many. */
  triedBeyond: Int32Array | null;
  /** How many picks of a hash or random method led to a peer that could not be used. */
  misses: number;
  /** State of a hash method between attempts. */
  hash: number;
  /** Which round of re-hashing a hash method is in. */
  rehash: number;
  /** Where the counted peer's line begins in the table; -1 = none. */
  line: number;
}

/** The choice of a peer for a request, by one method over one group. Made at link time. */
export interface Balancer {
  /** The peers, in the order they were given. */
  readonly peers: readonly PeerDescription[];
  /** Whether there is one server and no backup: it is then never taken out of service, and never tried twice. */
  readonly single: boolean;
  /**
   * Makes `selection` ready for a new request; sets `tries` to the number of servers that are not down.
   *
   * @param key for `hash` the evaluated key; for `ip_hash` the client's address as in `$remote_addr`; else ''
   */
  begin(selection: Selection, key: string): void;
  /**
   * Chooses a peer and counts one active connection for it.
   *
   * @param now seconds, of a clock that all workers share
   * @returns the peer's index in `peers`, also in `selection.peer`; -1 = "no live upstreams"
   */
  choose(selection: Selection, now: number): number;
  /**
   * Ends the attempt: uncounts the connection, takes note of the outcome, counts `selection.tries` down. Nothing happens
   * where no peer is counted, so that it may be called on every path.
   *
   * @returns whether the peer is now out of service for its `fail_timeout` ("upstream server temporarily disabled", warn)
   */
  release(selection: Selection, outcome: AttemptOutcome, now: number): boolean;
}

/** The directives of an `upstream` block that say how to balance. */
export type BalancingMethod =
  | { readonly name: 'round_robin' }
  | { readonly name: 'least_conn' }
  | { readonly name: 'ip_hash' }
  | { readonly name: 'hash'; readonly consistent: boolean }
  | { readonly name: 'random'; readonly two: boolean };

/** What a balancer is made of. */
export interface BalancerOptions {
  /** The calling thread's view of the peer table. The master has configured the slots (`PeerTable.configure`). */
  table: PeerTable;
  /** The group's slot in the table. */
  group: number;
  /** All servers, backup servers too, in the order of the configuration. */
  peers: readonly PeerDescription[];
  method: BalancingMethod;
  /** For `random`: a number in [0, 1). Default: Math.random. */
  random?: () => number;
}
