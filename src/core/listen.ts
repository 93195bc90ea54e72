/**
 * The `listen` directive: nginx's ngx_parse_url and ngx_http_core_listen.
 *
 * | parameter                               | here                                                                  |
 * |-----------------------------------------|-----------------------------------------------------------------------|
 * | default_server, default, bind           | as nginx                                                              |
 * | backlog=                                | as nginx                                                              |
 * | ipv6only=                               | as nginx                                                              |
 * | reuseport                               | each worker has a socket of its own with it and without it            |
 * | so_keepalive=on, off, idle              | as nginx; interval and count of probes cannot be set: an error        |
 * | deferred, fastopen=, rcvbuf=, sndbuf=   | read and checked; sockets are the system's usual ones, which costs a  |
 * |                                         | round trip or some throughput at most                                 |
 * | accept_filter=                          | ignored with a warning, as nginx on Linux                             |
 * | setfib=                                 | invalid, as for nginx on Linux                                        |
 * | multipath, proxy_protocol               | an error: not supported                                               |
 * | ssl                                     | as nginx                                                              |
 * | http2, quic                             | an error, as for nginx without those modules                          |
 * | engine=node, engine=uws                 | our own: which engine serves the address                              |
 */
import { isUtf8 } from 'node:buffer';
import { pathBytes } from '../config/glob.ts';
import { didYouMean } from '../config/setters.ts';
import { ConfigError, type Statement } from '../config/statement.ts';
import { parameter, parseNumber, parseSeconds, parseSize } from '../config/values.ts';
import { formatIPv4, formatIPv6, NO_ADDRESS, parseIPv4, parseIPv6 } from '../http/ip-address.ts';
import { type EngineName, isEngineName } from './engine-name.ts';

/** TCP keepalive on accepted connections. */
export interface SocketKeepalive {
  readonly enabled: boolean;
  /** Seconds of silence before the first probe; 0 for the system's. */
  readonly idle: number;
}

/** What the parameters of a `listen` say. */
export interface ListenOptions {
  /** Waiting connections the system keeps; 511 unless told. */
  readonly backlog: number;
  readonly defaultServer: boolean;
  /** A socket of its own, although another one takes all addresses of the port. */
  readonly bind: boolean;
  /** One of the parameters is given that belong to the socket: only one `listen` for an address may. */
  readonly set: boolean;
  readonly reuseport: boolean;
  readonly ipv6only: boolean;
  readonly ssl: boolean;
  /** `so_keepalive`; undefined for the system's setting. */
  readonly keepalive: SocketKeepalive | undefined;
  /** `engine=`; undefined for that of the `events` block. */
  readonly engine: EngineName | undefined;
}

/** One address to listen on. */
export interface ListenAddress extends ListenOptions {
  readonly family: 'inet' | 'inet6' | 'unix';
  /** In text as the system prints it, without brackets; '' for a Unix socket. */
  readonly host: string;
  /** 0 for a Unix socket. */
  readonly port: number;
  /** Path of the Unix socket; '' for others. */
  readonly path: string;
  /** As nginx prints it: `0.0.0.0:80`, `[::1]:80`, `unix:/run/x.sock`. */
  readonly text: string;
  /** All addresses of the machine. */
  readonly wildcard: boolean;
}

/** The argument of a `listen`, before a name in it is resolved. */
type ListenTarget =
  | { readonly path: string }
  | { readonly host: string; readonly firstPort: number; readonly lastPort: number };

/** Asked for the addresses of a host name, in text. Rejects where there is none. */
export type ResolveHost = (host: string) => Promise<readonly string[]>;

/** `backlog=`, unless told. */
export const DEFAULT_BACKLOG = 511;
const DEFAULT_PORT = 80;
/** Size of sun_path on Linux, with the NUL at its end. */
const LONGEST_SOCKET_PATH = 107;

const DEFAULT_OPTIONS: ListenOptions = {
  backlog: DEFAULT_BACKLOG,
  defaultServer: false,
  bind: false,
  set: false,
  reuseport: false,
  ipv6only: true,
  ssl: false,
  keepalive: undefined,
  engine: undefined,
};

const PARAMETERS = [
  'default_server',
  'default',
  'bind',
  'backlog=',
  'rcvbuf=',
  'sndbuf=',
  'fastopen=',
  'accept_filter=',
  'deferred',
  'ipv6only=on',
  'ipv6only=off',
  'reuseport',
  'multipath',
  'ssl',
  'http2',
  'quic',
  'so_keepalive=on',
  'so_keepalive=off',
  'proxy_protocol',
  'engine=node',
  'engine=uws',
];

