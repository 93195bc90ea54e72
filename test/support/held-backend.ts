/** A backend whose requests wait until the test answers them. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { until } from './wait.ts';

/** One request that has come, its body read whole. */
export interface HeldRequest {
  readonly url: string;
  readonly method: string;
  readonly headers: IncomingMessage['headers'];
  /** As a byte string. */
  readonly body: string;
  readonly response: ServerResponse;
  /** Its connection has been closed before the answer was complete. */
  readonly aborted: boolean;
}

export interface HeldBackend {
  readonly port: number;
  /** All that have come. */
  readonly requests: readonly HeldRequest[];
  /** Waits for the first request for a URL that nobody has taken yet. */
  take(url: string): Promise<HeldRequest>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts one. */
export async function startHeldBackend(): Promise<HeldBackend> {
  const requests: HeldRequest[] = [];
  const taken = new Set<HeldRequest>();
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('latin1');
    request.on('data', (text: string) => {
      body += text;
    });
    request.on('error', () => {});
    request.on('end', () => {
      const held = {
        url: request.url ?? '',
        method: request.method ?? '',
        headers: request.headers,
        body,
        response,
        aborted: false,
      };
      response.on('close', () => {
        held.aborted = !response.writableFinished;
      });
      requests.push(held);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    async take(url) {
      const found = await until(
        `a request for ${url}`,
        () => requests.find((request) => request.url === url && !taken.has(request)),
        { explain: () => `there are: ${requests.map((request) => request.url).join(' ')}` },
      );
      taken.add(found);
      return found;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
