/** Error log lines about a request, with nginx's context: client, server, request, upstream, host, referrer. */

import type { ErrorLog, LogContext } from '../log/error-log.ts';
import type { LevelName } from '../log/levels.ts';
import type { DownstreamConnection } from './carrier.ts';
import type { Exchange } from './exchange.ts';

/**
 * Writes about a request to the error log of its location.
 * @param message nginx's words, with `while ...` where nginx says what was being done
 */
export function log(exchange: Exchange, level: LevelName, message: string): void {
  const errorLog = exchange.location.errorLog;
  if (!errorLog.enabled(level)) return;
  errorLog.write(level, message, exchange.connection.number, () => contextOf(exchange));
}

/** Writes about a connection on which no request is under way. */
export function logConnection(
  errorLog: ErrorLog,
  level: LevelName,
  message: string,
  connection: DownstreamConnection,
  listening: string,
): void {
  if (!errorLog.enabled(level)) return;
  errorLog.write(level, message, connection.number, () => [
    ['client', connection.remoteAddress, false],
    ['server', listening, false],
  ]);
}

function contextOf(exchange: Exchange): LogContext {
  const { head, headers } = exchange;
  const context: [name: string, value: string, quoted: boolean][] = [
    ['client', exchange.remoteAddress, false],
    ['server', exchange.server.name, false],
  ];
  if (head.requestLine !== '') context.push(['request', head.requestLine, true]);
  if (exchange.upstreamUrl !== '') context.push(['upstream', exchange.upstreamUrl, true]);
  const host = headers.get('host');
  if (host !== undefined) context.push(['host', host, true]);
  const referrer = headers.get('referer');
  if (referrer !== undefined) context.push(['referrer', referrer, true]);
  return context;
}
