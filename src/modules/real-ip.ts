/**
 * The realip module: takes the client's address from a header where a trusted proxy says it, for this one request:
 * variables, logs, access rules and balancing see that address from then on.
 */
import type { ReadContext } from '../config/directive.ts';
import type { Scope } from '../config/scope.ts';
import { flag, statements, text } from '../config/setters.ts';
import { ConfigError, type Statement } from '../config/statement.ts';
import type { Exchange } from '../core/exchange.ts';
import { forwardedAddress, forwardedByField } from '../core/forwarded-address.ts';
import type { Link } from '../core/link.ts';
import { defineModule } from '../core/module.ts';
import { DECLINED, type PhaseResult } from '../core/phases.ts';
import {
  type AddressMatcher,
  type AddressPattern,
  compileAddresses,
  meaninglessBits,
  parseCidr,
} from '../http/cidr.ts';

const CONTEXTS = ['http', 'server', 'location'];

/** Who is believed. A matcher of their addresses; names are resolved a little later than the rest is linked. */
interface Proxies {
  match: AddressMatcher;
}

/** What one scope's directives come to. */
interface RealIp {
  readonly proxies: Proxies;
  /** In lower case. */
  readonly header: string;
  /** The header's lines count as one list, whose end comes first: X-Forwarded-For. */
  readonly list: boolean;
  readonly recursive: boolean;
}

/** The settings of all scopes of one configuration, and their lists of proxies, which scopes share. */
interface Linked {
  readonly byScope: Map<Scope, RealIp>;
  readonly proxies: Map<readonly Statement[], Proxies>;
}

const STATE = Symbol('realip');

const linkedOf = (link: Link): Linked =>
  link.state(STATE, () => ({ byScope: new Map(), proxies: new Map() }));

function checkFrom({ args }: Statement, report: ReadContext): void {
  if (parseCidr(args[0])?.hasMeaninglessBits) report.warn(meaninglessBits(args[0]));
}

function checkHeader(name: string, report: ReadContext): void {
  if (name === 'proxy_protocol') {
    report.fail('"real_ip_header proxy_protocol" is not supported: listeners do not take the PROXY protocol');
  }
}

/** The proxies of one list of statements, compiled once whatever the number of scopes that share it. */
function proxiesOf(statements: readonly Statement[], link: Link): Proxies {
  const compiled = linkedOf(link).proxies;
  const known = compiled.get(statements);
  if (known !== undefined) return known;
  const proxies = compileProxies(statements, link);
  compiled.set(statements, proxies);
  return proxies;
}

function compileProxies(statements: readonly Statement[], link: Link): Proxies {
  const proxies: Proxies = { match: () => -1 };
  const patterns = statements.map(({ args }): AddressPattern | undefined =>
    args[0] === 'unix:' ? args[0] : parseCidr(args[0]),
  );
  const known = patterns.filter((pattern): pattern is AddressPattern => pattern !== undefined);
  if (known.length === patterns.length) proxies.match = compileAddresses(known, 'IPv4');
  else {
    link.defer(async () => {
      for (const [index, statement] of statements.entries()) {
        if (patterns[index] === undefined) known.push(...(await resolve(statement, link)));
      }
      proxies.match = compileAddresses(known, 'IPv4');
    });
  }
  return proxies;
}

async function resolve(statement: Statement, link: Link): Promise<AddressPattern[]> {
  const [name] = statement.args;
  const notFound = (cause?: unknown) =>
    new ConfigError(`host not found in set_real_ip_from "${name}"`, { statement, cause });
  // The system's resolver takes no name at all for this machine.
  if (name === '') throw notFound();
  const addresses = await link.runtime.resolve(name).catch((cause: unknown) => {
    throw notFound(cause);
  });
  return addresses.map(parseCidr).filter((range) => range !== undefined);
}

/** Replaces the client's address, once for a request. */
function apply(exchange: Exchange, { proxies, header, list, recursive }: RealIp): PhaseResult {
  if (exchange.realClient !== undefined) return DECLINED;
  const { headers, connection } = exchange;
  const first = headers.find(header);
  if (first < 0) return DECLINED;
  const trusted = { match: proxies.match, recursive };
  exchange.realClient = list
    ? forwardedByField(connection.remoteAddress, headers, header, trusted)
    : forwardedAddress(connection.remoteAddress, headers.value(first), trusted);
  return DECLINED;
}

const directives = {
  set_real_ip_from: statements(CONTEXTS, [1, 1], {
    syntax: 'address | CIDR | unix: | name',
    check: checkFrom,
  }),
  real_ip_header: text(CONTEXTS, 'X-Real-IP', {
    syntax: 'field | X-Real-IP | X-Forwarded-For',
    check: checkHeader,
    differs: 'No `proxy_protocol`.',
  }),
  real_ip_recursive: flag(CONTEXTS, false),
};

/** nginx's ngx_http_realip_module. */
export const realIpModule = defineModule({
  name: 'http_realip',
  directives,
  variables: {
    realip_remote_addr: { get: ({ connection }) => connection.remoteAddress },
    realip_remote_port: {
      get: ({ connection }) => (connection.remotePort > 0 ? String(connection.remotePort) : ''),
    },
  },
  http(settings, scope, link) {
    // Names that nobody below uses are to be found, too.
    proxiesOf(settings.set_real_ip_from, link);
    const inServers = scope
      .children('server')
      .some((server) => server.settings(directives).set_real_ip_from.length > 0);
    if (!inServers) return undefined;
    const { byScope } = linkedOf(link);
    return {
      // Until a location is chosen the server's settings hold.
      postRead(exchange) {
        const realIp = byScope.get(exchange.location.scope);
        return realIp === undefined ? DECLINED : apply(exchange, realIp);
      },
    };
  },
  location(settings, scope, link) {
    const { set_real_ip_from: from, real_ip_header: header, real_ip_recursive: recursive } = settings;
    if (from.length === 0) return undefined;
    const realIp: RealIp = {
      proxies: proxiesOf(from, link),
      header: header.toLowerCase(),
      list: header === 'X-Forwarded-For',
      recursive,
    };
    linkedOf(link).byScope.set(scope, realIp);
    return { preaccess: (exchange) => apply(exchange, realIp) };
  },
});