/**
 * Reads a `listen` statement. One statement stands for several addresses where it has a port range, or a name with
 * several addresses.
 * @param warn hears of what is ignored
 * @throws ConfigError such as `invalid port in "x:0" of the "listen" directive`, `host not found in "x" of the "listen"
 *   directive`, `invalid parameter "x"`
 */
export async function readListen(
  statement: Statement,
  resolve: ResolveHost,
  warn: (message: string) => void,
): Promise<readonly ListenAddress[]> {
  const target = parseTarget(statement);
  const options = parseListenOptions(statement, warn);
  if ('path' in target) {
    const { path } = target;
    return [{ ...options, family: 'unix', host: '', port: 0, path, text: `unix:${path}`, wildcard: false }];
  }
  let hosts: readonly string[];
  try {
    hosts = addressOf(target.host) !== undefined ? [target.host] : await resolve(target.host);
  } catch (cause) {
    throw urlError(statement, 'host not found', cause);
  }
  const addresses: ListenAddress[] = [];
  for (const host of hosts) {
    for (let port = target.firstPort; port <= target.lastPort; port++) {
      const address = internetAddress(host, port, options);
      if (address === undefined) throw urlError(statement, 'host not found');
      if (!addresses.some(({ text }) => text === address.text)) addresses.push(address);
    }
  }
  return addresses;
}

/** Where a server without `listen` listens: port 80 of all IPv4 addresses, or 8000 where 80 is for root only. */
export function defaultListen(): ListenAddress {
  return internetAddress('0.0.0.0', process.getuid?.() === 0 ? 80 : 8000, DEFAULT_OPTIONS)!;
}

function internetAddress(host: string, port: number, options: ListenOptions): ListenAddress | undefined {
  const found = addressOf(host);
  if (found === undefined) return undefined;
  const { family, text } = found;
  const shown = family === 'inet' ? `${text}:${port}` : `[${text}]:${port}`;
  const wildcard = text === '0.0.0.0' || text === '::';
  return { ...options, family, host: text, port, path: '', text: shown, wildcard };
}

function addressOf(host: string): { readonly family: 'inet' | 'inet6'; readonly text: string } | undefined {
  const four = parseIPv4(host);
  if (four !== NO_ADDRESS) return { family: 'inet', text: formatIPv4(four) };
  const groups = new Uint16Array(8);
  return parseIPv6(host, groups) ? { family: 'inet6', text: formatIPv6(groups) } : undefined;
}

// ---- the address ----

function urlError(statement: Statement, what: string, cause?: unknown): ConfigError {
  return new ConfigError(`${what} in "${statement.args[0]}" of the "listen" directive`, { statement, cause });
}

function parseTarget(statement: Statement): ListenTarget {
  const [text = ''] = statement.args;
  if (text.slice(0, 5).toLowerCase() === 'unix:') {
    const path = text.slice(5);
    if (path === '') throw urlError(statement, 'no path in the unix domain socket');
    if (path.length > LONGEST_SOCKET_PATH)
      throw urlError(statement, 'too long path in the unix domain socket');
    // Node.js and uWebSockets.js take text: anything else would become another name, which may be too long besides.
    if (!isUtf8(pathBytes(path))) throw urlError(statement, 'no UTF-8 path in the unix domain socket');
    return { path };
  }
  return text.startsWith('[') ? parseBracketed(text, statement) : parseHostAndPort(text, statement);
}

function parseBracketed(text: string, statement: Statement): ListenTarget {
  const end = text.indexOf(']');
  if (end < 0 || text.includes('/', end)) throw urlError(statement, 'invalid host');
  const rest = text.slice(end + 1);
  if (rest !== '' && !rest.startsWith(':')) throw urlError(statement, 'invalid host');
  const [firstPort, lastPort] =
    rest === '' ? [DEFAULT_PORT, DEFAULT_PORT] : parsePorts(rest.slice(1), statement);
  const host = text.slice(1, end);
  if (host === '') throw urlError(statement, 'no host');
  if (!parseIPv6(host, new Uint16Array(8))) throw urlError(statement, 'invalid IPv6 address');
  return { host, firstPort, lastPort };
}

function parseHostAndPort(text: string, statement: Statement): ListenTarget {
  if (text.includes('/') || text.includes('?')) throw urlError(statement, 'invalid host');
  const colon = text.indexOf(':');
  if (colon < 0) {
    // A port or a range of ports, if it is made of nothing else.
    if (/^\d+(-\d+)?$/.test(text)) {
      const [firstPort, lastPort] = parsePorts(text, statement);
      return { host: '0.0.0.0', firstPort, lastPort };
    }
    if (text === '') throw urlError(statement, 'no host');
    return { host: text === '*' ? '0.0.0.0' : text, firstPort: DEFAULT_PORT, lastPort: DEFAULT_PORT };
  }
  const [firstPort, lastPort] = parsePorts(text.slice(colon + 1), statement);
  const host = text.slice(0, colon);
  if (host === '') throw urlError(statement, 'no host');
  return { host: host === '*' ? '0.0.0.0' : host, firstPort, lastPort };
}

