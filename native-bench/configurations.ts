/** The peers' configuration files for a setup, from the templates in peers/. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openFileLimit, userDirective } from './machine.ts';
import { WEBSOCKET_PATH } from './messages.ts';
import type { Setup } from './setup.ts';
import { fillFile } from './template.ts';
import { tlsFiles } from './tls-files.ts';

/** What a peer is started with. */
export interface Place {
  readonly port: number;
  readonly setup: Setup;
  /** The backend's ports: the servers of the upstream group are the first `setup.servers` of them. */
  readonly backendPorts: readonly number[];
  /** Where WebSockets lead to. */
  readonly echoPort: number;
  /** For its files alone; exists already. */
  readonly directory: string;
  /** Where the certificate is. */
  readonly sharedDirectory: string;
}

/** A piece of a configuration: a template without the last line's end. */
function fillPiece(name: string, values: Readonly<Record<string, string>>): string {
  return fillFile(new URL(`peers/${name}`, import.meta.url), values).trimEnd();
}

/**
 * Writes nginx's and Portico's configuration, which is the same. Each has what only it needs: nginx shares
 * the state of an upstream group between workers when told to (`zone`), Portico always does.
 * @returns its path
 */
export function writeNginx(place: Place, program: 'nginx' | 'node' | 'uws'): string {
  const { port, setup, backendPorts, directory } = place;
  const path = join(directory, 'nginx.conf');
  const servers = backendPorts.slice(0, setup.servers);
  const files = tlsFiles(place.sharedDirectory);
  const listen = [
    setup.tls ? 'ssl' : '',
    // uWebSockets.js has a backlog of its own, and one socket for all workers.
    program === 'uws' ? '' : 'backlog=4096 reuseport',
  ];
  writeFileSync(
    path,
    fillFile(new URL('peers/nginx.conf', import.meta.url), {
      user: userDirective(),
      directory,
      workers: String(setup.workers),
      connections: String(setup.connections),
      engine: program === 'uws' ? 'use uws;' : '',
      access_log: setup.accessLog ? `${join(directory, 'access.log')} combined` : 'off',
      zone: servers.length > 1 ? 'zone backend 256k;' : '',
      balance: setup.balance === 'least_conn' ? 'least_conn;' : '',
      servers: servers.map((server) => `server 127.0.0.1:${server};`).join('\n        '),
      pipeline: program !== 'nginx' && setup.pipeline > 0 ? `keepalive_pipeline ${setup.pipeline};` : '',
      listen: [`127.0.0.1:${port}`, ...listen].filter((word) => word !== '').join(' '),
      tls: !setup.tls ? '' : fillPiece('nginx-tls.conf', { certificate: files.certificate, key: files.key }),
      websocket: !setup.websocket
        ? ''
        : fillPiece('nginx-websocket.conf', { path: WEBSOCKET_PATH, echo_port: String(place.echoPort) }),
    }),
  );
  return path;
}

/** How many clients HAProxy takes: it counts a file for each and one for its server, and starts with no more. */
export function haproxyClients(): number {
  return (openFileLimit() >> 1) - 100;
}

/**
 * Writes HAProxy's configuration. Its log goes to its standard output, which the keeper has put into a file.
 * @returns its path
 */
export function writeHaproxy(place: Place): string {
  const { port, setup, backendPorts, directory } = place;
  const path = join(directory, 'haproxy.cfg');
  const combined = '%ci - - [%T] "%HM %HU %HV" %ST %B "%[capture.req.hdr(0)]" "%[capture.req.hdr(1)]"';
  const { both } = tlsFiles(place.sharedDirectory);
  const bind = `127.0.0.1:${port} backlog 4096`;
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
      bind: setup.tls ? `${bind} ssl crt ${both} ssl-min-ver TLSv1.2` : bind,
      scheme: setup.tls ? 'https' : 'http',
      use_websocket: setup.websocket ? `use_backend websocket if { path ${WEBSOCKET_PATH} }` : '',
      websocket: !setup.websocket
        ? ''
        : fillPiece('haproxy-websocket.cfg', { echo_port: String(place.echoPort) }),
    }),
  );
  return path;
}
