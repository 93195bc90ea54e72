/**
 * What this engine cannot do: the one list, from which both the check of a configuration (check-limits.ts) and
 * docs/engines.md are made.
 *
 * Where a directive asks for something it cannot do, the configuration is refused; what no directive asks for is only
 * documented. Directives are known here by their names alone, for an engine knows no modules.
 */
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
  /** It is only warned of: nobody but clients who measure it can tell. */
  readonly warns?: boolean;
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

const SPOKEN = ['tlsv1.2', 'tlsv1.3'];
/** Accepted by nginx, and spoken by nobody. */
const FORGOTTEN = ['sslv2', 'sslv3'];
/** `auto`, and what that comes to, in the names that it goes by. */
const CURVES = /^(auto|x25519:(prime256v1|p-256|secp256r1):(secp384r1|p-384))$/i;
/** TLS's own limit. */
const LARGEST_RECORD = 16 * 1024;

/** Directives of a server with TLS: what counts is the value that holds for the server. */
export const TLS_LIMITS: readonly DirectiveLimit[] = [
  {
    directive: 'ssl_protocols',
    values: 'all but `TLSv1.2 TLSv1.3`',
    refuses: (args) => {
      const wanted = args.map((name) => name.toLowerCase()).filter((name) => !FORGOTTEN.includes(name));
      return !SPOKEN.every((name) => wanted.includes(name)) || wanted.some((name) => !SPOKEN.includes(name));
    },
    why: 'TLS 1.2 and 1.3 are always spoken, and no other',
  },
  {
    directive: 'ssl_prefer_server_ciphers',
    values: 'on',
    refuses: isOn,
    why: "the client's preference counts",
  },
  {
    directive: 'ssl_ecdh_curve',
    values: 'all but `auto` and `X25519:prime256v1:secp384r1`',
    refuses: ([value = '']) => !CURVES.test(value),
    why: 'it is always X25519, P-256 or P-384',
  },
  { directive: 'ssl_dhparam', values: '', refuses: always, why: 'there are no ciphers with finite-field DH' },
  { directive: 'ssl_conf_command', values: '', refuses: always, why: 'BoringSSL has none' },
  {
    directive: 'ssl_verify_client',
    values: 'all but `off`',
    refuses: ([value]) => value?.toLowerCase() !== 'off',
    why: 'clients are not asked for certificates',
  },
  {
    directive: 'ssl_session_tickets',
    values: 'off',
    refuses: isOff,
    why: 'sessions are always given to clients as tickets',
  },
  {
    directive: 'ssl_session_ticket_key',
    values: '',
    refuses: always,
    why: 'each worker has its own key for tickets',
  },
  {
    directive: 'ssl_session_cache',
    values: 'off',
    refuses: (args) => args.includes('off'),
    why: 'each worker remembers sessions',
  },
  {
    directive: 'ssl_session_timeout',
    values: '',
    refuses: always,
    why: 'a session always lasts for two hours, with TLS 1.3 for two days',
    warns: true,
  },
  {
    directive: 'ssl_buffer_size',
    values: `below ${LARGEST_RECORD / 1024}k`,
    refuses: ([size = '']) => (parseSize(size) ?? 0) < LARGEST_RECORD,
    why: 'records are as long as TLS lets them be',
  },
  {
    directive: 'ssl_certificate_compression',
    values: 'on',
    refuses: isOn,
    why: 'certificates are not compressed',
  },
];

/** What is refused by what it says: check-limits.ts. */
export const CERTIFICATE_LIMITS = {
  kinds: 'a server has one certificate, with one kind of key',
  names: 'only whole names, and those that begin with an asterisk, can have a certificate of their own',
  certificate: 'BoringSSL cannot use this certificate or its key',
  ciphers: 'BoringSSL knows none of them, or not what they are combined with',
} as const;

/** Directives wherever they stand, for servers with TLS. */
export const TLS_STATEMENT_LIMITS: readonly DirectiveLimit[] = [
  {
    directive: 'error_page',
    values: '497',
    refuses: (args) => args.slice(0, -1).includes('497'),
    why: 'plain HTTP on a port with TLS is not answered',
  },
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

/** The same, of listeners with TLS. */
export const TLS_VARIABLE_LIMITS: ReadonlyMap<string, string> = new Map([
  ...[
    'ssl_protocol',
    'ssl_cipher',
    'ssl_ciphers',
    'ssl_curve',
    'ssl_curves',
    'ssl_sigalgs',
    'ssl_session_id',
    'ssl_session_reused',
    'ssl_server_name',
  ].map((name) => [name, 'nothing is known of a handshake'] as const),
  ['ssl_alpn_protocol', 'there is no ALPN'],
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
    'A connection that is to be closed after a long answer, one of unknown length, or one without a body (204, 304, HEAD), ' +
    'is told so by `Connection: close`, and closed by the client, or after `keepalive_timeout`.',
  'answers nobody reads':
    'A client that asks again and again and never reads has answers without a body (HEAD, 204, 304) kept for it in memory.',
  leaving:
    'Where a reload takes an address away, or the program shuts down gracefully, idle connections are closed all together, ' +
    'when no request to that address is under way.',
  'half-closing': 'A client that ends its side of the connection has gone: it gets no answer.',
  timeouts: 'Timeouts of idle connections are counted in steps of four seconds.',
  'making room':
    'At `worker_connections` idle connections are not closed to make room: new ones are refused.',
  'Unix sockets':
    'A reload cannot change the engine of a Unix socket, nor, with this one, whether it has TLS: that takes a restart, or ' +
    'two reloads, the first of them without it.',
  'connection numbers': '`$connection` is a number of the request, not of the connection.',
} as const;

/** The name of something that this engine does in another way. */
export type GeneralLimit = keyof typeof GENERAL_LIMITS;

/** The same, of listeners with TLS. */
export const TLS_GENERAL_LIMITS = {
  library:
    "TLS is BoringSSL's. `ssl_ciphers` is read by its rules: what it does not have, such as DHE, CCM, ARIA, Camellia and " +
    'CBC with SHA-256, is left out.',
  resumption:
    'A session is resumed where it began: by the same worker, until certificates change. A client that meets another ' +
    'worker, one time in two with two of them, makes a new one. `ssl_session_cache` (but for `off`) changes nothing.',
  ALPN: 'ALPN is not answered, which clients take for HTTP/1.1.',
  'plain HTTP': 'Plain HTTP on a port with TLS is not answered (497): the connection is closed.',
  'handshakes in the log':
    'Handshakes that fail are in no log. Where `ssl_reject_handshake` fails them, the alert is `internal_error` or ' +
    '`handshake_failure`.',
  'handshake timeout':
    'The handshake and the first request together have to be there within `client_header_timeout`.',
  names:
    'A name of more than ten labels gets the certificate of the default server. Names with certificates of their own are ' +
    'written to standard output by uWebSockets.js when they are set up.',
  memory:
    'Certificates that a reload has replaced stay in memory: some 40 kB in each worker, and 14 kB for each name with a ' +
    'certificate of its own.',
} as const;
