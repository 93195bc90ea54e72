/** The head of an upstream server's answer, made into the head of ours. */

import { parseNumber } from '../../config/values.ts';
import type { Exchange } from '../../core/exchange.ts';
import { log } from '../../core/log.ts';
import { parseHttpDate } from '../../http/dates.ts';
import { type HeaderBlock, headerMasks } from '../../http/header-block.ts';
import { KnownHeader, type KnownHeaderId } from '../../http/header-names.ts';
import type { ResponseHead } from '../../http/response-head.ts';
import { type CookieRewriting, rewriteCookie } from './cookies.ts';
import { IgnoreHeaders } from './directives.ts';
import { type Rewriting, rewriteFirst, rewriteRefresh } from './redirect.ts';
import { type HeaderNameSet, hasName, headerNameSet } from './request.ts';

/** What happens to a line: it is forwarded as it is, left out, or looked at. */
const FORWARD = 0;
const DROP = 1;
const LOOK = 2;

/** How a location makes heads of answers. */
export interface ResponseTemplate {
  /** FORWARD, DROP or LOOK by `KnownHeaderId`. */
  readonly actions: Uint8Array;
  /** `proxy_hide_header` and what is hidden anyway, less `proxy_pass_header`. */
  readonly hidden: HeaderNameSet;
  readonly redirects: readonly Rewriting[];
  readonly cookies: CookieRewriting | undefined;
  /** Bits of `IgnoreHeaders`. */
  readonly ignored: number;
}

/** What is hidden unless `proxy_pass_header` names it. */
const HIDDEN = [
  'Date',
  'Server',
  'X-Pad',
  'X-Accel-Expires',
  'X-Accel-Redirect',
  'X-Accel-Limit-Rate',
  'X-Accel-Buffering',
  'X-Accel-Charset',
];

/** About the server's connection, and so never forwarded; Content-Length is written anew. */
const HOP_BY_HOP: readonly KnownHeaderId[] = [
  KnownHeader.contentLength,
  KnownHeader.connection,
  KnownHeader.keepAlive,
  KnownHeader.transferEncoding,
];

const LOOKED_AT: readonly KnownHeaderId[] = [
  KnownHeader.contentType,
  KnownHeader.date,
  KnownHeader.server,
  KnownHeader.lastModified,
  KnownHeader.etag,
];

/** There may be one of each; nginx ignores the others, and warns. */
const SINGLE_IDS: readonly KnownHeaderId[] = [
  KnownHeader.status,
  KnownHeader.contentType,
  KnownHeader.date,
  KnownHeader.lastModified,
  KnownHeader.etag,
  KnownHeader.server,
  KnownHeader.location,
  KnownHeader.refresh,
  KnownHeader.expires,
  KnownHeader.xAccelExpires,
  KnownHeader.xAccelRedirect,
  KnownHeader.xAccelLimitRate,
];
const SINGLE = headerMasks(SINGLE_IDS);

/** The lines an answer with X-Accel-Redirect leaves to the one it is exchanged for. */
const KEPT_BY_REDIRECT: ReadonlySet<number> = new Set([
  KnownHeader.contentType,
  KnownHeader.setCookie,
  KnownHeader.contentDisposition,
  KnownHeader.cacheControl,
  KnownHeader.expires,
  KnownHeader.acceptRanges,
]);

/** Compiles what the settings of a location say of heads. */
export function compileResponse(options: {
  readonly hide: readonly string[];
  readonly pass: readonly string[];
  readonly redirects: readonly Rewriting[];
  readonly cookies: CookieRewriting | undefined;
  readonly ignored: number;
}): ResponseTemplate {
  const passed = new Set(options.pass.map((name) => name.toLowerCase()));
  const hidden = headerNameSet(
    [...HIDDEN, ...options.hide].filter((name) => !passed.has(name.toLowerCase())),
  );
  const actions = new Uint8Array(hidden.known.length);
  for (const id of LOOKED_AT) actions[id] = LOOK;
  if (options.redirects.length > 0) {
    actions[KnownHeader.location] = LOOK;
    actions[KnownHeader.refresh] = LOOK;
  }
  if (options.cookies !== undefined) actions[KnownHeader.setCookie] = LOOK;
  for (let id = 0; id < actions.length; id++) if (hidden.known[id] === 1) actions[id] = DROP;
  for (const id of HOP_BY_HOP) actions[id] = DROP;
  return {
    actions,
    hidden,
    redirects: options.redirects,
    cookies: options.cookies,
    ignored: options.ignored,
  };
}

