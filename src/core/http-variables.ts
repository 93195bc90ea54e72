/** The variables of nginx's HTTP core: all of ngx_http_variables.c. */
import { randomFillSync } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { hostname } from 'node:os';
import { pathBytes } from '../config/glob.ts';
import { parseSize } from '../config/values.ts';
import { iso8601, logTime } from '../event/clock.ts';
import { cookieValue } from '../http/cookies.ts';
import { formatHttpDate } from '../http/dates.ts';
import { KnownHeader, type KnownHeaderId } from '../http/header-names.ts';
import { NO_ADDRESS, parseIPv4, parseIPv6 } from '../http/ip-address.ts';
import { latin1Text } from '../http/latin1.ts';
import { argument } from '../http/uri.ts';
import { describeFileError, isSystemError } from '../log/system-errors.ts';
import { VERSION } from '../version.ts';
import type { Exchange } from './exchange.ts';
import { documentRoot, filePath } from './file-path.ts';
import { log } from './log.ts';
import { bodyInMemory } from './request-body.ts';
import type { VariableDefinition, VariableDefinitions } from './variables.ts';

/** Not `os.hostname()` each time: that is a system call. */
const HOSTNAME = hostname().toLowerCase();

const PROCESS = String(process.pid);

/** nginx's `not_found` for what was never received. */
function unlessEmpty(text: string): string | undefined {
  return text === '' ? undefined : text;
}

/** Milliseconds as seconds with three decimals: `$request_time`. Never below 0, should the clock go back. */
export function secondsText(milliseconds: number): string {
  const whole = milliseconds > 0 ? Math.floor(milliseconds) : 0;
  const rest = whole % 1000;
  return `${(whole - rest) / 1000}.${rest < 10 ? '00' : rest < 100 ? '0' : ''}${rest}`;
}

/** `$status`: three digits at least; 009 for a request of HTTP/0.9 that has none. */
export function statusText(exchange: Exchange): string {
  const { errorStatus, response, head } = exchange;
  const status = errorStatus || response.status || (head.version === 9 ? 9 : 0);
  return status > 99 ? String(status) : String(status).padStart(3, '0');
}

/** `$body_bytes_sent`: bytes after the head, framing included. */
export function bodyBytesSent({ carrier }: Exchange): number {
  return Math.max(0, carrier.bytesSent - carrier.headBytes);
}

/** `$request_length`: bytes of head and body received. */
export function requestLength({ head, bodyBytesReceived }: Exchange): number {
  return head.byteLength + bodyBytesReceived;
}

/** A path that was refused is an empty one; without a request line there is none. */
function currentUri({ uri, head }: Exchange): string | undefined {
  return uri === '' && !head.validUnparsedUri ? undefined : uri;
}

function portText(port: number): string {
  return port > 0 ? String(port) : '';
}

/** A request field that heads are indexed by: what is not there, or there once, is found without comparing names. */
function requestField(id: KnownHeaderId, name: string, separator?: string): VariableDefinition {
  return {
    get: ({ headers }) =>
      headers.isRepeated(id) ? headers.variable(name, separator) : headers.knownValue(id),
  };
}

const BASIC = /^basic +/i;
const BASE64 = /^[A-Za-z0-9+/]+$/;

/** The name in Basic credentials (RFC 7617 2), as ngx_http_auth_basic_user reads them. */
function remoteUser({ headers, head }: Exchange): string | undefined {
  const field = head.method === 'CONNECT' ? KnownHeader.proxyAuthorization : KnownHeader.authorization;
  const credentials = headers.knownValue(field);
  const scheme = credentials === undefined ? null : BASIC.exec(credentials);
  if (credentials === undefined || scheme === null) return undefined;
  // Nothing after the first `=` is looked at, and padding may be left out, but not so that a digit stands alone.
  const padding = credentials.indexOf('=', scheme[0].length);
  const encoded = credentials.slice(scheme[0].length, padding < 0 ? undefined : padding);
  if (!BASE64.test(encoded) || encoded.length % 4 === 1) return undefined;
  const decoded = Buffer.from(encoded, 'base64');
  const colon = decoded.indexOf(58);
  return colon > 0 ? latin1Text(decoded, 0, colon) : undefined;
}

/** Random bytes are asked for in stock: each call costs more than the bytes do. */
const random = Buffer.alloc(4096);
let randomUsed = random.length;

function requestId(): string {
  if (randomUsed === random.length) {
    randomFillSync(random);
    randomUsed = 0;
  }
  randomUsed += 16;
  return random.toString('hex', randomUsed - 16, randomUsed);
}

/**
 * `$content_length`: the field as it came; of a chunked body its size, once it has been read whole, and 0 where it is
 * dropped, as nginx has it.
 */
function contentLength(exchange: Exchange): string | undefined {
  const { headers, contentLength: announced, body, chunked } = exchange;
  const field = headers.knownValue(KnownHeader.contentLength);
  if (field !== undefined) return field;
  if (announced >= 0) return String(announced);
  if (!chunked) return undefined;
  if (body?.complete) return String(body.size);
  return exchange.bodyDropped || exchange.errorStatus > 0 ? '0' : undefined;
}

