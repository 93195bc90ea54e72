/** One request on a connection of its own, for tests that care where it comes from. */
import { type IncomingHttpHeaders, request } from 'node:http';
import { networkInterfaces } from 'node:os';

/** Where a request goes, and from where. */
export interface RequestOptions {
  readonly port?: number;
  /** 127.0.0.1 unless told. */
  readonly host?: string;
  /** Instead of host and port: a Unix socket. */
  readonly socketPath?: string;
  /** The address it comes from: any of 127.0.0.0/8. */
  readonly localAddress?: string;
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
}

/** What came back. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** The port the request came from; 0 for a Unix socket. */
  readonly localPort: number;
}

/** Sends a request without a body and reads the whole answer. */
export function get(options: RequestOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', path: '/', ...options, agent: false }, (answer) => {
      const localPort = sent.socket?.localPort ?? 0;
      let body = '';
      answer.setEncoding('latin1');
      answer.on('data', (text: string) => {
        body += text;
      });
      answer.on('error', reject);
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body, localPort }),
      );
    });
    sent.on('error', reject);
    sent.end();
  });
}

/** Whether this machine has the loopback address of IPv6. */
export const hasIPv6 = Object.values(networkInterfaces()).some((addresses) =>
  addresses?.some(({ address }) => address === '::1'),
);
