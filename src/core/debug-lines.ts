/**
 * What the debugging log says of a request on its way, in nginx's words where nginx has some. Each of these functions
 * is called only where `debugging.on` (log/debugging.ts).
 */
import type { AnswerHead } from './carrier.ts';
import type { Exchange } from './exchange.ts';
import { debug } from './log.ts';
import { Phase } from './phases.ts';

/** The head has been read and the server chosen. */
export function debugBegin(exchange: Exchange): void {
  const { head, headers, server } = exchange;
  debug(exchange, `http request line: "${head.requestLine}"`);
  debug(exchange, `http uri: "${exchange.uri}"`);
  debug(exchange, `http args: "${exchange.args}"`);
  for (const line of linesOf(headers.text)) debug(exchange, `http header: "${line}"`);
  debug(exchange, 'http header done');
  debug(exchange, `http server: "${server.name}"`);
}

/** A phase begins. Those without a handler are left out; the numbers count the phases of phases.ts. */
export function debugPhase(exchange: Exchange): void {
  const { phase, location } = exchange;
  switch (phase) {
    case Phase.postRead:
      debugHandlers(exchange, 'generic', exchange.site.postRead);
      break;
    case Phase.serverRewrite:
      debugHandlers(exchange, 'rewrite', exchange.server.serverRewrite);
      break;
    case Phase.rewrite:
      debugHandlers(exchange, 'rewrite', location.rewrite);
      break;
    case Phase.postRewrite:
      debug(exchange, `post rewrite phase: ${phase}`);
      break;
    case Phase.preaccess:
      debugHandlers(exchange, 'generic', location.preaccess);
      break;
    case Phase.access:
      debugHandlers(exchange, 'access', location.access);
      break;
    case Phase.postAccess:
      debug(exchange, `post access phase: ${phase}`);
      break;
    case Phase.precontent:
      debugHandlers(exchange, 'generic', location.precontent);
      break;
    case Phase.content:
      if (exchange.handler === undefined) debugHandlers(exchange, 'content', location.content);
      else debug(exchange, `content phase: ${phase}, handler of the location`);
      break;
    default:
  }
}

function debugHandlers(exchange: Exchange, kind: string, handlers: readonly unknown[]): void {
  if (handlers.length > 0) debug(exchange, `${kind} phase: ${exchange.phase}, handlers: ${handlers.length}`);
}

/** The location has been chosen. */
export function debugLocation(exchange: Exchange): void {
  const { location } = exchange;
  const name = location === exchange.server.location ? '' : `${location.exact ? '=' : ''}${location.name}`;
  debug(exchange, `using configuration "${name}"`);
  debug(exchange, `http cl:${exchange.contentLength} max:${location.settings.client_max_body_size}`);
}

/** The request is to end with a result of a handler: a status, or one of the codes of phases.ts. */
export function debugFinalize(exchange: Exchange, result: number): void {
  debug(exchange, `http finalize request: ${result}, "${exchange.uri}?${exchange.args}"`);
}

/** The answer's head goes to the client. */
export function debugHead(exchange: Exchange, head: AnswerHead): void {
  const { statusLine, server, date, contentType, contentLength, lines, fields } = head;
  const length = contentLength < 0 ? '' : `Content-Length: ${contentLength}\r\n`;
  debug(exchange, `HTTP/1.1 ${statusLine}`);
  for (const line of linesOf(`${server}Date: ${date}\r\n${contentType}${length}${lines}${fields}`)) {
    debug(exchange, line);
  }
}

/** The exchange is over; times are since its head had been read. */
export function debugRelease(exchange: Exchange): void {
  const { carrier, cleanups, response } = exchange;
  debug(exchange, 'http log handler');
  for (let count = cleanups?.length ?? 0; count > 0; count--) debug(exchange, `run cleanup: ${count}`);
  const how = exchange.complete ? 'complete' : 'incomplete';
  debug(
    exchange,
    `http close request: status ${response.status}, ${carrier.bytesSent} bytes sent, ${how}, ` +
      `after ${Date.now() - exchange.startedAt} ms`,
  );
}

/** Lines of a head without their ends, and without empty ones. */
export function linesOf(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const end = line.endsWith('\r') ? line.slice(0, -1) : line;
    return end === '' ? [] : [end];
  });
}
