/** What the proxies of Node's libraries have in common: their arguments and the four forwarded headers. */
import type { IncomingMessage } from 'node:http';

/** Connections to the backend that a library's pool may hold, as many as nginx.conf's `keepalive`. */
export const POOL_SIZE = 256;

/** Our port and the backend's, from the command line. */
export function readPorts(): { port: number; backendPort: number } {
  const [port, backendPort] = process.argv.slice(2).map(Number);
  return { port, backendPort };
}

/** The headers nginx.conf sets: Host without a port, as `$host`, and X-Forwarded-For appended to. */
export function forwardedHeaders(request: IncomingMessage): Record<string, string> {
  const host = request.headers.host ?? '';
  const colon = host.lastIndexOf(':');
  const address = request.socket.remoteAddress ?? '';
  const before = request.headers['x-forwarded-for'];
  return {
    host: colon < 0 ? host : host.slice(0, colon),
    'x-real-ip': address,
    'x-forwarded-for': before === undefined ? address : `${before}, ${address}`,
    'x-forwarded-proto': 'http',
  };
}
