/** TLS clients for tests, and certificates for the servers they talk to. */
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { type Certificate, type CertificateOptions, createCertificate } from '../../scripts/x509.ts';
import type { Sandbox } from './portico.ts';
import { createWatch, opened } from './wait.ts';

/** Makes a certificate and writes it as `conf/<file>.crt` and `.key`. */
export function writeCertificate(sandbox: Sandbox, file: string, options: CertificateOptions): Certificate {
  const made = createCertificate(options);
  sandbox.write(`conf/${file}.crt`, made.certificate);
  sandbox.write(`conf/${file}.key`, made.key);
  return made;
}

/** One TLS connection to the loopback address. */
export interface TlsClient {
  readonly socket: TLSSocket;
  /** All that was heard so far, as latin1. */
  heard(): string;
  send(text: string): void;
  /** Waits until what has been heard satisfies a condition. */
  until(condition: RegExp): Promise<string>;
  /** Waits for the end, however it comes. */
  closed(): Promise<string>;
  /** The last session the server has given; waits for the first. */
  session(): Promise<Buffer>;
  /** Whether the server has said goodbye (close_notify) before it closed. */
  saidGoodbye(): boolean;
}

/** Connects, and waits for the handshake to be done. Nobody's certificate is checked unless told. */
export async function tlsClient(port: number, options: ConnectionOptions = {}): Promise<TlsClient> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
  const chunks: Buffer[] = [];
  let session: Buffer | undefined;
  let ended = false;
  let goodbye = false;
  const heard = () => Buffer.concat(chunks).toString('latin1');
  const { wake, wait } = createWatch(heard);
  socket.on('session', (given: Buffer) => {
    session = given;
    wake();
  });
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    wake();
  });
  socket.on('end', () => {
    goodbye = true;
    wake();
  });
  socket.on('close', () => {
    ended = true;
    wake();
  });
  await opened(socket, 'secureConnect');
  socket.on('error', () => {});

  return {
    socket,
    heard,
    send: (text) => {
      socket.write(text, 'latin1');
    },
    until: (condition) =>
      wait(String(condition), () => (ended || condition.test(heard()) ? heard() : undefined)),
    closed: () => wait('the end', () => (ended ? heard() : undefined)),
    session: () => wait('a session', () => session),
    saidGoodbye: () => goodbye,
  };
}

/** One `GET` with `Connection: close` on a connection of its own: the whole answer. */
export async function tlsGet(
  port: number,
  path: string,
  options: ConnectionOptions & { readonly hostHeader?: string } = {},
): Promise<string> {
  const client = await tlsClient(port, options);
  const host = options.hostHeader ?? options.servername ?? 'localhost';
  client.send(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  return client.closed();
}

/** The body of an answer. */
export function bodyOf(answer: string): string {
  return answer.slice(answer.indexOf('\r\n\r\n') + 4);
}
