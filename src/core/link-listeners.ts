/** Linking the addresses that are listened on, and the choice between the servers of each. */
import { isDeepStrictEqual } from 'node:util';
import { requestHeadLimits } from './head-limits.ts';
import { coreDirectives } from './http-core.ts';
import type { Link } from './link.ts';
import {
  type AddressServers,
  defaultListen,
  groupListeners,
  type ListenEntry,
  readListen,
} from './listen.ts';
import { hasCaptures, ServerNames } from './server-names.ts';
import type { Listener, Server, VirtualServers } from './site.ts';

/**
 * The sockets the servers ask for.
 * @param servers in the order of the file
 * @throws ConfigError those of `listen` and `server_name`
 */
export async function linkListeners(servers: readonly Server[], link: Link): Promise<readonly Listener[]> {
  const entries: ListenEntry<Server>[] = [];
  for (const server of servers) {
    const { listen } = server.scope.settings(coreDirectives);
    for (const statement of listen) {
      const warn = (message: string) => link.warn(statement, message);
      const addresses = await readListen(statement, (host) => link.runtime.resolve(host), warn);
      for (const address of addresses) entries.push({ server, address, statement });
    }
    if (listen.length === 0) entries.push({ server, address: defaultListen(), statement: undefined });
  }

  /** Lookup by name is needed where there is a choice, or where the name has captures to be taken. */
  const virtualServers = (at: AddressServers<Server>): VirtualServers => {
    if (at.servers.length === 1 && !hasCaptures(at.default.names)) {
      return { default: at.default, names: undefined, limitsOf: undefined };
    }
    const all = at.servers.flatMap((server) => server.names.map((name) => ({ ...name, server })));
    const names = ServerNames.build(all, at.address.text, (message, { server, statement }) =>
      link.warn(statement ?? server.scope.statement!, message),
    );
    return { default: at.default, names, limitsOf: limitsByHost(at, names) };
  };

  return groupListeners(entries).map((group): Listener => {
    const { address, byLocalAddress } = group;
    const special =
      byLocalAddress === undefined
        ? undefined
        : new Map([...byLocalAddress].map(([host, at]) => [host, virtualServers(at)] as const));
    return { address, byLocalAddress: special, servers: virtualServers(group) };
  });
}

function limitsByHost(at: AddressServers<Server>, names: ServerNames): VirtualServers['limitsOf'] {
  const limits = new Map(at.servers.map((server) => [server, requestHeadLimits(server)]));
  const usual = limits.get(at.default)!;
  if ([...limits.values()].every((other) => isDeepStrictEqual(other, usual))) return undefined;
  return (host) => limits.get(names.find(host, undefined) ?? at.default) ?? usual;
}
