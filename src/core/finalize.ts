/** How an exchange ends: with an answer of its own, an error page, a redirect, or not at all. */
import { parseUnsafeUri } from '../http/uri.ts';
import { debugging } from '../log/debugging.ts';
import { clientBrowser, isMsie } from './browser.ts';
import { builtInPage, refreshPage } from './built-in-pages.ts';
import { debugFinalize } from './debug-lines.ts';
import type { ErrorPage } from './error-pages.ts';
import type { Exchange } from './exchange.ts';
import { debug, log } from './log.ts';
import { DECLINED, DONE, OK, Phase, type PhaseResult } from './phases.ts';
import { abandonDependents, type Relations } from './relations.ts';
import { answerInstead, endExchange, sendHead, sendWhole } from './send.ts';

/**
 * Ends the exchange with what a handler returned.
 * @param result DONE: nothing to do; OK: the answer is complete; 408, 444, 499: the connection is closed without an
 *   answer; another status: its error page
 */
export function finalize(exchange: Exchange, result: PhaseResult): void {
  if (result === DONE || exchange.ended) return;
  if (debugging.on) debugFinalize(exchange, result);
  if (exchange.relations?.beforeEnd !== undefined && answerInstead(exchange, result)) result = OK;
  if (result === OK || result === DECLINED || (exchange.headSent && result < 300)) {
    endExchange(exchange);
    return;
  }
  if (result === 444 || result === 408 || result === 499 || exchange.headSent) {
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
 * The rest of the answer's body cannot be had. The client is told by the connection's end; but the body of a subrequest
 * is cut short, and the answer it is part of goes on (nginx).
 */
export function breakOffExchange(exchange: Exchange, status: number): void {
  if (!exchange.isSubrequest) {
    abortExchange(exchange, status);
    return;
  }
  if (exchange.ended) return;
  exchange.ended = true;
  exchange.onDrain = undefined;
  exchange.onAbort = undefined;
  exchange.output.end();
}

/**
 * The client has closed its connection before the answer was complete. Called by the engine, once.
 * @returns true where the handler carries on and will end the exchange itself (`proxy_ignore_client_abort`)
 */
export function clientGone(exchange: Exchange, status = 499): boolean {
  const { relations, onAbort } = exchange;
  // What comes after the answer does not need the client.
  if (relations?.epilogue === 'running') return true;
  const isMain = relations !== undefined && relations.parent === undefined;
  if (exchange.ended) {
    if (isMain) abandonOutput(exchange, relations);
    return false;
  }
  // Where it goes on, and only the client's direction has ended, the answer is still sent.
  if (onAbort?.()) return true;
  exchange.onDrain = undefined;
  exchange.onAbort = undefined;
  if (!exchange.headSent) exchange.response.status = status;
  exchange.ended = true;
  if (isMain) abandonDependents(relations, true);
  return false;
}

/** The request's own part of the answer is complete, but what subrequests have for it is not. */
function abandonOutput(exchange: Exchange, relations: Relations): void {
  if (!relations.dependents.some(({ background }) => !background)) return;
  exchange.complete = false;
  abandonDependents(relations, false);
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
  response.singleRange = false;
  response.seekable = false;
  response.parts = undefined;
  response.unconditional = false;

  const { errorPages, settings } = exchange.location;
  if (errorPages !== undefined && !exchange.errorPage && exchange.uriChangesLeft > 0) {
    if (!settings.recursive_error_pages) exchange.errorPage = true;
    const page = errorPages.get(status);
    if (page !== undefined) {
      sendErrorPage(exchange, page);
      return;
    }
  }
  if ((status === 301 || status === 302) && refreshed(exchange)) return;
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
  if (!refreshed(exchange)) sendBuiltInPage(exchange, exchange.errorStatus);
}

/** `msie_refresh`: sends Internet Explorer a page instead of a redirect. @returns false where it is not to be */
function refreshed(exchange: Exchange): boolean {
  if (!exchange.location.settings.msie_refresh || !isMsie(clientBrowser(exchange))) return false;
  const { response } = exchange;
  const page = refreshPage(response.location);
  response.location = '';
  exchange.errorStatus = 200;
  sendWhole(exchange, 200, 'text/html', page);
  return true;
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
  const refusal = sendHead(exchange);
  if (refusal !== OK) {
    finalize(exchange, refusal);
    return;
  }
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
  if (debugging.on) debug(exchange, `internal redirect: "${uri}?${args}"`);
  exchange.uri = uri;
  exchange.args = args;
  exchange.plain = false;
  exchange.uriUnderAlias = false;
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
  if (debugging.on) debug(exchange, `named location: ${name} "${exchange.uri}?${exchange.args}"`);
  exchange.internal = true;
  exchange.uriChanged = false;
  exchange.enter(location);
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
