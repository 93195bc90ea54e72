/** `proxy_next_upstream`: which outcomes of an attempt lead to another server. */
import type { Settings } from '../../config/directive.ts';
import type { UpstreamAttempt } from '../../core/exchange.ts';
import type { UpstreamRequest } from '../../upstream/client.ts';
import type { UpstreamFailure } from '../../upstream/receiver.ts';
import { NextUpstream, type ProxyDirectives } from './directives.ts';

/** The bit for a status of an answer; undefined for one that is never taken for a failure. */
export const NEXT_BY_STATUS: Readonly<Record<number, number>> = {
  403: NextUpstream.http403,
  404: NextUpstream.http404,
  429: NextUpstream.http429,
  500: NextUpstream.http500,
  502: NextUpstream.http502,
  503: NextUpstream.http503,
  504: NextUpstream.http504,
};

/** The bit for a failure. */
export function reasonOf(failure: UpstreamFailure): number {
  if (failure.kind === 'timeout') return NextUpstream.timeout;
  return failure.kind === 'invalid_header' ? NextUpstream.invalidHeader : NextUpstream.error;
}

/**
 * Whether the conditions name such an outcome.
 * @param requestSent the server may have done what was asked: a method that is not idempotent then needs leave of its
 *   own
 */
export function leadsOn(
  settings: Settings<ProxyDirectives>,
  reason: number,
  method: string,
  requestSent: boolean,
): boolean {
  const conditions = settings.proxy_next_upstream;
  const notIdempotent = method === 'POST' || method === 'LOCK' || method === 'PATCH';
  const mask = requestSent && notIdempotent ? reason | NextUpstream.nonIdempotent : reason;
  return (conditions & NextUpstream.off) === 0 && (conditions & mask) === mask;
}

/** The record of an attempt that begins. @param address '' for what separates two proxied locations */
export function newAttempt(address: string): UpstreamAttempt {
  return {
    address,
    status: 0,
    connectTime: -1,
    headerTime: -1,
    responseTime: -1,
    bytesReceived: 0,
    bytesSent: 0,
    responseLength: 0,
  };
}

/** Notes what an attempt has come to; its request is over. */
export function noteEnd(attempt: UpstreamAttempt, request: UpstreamRequest): void {
  attempt.connectTime = request.connectTime;
  attempt.responseTime = request.responseTime;
  attempt.bytesReceived = request.bytesReceived;
  attempt.bytesSent = request.bytesSent;
  attempt.responseLength = request.responseLength;
}
