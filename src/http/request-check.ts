import { type HeaderBlock, type HeaderMasks, headerMasks } from './header-block.ts';
import { KnownHeader } from './header-names.ts';
import { validateHost } from './host.ts';
import { type ProtocolError, requestError } from './protocol-error.ts';
import type { RequestHead } from './request-head.ts';
import { containsIgnoreCase } from './tokens.ts';

/** How the body of a request is delimited, and what its Connection fields say. */
export interface RequestFraming {
  /** Bytes of body announced by Content-Length, -1 without one. Above 2^53 only approximately. */
  contentLength: number;
  /** Whether the body comes in chunks. */
  chunked: boolean;
  /** What Connection asks for; `none`: HTTP/1.1 stays open, HTTP/1.0 closes. */
  connection: 'none' | 'close' | 'keep-alive';
}

/** Header fields a request may have only once. */
export const UNIQUE_REQUEST_HEADERS: HeaderMasks = headerMasks([
  KnownHeader.host,
  KnownHeader.ifModifiedSince,
  KnownHeader.ifUnmodifiedSince,
  KnownHeader.ifMatch,
  KnownHeader.ifNoneMatch,
  KnownHeader.ifRange,
  KnownHeader.contentLength,
  KnownHeader.contentRange,
  KnownHeader.transferEncoding,
  KnownHeader.expect,
  KnownHeader.authorization,
  KnownHeader.proxyAuthorization,
]);

/** Whether a known header is one of `UNIQUE_REQUEST_HEADERS`. */
export function isUniqueRequestHeader(id: number): boolean {
  return (
    (id < 31 ? UNIQUE_REQUEST_HEADERS.low & (1 << id) : UNIQUE_REQUEST_HEADERS.high & (1 << (id - 31))) !== 0
  );
}

/** The 400 for a second field of a name that may come once; both are given as `Name: value`. */
export function repeatedHeaderError(id: number, line: string, previousLine: string): ProtocolError {
  const what = id === KnownHeader.host ? 'duplicate host header' : 'duplicate header line';
  return requestError(400, `client sent ${what}: "${line}", previous value: "${previousLine}"`);
}

/**
 * The checks of single fields, on a whole block: for engines that get their fields from elsewhere (HTTP/2, uWS).
 * RequestHeadParser has done them by the time it is complete. A valid Host is written to `into`, unless a host is
 * there already (an authority).
 */
export function checkRequestFields(
  headers: HeaderBlock,
  into: { host: string; port: number },
): ProtocolError | undefined {
  if (headers.repeatsAny(UNIQUE_REQUEST_HEADERS)) {
    for (let i = 1; i < headers.count; i++) {
      const id = headers.id(i);
      const first = headers.known(id);
      if (id !== 0 && first < i && isUniqueRequestHeader(id)) {
        return repeatedHeaderError(id, fieldText(headers, i), fieldText(headers, first));
      }
    }
  }
  const hostIndex = headers.known(KnownHeader.host);
  if (hostIndex < 0) return undefined;
  const target = into.host === '' ? into : { host: '', port: 0 };
  if (!validateHost(headers.value(hostIndex), target)) {
    return requestError(400, 'client sent invalid host header');
  }
  return undefined;
}

function fieldText(headers: HeaderBlock, i: number): string {
  return headers.source.slice(headers.lineStart(i), headers.lineEnd(i) - 2);
}

/**
 * What remains to be judged once all header fields are there (RFC 9112 3.2 and 6): Host, Content-Length,
 * Transfer-Encoding, CONNECT and TRACE, in nginx's order.
 *
 * @param allowConnect whether the server takes CONNECT (`allow_connect`)
 * @param into receives the framing; unspecified after an error
 * @returns the error, undefined if the request is fine
 */
export function checkRequestHead(
  head: RequestHead,
  allowConnect: boolean,
  into: RequestFraming,
): ProtocolError | undefined {
  const { headers, version } = head;
  into.contentLength = -1;
  into.chunked = false;
  into.connection = headers.hasKnown(KnownHeader.connection) ? connectionWish(headers) : 'none';
  if (version === 9) return undefined;

  if (version > 10 && !headers.hasKnown(KnownHeader.host)) {
    return requestError(400, 'client sent HTTP/1.1 request without "Host" header');
  }

  const lengthIndex = headers.known(KnownHeader.contentLength);
  if (lengthIndex >= 0) {
    into.contentLength = parseContentLength(headers.value(lengthIndex));
    if (into.contentLength < 0) return requestError(400, 'client sent invalid "Content-Length" header');
  }

  const encodingIndex = headers.known(KnownHeader.transferEncoding);
  if (encodingIndex >= 0) {
    if (version < 11) {
      return requestError(400, 'client sent HTTP/1.0 request with "Transfer-Encoding" header');
    }
    const encoding = headers.value(encodingIndex);
    if (encoding.length !== 7 || encoding.toLowerCase() !== 'chunked') {
      return requestError(501, `client sent unknown "Transfer-Encoding": "${encoding}"`);
    }
    if (lengthIndex >= 0) {
      return requestError(
        400,
        'client sent "Content-Length" and "Transfer-Encoding" headers at the same time',
      );
    }
    into.chunked = true;
  }

  if (head.method === 'CONNECT') {
    if (version !== 11 || !allowConnect) return requestError(405, 'client sent CONNECT method');
    if (into.contentLength > 0 || into.chunked) {
      return requestError(400, 'client sent CONNECT request with body');
    }
  } else if (head.method === 'TRACE') {
    return requestError(405, 'client sent TRACE method');
  }
  return undefined;
}

/** nginx looks for the words anywhere in each Connection field; the last field that has one counts. */
function connectionWish(headers: HeaderBlock): RequestFraming['connection'] {
  let wish: RequestFraming['connection'] = 'none';
  for (
    let i = headers.known(KnownHeader.connection);
    i >= 0;
    i = headers.known(KnownHeader.connection, i + 1)
  ) {
    const start = headers.valueStart(i);
    const end = headers.lineEnd(i) - 2;
    if (containsIgnoreCase(headers.source, 'close', start, end)) wish = 'close';
    else if (containsIgnoreCase(headers.source, 'keep-alive', start, end)) wish = 'keep-alive';
  }
  return wish;
}

const LARGEST_LENGTH = '9223372036854775807';

/**
 * A Content-Length (RFC 9110 8.6) in bytes: digits only, at most 2^63-1; values above 2^53 come out approximately.
 * -1 if it is not valid.
 */
export function parseContentLength(text: string): number {
  const length = text.length;
  if (length === 0) return -1;
  let value = 0;
  for (let i = 0; i < length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  if (length > 15) {
    const significant = text.replace(/^0+/, '');
    if (
      significant.length > LARGEST_LENGTH.length ||
      (significant.length === LARGEST_LENGTH.length && significant > LARGEST_LENGTH)
    ) {
      return -1;
    }
    // Digit by digit, the rounding errors would add up.
    return Number(text);
  }
  return value;
}
