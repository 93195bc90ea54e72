/**
 * What this engine cannot do: the one list, from which both the check of a configuration and docs/engines.md are made.
 *
 * Where a directive asks for something it cannot do, the configuration is refused; what no directive asks for is only
 * documented. Directives are known here by their names alone, for an engine knows no modules.
 */
import type { Scope } from '../../config/scope.ts';
import { ConfigError, type Statement } from '../../config/statement.ts';
import { parseMilliseconds, parseNumber, parseSize } from '../../config/values.ts';
import { DEFAULT_BACKLOG } from '../../core/listen.ts';
import type { Listener } from '../../core/site.ts';
import { LONGEST_HEAD } from './native.ts';

/** Most lines that a request's head may have. */
const MOST_HEADERS = 98;
/** uWebSockets.js counts time in such steps, in seconds: a timeout may be over by so much too early. */
export const TIMEOUT_STEP = 4;
/** It counts up to 240 of them. One step is added, so that none is over too early. */
export const LONGEST_TIMEOUT = 952;
/** Longest message of a client over a WebSocket, in bytes. */
export const LONGEST_MESSAGE = 16 * 1024 * 1024;

/** A directive that cannot be obeyed, whatever it says or for some values. */
export interface DirectiveLimit {
  readonly directive: string;
  /** Which values, for the documentation; '' for all. */
  readonly values: string;
  /** Whether these arguments ask for what cannot be done. */
  readonly refuses: (args: readonly string[]) => boolean;
  readonly why: string;
}

const always = () => true;
const isOn = ([value]: readonly string[]) => value?.toLowerCase() === 'on';
const isOff = ([value]: readonly string[]) => value?.toLowerCase() === 'off';

const longerThan =
  (seconds: number) =>
  ([value = '']: readonly string[]) =>
    (parseMilliseconds(value) ?? 0) > seconds * 1000;

export const DIRECTIVE_LIMITS: readonly DirectiveLimit[] = [
  {
    directive: 'chunked_transfer_encoding',
    values: 'off',
    refuses: isOff,
    why: 'an answer of unknown length is always sent in chunks',
  },
  {
    directive: 'client_header_timeout',
    values: `above ${LONGEST_TIMEOUT}s`,
    refuses: longerThan(LONGEST_TIMEOUT),
    why: `no timeout may be longer than ${LONGEST_TIMEOUT} s`,
  },
  {
    directive: 'keepalive_timeout',
    values: `above ${LONGEST_TIMEOUT}s`,
    refuses: longerThan(LONGEST_TIMEOUT),
    why: `no timeout may be longer than ${LONGEST_TIMEOUT} s`,
  },
  {
    directive: 'keepalive_requests',
    values: 'from 2 to 999999',
    refuses: ([value = '']) => {
      const count = parseNumber(value) ?? 0;
      return count > 1 && count < 1_000_000;
    },
    why: 'the requests of one connection are not counted',
  },
  {
    directive: 'keepalive_time',
    values: '',
    refuses: always,
    why: 'the age of a connection is not known',
  },
  {
    directive: 'large_client_header_buffers',
    values: `above ${LONGEST_HEAD / 1024}k in all`,
    refuses: ([number = '', size = '']) => (parseNumber(number) ?? 0) * (parseSize(size) ?? 0) > LONGEST_HEAD,
    why: `a head may not be longer than ${LONGEST_HEAD} bytes`,
  },
  {
    directive: 'client_header_buffer_size',
    values: `above ${LONGEST_HEAD / 1024}k`,
    refuses: ([size = '']) => (parseSize(size) ?? 0) > LONGEST_HEAD,
    why: `a head may not be longer than ${LONGEST_HEAD} bytes`,
  },
  {
    directive: 'max_headers',
    values: `above ${MOST_HEADERS}`,
    refuses: ([value = '']) => (parseNumber(value) ?? 0) > MOST_HEADERS,
    why: `a head may not have more than ${MOST_HEADERS} lines`,
  },
  {
    directive: 'lingering_close',
    values: 'on, always',
    refuses: ([value]) => value !== 'off',
    why: 'a connection that ends is closed at once',
  },
  {
    directive: 'lingering_time',
    values: '',
    refuses: always,
    why: 'a connection that ends is closed at once',
  },
  {
    directive: 'lingering_timeout',
    values: '',
    refuses: always,
    why: 'a connection that ends is closed at once',
  },
  {
    directive: 'reset_timedout_connection',
    values: 'on',
    refuses: isOn,
    why: 'connections cannot be reset',
  },
  { directive: 'tcp_nodelay', values: 'off', refuses: isOff, why: 'TCP_NODELAY is always set' },
  {
    directive: 'proxy_pass_header',
    values: 'Date',
    refuses: ([name]) => name?.toLowerCase() === 'date',
    why: 'uWebSockets.js writes Date itself',
  },
  { directive: 'add_trailer', values: '', refuses: always, why: 'there are no trailers' },
  { directive: 'proxy_pass_trailers', values: 'on', refuses: isOn, why: 'there are no trailers' },
  { directive: 'early_hints', values: '', refuses: always, why: 'there are no interim answers' },
];

/** A parameter of `listen` that cannot be obeyed. */
export interface ListenLimit {
  readonly parameter: string;
  readonly why: string;
  readonly refuses: (listener: Listener) => boolean;
}

