/** The upstream server that both programs of the differential test ask. */
import { createServer, type Server } from 'node:http';
import { gzipSync } from 'node:zlib';

/** Says what it was asked, and does as the path says. */
export function createBackend(): Server {
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const lines: string[] = [];
      for (let index = 0; index < request.rawHeaders.length; index += 2) {
        lines.push(`${request.rawHeaders[index]}: ${request.rawHeaders[index + 1]}`);
      }
      const body = Buffer.concat(pieces).toString('latin1');
      const text = `${request.method} ${request.url} HTTP/${request.httpVersion}\n${lines.join('\n')}\n\n${body}\n`;
      const path = request.url ?? '';
      const status = /\/status\/(\d{3})/.exec(path);
      response.setHeader('X-Backend', 'yes');
      response.setHeader('Set-Cookie', ['a=1; Path=/; Domain=backend.example', 'b=2; path=/deep; HttpOnly']);
      response.setHeader('Content-Type', 'text/plain');
      response.setHeader('Server', 'backend');
      if (path.includes('/redirect')) response.setHeader('Location', 'http://backend/somewhere');
      response.statusCode = status === null ? (path.includes('/redirect') ? 302 : 200) : Number(status[1]);
      if (path.includes('/gzip') && request.method !== 'HEAD') {
        response.setHeader('Content-Encoding', 'gzip');
        response.end(gzipSync(text));
        return;
      }
      if (!path.includes('/no-length'))
        response.setHeader('Content-Length', Buffer.byteLength(text, 'latin1'));
      response.end(Buffer.from(text, 'latin1'));
    });
  });
  server.keepAliveTimeout = 0;
  return server;
}
