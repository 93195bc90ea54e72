/** Linking the addresses that are listened on, and the choice between the servers of each. */
import { isDeepStrictEqual } from 'node:util';
import { ConfigError } from '../config/statement.ts';
import type { EngineName } from './engine-name.ts';
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
 * @param engine `use`: serves what has no engine of its own
 * @throws ConfigError those of `listen` and `server_name`
 */
export async function linkListeners(
  servers: readonly Server[],
  engine: EngineName,
  link: Link,
): Promise<readonly Listener[]> {
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
    const { ssl } = at.address;
    if (ssl) checkTls(at);
    if (at.servers.length === 1 && !hasCaptures(at.default.names)) {
      return { default: at.default, names: undefined, limitsOf: undefined, ssl };
    }
    const all = at.servers.flatMap((server) => server.names.map((name) => ({ ...name, server })));
    const names = ServerNames.build(all, at.address.text, (message, { server, statement }) =>
      link.warn(statement ?? server.scope.statement!, message),
    );
    return { default: at.default, names, limitsOf: limitsByHost(at, names), ssl };
  };

  return groupListeners(entries).map((group): Listener => {
    const { byLocalAddress } = group;
    const address = { ...group.address, engine: group.address.engine ?? engine };
    const all = [group, ...(byLocalAddress?.values() ?? [])].flatMap((at) => at.servers);
    const special =
      byLocalAddress === undefined
        ? undefined
        : new Map([...byLocalAddress].map(([host, at]) => [host, virtualServers(at)] as const));
    return { address, all, byLocalAddress: special, servers: virtualServers(group) };
  });
}

/** Each handshake has to have a certificate: nginx's ngx_http_ssl_init. */
function checkTls({ default: first, servers }: AddressServers<Server>): void {
  if (first.tls?.contexts !== undefined) return;
  // Without one in the default server, each server that does not refuse has to have its own.
  for (const { tls, scope } of first.tls?.rejectsHandshake ? servers : [first]) {
    if (tls?.contexts !== undefined || tls?.rejectsHandshake) continue;
    const { file, line } = scope.statement!;
    throw new ConfigError(
      `no "ssl_certificate" is defined for the "listen ... ssl" directive in ${file}:${line}`,
    );
  }
}

function limitsByHost(at: AddressServers<Server>, names: ServerNames): VirtualServers['limitsOf'] {
  const limits = new Map(at.servers.map((server) => [server, requestHeadLimits(server)]));
  const usual = limits.get(at.default)!;
  if ([...limits.values()].every((other) => isDeepStrictEqual(other, usual))) return undefined;
  return (host) => limits.get(names.find(host, undefined) ?? at.default) ?? usual;
}