function requestBody(exchange: Exchange): string | undefined {
  const body = bodyInMemory(exchange);
  return body === undefined || body.length === 0 ? undefined : latin1Text(body, 0, body.length);
}

function binaryRemoteAddress({ remoteAddress }: Exchange): string {
  const address = parseIPv4(remoteAddress);
  if (address !== NO_ADDRESS) {
    return String.fromCharCode(address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255);
  }
  const groups = new Uint16Array(8);
  if (!parseIPv6(remoteAddress, groups)) return remoteAddress;
  let bytes = '';
  for (const group of groups) bytes += String.fromCharCode(group >>> 8, group & 255);
  return bytes;
}

function realpathRoot(exchange: Exchange): string | undefined {
  const root = documentRoot(exchange);
  try {
    return realpathSync.native(pathBytes(root), 'latin1');
  } catch (error) {
    if (!isSystemError(error)) throw error;
    log(exchange, 'crit', describeFileError('realpath()', root, error));
    return undefined;
  }
}

function setLimitRate(exchange: Exchange, value: string): void {
  const rate = parseSize(value);
  if (rate === undefined) log(exchange, 'error', `invalid $limit_rate "${value}"`);
  else exchange.limitRate = rate;
}

/** The head has been composed. Before, header filters may be asking what they find; some values change on the way. */
function isComposed({ carrier }: Exchange): boolean {
  return carrier.headBytes > 0;
}

function sentContentType(exchange: Exchange): string | undefined {
  const { contentType, charset, charsetText } = exchange.response;
  if (contentType === '') return undefined;
  if (charsetText !== '' && charset !== '') return contentType + charsetText;
  return charset !== '' && isComposed(exchange) ? `${contentType}; charset=${charset}` : contentType;
}

function sentLastModified({ response }: Exchange): string | undefined {
  if (response.lastModifiedText !== '') return response.lastModifiedText;
  return response.lastModified < 0 ? undefined : formatHttpDate(response.lastModified);
}

function sentTransferEncoding(exchange: Exchange): string | undefined {
  const { bodyless, response, head, location } = exchange;
  const isChunked =
    isComposed(exchange) &&
    !bodyless &&
    response.contentLength < 0 &&
    (head.version === 11 || head.version === 12) &&
    location.settings.chunked_transfer_encoding;
  return isChunked ? 'chunked' : undefined;
}

/** The fields of the answer that `ResponseHead` keeps apart from its lines, and those it does not. */
function sentHeader({ response }: Exchange, name: string): string | undefined {
  let value = '';
  switch (name) {
    case 'etag':
      value = response.etag;
      break;
    case 'server':
      value = response.server;
      break;
    case 'date':
      value = response.date;
      break;
  }
  return value === '' ? fieldInLines(response.fields, name) : value;
}

/**
 * The values of a field in `Name: value\r\n` lines, joined.
 * @param name as variables spell it: lower case, `_` for `-`
 */
function fieldInLines(lines: string, name: string): string | undefined {
  let joined: string | undefined;
  for (let start = 0; start < lines.length; ) {
    const lineEnd = lines.indexOf('\r\n', start);
    const end = lineEnd < 0 ? lines.length : lineEnd;
    if (isField(lines, start, name)) {
      let value = start + name.length + 1;
      while (value < end && lines.charCodeAt(value) === 32) value++;
      joined = joined === undefined ? lines.slice(value, end) : `${joined}, ${lines.slice(value, end)}`;
    }
    start = end + 2;
  }
  return joined;
}

function isField(lines: string, start: number, name: string): boolean {
  if (name === '' || lines.charCodeAt(start + name.length) !== 58) return false;
  for (let index = 0; index < name.length; index++) {
    let code = lines.charCodeAt(start + index);
    if (code >= 65 && code <= 90) code |= 0x20;
    else if (code === 45) code = 95;
    if (code !== name.charCodeAt(index)) return false;
  }
  return true;
}

/** No listener takes the PROXY protocol: nothing was ever said in it. */
const NO_PROXY_PROTOCOL: VariableDefinition = { get: () => undefined };

const NO_TCP_INFO: VariableDefinition = {
  get: () => undefined,
  unsupported: "Node.js does not tell the kernel's figures of a TCP connection",
};

/**
 * `cached` stands only where a later look could give another value and nginx keeps the first, or where looking is
 * dear; nginx remembers nearly all of them.
 */