function parsePorts(text: string, statement: Statement): [first: number, last: number] {
  const dash = text.indexOf('-');
  const last = dash < 0 ? undefined : parsePort(text.slice(dash + 1), statement);
  const first = parsePort(dash < 0 ? text : text.slice(0, dash), statement);
  if (last !== undefined && first > last) throw urlError(statement, 'invalid port range');
  return [first, last ?? first];
}

function parsePort(text: string, statement: Statement): number {
  const port = parseNumber(text);
  if (port === undefined || port < 1 || port > 65535) throw urlError(statement, 'invalid port');
  return port;
}

// ---- the parameters ----

/**
 * The parameters of a `listen` statement.
 * @throws ConfigError `invalid parameter "x"`, `invalid backlog "backlog=0"`, and for what is not supported
 */
export function parseListenOptions(statement: Statement, warn: (message: string) => void): ListenOptions {
  const options: { -readonly [Key in keyof ListenOptions]: ListenOptions[Key] } = { ...DEFAULT_OPTIONS };
  const fail = (message: string, hint?: string): never => {
    throw new ConfigError(message, { statement, hint });
  };
  for (const word of statement.args.slice(1)) {
    const name = word.includes('=') ? word.slice(0, word.indexOf('=') + 1) : word;
    const value = word.slice(name.length);
    switch (name) {
      case 'default_server':
      case 'default':
        options.defaultServer = true;
        continue;
      case 'engine=':
        options.engine = isEngineName(value) ? value : fail(`invalid engine "${word}"`);
        continue;
      case 'accept_filter=':
        warn(`accept filters "${word}" are not supported on this platform, ignored`);
        continue;
      case 'ssl':
        options.ssl = true;
        continue;
      case 'http2':
        fail('the "http2" parameter requires ngx_http_v2_module');
        break;
      case 'quic':
        fail('the "quic" parameter requires ngx_http_v3_module');
        break;
      case 'proxy_protocol':
      case 'multipath':
        fail(`the "${name}" parameter is not supported`);
        break;
      case 'bind':
      case 'deferred':
        break;
      case 'reuseport':
        options.reuseport = true;
        break;
      case 'backlog=':
        // 0 is as invalid as no number at all.
        options.backlog = parseNumber(value) || fail(`invalid backlog "${word}"`);
        break;
      case 'fastopen=':
        if (parseNumber(value) === undefined) fail(`invalid fastopen "${word}"`);
        break;
      case 'rcvbuf=':
      case 'sndbuf=':
        if (parseSize(value) === undefined) fail(`invalid ${name.slice(0, -1)} "${word}"`);
        break;
      case 'ipv6only=':
        if (!value.startsWith('o')) fail(`invalid parameter "${word}"`);
        if (value !== 'on' && value !== 'off')
          fail(`invalid ipv6only flags "${word.slice('ipv6only'.length + 1)}"`);
        options.ipv6only = value === 'on';
        break;
      case 'so_keepalive=':
        options.keepalive = parseKeepalive(word, fail);
        break;
      default:
        fail(`invalid parameter "${word}"`, didYouMean(word, PARAMETERS));
    }
    options.bind = true;
    options.set = true;
  }
  return options;
}

function parseKeepalive(word: string, fail: (message: string) => never): SocketKeepalive {
  const value = parameter(word, 'so_keepalive') ?? '';
  if (value === 'on') return { enabled: true, idle: 0 };
  if (value === 'off') return { enabled: false, idle: 0 };
  const [idleText = '', intervalText = '', ...countText] = value.split(':');
  const invalid = `invalid so_keepalive value: "${value}"`;
  const idle = idleText === '' ? 0 : (parseSeconds(idleText) ?? fail(invalid));
  const interval = intervalText === '' ? 0 : (parseSeconds(intervalText) ?? fail(invalid));
  const count =
    countText.length === 0 || countText[0] === '' ? 0 : (parseNumber(countText.join(':')) ?? fail(invalid));
  if (idle === 0 && interval === 0 && count === 0) fail(invalid);
  if (interval !== 0 || count !== 0) {
    fail(`interval and count of probes in "${word}" are not supported, only "so_keepalive=on|off|keepidle"`);
  }
  return { enabled: true, idle };
}

