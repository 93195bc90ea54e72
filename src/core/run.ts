/** The machine that walks an exchange through the phases of `phases.ts`. */
import { escapeUri } from '../http/uri-escape.ts';
import { debugging } from '../log/debugging.ts';
import { debugBegin, debugLocation, debugPhase, debugRelease } from './debug-lines.ts';
import { readsBodyEarly } from './early-body.ts';
import { mayLinger, settleExchange } from './epilogue.ts';
import type { Exchange } from './exchange.ts';
import { filePath } from './file-path.ts';
import { finalize } from './finalize.ts';
import { findLocation, isSlashRedirect } from './locations.ts';
import { log } from './log.ts';
import { DECLINED, DONE, OK, Phase, type PhaseHandler, type PhaseResult } from './phases.ts';
import { refusesBody } from './request-body.ts';
import { withoutField } from './response-headers.ts';
import { admitsRequest } from './tls.ts';

/** Takes up an exchange an engine has made, with its server chosen. */
export function begin(exchange: Exchange): void {
  exchange.site.users++;
  if (debugging.on) debugBegin(exchange);
  if (exchange.connection.expectsTls && !admitsRequest(exchange)) return;
  const { earlyBody } = exchange.server;
  if (earlyBody !== undefined && readsBodyEarly(exchange, earlyBody)) return;
  run(exchange);
}

/**
 * Lets go of an exchange: the access log is written, cleanups run. Called by the engine exactly once for every
 * exchange that began, when the last byte has been sent or the connection is gone. Something of it may still be under
 * way (`settleExchange`): then it is let go of when that has ended.
 */
export function release(exchange: Exchange): void {
  if (exchange.released) return;
  if (mayLinger(exchange) && !settleExchange(exchange, () => release(exchange))) return;
  exchange.released = true;
  if (debugging.on) debugRelease(exchange);
  const { location, site, cleanups } = exchange;
  const logs = isLogged(exchange) ? location.log : [];
  for (let index = 0; index < logs.length; index++) {
    try {
      logs[index]!(exchange);
    } catch (error) {
      logBug(exchange, error);
    }
  }
  if (cleanups !== undefined) {
    for (let index = cleanups.length - 1; index >= 0; index--) cleanups[index]!();
    exchange.cleanups = undefined;
  }
  site.users--;
  if (site.users === 0) site.onUnused?.();
}

/** Subrequests are logged where `log_subrequest` says so, unless they were given up. */
function isLogged({ relations, location }: Exchange): boolean {
  if (relations === undefined || relations.parent === undefined) return true;
  return location.settings.log_subrequest && !relations.unlogged;
}

/** Goes on from where the exchange stands. */
export function run(exchange: Exchange): void {
  try {
    walk(exchange);
  } catch (error) {
    // A bug in one module must cost one request, not the worker and all it serves.
    logBug(exchange, error);
    finalize(exchange, 500);
  }
}

function logBug(exchange: Exchange, error: unknown): void {
  const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
  log(exchange, 'alert', `unexpected error: ${what}`);
}

function walk(exchange: Exchange): void {
  while (!exchange.ended) {
    // A handler that has waited for something goes on in the middle of its phase.
    if (debugging.on && exchange.handlerIndex === 0) debugPhase(exchange);
    switch (exchange.phase) {
      case Phase.postRead:
        if (!runHandlers(exchange, exchange.site.postRead)) return;
        break;
      case Phase.serverRewrite:
        if (!runHandlers(exchange, exchange.server.serverRewrite)) return;
        break;
      case Phase.findConfig:
        exchange.uriChanged = false;
        exchange.validLocation = true;
        if (!chooseLocation(exchange)) return;
        break;
      case Phase.rewrite:
        if (!runHandlers(exchange, exchange.location.rewrite)) return;
        break;
      case Phase.postRewrite:
        if (exchange.uriChanged) {
          exchange.uriChangesLeft--;
          if (exchange.uriChangesLeft === 0) {
            log(
              exchange,
              'error',
              `rewrite or internal redirection cycle while processing "${exchange.uri}"`,
            );
            finalize(exchange, 500);
            return;
          }
          exchange.location = exchange.server.location;
          exchange.phase = Phase.findConfig;
          continue;
        }
        break;
      case Phase.preaccess:
        if (!runHandlers(exchange, exchange.location.preaccess)) return;
        break;
      case Phase.access:
        // Who may have the answer may have what it is made of.
        if (!exchange.isSubrequest && !runAccess(exchange)) return;
        break;
      case Phase.postAccess:
        if (exchange.accessStatus !== 0) {
          const status = exchange.accessStatus;
          exchange.accessStatus = 0;
          if (status === 403) log(exchange, 'error', 'access forbidden by rule');
          refuse(exchange, status);
          return;
        }
        break;
      case Phase.precontent:
        if (!runHandlers(exchange, exchange.location.precontent)) return;
        break;
      default:
        runContent(exchange);
        return;
    }
    exchange.phase++;
    exchange.handlerIndex = 0;
  }
}

