/** A server for tests that tells apart which requests came together, and on which connection. */
import type { Socket } from 'node:net';
import { listen, type TestServer } from './client.ts';

/** It answers when and how it is told. */
export interface PathServer extends TestServer {
  /** The paths in each chunk that came, behind the number of the connection: `1: /a /b`. */
  readonly chunks: string[];
  /** Requests that have come, as `connection path`. */
  readonly paths: string[];
}

/** What to do about one request, which has no body; a string is written. */
export type Answering = (
  path: string,
  socket: Socket,
  connection: number,
) => string | undefined | Promise<void>;

/** An answer with a Content-Length. */
export function answer(body: string, lines = '', status = '200 OK'): string {
  return `HTTP/1.1 ${status}\r\n${lines}Content-Length: ${body.length}\r\n\r\n${body}`;
}

/** Starts one on a free port. */
export async function startPathServer(answering: Answering): Promise<PathServer> {
  const chunks: string[] = [];
  const paths: string[] = [];
  const server = await listen((socket, connection) => {
    socket.setNoDelay(true);
    let text = '';
    socket.on('end', () => socket.end());
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      const come: string[] = [];
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        come.push(text.split(' ', 2)[1]);
        text = text.slice(end + 4);
      }
      chunks.push(`${connection}: ${come.join(' ')}`);
      for (const path of come) {
        paths.push(`${connection} ${path}`);
        const text = answering(path, socket, connection);
        if (typeof text === 'string' && !socket.destroyed) socket.write(text, 'latin1');
      }
    });
  });
  return Object.assign(server, { chunks, paths });
}
