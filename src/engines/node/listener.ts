/** One listening socket of one worker, and the client connections it has accepted. */
import { createServer, type Server as NetServer, type Socket } from 'node:net';
import { requestHeadLimits } from '../../core/head-limits.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { Listener, Server, Site, VirtualServers } from '../../core/site.ts';
import { removeSocketFile, socketPath } from '../../core/socket-file.ts';
import type { TlsConnection } from '../../core/tls.ts';
import type { RequestHeadLimits } from '../../http/request-head.ts';
import { RequestHeadParser } from '../../http/request-head-parser.ts';
import { acceptDirectly } from './client-socket.ts';
import { ClientConnection, countAccepted } from './connection.ts';
import { TlsHandshake } from './tls-handshake.ts';

/** Spare parsers kept by a listener: one serves all heads that arrive in one piece. */
const SPARE_PARSERS = 64;

export class NodeListener {
  readonly runtime: Runtime;
  /** Resolves once the socket listens; rejects with the system's error. */
  readonly ready: Promise<void>;
  site: Site;
  defaultServer: Server;
  /** No connection outlives the request it is at. */
  retired = false;
  private onEmptied: (() => void) | undefined = undefined;
  private listener: Listener;
  private limits: RequestHeadLimits;
  private readonly netServer: NetServer;
  private readonly connections = new Set<ClientConnection | TlsHandshake>();
  private readonly parsers: RequestHeadParser[] = [];
  /** Accepted before `begin`. */
  private waiting: Socket[] | undefined = [];

  constructor(listener: Listener, site: Site) {
    this.listener = listener;
    this.site = site;
    this.runtime = site.runtime;
    this.defaultServer = listener.servers.default;
    this.limits = requestHeadLimits(this.defaultServer);
    this.netServer = createServer(
      // A mark of one byte: `drain` comes whenever something had to wait, however little, and a buffer is free again.
      { allowHalfOpen: true, highWaterMark: 1 },
      (socket) => this.accept(socket),
    );
    this.ready = new Promise((resolve, reject) => {
      this.netServer.once('error', reject);
      this.netServer.listen(listenOptions(listener), () => {
        this.netServer.off('error', reject);
        // Running out of descriptors must not end the worker; nginx says `accept4() failed` and goes on.
        this.netServer.on('error', (error) =>
          this.site.errorLog.write('crit', `accept() failed (${error.message})`),
        );
        acceptDirectly(this.netServer, (socket) => this.accept(socket));
        resolve();
      });
    });
  }

  /** The address as nginx prints it: `0.0.0.0:8080`. */
  get text(): string {
    return this.listener.address.text;
  }

  get port(): number {
    return this.listener.address.port;
  }

  get localAddress(): string {
    return this.listener.address.host;
  }

  get unixPath(): string {
    return this.listener.address.path;
  }

  /** Starts to serve what has been accepted, and what will be. */
  begin(): void {
    const { waiting } = this;
    this.waiting = undefined;
    // One that has gone meanwhile will say nothing more, so nobody would let go of it.
    for (const socket of waiting ?? []) {
      if (socket.destroyed) continue;
      this.accept(socket);
      socket.resume();
    }
  }

  /** A reload: requests that begin from now on, on old connections too, are served by the new configuration. */
  replace(listener: Listener, site: Site): void {
    this.listener = listener;
    this.site = site;
    this.defaultServer = listener.servers.default;
    this.limits = requestHeadLimits(this.defaultServer);
    this.parsers.length = 0;
  }

  /** Stops accepting. Connections that are open go on. */
  close(): void {
    // Node.js would remove it too, and not say where it cannot.
    if (this.unixPath !== '' && this.netServer.listening) {
      const failure = removeSocketFile(this.unixPath);
      if (failure !== undefined) this.site.errorLog.write('emerg', failure);
    }
    this.netServer.close();
    for (const socket of this.waiting ?? []) socket.destroy();
    this.waiting = undefined;
  }