/**
 * Fills `exchange.response` from an upstream server's head. The lines nobody has a say about are forwarded in as few
 * pieces as they lie in.
 * @param contentLength of the body, -1 where it is not known
 */
export function takeHead(
  template: ResponseTemplate,
  exchange: Exchange,
  head: ResponseHead,
  contentLength: number,
): void {
  const { headers } = head;
  const { response } = exchange;
  response.status = head.status;
  response.statusLine = head.statusLine;
  response.contentLength = contentLength;
  // The server has had the request's conditions before it.
  response.unconditional = true;
  const repeated = headers.repeatsAny(SINGLE) ? findRepeated(exchange, headers) : undefined;
  const { actions, hidden } = template;
  const { count } = headers;
  const anyOtherHidden = hidden.others.length > 0;
  let { fields } = response;
  let from = 0;
  for (let index = 0; index < count; index++) {
    const id = headers.id(index);
    let action = actions[id]!;
    if (id === KnownHeader.other && anyOtherHidden && hasName(hidden, headers, index)) action = DROP;
    if (repeated?.has(index)) action = DROP;
    if (action === FORWARD) continue;
    if (action === LOOK) {
      const line = takeLine(template, exchange, headers, index, id);
      // Undefined: it stays as it is.
      if (line === undefined) continue;
      if (index > from) fields += headers.lines(from, index);
      fields += line;
    } else if (index > from) fields += headers.lines(from, index);
    from = index + 1;
  }
  if (from < count) fields += headers.lines(from, count);
  response.fields = fields;
}

/** @returns what stands in the line's place, '' for nothing; undefined where the line stays as it is */
function takeLine(
  template: ResponseTemplate,
  exchange: Exchange,
  headers: HeaderBlock,
  index: number,
  id: KnownHeaderId,
): string | undefined {
  const { response } = exchange;
  const value = headers.value(index);
  switch (id) {
    case KnownHeader.contentType:
      setContentType(exchange, value);
      return '';
    case KnownHeader.lastModified:
      response.lastModifiedText = value;
      response.lastModified = parseHttpDate(value) ?? -1;
      return '';
    case KnownHeader.etag:
      response.etag = value;
      return '';
    case KnownHeader.date:
      response.date = value;
      return '';
    case KnownHeader.server:
      response.server = value;
      return '';
    case KnownHeader.location: {
      const rewritten = rewriteFirst(template.redirects, exchange, value);
      if (rewritten === undefined) return undefined;
      response.location = rewritten;
      return '';
    }
    case KnownHeader.refresh: {
      const rewritten = rewriteRefresh(template.redirects, exchange, value);
      return rewritten === undefined ? undefined : `${headers.name(index)}: ${rewritten}\r\n`;
    }
    default: {
      const rewritten = rewriteCookie(template.cookies!, exchange, value);
      return rewritten === undefined ? undefined : `${headers.name(index)}: ${rewritten}\r\n`;
    }
  }
}

/** Takes a Content-Type apart: a charset at its end is kept by itself, so that filters may change it. */
function setContentType({ response }: Exchange, value: string): void {
  response.contentType = value;
  response.charset = '';
  for (let semicolon = value.indexOf(';'); semicolon >= 0; semicolon = value.indexOf(';', semicolon + 1)) {
    let start = semicolon + 1;
    while (value.charCodeAt(start) === SPACE) start++;
    if (value.slice(start, start + 8).toLowerCase() !== 'charset=') continue;
    start += 8;
    let end = value.length;
    if (value.charCodeAt(start) === QUOTE) start++;
    if (end > start && value.charCodeAt(end - 1) === QUOTE) end--;
    response.contentType = value.slice(0, semicolon);
    response.charset = value.slice(start, end);
    response.charsetText = value.slice(semicolon);
    return;
  }
}