export const httpVariables: VariableDefinitions = {
  // The request line.
  request: { get: ({ head }) => unlessEmpty(head.requestLine) },
  request_uri: { get: ({ head }) => unlessEmpty(head.target) },
  request_method: { get: ({ method }) => unlessEmpty(method) },
  server_protocol: { get: ({ head }) => unlessEmpty(head.protocol) },
  uri: { get: currentUri },
  document_uri: { get: currentUri },
  args: {
    get: ({ args }) => unlessEmpty(args),
    set(exchange, value) {
      exchange.args = value;
      exchange.plain = false;
    },
    changeable: true,
  },
  query_string: { get: ({ args }) => unlessEmpty(args) },
  is_args: { get: ({ args }) => (args === '' ? '' : '?') },
  arg_: { get: ({ args }, name) => argument(args, name), prefix: true },

  // The request's fields.
  http_host: requestField(KnownHeader.host, 'host'),
  http_user_agent: requestField(KnownHeader.userAgent, 'user_agent'),
  http_referer: requestField(KnownHeader.referer, 'referer'),
  http_via: requestField(KnownHeader.via, 'via'),
  http_x_forwarded_for: requestField(KnownHeader.xForwardedFor, 'x_forwarded_for'),
  http_cookie: requestField(KnownHeader.cookie, 'cookie', '; '),
  http_: { get: ({ headers }, name) => headers.variable(name), prefix: true },
  cookie_: { get: ({ headers }, name) => cookieValue(headers, name), prefix: true },
  content_length: { get: contentLength },
  content_type: requestField(KnownHeader.contentType, 'content_type'),
  host: { get: ({ head, server }) => (head.host === '' ? server.name : head.host) },
  request_port: { get: ({ head }) => portText(head.port) },
  is_request_port: { get: ({ head }) => (head.port > 0 ? ':' : '') },
  remote_user: { get: remoteUser, cached: true },
  request_body: { get: requestBody },
  request_body_file: { get: ({ body }) => body?.file?.path },
  request_length: { get: (exchange) => String(requestLength(exchange)) },

  // Who, where, when.
  remote_addr: { get: ({ remoteAddress }) => remoteAddress },
  remote_port: { get: ({ remotePort }) => portText(remotePort) },
  binary_remote_addr: { get: binaryRemoteAddress, cached: true },
  server_addr: {
    get: ({ connection }) =>
      connection.unixPath === '' ? connection.localAddress : `unix:${connection.unixPath}`,
  },
  server_port: { get: ({ connection }) => portText(connection.localPort) },
  server_name: { get: ({ server }) => server.name },
  proxy_protocol_addr: NO_PROXY_PROTOCOL,
  proxy_protocol_port: NO_PROXY_PROTOCOL,
  proxy_protocol_server_addr: NO_PROXY_PROTOCOL,
  proxy_protocol_server_port: NO_PROXY_PROTOCOL,
  proxy_protocol_tlv_: { ...NO_PROXY_PROTOCOL, prefix: true },
  tcpinfo_rtt: NO_TCP_INFO,
  tcpinfo_rttvar: NO_TCP_INFO,
  tcpinfo_snd_cwnd: NO_TCP_INFO,
  tcpinfo_rcv_space: NO_TCP_INFO,
  scheme: { get: ({ connection }) => connection.scheme },
  https: { get: ({ connection }) => (connection.scheme === 'https' ? 'on' : '') },
  connection: { get: ({ connection }) => String(connection.number) },
  connection_requests: { get: ({ connection }) => String(connection.requests) },
  connection_time: { get: ({ connection }) => secondsText(Date.now() - connection.acceptedAt) },
  pipe: { get: ({ pipelined }) => (pipelined ? 'p' : '.') },
  request_time: { get: ({ startedAt }) => secondsText(Date.now() - startedAt) },
  request_id: { get: requestId, cached: true },
  msec: { get: () => secondsText(Date.now()) },
  time_local: { get: logTime },
  time_iso8601: { get: iso8601 },

  // The file.
  document_root: { get: documentRoot },
  realpath_root: { get: realpathRoot },
  request_filename: { get: filePath },

  // The answer.
  status: { get: statusText },
  bytes_sent: { get: ({ carrier }) => String(carrier.bytesSent), cached: true },
  body_bytes_sent: { get: (exchange) => String(bodyBytesSent(exchange)), cached: true },
  request_completion: { get: ({ complete }) => (complete ? 'OK' : ''), cached: true },
  limit_rate: { get: ({ limitRate }) => String(Math.max(0, limitRate)), set: setLimitRate, changeable: true },
  sent_http_content_type: { get: sentContentType, cached: true },
  sent_http_content_length: {
    get: ({ response }) => (response.contentLength < 0 ? undefined : String(response.contentLength)),
    cached: true,
  },
  sent_http_location: {
    get: ({ response }) => unlessEmpty(response.location) ?? fieldInLines(response.fields, 'location'),
    cached: true,
  },
  sent_http_last_modified: { get: sentLastModified, cached: true },
  sent_http_connection: {
    get: ({ response, keepAlive }) =>
      response.status === 101 ? 'upgrade' : keepAlive ? 'keep-alive' : 'close',
    cached: true,
  },
  sent_http_keep_alive: {
    get({ keepAlive, location }) {
      const { header } = location.settings.keepalive_timeout;
      return keepAlive && header > 0 ? `timeout=${header}` : undefined;
    },
    cached: true,
  },
  sent_http_transfer_encoding: { get: sentTransferEncoding, cached: true },
  sent_http_: { get: sentHeader, prefix: true, cached: true },
  sent_trailer_: {
    get: ({ response }, name) => fieldInLines(response.trailers, name),
    prefix: true,
    cached: true,
  },

  // The program.
  hostname: { get: () => HOSTNAME },
  nginx_version: { get: () => VERSION },
  pid: { get: () => PROCESS },
};
