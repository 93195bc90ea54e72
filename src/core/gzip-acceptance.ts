/**
 * Whether an answer may go to its client compressed: `gzip_http_version`, `gzip_proxied`, `gzip_disable`, `gzip_vary`,
 * and what the request says in Accept-Encoding. Asked by `gzip`, `gunzip` and `gzip_static`.
 */
import { bits, choice, custom, flag } from '../config/setters.ts';
import type { Statement } from '../config/statement.ts';
import { parseHttpDate } from '../http/dates.ts';
import { KnownHeader } from '../http/header-names.ts';
import { hasToken } from '../http/tokens.ts';
import { clientBrowser, MSIE6 } from './browser.ts';
import type { Exchange } from './exchange.ts';
import { compileRegex, type Regex } from './regex.ts';
import { fieldValue, fieldValues } from './response-headers.ts';

const CONTEXTS = ['http', 'server', 'location'];

const OFF = 1;
const EXPIRED = 2;
const NO_CACHE = 4;
const NO_STORE = 8;
const PRIVATE = 16;
const NO_LAST_MODIFIED = 32;
const NO_ETAG = 64;
const AUTH = 128;
const ANY = 256;

/** `gzip_disable`. */
export interface GzipDisabled {
  /** `msie6`. */
  readonly msie6: boolean;
  /** User-Agents that get nothing compressed. */
  readonly patterns: readonly Regex[];
}

function readDisabled(statement: Statement, previous: GzipDisabled | undefined): GzipDisabled {
  const patterns = [...(previous?.patterns ?? [])];
  let msie6 = previous?.msie6 ?? false;
  for (const word of statement.args) {
    if (word === 'msie6') msie6 = true;
    else patterns.push(compileRegex(word, { caseless: true, statement }));
  }
  return { msie6, patterns };
}

/** Part of the core's directives, as in nginx. */
export const gzipAcceptanceDirectives = {
  gzip_vary: flag(CONTEXTS, false),
  gzip_http_version: choice(CONTEXTS, { '1.0': 10, '1.1': 11 }, 11),
  gzip_proxied: bits(
    CONTEXTS,
    {
      off: OFF,
      expired: EXPIRED,
      'no-cache': NO_CACHE,
      'no-store': NO_STORE,
      private: PRIVATE,
      no_last_modified: NO_LAST_MODIFIED,
      no_etag: NO_ETAG,
      auth: AUTH,
      any: ANY,
    },
    OFF,
  ),
  gzip_disable: custom<GzipDisabled, undefined>(
    CONTEXTS,
    [1, Number.POSITIVE_INFINITY],
    undefined,
    readDisabled,
    { syntax: 'regex ... | msie6' },
  ),
};

/**
 * Whether the client gets what is compressed. Decided once for each exchange, when it is asked first: with `gzip_static`
 * that is before the answer's header is known.
 */
export function acceptsGzip(exchange: Exchange): boolean {
  exchange.gzipAccepted ??= decide(exchange);
  return exchange.gzipAccepted;
}

function decide(exchange: Exchange): boolean {
  const { headers, head } = exchange;
  // What becomes part of another answer must not be compressed by itself.
  if (exchange.isSubrequest) return false;
  const accepted = headers.knownValue(KnownHeader.acceptEncoding);
  if (accepted === undefined || !namesGzip(accepted)) return false;
  const { settings } = exchange.location;
  const disabled = settings.gzip_disable;
  if (disabled?.msie6 && clientBrowser(exchange) === MSIE6) return false;
  if (head.version < settings.gzip_http_version) return false;
  if (headers.hasKnown(KnownHeader.via) && !mayReachProxy(exchange, settings.gzip_proxied)) return false;
  if (disabled === undefined || disabled.patterns.length === 0) return true;
  const agent = headers.knownValue(KnownHeader.userAgent);
  return agent === undefined || !disabled.patterns.some((pattern) => pattern.test(agent));
}

/** `gzip_proxied`: the request comes from a proxy, which might give the answer to others too. */
function mayReachProxy({ headers, response }: Exchange, allowed: number): boolean {
  if ((allowed & OFF) !== 0) return false;
  if ((allowed & ANY) !== 0) return true;
  if ((allowed & AUTH) !== 0 && headers.hasKnown(KnownHeader.authorization)) return true;
  const { fields } = response;
  const expires = fieldValue(fields, 'expires');
  if (expires !== undefined) {
    if ((allowed & EXPIRED) === 0) return false;
    const time = parseHttpDate(expires);
    const now = response.date === '' ? Math.floor(Date.now() / 1000) : parseHttpDate(response.date);
    return time !== undefined && now !== undefined && time < now;
  }
  const cacheControl = fieldValues(fields, 'cache-control');
  if (cacheControl.length > 0) {
    return cacheControl.some(
      (value) =>
        ((allowed & NO_CACHE) !== 0 && hasToken(value, 'no-cache')) ||
        ((allowed & NO_STORE) !== 0 && hasToken(value, 'no-store')) ||
        ((allowed & PRIVATE) !== 0 && hasToken(value, 'private')),
    );
  }
  const isDated = response.lastModified >= 0 || response.lastModifiedText !== '';
  if ((allowed & NO_LAST_MODIFIED) !== 0 && isDated) return false;
  return (allowed & NO_ETAG) === 0 || response.etag === '';
}

const SPACE = 32;
const COMMA = 44;
const SEMICOLON = 59;

/**
 * Whether an Accept-Encoding accepts gzip: it names it, with no `q` or one that is above 0 and well-formed. As nginx
 * judges it, which looks at the first mention alone, and not at `*`.
 */
export function namesGzip(value: string): boolean {
  // What nearly all browsers send.
  if (value.startsWith('gzip,')) return true;
  const lower = value.toLowerCase();
  let at = lower.indexOf('gzip');
  while (at > 0 && lower[at - 1] !== ',' && lower[at - 1] !== ' ') at = lower.indexOf('gzip', at + 4);
  if (at < 0) return false;
  let position = skipSpaces(lower, at + 4);
  if (position === lower.length || lower.charCodeAt(position) === COMMA) return true;
  if (lower.charCodeAt(position) !== SEMICOLON) return false;
  position = skipSpaces(lower, position + 1);
  if (position === lower.length) return true;
  if (lower[position] !== 'q' || lower[position + 1] !== '=') return false;
  return isPositiveQuality(lower, position + 2);
}

function skipSpaces(text: string, from: number): number {
  let position = from;
  while (text.charCodeAt(position) === SPACE) position++;
  return position;
}

/** A `qvalue` (RFC 9110 12.4.2) above 0 from `from` on; it ends with a comma, a space or the text. */
function isPositiveQuality(text: string, from: number): boolean {
  const whole = text.charCodeAt(from) - 48;
  if (whole !== 0 && whole !== 1) return false;
  let position = from + 1;
  if (endsElement(text, position)) return whole === 1;
  if (text[position] !== '.') return false;
  let sum = 0;
  let digits = 0;
  for (position++; !endsElement(text, position); position++) {
    const digit = text.charCodeAt(position) - 48;
    if (!(digit >= 0 && digit <= 9)) return false;
    sum += digit;
    digits++;
  }
  if (digits > 3) return false;
  return whole === 1 ? sum === 0 : sum > 0;
}

function endsElement(text: string, position: number): boolean {
  const code = text.charCodeAt(position);
  return Number.isNaN(code) || code === COMMA || code === SPACE;
}
