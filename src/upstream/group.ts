/**
 * One group of upstream servers, as a request uses it: the addresses, who chooses among them, and the idle connections.
 */
import { groupKey, peerKey } from '../shared/slot-directory.ts';
import { addressOf, type PeerAddress } from './address.ts';
import { Attempts, type AttemptsGroup } from './attempts.ts';
import {
  type Balancer,
  type BalancingMethod,
  createAddressListBalancer,
  createBalancer,
  type PeerDescription,
} from './balance/index.ts';
import type { UpstreamAttempts, UpstreamGroup, UpstreamSettings } from './client.ts';
import type { ConnectionHome } from './connection.ts';
import { ConnectionPool, type PoolBucket, type PoolSettings } from './pool.ts';
import type { UpstreamRuntime } from './runtime.ts';
import type { ServerParameters } from './server-line.ts';
import { RequestTurn } from './turn.ts';

/** One `server`, its name resolved. */
export interface ResolvedServer {
  /** As the directive writes it. */
  readonly name: string;
  readonly addresses: readonly PeerAddress[];
  readonly parameters: ServerParameters;
}

/** How a group chooses. */
export interface GroupMethod<Subject> {
  readonly method: BalancingMethod;
  /** What is hashed for an exchange; undefined where the method hashes nothing. */
  readonly key: ((subject: Subject) => string) | undefined;
}

/** A group that exists from the moment it is named, and can be used once it is `settle`d, when linking ends. */
export class Group<Subject> implements UpstreamGroup<Subject>, AttemptsGroup {
  readonly name: string;
  sharing = false;
  #balancer: Balancer | undefined;
  #home: ConnectionHome | undefined;
  #key: ((subject: Subject) => string) | undefined;
  buckets: readonly PoolBucket[] = [];

  constructor(name: string) {
    this.name = name;
  }

  get balancer(): Balancer {
    return this.#balancer!;
  }

  get home(): ConnectionHome {
    return this.#home!;
  }

  begin(settings: UpstreamSettings, subject: Subject): UpstreamAttempts {
    return new Attempts(this, settings, this.#key === undefined ? '' : this.#key(subject));
  }

  /**
   * Makes the group what the configuration says.
   * @param key the group's in the shared table, unique in the configuration
   * @throws ConfigError where the shared table is full
   */
  settle(
    runtime: UpstreamRuntime,
    key: string,
    servers: readonly ResolvedServer[],
    method: GroupMethod<Subject>,
    pool: PoolSettings,
  ): void {
    const group = runtime.slot(groupKey(key));
    const ordinals = new Map<string, number>();
    const peers: PeerDescription[] = [];
    const addresses: PeerAddress[] = [];
    for (const server of servers) {
      for (const address of server.addresses) {
        const ordinal = ordinals.get(address.text) ?? 0;
        ordinals.set(address.text, ordinal + 1);
        const slot = runtime.slot(peerKey(key, address.text, ordinal));
        const peer = { address: address.text, name: server.name, slot, ...server.parameters };
        runtime.configurePeer(slot, group, peer);
        peers.push(peer);
        addresses.push(address);
      }
    }
    this.#key = method.key;
    // The master has only to know that it can be done.
    if (runtime.worker < 0) return;
    this.#balancer = createBalancer({ table: runtime.peers, group, peers, method: method.method });
    const identity = JSON.stringify([key, pool, addresses.map((address) => address.text).sort()]);
    this.#connect(
      runtime,
      addresses,
      runtime.keep(`upstream ${identity}`, () => new ConnectionPool(pool, runtime.connections)),
    );
  }

  /** Makes the group one of fixed addresses that share nothing between requests. */
  settleAddresses(runtime: UpstreamRuntime, addresses: readonly PeerAddress[], pool: ConnectionPool): void {
    this.#balancer = createAddressListBalancer(
      addresses.map(({ text }) => ({
        address: text,
        name: text,
        weight: 1,
        maxFails: 1,
        failTimeout: 10,
        maxConns: 0,
        down: false,
        backup: false,
        slot: 0,
      })),
    );
    this.#connect(runtime, addresses, pool);
  }

  #connect(runtime: UpstreamRuntime, addresses: readonly PeerAddress[], pool: ConnectionPool): void {
    const home = { limit: runtime.connections, timers: runtime.timers, pool };
    const { pipeline } = pool.settings;
    this.sharing = pipeline > 0;
    this.buckets = addresses.map((address) => {
      const bucket = pool.bucket(address);
      if (pipeline > 0) bucket.turn ??= new RequestTurn(home, bucket, pipeline);
      return bucket;
    });
    this.#home = home;
  }
}

/** The peers of a resolved name. @param hosts IP addresses in text */
export function addressesOf(hosts: readonly string[], port: number): PeerAddress[] {
  return hosts.map((host) => addressOf(host, port));
}
