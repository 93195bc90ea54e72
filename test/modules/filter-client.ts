/** A client for the tests of filters: whole answers with their trailers, and connections that read as slowly as asked. */
import { type IncomingHttpHeaders, request } from 'node:http';

/** One answer. */
export interface FilteredAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** False where the connection was closed before the end. */
  readonly complete: boolean;
}

/** Sends one request and reads its answer, as far as it comes. */
export function ask(
  port: number,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  method = 'GET',
): Promise<FilteredAnswer> {
  return new Promise((resolve, reject) => {
    const sent = request({ port, host: '127.0.0.1', path, method, headers, agent: false }, (answer) => {
      const pieces: Buffer[] = [];
      const finish = () =>
        resolve({
          status: answer.statusCode ?? 0,
          headers: answer.headers,
          trailers: answer.trailers,
          body: Buffer.concat(pieces),
          complete: answer.complete,
        });
      answer.on('data', (piece: Buffer) => pieces.push(piece));
      answer.on('error', finish);
      answer.on('end', finish);
    });
    sent.on('error', reject);
    sent.end();
  });
}

export const GZIP = { 'Accept-Encoding': 'gzip' };
