/** The answer's head on its way out: what every answer has, in nginx's order. */
import { httpDate } from '../event/clock.ts';
import { formatHttpDate } from '../http/dates.ts';
import { statusLine } from '../http/status.ts';
import { debugging } from '../log/debugging.ts';
import { PRODUCT } from '../version.ts';
import { addOutermostBodyFilter, dropBodyFilters } from './body-filter.ts';
import { clientBrowser, MSIE6, SAFARI } from './browser.ts';
import { debugHead } from './debug-lines.ts';
import type { Exchange } from './exchange.ts';
import { OK, type PhaseResult } from './phases.ts';
import type { Relations } from './relations.ts';
import { OutputWatch } from './subrequest-output.ts';

const SERVER_LINES = {
  off: 'Server: portico\r\n',
  on: `Server: ${PRODUCT}\r\n`,
  // No build has a name of its own.
  build: `Server: ${PRODUCT}\r\n`,
};

/**
 * Runs the header filters over `exchange.response`, composes the head and gives it to the carrier. The body, if any,
 * goes to `exchange.output` afterwards. Does nothing where the head has been sent.
 * @returns OK, or the status that is to take the answer's place: nothing has been sent, and the caller finishes the
 *   exchange with it (a condition of the request does not hold: 412; a range is not in the body: 416)
 */
export function sendHead(exchange: Exchange): PhaseResult {
  if (exchange.headSent) return OK;
  exchange.headSent = true;
  const { response, location } = exchange;
  if (exchange.errorStatus !== 0) {
    response.status = exchange.errorStatus;
    response.statusLine = '';
  }
  if (exchange.relations !== undefined && isInternal(exchange, exchange.relations)) return OK;
  const filters = location.headerFilters;
  for (let index = 0; index < filters.length; index++) {
    filters[index]!(exchange);
    if (exchange.refusal !== 0) return refuse(exchange);
  }

  const status = response.status;
  const { settings } = location;
  if (status === 204) {
    response.contentType = '';
    response.contentLength = -1;
    response.lastModified = -1;
    response.lastModifiedText = '';
  }
  exchange.bodyless =
    (exchange.method === 'HEAD' && exchange.head.version > 9) ||
    status === 204 ||
    status === 304 ||
    status < 200;
  if (exchange.bodyless && exchange.innermostFilter !== undefined) dropBodyFilters(exchange);
  if (response.expectTrailers && response.contentLength >= 0 && isChunkable(exchange))
    response.contentLength = -1;
  if (exchange.keepAlive && !mayKeepAlive(exchange)) exchange.keepAlive = false;

  let contentType = '';
  if (response.contentType !== '') {
    contentType = `Content-Type: ${response.contentType}`;
    if (response.charset !== '') {
      contentType += response.charsetText === '' ? `; charset=${response.charset}` : response.charsetText;
    }
    contentType += '\r\n';
  }
  let lines = '';
  if (response.lastModifiedText !== '') lines = `Last-Modified: ${response.lastModifiedText}\r\n`;
  else if (response.lastModified >= 0 && (status === 200 || status === 206 || status === 304)) {
    lines = `Last-Modified: ${formatHttpDate(response.lastModified)}\r\n`;
  }
  let { fields } = response;
  if (response.location !== '') {
    // Kept as it is sent, for `$sent_http_location`.
    const absolute = absoluteLocation(exchange, response.location);
    // What is sent as it came stands among the other fields, as in nginx.
    if (absolute === response.location) fields = `Location: ${absolute}\r\n${fields}`;
    else lines += `Location: ${absolute}\r\n`;
    response.location = absolute;
  }
  if (response.etag !== '') fields = `ETag: ${response.etag}\r\n${fields}`;
  if (response.varyEncoding && settings.gzip_vary) fields = `Vary: Accept-Encoding\r\n${fields}`;

  const head = {
    status,
    statusLine: response.statusLine === '' ? statusLine(status) : response.statusLine,
    server: response.server === '' ? SERVER_LINES[settings.server_tokens] : `Server: ${response.server}\r\n`,
    date: response.date === '' ? httpDate() : response.date,
    contentType,
    contentLength: response.contentLength,
    lines,
    fields,
    bodyless: exchange.bodyless,
  };
  if (debugging.on) debugHead(exchange, head);
  exchange.carrier.sendHead(head);
  return OK;
}

/**
 * No client sees the head of a subrequest, nor of what comes after an answer: of the header filters only those are run
 * that change the body. @returns false for the head of the client's own answer
 */
