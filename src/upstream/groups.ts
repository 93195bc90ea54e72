/**
 * The groups of upstream servers of one configuration, while it is linked and afterwards. The modules of the upstream
 * family each tell it what their directive says (servers, method, pool), in any order; what they amount to is put
 * together when everything has been linked.
 */

import type { Scope } from '../config/scope.ts';
import { ConfigError, errorAtEnd, type Statement } from '../config/statement.ts';
import { type PeerAddress, parseAddress } from './address.ts';
import type { UpstreamGroup, UpstreamGroups } from './client.ts';
import { addressesOf, Group, type GroupMethod, type ResolvedServer } from './group.ts';
import { ConnectionPool, DEFAULT_POOL, NO_POOL, type PoolSettings } from './pool.ts';
import type { UpstreamLink, UpstreamRuntime } from './runtime.ts';
import { DEFAULT_PARAMETERS, type ServerLine } from './server-line.ts';

export type { UpstreamGroups } from './client.ts';

/** What a method's directive says. */
export interface MethodDeclaration<Subject> extends GroupMethod<Subject> {
  /** Whether `server ... backup` may follow it. */
  readonly backup: boolean;
}

/** The groups of one configuration, as the modules of the upstream family see them. */
export interface UpstreamGroupRegistry<Subject> extends UpstreamGroups<Subject> {
  /**
   * An `upstream` block.
   * @throws ConfigError `duplicate upstream "x"`, `no servers are inside upstream`
   */
  define(block: Scope, servers: readonly ServerLine[]): void;
  /** The balancing method of a block; of several the last in the file holds, and each but the first is a warning. */
  setMethod(block: Scope, directive: Statement, method: MethodDeclaration<Subject>): void;
  /** `keepalive` and its companions of a block. */
  setPool(block: Scope, pool: PoolSettings): void;
}

const STATE = Symbol('upstream groups');

/** The groups of the configuration that is being linked. `Subject` is what a key is taken from: the exchange. */
export function upstreamGroups<Subject>(link: UpstreamLink): UpstreamGroupRegistry<Subject> {
  return link.state(STATE, () => new Registry<Subject>(link));
}

/** What is known of an `upstream` block so far. */
interface BlockDraft<Subject> {
  servers: readonly ServerLine[];
  methods: { statement: Statement; declaration: MethodDeclaration<Subject> }[];
  pool: PoolSettings;
}

interface Entry<Subject> {
  readonly host: string;
  /** 0 for a block. */
  readonly port: number;
  /** A block's scope; undefined for a URL. */
  readonly block: Scope | undefined;
  /** The block, or the first directive with the URL. */
  readonly statement: Statement;
  readonly group: Group<Subject>;
}

/** Groups of a single address made while serving; the oldest goes. */
const MOST_ADDRESSES = 1024;

class Registry<Subject> implements UpstreamGroupRegistry<Subject> {
  readonly #runtime: UpstreamRuntime;
  readonly #warn: (statement: Statement, message: string) => void;
  readonly #drafts = new Map<Scope, BlockDraft<Subject>>();
  /** By name in lower case. */
  readonly #entries = new Map<string, Entry<Subject>[]>();
  readonly #addresses = new Map<string, Group<Subject>>();
  #addressPool: ConnectionPool | undefined;

  constructor(link: UpstreamLink) {
    this.#runtime = link.runtime;
    this.#warn = (statement, message) => link.warn(statement, message);
    link.defer(() => this.#settle());
  }

  define(block: Scope, servers: readonly ServerLine[]): void {
    const statement = block.statement!;
    const [name = ''] = statement.args;
    if (servers.length === 0) throw errorAtEnd(statement, 'no servers are inside upstream');
    const entries = this.#entriesOf(name);
    if (entries.some((entry) => entry.block !== undefined)) {
      throw new ConfigError(`duplicate upstream "${name}"`, { statement });
    }
    entries.push({ host: name, port: 0, block, statement, group: new Group(name) });
    this.#draftOf(block).servers = servers;
  }

  setMethod(block: Scope, statement: Statement, declaration: MethodDeclaration<Subject>): void {
    this.#draftOf(block).methods.push({ statement, declaration });
  }

  setPool(block: Scope, pool: PoolSettings): void {
    this.#draftOf(block).pool = pool;
  }

  use(host: string, port: number, hasPort: boolean, statement: Statement): UpstreamGroup<Subject> {
    const entries = this.#entriesOf(host);
    for (const entry of entries) {
      if (entry.block !== undefined && hasPort) {
        throw new ConfigError(`upstream "${host}" may not have port ${port}`, { statement });
      }
      if (entry.block !== undefined || entry.port === port) return entry.group;
    }
    const group = new Group<Subject>(host);
    entries.push({ host, port, block: undefined, statement, group });
    return group;
  }

  find(host: string, port: number, hasPort: boolean): UpstreamGroup<Subject> | undefined {
    const entries = this.#entries.get(host.toLowerCase());
    if (entries !== undefined) {
      for (const entry of entries) {
        if (entry.block === undefined ? entry.port === port : !hasPort) return entry.group;
      }
    }
    const key = `${host} ${port}`;
    const known = this.#addresses.get(key);
    if (known !== undefined) return known;
    const address = literalAddress(host, port);
    if (address === undefined) return undefined;
    const group = new Group<Subject>(host);
    this.#addressPool ??= this.#runtime.keep('upstream addresses', () => {
      return new ConnectionPool(NO_POOL, this.#runtime.connections);
    });
    group.settleAddresses(this.#runtime, [address], this.#addressPool);
    if (this.#addresses.size >= MOST_ADDRESSES) this.#addresses.delete(this.#addresses.keys().next().value!);
    this.#addresses.set(key, group);
    return group;
  }

  #entriesOf(host: string): Entry<Subject>[] {
    const name = host.toLowerCase();
    let entries = this.#entries.get(name);
    if (entries === undefined) {
      entries = [];
      this.#entries.set(name, entries);
    }
    return entries;
  }

  #draftOf(block: Scope): BlockDraft<Subject> {
    let draft = this.#drafts.get(block);
    if (draft === undefined) {
      draft = { servers: [], methods: [], pool: DEFAULT_POOL };
      this.#drafts.set(block, draft);
    }
    return draft;
  }

