/**
 * What the debugging log says of a proxied request, in nginx's words where nginx has some. Each of these functions is
 * called only where `debugging.on` (log/debugging.ts).
 */
import { linesOf } from '../../core/debug-lines.ts';
import type { Exchange, UpstreamAttempt } from '../../core/exchange.ts';
import { debug } from '../../core/log.ts';
import type { ResponseHead } from '../../http/response-head.ts';

/** The head that every server asked is sent. */
export function debugQuestion(exchange: Exchange, question: string): void {
  debug(exchange, 'http init upstream');
  const end = question.indexOf('\r\n\r\n');
  for (const line of linesOf(end < 0 ? question : question.slice(0, end))) {
    debug(exchange, `http proxy header: "${line}"`);
  }
}

/** A server has been chosen. */
export function debugPeer(exchange: Exchange, address: string, triesLeft: number): void {
  debug(exchange, `get peer, try: ${exchange.upstream?.attempts.length ?? 0}, left: ${triesLeft}`);
  debug(exchange, `connect to ${address}`);
}

/** The connection to it stands. */
export function debugConnected(exchange: Exchange, address: string, reused: boolean): void {
  debug(exchange, reused ? `get keepalive peer: using connection to ${address}` : `connected to ${address}`);
  debug(exchange, 'http upstream send request');
}

/** Its answer's head has come. */
export function debugAnswer(exchange: Exchange, { status, statusLine, headers }: ResponseHead): void {
  debug(exchange, `http proxy status ${status} "${statusLine}"`);
  for (const line of linesOf(headers.text)) debug(exchange, `http proxy header: "${line}"`);
  debug(exchange, 'http proxy header done');
}

/** The attempt is over; times in milliseconds, -1 where it did not come to that. */
export function debugAttempt(exchange: Exchange, attempt: UpstreamAttempt, outcome: string): void {
  debug(
    exchange,
    `finalize http upstream request: ${outcome}, ${attempt.address}, status ${attempt.status}, ` +
      `connect ${time(attempt.connectTime)}, header ${time(attempt.headerTime)}, ` +
      `response ${time(attempt.responseTime)}, ${attempt.bytesSent} bytes sent, ${attempt.bytesReceived} received`,
  );
}

function time(milliseconds: number): string {
  return milliseconds < 0 ? '-' : `${milliseconds.toFixed(1)} ms`;
}
