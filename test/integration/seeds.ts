/**
 * What the tests of the shipped configurations share: starting Portico on a file of config/ with free ports in place
 * of its own, and backends behind it that say which of them answered and what they saw.
 */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { EngineName } from '../../src/core/engine-name.ts';
import { GENERAL_LIMITS, type GeneralLimit } from '../../src/engines/uws/limits.ts';
import { type RunningPortico, type Sandbox, startPortico } from '../support/portico.ts';
import { freePorts } from '../support/ports.ts';
import { get, type RequestOptions } from '../support/request.ts';

/** What a backend saw of a request, which is what it answers, as JSON. */
export interface Seen {
  /** The backend's name. */
  readonly server: string;
  readonly method: string;
  readonly url: string;
  readonly httpVersion: string;
  /** As they came: a name, its value, the next name... */
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

/** A server behind Portico. */
export interface Backend {
  readonly name: string;
  readonly port: number;
  /** Requests that have come in, answered or not. */
  readonly requests: Seen[];
  /** Answers of `/hold` requests that wait for `release`. */
  readonly held: ServerResponse[];
  /** Answers everything that is held. */
  release(): void;
  /** Stops listening and drops its connections: whoever connects is refused. */
  stop(): Promise<void>;
  /** Listens again. */
  start(): Promise<void>;
}

/** Answers in place of a backend's own way; false where the request is none of its business. */
export type Handler = (request: IncomingMessage, response: ServerResponse) => boolean;

/** Starts a backend on a port of every loopback address. A request for a path with `/hold` in it waits. */
export async function startBackend(
  name: string,
  port: number,
  handle: Handler = () => false,
): Promise<Backend> {
  let server: Server;
  const requests: Seen[] = [];
  const held: ServerResponse[] = [];
  const backend: Backend = {
    name,
    port,
    requests,
    held,
    release() {
      for (const response of held.splice(0)) response.end('released');
    },
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
    async start() {
      server = createServer((request, response) => {
        let body = '';
        request.setEncoding('latin1');
        request.on('data', (text: string) => {
          body += text;
        });
        request.on('end', () => {
          const seen = describeRequest(name, request, body);
          requests.push(seen);
          if (handle(request, response)) return;
          response.setHeader('X-Server', name);
          if (seen.url.includes('/hold')) held.push(response);
          else response.end(JSON.stringify(seen));
        });
      });
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, resolve);
      });
    },
  };
  await backend.start();
  return backend;
}

/** What a request looked like. */
export function describeRequest(server: string, request: IncomingMessage, body: string): Seen {
  const { method = '', url = '', httpVersion, rawHeaders } = request;
  return { server, method, url, httpVersion, rawHeaders, body };
}

/** All values of a header a backend saw. */
export function header(seen: Seen, name: string): string[] {
  const values: string[] = [];
  for (let index = 0; index < seen.rawHeaders.length; index += 2) {
    if (seen.rawHeaders[index]!.toLowerCase() === name.toLowerCase())
      values.push(seen.rawHeaders[index + 1]!);
  }
  return values;
}

/**
 * Sends a request on a connection of its own, and returns what the backend that answered saw of it.
 * @throws Error where the answer is not 200
 */
export async function ask(port: number, options: RequestOptions = {}): Promise<Seen> {
  const answer = await get({ port, ...options });
  if (answer.status !== 200) throw new Error(`${answer.status} ${answer.body}`);
  return JSON.parse(answer.body) as Seen;
}

/** Which backends answer so many requests, sent one after another, each on a connection of its own. */
export async function askInTurn(
  port: number,
  count: number,
  options: RequestOptions = {},
): Promise<string[]> {
  const names: string[] = [];
  for (let sent = 0; sent < count; sent++) names.push((await ask(port, options)).server);
  return names;
}

/** How often each name occurs. */
export function tally(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of [...names].sort()) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

/** What a test runs on. */
export interface Setting {
  readonly engine: EngineName;
  readonly workers: number;
}

/** What every test runs on that has to do with clients. */
export const SETTINGS: readonly Setting[] = [
  { engine: 'node', workers: 1 },
  { engine: 'node', workers: 2 },
  { engine: 'uws', workers: 2 },
];

/** For the names of tests. */
export function on({ engine, workers }: Setting): string {
  return `on ${workers === 1 ? 'one worker' : `${workers} workers`} with ${engine}`;
}

/** For the option `skip` of a test of something that an engine cannot do: why, or false where it can. */
export function lacks(engine: EngineName, what: GeneralLimit): string | false {
  return engine === 'uws' && GENERAL_LIMITS[what];
}

/** Has the engine serve all listeners of a configuration. */
export function useEngine(text: string, engine: EngineName): string {
  return text.replace(/^events \{/m, `events { use ${engine};`);
}

/** How to start a shipped configuration. */
export interface ShippedOptions extends Setting {
  /** Names of the backends by the port that they have in the file. */
  readonly backends: Readonly<Record<number, string>>;
  readonly handle?: Handler;
  /** Changes the text further, ports replaced already. */
  readonly edit?: (text: string, port: (documented: number) => number) => string;
  readonly sandbox?: Sandbox;
}

/** A shipped configuration that runs. */
export interface Shipped {
  readonly portico: RunningPortico;
  /** Each backend by the name that it was given. */
  readonly backends: Readonly<Record<string, Backend>>;
  /** The free port that took the place of one of the file's. */
  port(documented: number): number;
  stop(): Promise<void>;
}

/** The text of a file of config/. */
export function shippedText(file: string): string {
  return readFileSync(new URL(`../../config/${file}`, import.meta.url), 'latin1');
}

/** Puts free ports in the place of all ports in a configuration: behind `listen`, and behind a colon. */
export async function replacePorts(
  text: string,
): Promise<{ text: string; port: (documented: number) => number }> {
  const pattern = /(?<=listen\s+|:)\d{2,5}\b/g;
  const documented = [...new Set(text.match(pattern)?.map(Number))];
  const free = await freePorts(documented.length);
  const port = (number: number) => {
    const found = free[documented.indexOf(number)];
    if (found === undefined) throw new Error(`port ${number} is not in the configuration`);
    return found;
  };
  return { text: text.replace(pattern, (number) => String(port(Number(number)))), port };
}

/** Starts Portico on a file of config/, with free ports, in a sandbox, and the backends that the file names. */
export async function startShipped(file: string, options: ShippedOptions): Promise<Shipped> {
  const { text, port } = await replacePorts(shippedText(file));
  const main = text
    .replace(/^pid .*;$/m, 'pid logs/portico.pid;')
    .replace(/^error_log .*;$/m, 'error_log logs/error.log info;')
    .replace(/^worker_processes .*;\n/m, '');
  const edited = useEngine(options.edit?.(main, port) ?? main, options.engine);
  const backends: Record<string, Backend> = {};
  const stopBackends = async () => {
    for (const backend of Object.values(backends)) {
      backend.release();
      await backend.stop();
    }
  };
  try {
    for (const [documented, name] of Object.entries(options.backends)) {
      backends[name] = await startBackend(name, port(Number(documented)), options.handle);
    }
    const portico = await startPortico({
      configuration: `worker_processes ${options.workers};\n${edited}`,
      sandbox: options.sandbox,
    });
    const stop = async () => {
      try {
        await portico[Symbol.asyncDispose]();
      } finally {
        await stopBackends();
      }
    };
    return { portico, backends, port, stop };
  } catch (error) {
    await stopBackends();
    throw error;
  }
}
