/**
 * A small HTTP server to put behind the front door while trying it out.
 *
 *     node scripts/sample-backend.ts <name> <port>
 *
 *     [Server 1] Listening on port 3001
 *     [Server 1] 09 August 2024 - 2:43:48 AM - Received GET request from ::ffff:127.0.0.1
 *
 * It answers every request with a text that names the server and says what it saw of the request, and
 * echoes WebSocket messages at /ws. It listens on the loopback address only. Port 0 takes a free one.
 * SIGTERM and SIGINT end it once the requests under way are answered; so does the end of a parent
 * process that has an IPC channel to it (see start.ts), however that parent came to end.
 */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';

const months = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

/** The exit code for a port that is taken, by which start.ts tells this from other failures. */
export const portTakenExitCode = 48;

/** How long, in milliseconds, a request under way may still take once the server is told to end. */
const gracePeriod = 5000;

/**
 * Writes a time the way the sample servers log it, in the time zone of the process:
 * `09 August 2024 - 2:43:48 AM`.
 */
export function formatTime(time: Date): string {
  const twoDigits = (value: number) => String(value).padStart(2, '0');
  const date = `${twoDigits(time.getDate())} ${months[time.getMonth()]} ${time.getFullYear()}`;
  const hours = time.getHours();
  const clock = `${hours % 12 || 12}:${twoDigits(time.getMinutes())}:${twoDigits(time.getSeconds())}`;
  return `${date} - ${clock} ${hours < 12 ? 'AM' : 'PM'}`;
}

/**
 * Describes a request as the backend saw it.
 *
 * @param bodyBytes how long its body was
 */
function describe(name: string, request: IncomingMessage, bodyBytes: number): string {
  const seen = (field: keyof IncomingHttpHeaders) => request.headers[field] ?? '(none)';
  return [
    name,
    `${request.method} ${request.url} HTTP/${request.httpVersion}`,
    `Host: ${seen('host')}`,
    `X-Real-IP: ${seen('x-real-ip')}`,
    `X-Forwarded-For: ${seen('x-forwarded-for')}`,
    `X-Forwarded-Proto: ${seen('x-forwarded-proto')}`,
    ...(bodyBytes > 0 ? [`Body: ${bodyBytes} bytes`] : []),
    '',
  ].join('\n');
}

/** Makes the server, not yet listening. */
function createBackend(name: string): Server {
  const log = (request: IncomingMessage) => {
    const time = formatTime(new Date());
    const from = request.socket.remoteAddress;
    console.log(`[${name}] ${time} - Received ${request.method} request from ${from}`);
  };

  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    log(request);
    let bodyBytes = 0;
    request.on('data', (chunk: Buffer) => {
      bodyBytes += chunk.length;
    });
    request.on('end', () => {
      const text = describe(name, request, bodyBytes);
      response.setHeader('Content-Type', 'text/plain; charset=utf-8');
      response.setHeader('Content-Length', Buffer.byteLength(text));
      response.end(text);
    });
  });
  // Longer than a proxy keeps its idle upstream connections, so that it is the proxy who closes them.
  server.keepAliveTimeout = 75_000;

  const webSockets = new WebSocketServer({ noServer: true });
  server.on('upgrade', (request, socket, head) => {
    log(request);
    if (request.url?.split('?')[0] !== '/ws') {
      socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.send(`${name} echoes`);
      webSocket.on('message', (data, binary) => webSocket.send(data, { binary }));
      webSocket.on('error', () => webSocket.terminate());
    });
  });
  server.on('close', () => webSockets.close());

  let ending = false;
  const end = () => {
    if (ending) return;
    ending = true;
    server.close();
    for (const webSocket of webSockets.clients) webSocket.close(1001, `${name} is ending`);
    setTimeout(() => process.exit(0), gracePeriod).unref();
    if (process.connected) process.disconnect();
  };
  process.on('SIGTERM', end);
  process.on('disconnect', end);
  // Ctrl-C reaches every program of the terminal's foreground group. Under start.ts the front door is to
  // end first, so that no request fails on the way; a channel to a parent says that we are under it.
  if (!process.connected) process.on('SIGINT', end);
  else process.on('SIGINT', () => undefined);
  return server;
}

if (import.meta.main) {
  const [name, portText] = process.argv.slice(2);
  const port = Number(portText);
  if (name === undefined || !/^\d+$/.test(portText ?? '') || port > 65_535) {
    console.error('usage: node scripts/sample-backend.ts <name> <port>');
    process.exit(2);
  }
  const server = createBackend(name);
  // The IPv4 loopback address as an IPv6 socket sees it; where there is no IPv6, as it is.
  let host = '::ffff:127.0.0.1';
  server.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EADDRINUSE') {
      console.error(`[${name}] Port ${port} is taken by another program`);
      process.exit(portTakenExitCode);
    }
    if (host !== '127.0.0.1' && (error.code === 'EAFNOSUPPORT' || error.code === 'EADDRNOTAVAIL')) {
      host = '127.0.0.1';
      server.listen(port, host);
      return;
    }
    console.error(`[${name}] ${error.message}`);
    process.exit(1);
  });
  server.on('listening', () => {
    console.log(`[${name}] Listening on port ${(server.address() as AddressInfo).port}`);
  });
  server.listen(port, host);
}