/** @returns true when the phase is over and the next one is due */
function runHandlers(exchange: Exchange, handlers: readonly PhaseHandler[]): boolean {
  const { phase } = exchange;
  while (exchange.handlerIndex < handlers.length) {
    const result = handlers[exchange.handlerIndex++]!(exchange);
    if (typeof result !== 'number') {
      wait(exchange, result);
      return false;
    }
    // An internal redirect from inside a handler has already walked on, and may have finished.
    if (exchange.phase !== phase) return false;
    if (result === DECLINED) continue;
    if (result === OK) return true;
    finalize(exchange, result);
    return false;
  }
  return true;
}

function runAccess(exchange: Exchange): boolean {
  const handlers = exchange.location.access;
  while (exchange.handlerIndex < handlers.length) {
    const result = handlers[exchange.handlerIndex++]!(exchange);
    if (typeof result !== 'number') {
      wait(exchange, result);
      return false;
    }
    const verdict = judgeAccess(exchange, result);
    if (verdict === 'refused') return false;
    if (verdict === 'granted') return true;
  }
  return true;
}

/** One access handler's word under `satisfy`. */
function judgeAccess(exchange: Exchange, result: PhaseResult): 'next' | 'granted' | 'refused' {
  if (result === DECLINED) return 'next';
  if (exchange.location.settings.satisfy === 'all') {
    if (result === OK) return 'next';
  } else {
    if (result === OK) {
      takeBackRefusal(exchange);
      return 'granted';
    }
    if (result === 401 || result === 403 || result === 407) {
      if (!asksForCredentials(exchange.accessStatus)) exchange.accessStatus = result;
      return 'next';
    }
  }
  refuse(exchange, result);
  return 'refused';
}

function asksForCredentials(status: number): boolean {
  return status === 401 || status === 407;
}

/** Ends a request that access was refused to; who is to say a password waits for `auth_delay` first. */
function refuse(exchange: Exchange, status: PhaseResult): void {
  const delay = exchange.location.settings.auth_delay;
  if (delay === 0 || !asksForCredentials(status)) {
    finalize(exchange, status);
    return;
  }
  log(exchange, 'info', 'delaying unauthorized request');
  const timer = exchange.site.runtime.timers.timer(() => {
    exchange.onAbort = undefined;
    finalize(exchange, status);
  });
  exchange.onAbort = () => {
    timer.stop();
    log(exchange, 'info', 'client prematurely closed connection');
    return false;
  };
  exchange.onRelease(() => timer.stop());
  timer.start(delay);
}

/** Another handler is content: what the first has told the client to authenticate with is not wanted. */
function takeBackRefusal(exchange: Exchange): void {
  if (exchange.accessStatus === 0) return;
  exchange.accessStatus = 0;
  const { response } = exchange;
  if (response.fields !== '') response.fields = withoutField(response.fields, 'www-authenticate');
}

/** A handler waits for something: the walk goes on with what it comes back with. */
function wait(exchange: Exchange, promise: Promise<PhaseResult>): void {
  const { phase, epilogues } = exchange;
  promise.then(
    (result) => {
      if (exchange.overSince(epilogues) || exchange.phase !== phase) return;
      if (phase === Phase.access) {
        const verdict = judgeAccess(exchange, result);
        if (verdict === 'refused') return;
        if (verdict === 'granted') advance(exchange);
      } else if (result === OK && phase !== Phase.content) {
        advance(exchange);
      } else if (result !== DECLINED) {
        finalize(exchange, result);
        return;
      }
      run(exchange);
    },
    (error: unknown) => {
      logBug(exchange, error);
      if (!exchange.overSince(epilogues)) finalize(exchange, 500);
    },
  );
}

function advance(exchange: Exchange): void {
  exchange.phase++;
  exchange.handlerIndex = 0;
}

/** @returns false when the exchange has been answered here */
function chooseLocation(exchange: Exchange): boolean {
  const { server } = exchange;
  const found = findLocation(exchange, server.locations);
  const location = found ?? server.location;
  exchange.location = location;
  if (!exchange.internal && location.settings.internal) {
    finalize(exchange, 404);
    return false;
  }
  if (debugging.on) debugLocation(exchange);
  const redirects = isSlashRedirect(exchange, location);
  exchange.enter(location);
  if (refusesBody(exchange)) return false;
  if (redirects) {
    const { args } = exchange;
    exchange.response.location = escapeUri(location.name, 'uri') + (args === '' ? '' : `?${args}`);
    finalize(exchange, 301);
    return false;
  }
  return true;
}

function runContent(exchange: Exchange): void {
  const { handler } = exchange;
  if (handler !== undefined) {
    settle(exchange, handler(exchange));
    return;
  }
  const { content } = exchange.location;
  while (exchange.handlerIndex < content.length) {
    const { phase } = exchange;
    const result = content[exchange.handlerIndex++]!(exchange);
    if (typeof result !== 'number') {
      wait(exchange, result);
      return;
    }
    if (result === DECLINED) continue;
    if (exchange.phase === phase) finalize(exchange, result);
    return;
  }
  // Nothing has made an answer.
  if (exchange.uri.endsWith('/')) {
    const path = filePath(exchange);
    if (path !== '') log(exchange, 'error', `directory index of "${path}" is forbidden`);
    finalize(exchange, 403);
    return;
  }
  log(exchange, 'error', 'no handler found');
  finalize(exchange, 404);
}

function settle(exchange: Exchange, result: PhaseResult | Promise<PhaseResult>): void {
  if (typeof result === 'number') {
    if (result !== DONE) finalize(exchange, result);
  } else wait(exchange, result);
}
