/**
 * Who is weighed. Each entry knows whether its program is there and how to start it for a setup; the
 * configurations are in peers/, and all do the same: keep connections to the backend open (256 at
 * most), send Host, X-Real-IP, X-Forwarded-For and X-Forwarded-Proto, stream bodies, log nothing.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findProgram, openFileLimit, userDirective, versionOf } from './machine.ts';
import type { Command } from './process-keeper.ts';
import type { Setup } from './setup.ts';
import { fillFile } from './template.ts';

/** What a peer is started with. */
export interface Place {
  readonly port: number;
  readonly setup: Setup;
  /** The backend's ports: the servers of the upstream group are the first `setup.servers` of them. */
  readonly backendPorts: readonly number[];
  /** For its files alone; exists already. */
  readonly directory: string;
}

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
  mostClients(): number;
  /** Writes its configuration, and says what to run. */
  prepare(place: Place): Omit<Command, 'cores'>;
}

const root = fileURLToPath(new URL('..', import.meta.url));
const launcher = join(root, 'scripts/portico');
const packages = createRequire(import.meta.url);

/** All peers, in the order of the tables. The first is ours, and `nginx` is what the ratios divide by. */
export const peers: readonly Peer[] = [
  {
    name: 'portico',
    library: false,
    compiled: false,
    mostClients: clientsWithPool,
    version: () =>
      (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version,
    unable: (setup) =>
      setup.pipeline > 0 && !knowsPipeline() ? 'this Portico has no keepalive_pipeline' : undefined,
    prepare: (place) => ({
      name: 'portico',
      program: launcher,
      ...nginxArguments(place, true),
    }),
  },
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
      ...nginxArguments(place, false),
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
      if (setup.workers > 1) return 'is one process';
      if (setup.servers > 1) return 'has no load balancer';
      if (setup.accessLog) return 'writes no access log';
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
function clientsWithPool(): number {
  return openFileLimit() - 1000;
}

/** HAProxy counts a file for a client and one for a server, and does not start with more than it may open. */
function haproxyClients(): number {
  return (openFileLimit() >> 1) - 100;
}

function versionOfProgram(name: string, flag: string, pattern: RegExp): string | undefined {
  const program = findProgram(name);
  return program === undefined ? undefined : versionOf(program, flag, pattern);
}

/**
 * nginx's and Portico's configuration. Each has what only it needs: nginx shares the state of an upstream
 * group between workers when told to (`zone`), Portico always does.
 */
function writeNginx({ port, setup, backendPorts, directory }: Place, ours: boolean): string {
  const path = join(directory, 'nginx.conf');
  const servers = backendPorts.slice(0, setup.servers);
  writeFileSync(
    path,
    fillFile(new URL('peers/nginx.conf', import.meta.url), {
      user: userDirective(),
      directory,
      workers: String(setup.workers),
      connections: String(setup.connections),
      access_log: setup.accessLog ? `${join(directory, 'access.log')} combined` : 'off',
      zone: servers.length > 1 ? 'zone backend 256k;' : '',
      balance: setup.balance === 'least_conn' ? 'least_conn;' : '',
      servers: servers.map((server) => `server 127.0.0.1:${server};`).join('\n        '),
      pipeline: ours && setup.pipeline > 0 ? `keepalive_pipeline ${setup.pipeline};` : '',
      port: String(port),
    }),
  );
  return path;
}

/** nginx's command line, which is Portico's too: both write their pid once they serve. */
function nginxArguments(place: Place, ours: boolean): Pick<Command, 'arguments' | 'readyFile'> {
  const configuration = writeNginx(place, ours);
  const errorLog = join(place.directory, 'error.log');
  return {
    arguments: ['-p', place.directory, '-e', errorLog, '-c', configuration],
    readyFile: join(place.directory, 'proxy.pid'),
  };
}

/** HAProxy writes its log to a socket or to its standard output, which the keeper has put into a file. */
function writeHaproxy({ port, setup, backendPorts, directory }: Place): string {
  const path = join(directory, 'haproxy.cfg');
  const combined = '%ci - - [%T] "%HM %HU %HV" %ST %B "%[capture.req.hdr(0)]" "%[capture.req.hdr(1)]"';
  writeFileSync(
    path,
    fillFile(new URL('peers/haproxy.cfg', import.meta.url), {
      workers: String(setup.workers),
      // HAProxy counts a client and its connection to the server as one, and for all threads.
      connections: String(Math.min(setup.connections * setup.workers, haproxyClients())),
      log_target: setup.accessLog ? 'log stdout format raw local0' : '',
      log: setup.accessLog ? `log global\n    log-format '${combined}'` : '',
      captures: setup.accessLog
        ? 'capture request header referer len 200\n    capture request header user-agent len 200'
        : '',
      balance: setup.balance === 'least_conn' ? 'leastconn' : 'roundrobin',
      servers: backendPorts
        .slice(0, setup.servers)
        .map((server, index) => `server s${index} 127.0.0.1:${server}`)
        .join('\n    '),
      port: String(port),
    }),
  );
  return path;
}

let pipelineKnown: boolean | undefined;

/** Whether the Portico of this repository has the directive yet: asked once, with `-t`. */
function knowsPipeline(): boolean {
  if (pipelineKnown === undefined) {
    const configuration = join(mkdtempSync(join(tmpdir(), 'portico-bench-')), 'nginx.conf');
    try {
      writeFileSync(
        configuration,
        'events {} http { upstream u { server 127.0.0.1:1; keepalive_pipeline 16; } }',
      );
      const { stderr } = spawnSync(launcher, ['-t', '-c', configuration, '-e', 'stderr'], {
        encoding: 'latin1',
      });
      pipelineKnown = !stderr.includes('unknown directive "keepalive_pipeline"');
    } finally {
      rmSync(dirname(configuration), { recursive: true, force: true });
    }
  }
  return pipelineKnown;
}
