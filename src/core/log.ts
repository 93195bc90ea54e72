/** Error log lines about a request, with nginx's context: client, server, request, upstream, host, referrer. */

import type { ErrorLog, LogContext } from '../log/error-log.ts';
import type { LevelName } from '../log/levels.ts';
import type { DownstreamConnection } from './carrier.ts';
import type { Exchange } from './exchange.ts';
import type { Site } from './site.ts';

/**
 * Writes about a request to the error log of its location.
 * @param message nginx's words, with `while ...` where nginx says what was being done
 */
export function log(exchange: Exchange, level: LevelName, message: string): void {
  const errorLog = errorLogOf(exchange);
  if (!errorLog.enabled(level)) return;
  errorLog.write(level, message, exchange.connection.number, () => contextOf(exchange));
}

/**
 * Writes a debugging message about a request. Only to be called where `debugging.on` (log/debugging.ts), so that
 * otherwise not even the message is made.
 */
export function debug(exchange: Exchange, message: string): void {
  errorLogOf(exchange).write('debug', message, exchange.connection.number);
}

/** The error log of a request's location; for a client of `debug_connection` it takes everything. */
function errorLogOf({ connection, location }: Exchange): ErrorLog {
  return connection.debug ? location.errorLog.everything : location.errorLog;
}

/** What log lines tell of a connection. */
export type LoggedConnection = Pick<DownstreamConnection, 'number' | 'remoteAddress' | 'debug'>;

/** Writes about a connection on which no request is under way. */
export function logConnection(
  errorLog: ErrorLog,
  level: LevelName,
  message: string,
  connection: LoggedConnection,
  listening: string,
): void {
  const used = connection.debug ? errorLog.everything : errorLog;
  if (!used.enabled(level)) return;
  used.write(level, message, connection.number, () => [
    ['client', connection.remoteAddress, false],
    ['server', listening, false],
  ]);
}

/** Writes a debugging message about a connection; as `debug`. */
export function debugConnection(errorLog: ErrorLog, connection: DownstreamConnection, message: string): void {
  (connection.debug ? errorLog.everything : errorLog).write('debug', message, connection.number);
}

/**
 * Whether `debug_connection` names a client: for engines, to be asked once for each connection.
 * @param address the client's, as `DownstreamConnection.remoteAddress`
 */
export function isDebugged({ debugConnections }: Site, address: string): boolean {
  return debugConnections !== undefined && debugConnections(address) >= 0;
}

function contextOf(exchange: Exchange): LogContext {
  const { head, headers } = exchange;
  const context: [name: string, value: string, quoted: boolean][] = [
    ['client', exchange.remoteAddress, false],
    ['server', exchange.server.name, false],
  ];
  if (head.requestLine !== '') context.push(['request', head.requestLine, true]);
  if (exchange.isSubrequest) context.push(['subrequest', exchange.uri, true]);
  if (exchange.upstreamUrl !== '') context.push(['upstream', exchange.upstreamUrl, true]);
  const host = headers.get('host');
  if (host !== undefined) context.push(['host', host, true]);
  const referrer = headers.get('referer');
  if (referrer !== undefined) context.push(['referrer', referrer, true]);
  return context;
}