function isInternal(exchange: Exchange, relations: Relations): boolean {
  if (relations.parent === undefined) {
    if (relations.epilogue !== 'running') return false;
    exchange.bodyless = true;
    return true;
  }
  const { response, location, method } = exchange;
  const filters = location.innerHeaderFilters;
  for (let index = 0; index < filters.length; index++) filters[index]!(exchange);
  const { status } = response;
  exchange.bodyless =
    relations.headOnly || method === 'HEAD' || status === 204 || status === 304 || status < 200;
  if (exchange.bodyless && relations.beforeEnd === undefined) dropBodyFilters(exchange);
  if (relations.beforeEnd !== undefined)
    addOutermostBodyFilter(exchange, new OutputWatch(exchange, relations));
  exchange.carrier.sendHead({
    status,
    statusLine: '',
    server: '',
    date: '',
    contentType: '',
    contentLength: response.contentLength,
    lines: '',
    fields: '',
    bodyless: exchange.bodyless,
  });
  return true;
}

/** Takes back the body filters that header filters before the one that refused have added. Their lines stay, as in nginx. */
function refuse(exchange: Exchange): PhaseResult {
  const status = exchange.refusal;
  exchange.refusal = 0;
  exchange.headSent = false;
  dropBodyFilters(exchange);
  return status;
}

/** Sends a whole answer whose body is at hand, and ends the exchange. */
export function sendWhole(
  exchange: Exchange,
  status: number,
  contentType: string,
  body: Buffer | string,
): void {
  const { response } = exchange;
  response.status = status;
  response.contentType = contentType;
  response.contentLength = body.length;
  const refusal = sendHead(exchange);
  if (refusal !== OK) {
    exchange.site.finalize(exchange, refusal);
    return;
  }
  if (!exchange.bodyless && body.length > 0) exchange.output.write(body);
  endExchange(exchange);
}

/** The answer is complete: tells the carrier, which will release the exchange when all has been sent. */
export function endExchange(exchange: Exchange): void {
  if (exchange.ended) return;
  if (exchange.relations?.beforeEnd !== undefined) answerInstead(exchange, 0);
  exchange.complete = true;
  exchange.ended = true;
  exchange.onDrain = undefined;
  exchange.onAbort = undefined;
  if (exchange.response.trailers !== '') exchange.carrier.setTrailers(exchange.response.trailers);
  exchange.output.end();
}

/** Asks `Relations.beforeEnd`, once. @returns whether the exchange now has an answer instead of `status` */
export function answerInstead(exchange: Exchange, status: number): boolean {
  const relations = exchange.relations!;
  const { beforeEnd } = relations;
  relations.beforeEnd = undefined;
  return beforeEnd?.(exchange, status) === true;
}

/** What the location says of keep-alive: nginx's ngx_http_update_location_config. */
function mayKeepAlive(exchange: Exchange): boolean {
  const { settings } = exchange.location;
  const { connection } = exchange;
  if (settings.keepalive_timeout.timeout === 0) return false;
  if (connection.requests >= settings.keepalive_requests) return false;
  if (exchange.startedAt - connection.acceptedAt > settings.keepalive_time) return false;
  if (exchange.site.draining) return false;
  return settings.keepalive_disable === 1 || !isDisabledBrowser(exchange, settings.keepalive_disable);
}

/** `keepalive_disable msie6 safari`. */
function isDisabledBrowser(exchange: Exchange, disabled: number): boolean {
  const isPost = exchange.method === 'POST';
  if (!isPost && (disabled & 4) === 0) return false;
  const browser = clientBrowser(exchange);
  return (
    (isPost && (disabled & 2) !== 0 && browser === MSIE6) || ((disabled & 4) !== 0 && browser === SAFARI)
  );
}

/** Whether the body can be sent in chunks, with room for trailers behind it. */
function isChunkable({ head, location, bodyless }: Exchange): boolean {
  return !bodyless && head.version >= 11 && head.version < 20 && location.settings.chunked_transfer_encoding;
}

/** A location that begins with a slash made absolute, as `absolute_redirect` and its companions say. */
function absoluteLocation(exchange: Exchange, location: string): string {
  const { settings } = exchange.location;
  if (location.charCodeAt(0) !== 47 || !settings.absolute_redirect) return location;
  const { connection, head } = exchange;
  const host = settings.server_name_in_redirect
    ? exchange.server.name
    : head.host !== ''
      ? head.host
      : connection.localAddress;
  const port = connection.localPort;
  const standard = port === 0 || port === (connection.scheme === 'https' ? 443 : 80);
  const shownPort = settings.port_in_redirect && !standard ? `:${port}` : '';
  return `${connection.scheme}://${host}${shownPort}${location}`;
}