  async #settle(): Promise<void> {
    for (const entries of this.#entries.values()) {
      for (const entry of entries) {
        if (entry.block === undefined) await this.#settleUrl(entry);
        else await this.#settleBlock(entry, entry.block);
      }
    }
  }

  async #settleBlock(entry: Entry<Subject>, block: Scope): Promise<void> {
    const { servers, methods, pool } = this.#draftOf(block);
    const place = new Map(block.entries.map((item, index) => [item.statement, index]));
    const placeOf = (statement: Statement): number => place.get(statement) ?? 0;
    methods.sort((left, right) => placeOf(left.statement) - placeOf(right.statement));
    for (const { statement } of methods.slice(1)) this.#warn(statement, 'load balancing method redefined');
    for (const { statement, parameters } of servers) {
      const before = methods.findLast((method) => placeOf(method.statement) < placeOf(statement));
      if (parameters.backup && before !== undefined && !before.declaration.backup) {
        throw new ConfigError('balancing method does not support parameter "backup"', { statement });
      }
    }
    if (servers.every((server) => server.parameters.backup)) {
      throw new ConfigError(`no servers in upstream "${entry.host}"`, { statement: entry.statement });
    }
    const resolved: ResolvedServer[] = [];
    for (const server of servers) {
      const addresses =
        server.address === undefined
          ? await this.#resolve(server.host, server.port, server.name, server.statement)
          : [server.address];
      resolved.push({ name: server.name, addresses, parameters: server.parameters });
    }
    const method = methods.at(-1)?.declaration ?? ROUND_ROBIN;
    entry.group.settle(this.#runtime, entry.host, resolved, method, pool);
  }

  async #settleUrl(entry: Entry<Subject>): Promise<void> {
    const { host, port, statement } = entry;
    const literal = literalAddress(host, port);
    if (literal === undefined && port === 0)
      throw new ConfigError(`no port in upstream "${host}"`, { statement });
    const addresses = literal === undefined ? await this.#resolve(host, port, host, statement) : [literal];
    // One address, given as such, is never taken out of service anyway.
    const parameters = literal === undefined ? DEFAULT_PARAMETERS : { ...DEFAULT_PARAMETERS, maxFails: 0 };
    const server = { name: literal === undefined ? host : literal.text, addresses, parameters };
    entry.group.settle(this.#runtime, this.#keyOf(host, port), [server], ROUND_ROBIN, NO_POOL);
  }

  /** `host:port`, unless an `upstream` block has just that name. */
  #keyOf(host: string, port: number): string {
    let key = port === 0 ? host : `${host.toLowerCase()}:${port}`;
    while (this.#entries.get(key.toLowerCase())?.some((entry) => entry.block !== undefined)) key += '/';
    return key;
  }

  async #resolve(host: string, port: number, shown: string, statement: Statement): Promise<PeerAddress[]> {
    let hosts: readonly string[] = [];
    try {
      hosts = await this.#runtime.resolve(host);
    } catch (error) {
      throw new ConfigError(`host not found in upstream "${shown}"`, { statement, cause: error });
    }
    if (hosts.length === 0) throw new ConfigError(`host not found in upstream "${shown}"`, { statement });
    return addressesOf(hosts, port);
  }
}

const ROUND_ROBIN: GroupMethod<unknown> = { method: { name: 'round_robin' }, key: undefined };

/** The address a host stands for without being resolved; undefined for a name, and for an IP address without a port. */
function literalAddress(host: string, port: number): PeerAddress | undefined {
  const parsed = parseAddress(host, port, false);
  if (typeof parsed === 'string' || parsed.address === undefined) return undefined;
  return parsed.address.path === '' && port === 0 ? undefined : parsed.address;
}