const SPACE = 32;
const QUOTE = 34;

/** The lines that repeat what there may be one of; each is a warning. */
function findRepeated(exchange: Exchange, headers: HeaderBlock): ReadonlySet<number> {
  const repeated = new Set<number>();
  for (const id of SINGLE_IDS) {
    const first = headers.known(id);
    if (first < 0) continue;
    for (let index = headers.known(id, first + 1); index >= 0; index = headers.known(id, index + 1)) {
      repeated.add(index);
      log(
        exchange,
        'warn',
        `upstream sent duplicate header line: "${fieldText(headers, index)}", ` +
          `previous value: "${fieldText(headers, first)}", ignored while reading response header from upstream`,
      );
    }
  }
  return repeated;
}

function fieldText(headers: HeaderBlock, index: number): string {
  return `${headers.name(index)}: ${headers.value(index)}`;
}

/**
 * Keeps what an answer with X-Accel-Redirect has to say about the answer that takes its place: media type, cookies,
 * caching.
 */
export function takeRedirectedHead(
  template: ResponseTemplate,
  exchange: Exchange,
  headers: HeaderBlock,
): void {
  for (let index = 0; index < headers.count; index++) {
    const id = headers.id(index);
    if (!KEPT_BY_REDIRECT.has(id)) continue;
    if (SINGLE_IDS.includes(id) && headers.known(id) !== index) continue;
    const isCookie = id === KnownHeader.setCookie && template.cookies !== undefined;
    const line =
      id === KnownHeader.contentType || isCookie
        ? takeLine(template, exchange, headers, index, id)
        : undefined;
    exchange.response.fields += line ?? headers.lines(index, index + 1);
  }
}

/** Whether the answer is to be buffered: `X-Accel-Buffering: yes|no`, else as configured. */
export function wantsBuffering(
  template: ResponseTemplate,
  headers: HeaderBlock,
  configured: boolean,
): boolean {
  if ((template.ignored & IgnoreHeaders.buffering) !== 0) return configured;
  let buffering = configured;
  let index = headers.known(KnownHeader.xAccelBuffering);
  for (; index >= 0; index = headers.known(KnownHeader.xAccelBuffering, index + 1)) {
    const word = headers.value(index).toLowerCase();
    if (word === 'no') buffering = false;
    else if (word === 'yes') buffering = true;
  }
  return buffering;
}

/** X-Accel-Limit-Rate, in bytes a second; undefined where there is none to heed. */
export function limitRateOf(template: ResponseTemplate, headers: HeaderBlock): number | undefined {
  if ((template.ignored & IgnoreHeaders.limitRate) !== 0) return undefined;
  const text = headers.knownValue(KnownHeader.xAccelLimitRate);
  return text === undefined ? undefined : parseNumber(text);
}

/** X-Accel-Charset; '' where there is none to heed. */
export function charsetOf(template: ResponseTemplate, headers: HeaderBlock): string {
  if ((template.ignored & IgnoreHeaders.charset) !== 0) return '';
  return headers.knownValue(KnownHeader.xAccelCharset) ?? '';
}

/** X-Accel-Redirect; undefined where there is none to heed. */
export function redirectTargetOf(template: ResponseTemplate, headers: HeaderBlock): string | undefined {
  if ((template.ignored & IgnoreHeaders.redirect) !== 0) return undefined;
  return headers.knownValue(KnownHeader.xAccelRedirect);
}

/** The trailer lines to be sent on. */
export function trailerLines(template: ResponseTemplate, trailers: HeaderBlock): string {
  const { hidden } = template;
  let lines = '';
  for (let index = 0; index < trailers.count; index++) {
    if (!hasName(hidden, trailers, index)) lines += trailers.lines(index, index + 1);
  }
  return lines;
}
