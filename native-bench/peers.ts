/**
 * Who is weighed. Each entry knows whether its program is there and how to start it for a setup; the
 * configurations are in peers/, and all do the same: keep connections to the backend open (256 at
 * most), send Host, X-Real-IP, X-Forwarded-For and X-Forwarded-Proto, stream bodies, log nothing.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { haproxyClients, type Place, writeHaproxy, writeNginx } from './configurations.ts';
import { findProgram, openFileLimit, versionOf } from './machine.ts';
import { launcher, refusal } from './portico.ts';
import type { Command } from './process-keeper.ts';
import type { Setup } from './setup.ts';

/** A proxy that can be weighed. */
export interface Peer {
  readonly name: string;
  /** One of Node's libraries: has no load balancer, no log and one process, so takes part in less. */
  readonly library: boolean;
  /** Whether it needs no warming up: not compiled while it runs. */
  readonly compiled: boolean;
  /** Its version, or undefined where it is not installed. */
  version(): string | undefined;
  /** Why it cannot take part with a setup; undefined when it can. */
  unable(setup: Setup): string | undefined;
  /** How many clients the limit of open files allows it. */
  mostClients(setup: Setup): number;
  /** Writes its configuration, and says what to run. */
  prepare(place: Place): Omit<Command, 'cores'>;
}

const root = fileURLToPath(new URL('..', import.meta.url));
const packages = createRequire(import.meta.url);

/** All peers, in the order of the tables. The first two are ours, and `nginx` is what the ratios divide by. */
export const peers: readonly Peer[] = [
  portico('portico', 'node'),
  portico('portico-uws', 'uws'),
  {
    name: 'nginx',
    library: false,
    compiled: true,
    mostClients: clientsWithPool,
    version: () => versionOfProgram('nginx', '-v', /nginx\/(\S+)/),
    unable: () => undefined,
    prepare: (place) => ({
      name: 'nginx',
      program: findProgram('nginx') ?? 'nginx',
      ...nginxArguments(place, 'nginx'),
    }),
  },
  {
    name: 'haproxy',
    library: false,
    compiled: true,
    mostClients: haproxyClients,
    version: () => versionOfProgram('haproxy', '-v', /version (\S+)/),
    unable: () => undefined,
    prepare: (place) => ({
      name: 'haproxy',
      program: findProgram('haproxy') ?? 'haproxy',
      arguments: ['-db', '-f', writeHaproxy(place)],
    }),
  },
  library('http-proxy', 'http-proxy'),
  library('fast-proxy', 'fast-proxy'),
  library('undici', 'undici'),
];

/** Portico with one of its two engines. */
function portico(name: string, engine: 'node' | 'uws'): Peer {
  return {
    name,
    library: false,
    compiled: false,
    mostClients: clientsWithPool,
    version: () =>
      (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version,
    unable: (setup) => (setup.pipeline > 0 || engine === 'uws' ? refusal(engine, setup) : undefined),
    prepare: (place) => ({ name, program: launcher, ...nginxArguments(place, engine) }),
  };
}

/** A proxy of one file, peers/NAME.ts, around a package. */
function library(name: string, packageName: string): Peer {
  return {
    name,
    library: true,
    compiled: false,
    mostClients: clientsWithPool,
    version: () => {
      try {
        const path = packages.resolve(`${packageName}/package.json`);
        return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;
      } catch {
        return undefined;
      }
    },
    unable: (setup) => {
      if (setup.workers > 1) return 'one process';
      if (setup.servers > 1) return 'no load balancer';
      if (setup.accessLog) return 'no access log';
      if (setup.tls) return 'not set up for TLS';
      if (setup.websocket) return 'not set up for WebSockets';
      return undefined;
    },
    prepare: (place) => ({
      name,
      program: process.execPath,
      arguments: [
        fileURLToPath(new URL(`peers/${name}.ts`, import.meta.url)),
        String(place.port),
        String(place.backendPorts[0]),
      ],
      environment: { NODE_ENV: 'production' },
    }),
  };
}

/** All files that may be open, but for a pool of connections to the backend and what a program has open itself. */
function clientsWithPool({ websocket }: Setup): number {
  // A WebSocket holds one on each side.
  return (openFileLimit() - 1000) >> (websocket ? 1 : 0);
}

function versionOfProgram(name: string, flag: string, pattern: RegExp): string | undefined {
  const program = findProgram(name);
  return program === undefined ? undefined : versionOf(program, flag, pattern);
}

/** nginx's command line, which is Portico's too: both write their pid once they serve. */
function nginxArguments(
  place: Place,
  engine: 'nginx' | 'node' | 'uws',
): Pick<Command, 'arguments' | 'readyFile'> {
  const configuration = writeNginx(place, engine);
  const errorLog = join(place.directory, 'error.log');
  return {
    arguments: ['-p', place.directory, '-e', errorLog, '-c', configuration],
    readyFile: join(place.directory, 'proxy.pid'),
  };
}
