/** The geo module: variables whose value depends on an address, by networks or ranges. */
import type { Directive } from '../../config/directive.ts';
import { ConfigError, type Statement } from '../../config/statement.ts';
import type { Exchange } from '../../core/exchange.ts';
import { forwardedByField, type TrustedProxies } from '../../core/forwarded-address.ts';
import type { Link } from '../../core/link.ts';
import { defineModule } from '../../core/module.ts';
import type { Variable } from '../../core/variables.ts';
import { compileAddresses } from '../../http/cidr.ts';
import {
  type AddressAndPort,
  isMappedIPv4,
  NO_ADDRESS,
  parseAddressAndPort,
  parseIPv4,
  parseIPv6,
} from '../../http/ip-address.ts';
import { type Geo, readGeo } from './block.ts';

function variableName(text: string, statement: Statement): string {
  if (!text.startsWith('$')) throw new ConfigError(`invalid variable name "${text}"`, { statement });
  return text.slice(1);
}

function define(geo: Geo, link: Link): void {
  const { statement, volatile, proxies, recursive } = geo;
  const { args } = statement;
  const source =
    args.length === 2 ? link.variables.lookup(variableName(args[0]!, statement), statement) : undefined;
  const name = variableName(args.at(-1)!, statement);
  const trusted = proxies.length === 0 ? undefined : { match: compileAddresses(proxies, 'IPv4'), recursive };
  link.variables.define(
    name,
    {
      get: (exchange) => lookUp(addressOf(exchange, source, trusted), geo),
      cached: !volatile,
      changeable: true,
    },
    statement,
  );
}

/** The address that is looked up, in text; '' for what is none. */
function addressOf(
  exchange: Exchange,
  source: Variable | undefined,
  trusted: TrustedProxies | undefined,
): string {
  const address = source === undefined ? exchange.remoteAddress : plainAddress(source.get(exchange) ?? '');
  if (trusted === undefined || address === '') return address;
  const client: AddressAndPort | undefined = forwardedByField(
    address,
    exchange.headers,
    'x-forwarded-for',
    trusted,
  );
  return client === undefined ? address : client.address;
}

/** The address a variable holds, without a port and without brackets; '' where it is none. */
function plainAddress(text: string): string {
  const parsed = parseAddressAndPort(text);
  return parsed === undefined || parsed.port !== 0 || text.startsWith('[') ? '' : parsed.address;
}

const groups = new Uint16Array(8);

function lookUp(address: string, { addresses, addresses6 }: Geo): string {
  // What is no address of the tables (a Unix socket's client, garbage) is looked up as 255.255.255.255.
  if (address.indexOf(':') < 0) return addresses.findIPv4(parseIPv4(address));
  const zone = address.indexOf('%');
  if (!parseIPv6(address, groups, 0, zone < 0 ? address.length : zone)) return addresses.findIPv4(NO_ADDRESS);
  if (isMappedIPv4(groups)) return addresses.findIPv4((groups[6]! << 16) | groups[7]!);
  return addresses6 === undefined ? addresses.findIPv4(NO_ADDRESS) : addresses6.findIPv6(groups);
}

const geoDirective: Directive<readonly Geo[]> = {
  contexts: ['http'],
  arity: [1, 2],
  block: 'data',
  default: [],
  inherited: false,
  syntax: '[$address] $variable { ... }',
  differs: 'No binary bases: of a file of ranges `x` no `x.bin` is made, and none is read.',
  read: (statement, previous, report) => [...(previous ?? []), readGeo(statement, report)],
};

/** nginx's ngx_http_geo_module. */
export const geoModule = defineModule({
  name: 'http_geo',
  directives: { geo: geoDirective },
  http(settings, _scope, link) {
    for (const geo of settings.geo) define(geo, link);
    return undefined;
  },
});
