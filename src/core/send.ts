/** The answer's head on its way out: what every answer has, in nginx's order. */
import { httpDate } from '../event/clock.ts';
import { formatHttpDate } from '../http/dates.ts';
import { statusLine } from '../http/status.ts';
import { PRODUCT } from '../version.ts';
import type { Exchange } from './exchange.ts';

const SERVER_LINES = {
  off: 'Server: portico\r\nDate: ',
  on: `Server: ${PRODUCT}\r\nDate: `,
  // No build has a name of its own.
  build: `Server: ${PRODUCT}\r\nDate: `,
};

/**
 * Runs the header filters over `exchange.response`, composes the head and gives it to the carrier. The body, if any,
 * goes to `exchange.output` afterwards. Does nothing where the head has been sent.
 */
export function sendHead(exchange: Exchange): void {
  if (exchange.headSent) return;
  exchange.headSent = true;
  const { response, location } = exchange;
  if (exchange.errorStatus !== 0) {
    response.status = exchange.errorStatus;
    response.statusLine = '';
  }
  const filters = location.headerFilters;
  for (let index = 0; index < filters.length; index++) filters[index]!(exchange);

  const status = response.status;
  const { settings } = location;
  if (status === 204) {
    response.contentType = '';
    response.contentLength = -1;
    response.lastModified = -1;
    response.lastModifiedText = '';
  }
  exchange.bodyless = exchange.method === 'HEAD' || status === 204 || status === 304 || status < 200;
  if (exchange.keepAlive && !mayKeepAlive(exchange)) exchange.keepAlive = false;

  let lines =
    response.server === ''
      ? SERVER_LINES[settings.server_tokens] + (response.date === '' ? httpDate() : response.date)
      : `Server: ${response.server}\r\nDate: ${response.date === '' ? httpDate() : response.date}`;
  if (response.contentType !== '') {
    lines += `\r\nContent-Type: ${response.contentType}`;
    if (response.charset !== '') lines += `; charset=${response.charset}`;
  }
  if (response.contentLength >= 0) lines += `\r\nContent-Length: ${response.contentLength}`;
  if (response.lastModifiedText !== '') lines += `\r\nLast-Modified: ${response.lastModifiedText}`;
  else if (response.lastModified >= 0 && (status === 200 || status === 206 || status === 304)) {
    lines += `\r\nLast-Modified: ${formatHttpDate(response.lastModified)}`;
  }
  if (response.location !== '') {
    // Kept as it is sent, for `$sent_http_location`.
    response.location = absoluteLocation(exchange, response.location);
    lines += `\r\nLocation: ${response.location}`;
  }
  let { fields } = response;
  if (response.etag !== '') fields += `ETag: ${response.etag}\r\n`;
  if (response.acceptRanges) fields += 'Accept-Ranges: bytes\r\n';
  if (response.trailers !== '') exchange.carrier.setTrailers(response.trailers);

  exchange.carrier.sendHead(
    status,
    response.statusLine === '' ? statusLine(status) : response.statusLine,
    `${lines}\r\n`,
    fields,
    response.contentLength,
    exchange.bodyless,
  );
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
  sendHead(exchange);
  if (!exchange.bodyless && body.length > 0) exchange.output.write(body);
  endExchange(exchange);
}

/** The answer is complete: tells the carrier, which will release the exchange when all has been sent. */
export function endExchange(exchange: Exchange): void {
  if (exchange.ended) return;
  exchange.complete = true;
  exchange.ended = true;
  exchange.onDrain = undefined;
  exchange.onAbort = undefined;
  exchange.output.end();
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

/** `keepalive_disable msie6 safari`: MSIE before 7 after a POST, and Safari on a Mac. */
function isDisabledBrowser(exchange: Exchange, disabled: number): boolean {
  const agent = exchange.headers.get('user-agent');
  if (agent === undefined) return false;
  if ((disabled & 2) !== 0 && exchange.method === 'POST') {
    const major = agent.charCodeAt(agent.indexOf('MSIE ') + 5) - 48;
    if (agent.includes('MSIE ') && agent[agent.indexOf('MSIE ') + 6] === '.' && major >= 4 && major <= 6) {
      return !agent.includes('SV1');
    }
  }
  return (
    (disabled & 4) !== 0 &&
    agent.includes('Safari/') &&
    agent.includes('Mac OS X') &&
    !agent.includes('Chrome/')
  );
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
