/**
 * What the tests with real clients share: Portico with each engine, with and without TLS, in front of a server that
 * sends back what it is sent, and programs that may not be there.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { delimiter, join } from 'node:path';
import { type WebSocket, WebSocketServer } from 'ws';
import { type Certificate, createCertificate } from '../../scripts/x509.ts';
import { ENGINE_NAMES, type EngineName } from '../../src/core/engine-name.ts';
import { createSandbox, type RunningPortico, type Sandbox, startPortico } from '../support/portico.ts';
import { freePorts } from '../support/ports.ts';

/** One listener of Portico's. */
export interface Front {
  readonly engine: EngineName;
  readonly secure: boolean;
  readonly port: number;
  /** `https://localhost:1234`; the certificate is that of `localhost`. */
  readonly origin: string;
  /** For the names of tests. */
  readonly name: string;
}

/** What runs. */
export interface Fronts {
  readonly portico: RunningPortico;
  readonly sandbox: Sandbox;
  readonly fronts: readonly Front[];
  /** A TLS listener that shows a certificate nobody has been told to trust. */
  readonly impostorPort: number;
  /** The authority's certificate, a file, and the certificate of the fronts. */
  readonly authorityFile: string;
  readonly certificate: Certificate;
  /** Requests that have reached the server behind. */
  readonly requests: readonly IncomingMessage[];
  stop(): Promise<void>;
}

/** What is served at `/large`, and is `html/large.bin`. */
export const LARGE = Buffer.from(
  Uint32Array.from({ length: 262_144 }, (_, index) => (index * 2_654_435_761) >>> 0).buffer,
);

/** Where each front is, in the order of the ports. */
export const FRONTS = ENGINE_NAMES.flatMap((engine) => [
  { engine, secure: false, name: `${engine}, plain` },
  { engine, secure: true, name: `${engine}, TLS` },
]);

/**
 * Starts everything.
 *
 * | path            | served by    |                                                                             |
 * |-----------------|--------------|-----------------------------------------------------------------------------|
 * | `/files/`       | Portico      | `html/` of the sandbox                                                      |
 * | `/large`        | the server   | `LARGE`                                                                     |
 * | `/ws`           | the server   | a WebSocket, for `onSocket`                                                 |
 * | everything else | the server   | the body of the request; `X-Seen` says its method, scheme and `Connection`  |
 */
export async function startFronts(
  onSocket: (socket: WebSocket, request: IncomingMessage) => void,
): Promise<Fronts> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    const { method, headers } = request;
    response.setHeader('X-Seen', `${method} ${headers['x-forwarded-proto']} ${headers.connection ?? '-'}`);
    if (request.url === '/large') {
      request.resume();
      response.end(LARGE);
      return;
    }
    response.setHeader('Content-Type', headers['content-type'] ?? 'text/plain');
    const body: Buffer[] = [];
    request.on('data', (chunk: Buffer) => body.push(chunk));
    request.on('end', () => response.end(Buffer.concat(body)));
  });
  const sockets = new WebSocketServer({
    server,
    path: '/ws',
    perMessageDeflate: { threshold: 0 },
    handleProtocols: (offered) => (offered.has('chat') ? 'chat' : false),
  });
  sockets.on('connection', onSocket);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  const sandbox = createSandbox();
  const authority = createCertificate({ name: 'Test authority', authority: true });
  const certificate = createCertificate({ name: 'localhost', hosts: ['localhost'], issuer: authority });
  const impostor = createCertificate({ name: 'localhost', hosts: ['localhost'] });
  sandbox.write('conf/fronts.crt', certificate.certificate);
  sandbox.write('conf/fronts.key', certificate.key);
  sandbox.write('conf/impostor.crt', impostor.certificate);
  sandbox.write('conf/impostor.key', impostor.key);
  sandbox.write('html/large.bin', LARGE.toString('latin1'));
  const authorityFile = sandbox.write('authority.crt', authority.certificate);

  const ports = await freePorts(FRONTS.length + 1);
  const fronts = FRONTS.map((front, index) => {
    const port = ports[index]!;
    return { ...front, port, origin: `${front.secure ? 'https' : 'http'}://localhost:${port}` };
  });
  const impostorPort = ports.at(-1)!;
  const stopBackend = async () => {
    for (const socket of sockets.clients) socket.terminate();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    sandbox.remove();
  };
  const behind = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const portico = await startPortico({
      sandbox,
      workers: 2,
      http: `
        server {
          ${fronts
            .map(
              ({ port, secure, engine }) =>
                `listen 127.0.0.1:${port}${secure ? ' ssl' : ''} engine=${engine};`,
            )
            .join('\n')}
          ssl_certificate fronts.crt;
          ssl_certificate_key fronts.key;
          client_max_body_size 8m;
          types { text/html html; application/octet-stream bin; }
          location / {
            proxy_pass ${behind};
            proxy_set_header X-Forwarded-Proto $scheme;
          }
          location /ws {
            proxy_pass ${behind};
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
          }
          location /files/ { alias html/; }
        }
        server {
          listen 127.0.0.1:${impostorPort} ssl;
          ssl_certificate impostor.crt;
          ssl_certificate_key impostor.key;
          location / {
            add_header Access-Control-Allow-Origin *;
            return 200 "the impostor has been asked";
          }
        }`,
    });
    const stop = async () => {
      await portico[Symbol.asyncDispose]();
      await stopBackend();
    };
    return { portico, sandbox, fronts, impostorPort, authorityFile, certificate, requests, stop };
  } catch (error) {
    await stopBackend();
    throw error;
  }
}

/** Where the first of these programs is; undefined where none is. */
export function findProgram(...names: readonly string[]): string | undefined {
  const directories = (process.env['PATH'] ?? '').split(delimiter).filter((directory) => directory !== '');
  return names
    .flatMap((name) => directories.map((directory) => join(directory, name)))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** What a program has left. */
export interface Output {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Runs a program to its end. @param input its standard input */
export function run(
  program: string,
  args: readonly string[],
  input: Buffer | string = '',
  milliseconds = 30_000,
): Promise<Output> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'pipe', timeout: milliseconds, killSignal: 'SIGKILL' });
    const stdout: Buffer[] = [];
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout: Buffer.concat(stdout), stderr }));
    // It may end without having read all.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}
