/** How an exchange ends: with an answer of its own, an error page, a redirect, or not at all. */
import { parseUnsafeUri } from '../http/uri.ts';
import { builtInPage } from './built-in-pages.ts';
import type { ErrorPage } from './error-pages.ts';
import type { Exchange } from './exchange.ts';
import { log } from './log.ts';
import { DECLINED, DONE, OK, Phase, type PhaseResult } from './phases.ts';
import { endExchange, sendHead } from './send.ts';

/**
 * Ends the exchange with what a handler returned.
 * @param result DONE: nothing to do; OK: the answer is complete; 444: the connection is closed without an answer;
 *   another status: its error page
 */
export function finalize(exchange: Exchange, result: PhaseResult): void {
  if (result === DONE || exchange.ended) return;
  if (result === OK || result === DECLINED || (exchange.headSent && result < 300)) {
    endExchange(exchange);
    return;
  }
  if (result === 444 || exchange.headSent) {
    // Too late for a page: the client is told by the connection's end that the answer is not whole.
    abortExchange(exchange, result);
    return;
  }
  specialResponse(exchange, result);
}

/** Gives the answer up and closes the connection. */
export function abortExchange(exchange: Exchange, status: number): void {
  if (exchange.ended) return;
  if (!exchange.headSent) exchange.response.status = status;
  exchange.ended = true;
  exchange.onDrain = undefined;
  exchange.onAbort = undefined;
  exchange.carrier.abort();
}

/**
 * The client has closed its connection before the answer was complete. Called by the engine, once.
 * @returns true where the handler carries on and will end the exchange itself (`proxy_ignore_client_abort`)
 */
export function clientGone(exchange: Exchange, status = 499): boolean {
  if (exchange.ended) return false;
  const { onAbort } = exchange;
  exchange.onDrain = undefined;
  if (onAbort?.()) return true;
  exchange.onAbort = undefined;
  if (!exchange.headSent) exchange.response.status = status;
  exchange.ended = true;
  return false;
}

/** Answers with a status: the configured error page, or the built-in one. */
function specialResponse(exchange: Exchange, status: number): void {
  exchange.errorStatus = status;
  // After these the rest of what the client sends cannot be trusted to be a request.
  if (
    status === 400 ||
    status === 413 ||
    status === 414 ||
    (status >= 495 && status <= 497) ||
    status === 500 ||
    status === 501
  ) {
    exchange.keepAlive = false;
  }
  const { response } = exchange;
  response.contentType = '';
  response.charset = '';
  response.contentLength = -1;
  response.statusLine = '';
  response.lastModified = -1;
  response.lastModifiedText = '';
  response.etag = '';
  response.acceptRanges = false;

  const { errorPages, settings } = exchange.location;
  if (errorPages !== undefined && !exchange.errorPage && exchange.uriChangesLeft > 0) {
    if (!settings.recursive_error_pages) exchange.errorPage = true;
    const page = errorPages.get(status);
    if (page !== undefined) {
      sendErrorPage(exchange, page);
      return;
    }
  }
  sendBuiltInPage(exchange, status);
}

function sendErrorPage(exchange: Exchange, page: ErrorPage): void {
  if (page.responseStatus >= 0) exchange.errorStatus = page.responseStatus;
  const target = page.target.evaluate(exchange);
  if (target.charCodeAt(0) === 47) {
    const question = target.indexOf('?');
    const uri = question < 0 ? target : target.slice(0, question);
    if (exchange.method !== 'HEAD') exchange.method = 'GET';
    internalRedirect(exchange, uri, question < 0 ? '' : target.slice(question + 1));
    return;
  }
  if (target.charCodeAt(0) === 64) {
    namedLocation(exchange, target);
    return;
  }
  const wanted = page.responseStatus;
  const redirects = wanted === 301 || wanted === 302 || wanted === 303 || wanted === 307 || wanted === 308;
  exchange.errorStatus = redirects ? wanted : 302;
  exchange.response.location = target;
  sendBuiltInPage(exchange, exchange.errorStatus);
}

function sendBuiltInPage(exchange: Exchange, status: number): void {
  if (status === 494 || (status >= 495 && status <= 497)) exchange.errorStatus = 400;
  const { response, location } = exchange;
  response.status = exchange.errorStatus;
  const page = builtInPage(exchange, status, location.settings.server_tokens, location.settings.msie_padding);
  if (page !== undefined) {
    response.contentType = 'text/html';
    response.contentLength = page.length;
  } else if (status !== 204) {
    response.contentLength = 0;
  }
  sendHead(exchange);
  if (page !== undefined && !exchange.bodyless) exchange.output.write(page);
  endExchange(exchange);
}

/** Starts the request anew with another URI, inside the same server: nginx's ngx_http_internal_redirect. */
export function internalRedirect(exchange: Exchange, uri: string, args: string): void {
  exchange.uriChangesLeft--;
  if (exchange.uriChangesLeft === 0) {
    log(exchange, 'error', `rewrite or internal redirection cycle while internally redirecting to "${uri}"`);
    finalize(exchange, 500);
    return;
  }
  exchange.uri = uri;
  exchange.args = args;
  exchange.plain = false;
  exchange.internal = true;
  exchange.location = exchange.server.location;
  exchange.phase = Phase.serverRewrite;
  exchange.handlerIndex = 0;
  exchange.site.run(exchange);
}

/**
 * Goes on in a named location: nginx's ngx_http_named_location.
 * @param name with its `@`
 */
export function namedLocation(exchange: Exchange, name: string): void {
  exchange.uriChangesLeft--;
  if (exchange.uriChangesLeft === 0) {
    log(
      exchange,
      'error',
      `rewrite or internal redirection cycle while redirect to named location "${name}"`,
    );
    finalize(exchange, 500);
    return;
  }
  if (exchange.uri === '') {
    log(exchange, 'error', `empty URI in redirect to named location "${name}"`);
    finalize(exchange, 500);
    return;
  }
  const location = exchange.server.namedLocations.get(name);
  if (location === undefined) {
    log(exchange, 'error', `could not find named location "${name}"`);
    finalize(exchange, 500);
    return;
  }
  exchange.internal = true;
  exchange.location = location;
  exchange.phase = Phase.rewrite;
  exchange.handlerIndex = 0;
  exchange.site.run(exchange);
}

/**
 * An internal redirect to a target a client or an upstream chose (`X-Accel-Redirect`).
 * @returns false where the target is unsafe: nothing has happened
 */
export function internalRedirectTo(exchange: Exchange, target: string): boolean {
  if (target.charCodeAt(0) === 64) {
    namedLocation(exchange, target);
    return true;
  }
  const parsed = parseUnsafeUri(target);
  if (parsed === undefined) return false;
  if (exchange.method !== 'HEAD') exchange.method = 'GET';
  internalRedirect(exchange, parsed.uri, parsed.args);
  return true;
}