// ---- all of them together ----

/** One `listen` of one server. */
export interface ListenEntry<Listening> {
  readonly server: Listening;
  readonly address: ListenAddress;
  /** Undefined for the address of a server that has no `listen`. */
  readonly statement: Statement | undefined;
}

/** The servers of one address. */
export interface AddressServers<Listening> {
  readonly address: ListenAddress;
  readonly default: Listening;
  /** In the order of the file. */
  readonly servers: readonly Listening[];
}

/** One socket: an address, and the more special ones of its port that have none of their own. */
export interface ListenGroup<Listening> extends AddressServers<Listening> {
  /** By the local address of a connection, in text without port; undefined where there are none. */
  readonly byLocalAddress: ReadonlyMap<string, AddressServers<Listening>> | undefined;
}

interface AddressDraft<Listening> {
  address: ListenAddress;
  default: Listening;
  hasDefault: boolean;
  set: boolean;
  readonly servers: Listening[];
}

/**
 * Which sockets there are to be, and which servers each has: nginx's ngx_http_add_listen, optimize_servers and
 * init_listening. Where one address of a port is a wildcard, the others of that port have no sockets of their own
 * unless they say `bind`, or what implies it.
 * @param entries in the order of the file
 * @throws ConfigError `a duplicate listen 0.0.0.0:80`, `duplicate listen options for 0.0.0.0:80`, `a duplicate default
 *   server for 0.0.0.0:80`
 */
export function groupListeners<Listening>(
  entries: readonly ListenEntry<Listening>[],
): ListenGroup<Listening>[] {
  const ports = new Map<string, AddressDraft<Listening>[]>();
  for (const entry of entries) {
    const { family, port } = entry.address;
    const key = `${family} ${port}`;
    let drafts = ports.get(key);
    if (drafts === undefined) {
      drafts = [];
      ports.set(key, drafts);
    }
    addListen(drafts, entry);
  }
  return [...ports.values()].flatMap(groupPort);
}

function addListen<Listening>(
  drafts: AddressDraft<Listening>[],
  { server, address, statement }: ListenEntry<Listening>,
): void {
  const draft = drafts.find((other) => other.address.text === address.text);
  if (draft === undefined) {
    const { defaultServer, set } = address;
    drafts.push({ address, default: server, hasDefault: defaultServer, set, servers: [server] });
    return;
  }
  const fail = (message: string): never => {
    throw new ConfigError(message, { statement });
  };
  if (draft.servers.includes(server)) fail(`a duplicate listen ${address.text}`);
  draft.servers.push(server);
  if (address.ssl && !draft.address.ssl) draft.address = { ...draft.address, ssl: true };
  const { engine } = draft.address;
  if (address.engine !== undefined && address.engine !== engine) {
    if (engine !== undefined) fail(`two engines for ${address.text}: "${engine}" and "${address.engine}"`);
    draft.address = { ...draft.address, engine: address.engine };
  }
  if (address.set) {
    if (draft.set) fail(`duplicate listen options for ${address.text}`);
    draft.set = true;
    draft.address = { ...address, ssl: draft.address.ssl, engine: draft.address.engine };
  }
  if (address.defaultServer) {
    if (draft.hasDefault) fail(`a duplicate default server for ${address.text}`);
    draft.hasDefault = true;
    draft.default = server;
  }
}

function groupPort<Listening>(drafts: AddressDraft<Listening>[]): ListenGroup<Listening>[] {
  const wildcard = drafts.find(({ address }) => address.wildcard);
  const groups: ListenGroup<Listening>[] = [];
  const special = new Map<string, AddressServers<Listening>>();
  for (const draft of drafts) {
    if (draft === wildcard) continue;
    const servers: AddressServers<Listening> = {
      address: draft.address,
      default: draft.default,
      servers: draft.servers,
    };
    if (wildcard === undefined || draft.address.bind) groups.push({ ...servers, byLocalAddress: undefined });
    else special.set(draft.address.host, servers);
  }
  // Sockets of their own first, as nginx opens them.
  if (wildcard !== undefined) {
    groups.push({
      address: wildcard.address,
      default: wildcard.default,
      servers: wildcard.servers,
      byLocalAddress: special.size > 0 ? special : undefined,
    });
  }
  return groups;
}

/**
 * What tells one listening socket from all others: the same address on another engine is another socket. With
 * uWebSockets.js it also is another one with TLS than without.
 */
export function listenerKey({ engine, ssl, text }: Pick<ListenAddress, 'engine' | 'ssl' | 'text'>): string {
  return ssl && engine === 'uws' ? `${engine} ssl ${text}` : `${engine} ${text}`;
}
