/** The head of the question to an upstream server. */
import type { Statement } from '../../config/statement.ts';
import type { Exchange } from '../../core/exchange.ts';
import type { Link } from '../../core/link.ts';
import { hasRequestBody } from '../../core/request-body.ts';
import type { Template } from '../../core/template.ts';
import type { HeaderBlock } from '../../http/header-block.ts';
import { KNOWN_HEADER_NAMES, KnownHeader } from '../../http/header-names.ts';

/** A set of header names, asked about fields of a block. */
export interface HeaderNameSet {
  /** By `KnownHeaderId`: 1 for the names in the set. */
  readonly known: Uint8Array;
  /** The other names, in lower case. */
  readonly others: readonly string[];
}

/** Makes a set of header names, in any case. */
export function headerNameSet(names: Iterable<string>): HeaderNameSet {
  const known = new Uint8Array(KNOWN_HEADER_NAMES.length);
  const others = new Set<string>();
  for (const name of names) {
    const lowerCase = name.toLowerCase();
    const id = KNOWN_HEADER_NAMES.indexOf(lowerCase);
    if (id > 0) known[id] = 1;
    else others.add(lowerCase);
  }
  return { known, others: [...others] };
}

/** Whether field `index` of the block has a name of the set. */
export function hasName(set: HeaderNameSet, headers: HeaderBlock, index: number): boolean {
  const id = headers.id(index);
  if (id !== KnownHeader.other) return set.known[id] === 1;
  const { others } = set;
  for (let other = 0; other < others.length; other++) {
    if (headers.nameIs(index, others[other]!)) return true;
  }
  return false;
}

/** The lines whose names are not in the set, in as few pieces as they lie in. */
export function linesWithout(set: HeaderNameSet, headers: HeaderBlock): string {
  const { count } = headers;
  let lines = '';
  let from = 0;
  for (let index = 0; index < count; index++) {
    if (!hasName(set, headers, index)) continue;
    if (index > from) lines += headers.lines(from, index);
    from = index + 1;
  }
  return from < count ? lines + headers.lines(from, count) : lines;
}

/** One header of the question's own. */
interface OwnHeader {
  /** `Name: `, ready to be sent. */
  readonly start: string;
  readonly value: Template;
}

/** How a location writes the heads of its questions. */
export interface RequestTemplate {
  /** `proxy_method`. */
  readonly method: Template | undefined;
  /** What follows the URI: ` HTTP/1.1` and the line's end. */
  readonly version: string;
  readonly isVersion11: boolean;
  /** `proxy_set_header Host`; undefined for `$proxy_host`. */
  readonly host: Template | undefined;
  readonly headers: readonly OwnHeader[];
  /** Content-Length and Transfer-Encoding say what is sent; false where `proxy_set_header` says something else. */
  readonly ownContentLength: boolean;
  readonly ownTransferEncoding: boolean;
  /** The values of its headers that are about the connection, or the message's framing. */
  readonly aboutConnection: readonly Template[];
  /** The client's lines that are not sent on; undefined where none is (`proxy_pass_request_headers off`). */
  readonly dropped: HeaderNameSet | undefined;
}

/** Never sent on: they are about the client's connection, or the proxy's own. */
const OWN_NAMES = [
  'Host',
  'Connection',
  'Proxy-Connection',
  'Content-Length',
  'Transfer-Encoding',
  'TE',
  'Keep-Alive',
  'Expect',
  'Upgrade',
];

/** A question with one of these wants a connection of its own. */
const ABOUT_CONNECTION = new Set([
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);

/** What of the settings decides about a head. */
export interface RequestSettings {
  readonly proxy_method: Statement | undefined;
  readonly proxy_http_version: 10 | 11;
  readonly proxy_set_header: readonly Statement[];
  readonly proxy_pass_request_headers: boolean;
}

/** Compiles the settings of a location. @throws ConfigError for values with variables that cannot be */
export function compileRequest(settings: RequestSettings, link: Link): RequestTemplate {
  const { proxy_method: method, proxy_set_header: statements } = settings;
  let host: Template | undefined;
  const headers: OwnHeader[] = [];
  const names = new Set(OWN_NAMES.map((name) => name.toLowerCase()));
  const given = new Set<string>();
  const aboutConnection: Template[] = [];
  for (const statement of statements) {
    const [name = '', text = ''] = statement.args;
    const lowerCase = name.toLowerCase();
    names.add(lowerCase);
    given.add(lowerCase);
    const value = link.template(statement, text);
    if (lowerCase === 'host') host = value;
    else if (value.constant !== '') {
      headers.push({ start: `${name}: `, value });
      if (ABOUT_CONNECTION.has(lowerCase)) aboutConnection.push(value);
    }
  }
  const isVersion11 = settings.proxy_http_version === 11;
  return {
    method: method === undefined ? undefined : link.template(method, method.args[0]!),
    version: isVersion11 ? ' HTTP/1.1\r\n' : ' HTTP/1.0\r\n',
    isVersion11,
    host,
    headers,
    ownContentLength: !given.has('content-length'),
    ownTransferEncoding: !given.has('transfer-encoding'),
    aboutConnection,
    dropped: settings.proxy_pass_request_headers ? headerNameSet(names) : undefined,
  };
}

/**
 * Whether a question may share a connection with others (`keepalive_pipeline`): it can be sent twice, it has no body, and
 * neither it nor the client says anything about the connection.
 * @param method of the question
 */
export function maySharePlace(template: RequestTemplate, exchange: Exchange, method: string): boolean {
  if (method !== 'GET' && method !== 'HEAD' && method !== 'OPTIONS') return false;
  const { headers } = exchange;
  if (hasRequestBody(exchange)) return false;
  if (headers.hasKnown(KnownHeader.upgrade) || headers.hasKnown(KnownHeader.expect)) return false;
  const { aboutConnection } = template;
  for (let index = 0; index < aboutConnection.length; index++) {
    const value = aboutConnection[index]!;
    if ((value.constant ?? value.evaluate(exchange)) !== '') return false;
  }
  return true;
}

/**
 * Writes the head of a question, the empty line at its end included.
 * @param method of the question
 * @param uri of the question
 * @param hostHeader `$proxy_host`
 * @param bodyLength for Content-Length; -1 for none
 * @param chunked the body is sent in chunks
 */
export function writeHead(
  template: RequestTemplate,
  exchange: Exchange,
  method: string,
  uri: string,
  hostHeader: string,
  bodyLength: number,
  chunked: boolean,
): string {
  const { host: hostTemplate, headers } = template;
  let head = `${method} ${uri}${template.version}`;
  let host = hostHeader;
  if (hostTemplate !== undefined) {
    host = hostTemplate.constant ?? hostTemplate.evaluate(exchange);
    // HTTP/1.1 has no requests without.
    if (host === '' && template.isVersion11) host = hostHeader;
  }
  if (host !== '') head += `Host: ${host}\r\n`;
  for (let index = 0; index < headers.length; index++) {
    const { start, value } = headers[index]!;
    const text = value.constant ?? value.evaluate(exchange);
    if (text !== '') head += `${start}${text}\r\n`;
  }
  if (bodyLength >= 0 && template.ownContentLength) head += `Content-Length: ${bodyLength}\r\n`;
  if (chunked && template.ownTransferEncoding) head += 'Transfer-Encoding: chunked\r\n';
  if (template.dropped !== undefined) head += linesWithout(template.dropped, exchange.headers);
  return `${head}\r\n`;
}