  /**
   * A reload has dropped this address: stops accepting, closes idle connections, and lets the others end with the
   * request they are at.
   * @param emptied called once when no connection is left, which may be before this returns
   */
  retire(emptied: () => void): void {
    this.retired = true;
    this.onEmptied = emptied;
    this.close();
    for (const connection of this.connections) connection.closeIfIdle();
    if (this.connections.size === 0) this.tellEmptied();
  }

  private tellEmptied(): void {
    const emptied = this.onEmptied;
    this.onEmptied = undefined;
    emptied?.();
  }

  /** Closes every connection at once: a fast shutdown, or `worker_shutdown_timeout`. */
  destroyConnections(): void {
    for (const connection of this.connections) connection.socket.destroy();
  }

  /** The servers a connection can be meant for. */
  serversFor(connection: ClientConnection): VirtualServers {
    const { byLocalAddress, servers } = this.listener;
    if (byLocalAddress === undefined) return servers;
    return byLocalAddress.get(connection.localAddress) ?? servers;
  }

  private serversAt(socket: Socket): VirtualServers {
    const { byLocalAddress, servers } = this.listener;
    // Asking for the address is a system call.
    return byLocalAddress?.get(socket.localAddress ?? '') ?? servers;
  }

  takeParser(): RequestHeadParser {
    const parser = this.parsers.pop();
    if (parser !== undefined) return parser;
    const made = new RequestHeadParser(this.limits);
    const { servers } = this.listener;
    if (servers.limitsOf !== undefined) made.onHost = servers.limitsOf;
    return made;
  }

  returnParser(parser: RequestHeadParser): void {
    if (parser.limits === this.limits && this.parsers.length < SPARE_PARSERS) this.parsers.push(parser);
  }

  /**
   * TlsHandshake: it is over.
   * @param tls undefined for plain HTTP
   * @param received bytes that have come already
   */
  handshakeDone(
    handshake: TlsHandshake,
    socket: Socket,
    tls: TlsConnection | undefined,
    received: Buffer | undefined,
  ): void {
    const { number, acceptedAt, socket: raw } = handshake;
    const connection = new ClientConnection(socket, this, { number, acceptedAt, tls, raw });
    this.connections.add(connection);
    this.connections.delete(handshake);
    if (this.retired) connection.closeIfIdle();
    else if (received !== undefined) connection.received(received, received.length);
  }

  /** It is gone. */
  forget(connection: ClientConnection | TlsHandshake): void {
    this.connections.delete(connection);
    if (this.retired && this.connections.size === 0) this.tellEmptied();
  }

  private accept(socket: Socket): void {
    if (this.waiting !== undefined) {
      // A reset before anybody listens for it would end the worker.
      socket.on('error', () => {});
      // What it sends waits in the system.
      socket.pause();
      this.waiting.push(socket);
      return;
    }
    countAccepted(this.site);
    if (!this.runtime.connections.acquire()) {
      socket.destroy();
      return;
    }
    const { keepalive } = this.listener.address;
    if (keepalive !== undefined) socket.setKeepAlive(keepalive.enabled, keepalive.idle * 1000);
    const servers = this.serversAt(socket);
    this.connections.add(
      servers.ssl ? new TlsHandshake(socket, this, servers) : new ClientConnection(socket, this),
    );
  }
}

function listenOptions(listener: Listener) {
  const { address } = listener;
  if (address.family === 'unix')
    return { path: socketPath(address.path), backlog: address.backlog, readableAll: true, writableAll: true };
  return {
    host: address.host,
    port: address.port,
    backlog: address.backlog,
    ipv6Only: address.family === 'inet6' && address.ipv6only,
    reusePort: true,
    exclusive: true,
  };
}

/** Opens a listening socket; see `NodeListener.ready` and `begin`. */
export function openNodeListener(listener: Listener, site: Site): NodeListener {
  return new NodeListener(listener, site);
}