export const LISTEN_LIMITS: readonly ListenLimit[] = [
  {
    parameter: '`backlog=`',
    why: 'it is always 512',
    refuses: ({ address }) => address.backlog !== DEFAULT_BACKLOG,
  },
  {
    parameter: '`so_keepalive=`',
    why: 'it stays as the system has it',
    refuses: ({ address }) => address.keepalive !== undefined,
  },
  {
    parameter: '`[::]` without `ipv6only=off`',
    why: 'a socket for all IPv6 addresses is one for all IPv4 addresses too',
    refuses: ({ address }) => address.family === 'inet6' && address.wildcard && address.ipv6only,
  },
  {
    parameter: 'another address of a port that one `listen` takes on all addresses',
    why: 'the address that a connection was made to is not known; with `bind` each has a socket of its own',
    refuses: ({ byLocalAddress }) => byLocalAddress !== undefined,
  },
];

/** Variables that have no value, or not nginx's. */
export const VARIABLE_LIMITS: ReadonlyMap<string, string> = new Map([
  ['remote_port', 'the port of a client is not known'],
  ['realip_remote_port', 'the port of a client is not known'],
  ['proxy_protocol_addr', 'there is no PROXY protocol'],
  ['connection_requests', 'the requests of one connection are not counted'],
  ['connection_time', 'the age of a connection is not known'],
  ['pipe', 'there is no pipelining'],
]);

/** What nothing in a configuration asks for, and is different all the same. Tests go by the names. */
export const GENERAL_LIMITS = {
  'HTTP/1.0':
    'HTTP/1.0 and HTTP/0.9 are answered with 505, as are targets that do not begin with a slash (`http://host/`, `*`).',
  pipelining:
    'A request that comes before the one before it has been answered closes the connection: there is no pipelining.',
  'error pages':
    'What is not a request is answered with a page of uWebSockets.js (400, 431, 505), and is in no log.',
  'long heads': `A head has ${MOST_HEADERS} lines and ${LONGEST_HEAD} bytes at most.`,
  'header names': 'Names of header lines reach upstream servers in lower case.',
  'header bytes': 'On x86, bytes above 0x7f are cut off at both ends of the value of a header line.',
  '100-continue': '`Expect: 100-continue` is answered at once.',
  upgrades: '`Upgrade` is obeyed for WebSockets only; any other is dropped.',
  extensions: 'Extensions of WebSockets (compression) are not negotiated.',
  'long messages': `A message from a client over a WebSocket is passed on when it is complete; it has ${
    LONGEST_MESSAGE / 1024 / 1024
  } MB at most.`,
  pings: 'A ping of a client is answered by Portico, and passed on too; the pong of the server is dropped.',
  'close codes': 'Close codes of a client from 1012 to 3999 count as an abnormal end.',
  'early heads': 'The head of an answer leaves with the first byte of its body.',
  closing:
    'A connection that is to be closed after a long answer, or one of unknown length, is told so by `Connection: close`, ' +
    'and closed by the client, or after `keepalive_timeout`.',
  'half-closing': 'A client that ends its side of the connection has gone: it gets no answer.',
  timeouts: 'Timeouts of idle connections are counted in steps of four seconds.',
  'making room':
    'At `worker_connections` idle connections are not closed to make room: new ones are refused.',
  'connection numbers': '`$connection` is a number of the request, not of the connection.',
} as const;

/** The name of something that this engine does in another way. */
export type GeneralLimit = keyof typeof GENERAL_LIMITS;

/**
 * Checks that a listener asks for nothing that this engine cannot do.
 * @throws ConfigError that names the directive and the listener
 */
export function checkLimits(listener: Listener): void {
  const at = listener.address.text;
  checkListen(listener);
  for (const { scope } of listener.all) {
    checkScope(scope, at);
    for (let outer = scope.parent; outer !== undefined; outer = outer.parent) {
      // Tables, such as a `map`, may be another listener's.
      for (const { statement } of outer.entries)
        if (statement.block === undefined) checkStatement(statement, at);
    }
  }
}

function checkScope(scope: Scope, at: string): void {
  for (const { statement, scope: block } of scope.entries) {
    checkStatement(statement, at);
    if (block !== undefined) checkScope(block, at);
  }
}

function refuse(statement: Statement, what: string, at: string, why: string): never {
  throw new ConfigError(`${what} is not possible with the engine "uws" of ${at}: ${why}`, { statement });
}

function checkListen(listener: Listener): void {
  for (const { parameter, refuses, why } of LISTEN_LIMITS) {
    if (!refuses(listener)) continue;
    const { scope } = listener.servers.default;
    const statement = scope.statements('listen')[0] ?? scope.statement!;
    refuse(statement, `"listen" with ${parameter}`.replaceAll('`', ''), listener.address.text, why);
  }
}

function checkStatement(statement: Statement, at: string): void {
  const { name, args } = statement;
  for (const limit of DIRECTIVE_LIMITS) {
    if (limit.directive === name && limit.refuses(args)) {
      refuse(statement, `"${[name, ...args].join(' ')}"`, at, limit.why);
    }
  }
  // A format belongs to no listener: it may be another one's.
  if (name === 'log_format') return;
  for (const word of args) {
    if (!word.includes('$')) continue;
    for (const [, variable = ''] of word.matchAll(/\$\{?(\w+)/g)) {
      const why = VARIABLE_LIMITS.get(variable);
      if (why !== undefined) refuse(statement, `"$${variable}"`, at, why);
    }
  }
}
