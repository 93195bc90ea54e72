/**
 * One address that uWebSockets.js serves in one worker. The master listens, and hands connections to the workers' apps in
 * turn; here they are counted, and their requests get exchanges.
 *
 * There is an object for each request and none for a connection: between requests uWebSockets.js tells nothing of one. So
 * an idle connection cannot be closed by itself. All of them can, together, once no request is under way.
 */
import { ConfigError } from '../../config/statement.ts';
import { Exchange } from '../../core/exchange.ts';
import { finalize } from '../../core/finalize.ts';
import { requestHeadLimits } from '../../core/head-limits.ts';
import { log } from '../../core/log.ts';
import { begin } from '../../core/run.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { Listener, Server, Site } from '../../core/site.ts';
import { chooseServer, type TlsConnection } from '../../core/tls.ts';
import { KnownHeader } from '../../http/header-names.ts';
import { type ProtocolError, requestError } from '../../http/protocol-error.ts';
import { checkRequestHead, type RequestFraming } from '../../http/request-check.ts';
import { COMPLETE, NEED_MORE, type RequestHead, RequestHeadParser } from '../../http/request-head.ts';
import { ACCEPTED, ACTIVE_CONNECTIONS, HANDLED, REQUESTS, WAITING, WRITING } from '../../shared/counters.ts';
import type { EngineListener } from '../engine.ts';
import { UwsCarrier } from './carrier.ts';
import { checkLimits, LONGEST_MESSAGE, LONGEST_TIMEOUT, TIMEOUT_STEP } from './limits.ts';
import { loadUws, type UpgradeContext, type UwsApp, type UwsRequest, type UwsResponse } from './native.ts';
import { readHead } from './request-head.ts';
import { holdSpareConnection, releaseSpareConnection } from './spare-connection.ts';

/** Bytes a second below which uWebSockets.js calls a client too slow. */
const THROUGHPUT = 16 * 1024;
/** Greatest piece of a body that comes at once, and a little. */
const LARGEST_PIECE = 512 * 1024;
/** How long a connection that is to be closed may wait for its client to do so, in milliseconds. */
const CLOSING_TIMEOUT = 5000;

/** Filled by every check, read at once: one for the thread is enough. */
const framing: RequestFraming = { contentLength: -1, chunked: false, connection: 'none' };
const NO_BODY: RequestFraming = { contentLength: -1, chunked: false, connection: 'close' };

export class UwsListener implements EngineListener {
  readonly runtime: Runtime;
  readonly ready: Promise<void>;
  readonly descriptor: number;
  readonly scheme: 'http' | 'https' = 'http';
  readonly tls: TlsConnection | undefined = undefined;
  site: Site;
  /** Bytes of a body after which uWebSockets.js is about to judge the client's speed. */
  countedBytes = 0;

  private readonly app: UwsApp;
  private listener: Listener;
  private defaultServer: Server;
  private parser: RequestHeadParser;
  /** Requests and WebSockets under way. */
  private busy = 0;
  private refusing = false;
  private closed = false;
  private retired = false;
  private onEmptied: (() => void) | undefined = undefined;
  /** What has come before `begin`; undefined afterwards. */
  private waiting: (() => void)[] | undefined = [];
  private idleTimeout = 0;
  private idleTimeoutLifted = false;
  private responseTimeout = -1;

  constructor(listener: Listener, site: Site) {
    this.listener = listener;
    this.site = site;
    this.runtime = site.runtime;
    this.defaultServer = listener.servers.default;
    this.parser = this.makeParser();
    const app = loadUws().App();
    this.app = app;
    this.readTimeouts();
    app.filter((connection, count) => this.onConnection(connection, count));
    app.any('/*', (response, request) => this.onRequest(response, request, undefined));
    app.ws('/*', {
      compression: 0,
      maxPayloadLength: LONGEST_MESSAGE,
      maxBackpressure: 0,
      idleTimeout: 0,
      sendPingsAutomatically: false,
      upgrade: (response, request, context) => this.onRequest(response, request, context),
      open: (socket) => socket.tunnel.opened(socket),
      message: (socket, message, binary) => socket.tunnel.message(message, binary),
      ping: (socket, message) => socket.tunnel.pinged(message),
      pong: (socket, message) => socket.tunnel.ponged(message),
      drain: (socket) => socket.tunnel.drained(),
      close: (socket, code, reason) => socket.tunnel.clientClosed(code, reason),
    });
    this.descriptor = app.getDescriptor();
    this.ready = holdSpareConnection();
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

  begin(): void {
    const { waiting } = this;
    this.waiting = undefined;
    if (waiting !== undefined) for (const serve of waiting) serve();
  }

  replace(listener: Listener, site: Site): void {
    this.listener = listener;
    this.site = site;
    this.defaultServer = listener.servers.default;
    this.parser = this.makeParser();
    this.readTimeouts();
  }

  close(): void {
    this.waiting = undefined;
    this.closeApp();
  }

  retire(emptied: () => void): void {
    this.retired = true;
    this.onEmptied = emptied;
    this.lookWhetherIdle();
  }

  destroyConnections(): void {
    this.closeApp();
  }

  /** Every connection ends here and now; what the master has handed over and has not arrived yet is refused. */
  private closeApp(): void {
    if (this.closed) return;
    this.closed = true;
    this.app.close();
    releaseSpareConnection();
    this.tellEmptied();
  }

  private tellEmptied(): void {
    const emptied = this.onEmptied;
    this.onEmptied = undefined;
    emptied?.();
  }

  /** A retired listener that has nothing to do closes what is left of its connections. */
  private lookWhetherIdle(): void {
    if (!this.retired || this.closed || this.busy > 0) return;
    // Not inside a call of uWebSockets.js, and behind a connection that the master has handed over just before.
    setImmediate(() => {
      if (this.busy === 0) this.closeApp();
    });
  }

  private makeParser(): RequestHeadParser {
    const parser = new RequestHeadParser(requestHeadLimits(this.defaultServer));
    const { servers } = this.listener;
    if (servers.limitsOf !== undefined) parser.onHost = servers.limitsOf;
    return parser;
  }

  // ---- timeouts ----

  private readTimeouts(): void {
    const { settings } = this.defaultServer;
    this.idleTimeout = timeoutSeconds(settings.client_header_timeout);
    if (!this.idleTimeoutLifted) this.app.setIdleTimeout(this.idleTimeout);
    this.responseTimeout = -1;
    this.setResponseTimeout(settings.keepalive_timeout.timeout);
    this.countedBytes = Math.max(0, THROUGHPUT * this.idleTimeout - LARGEST_PIECE);
  }

  /**
   * Sets how long connections that are written to from now on may take nothing, or rest after the answer.
   * @param milliseconds 0 where a connection that rests is to be closed
   */
  setResponseTimeout(milliseconds: number): void {
    if (milliseconds === this.responseTimeout) return;
    this.responseTimeout = milliseconds;
    this.app.setResponseTimeout(timeoutSeconds(milliseconds === 0 ? CLOSING_TIMEOUT : milliseconds));
  }

  /** uWebSockets.js starts this timeout also where it begins to read again, which is not wanted there. */
  withoutResponseTimeout(): void {
    this.responseTimeout = -1;
    this.app.setResponseTimeout(0);
  }

  /**
   * When the handler of a request with a body has returned, uWebSockets.js starts the timeout for heads, and closes the
   * connection if not enough has come by then. The body's timeout is ours.
   */
  private withoutIdleTimeout(): void {
    if (this.idleTimeoutLifted || this.idleTimeout === 0) return;
    this.idleTimeoutLifted = true;
    this.app.setIdleTimeout(0);
    setImmediate(() => {
      this.idleTimeoutLifted = false;
      if (!this.closed) this.app.setIdleTimeout(this.idleTimeout);
    });
  }

  // ---- connections ----

  private onConnection(connection: UwsResponse, count: 1 | -1): void {
    if (count < 0) {
      if (!this.refusing) this.connectionOver();
      return;
    }
    const { counters, connections } = this.runtime;
    counters.add(ACCEPTED, 1);
    if (this.closed || !connections.acquire()) {
      this.refusing = true;
      connection.close();
      this.refusing = false;
      return;
    }
    counters.add(HANDLED, 1);
    counters.add(ACTIVE_CONNECTIONS, 1);
    counters.add(WAITING, 1);
  }

  /** A connection has ended: of a WebSocket its carrier says so, of all others uWebSockets.js. */
  connectionOver(): void {
    const { counters, connections } = this.runtime;
    counters.add(ACTIVE_CONNECTIONS, -1);
    counters.add(WAITING, -1);
    connections.release();
  }

  /** UwsCarrier: its request is over. */
  requestOver(): void {
    this.busy--;
    this.runtime.counters.move(WRITING, WAITING);
    this.lookWhetherIdle();
  }

  // ---- requests ----

  private onRequest(response: UwsResponse, request: UwsRequest, context: UpgradeContext | undefined): void {
    const webSocket =
      context !== undefined && request.getHeader('upgrade').toLowerCase() === 'websocket'
        ? { context, key: request.getHeader('sec-websocket-key') }
        : undefined;
    const carrier = new UwsCarrier(this, response, webSocket);
    this.busy++;
    const { counters } = this.runtime;
    counters.move(WAITING, WRITING);
    counters.add(REQUESTS, 1);

    const { parser } = this;
    const outcome = readHead(request, webSocket !== undefined, parser);
    const { head } = parser;
    if (outcome === COMPLETE) {
      const error = checkRequestHead(head, false, framing);
      if (error === undefined) this.serve(carrier, head);
      else this.refuse(carrier, head, error);
    } else {
      if (outcome === NEED_MORE) parser.reset();
      this.refuse(carrier, head, parser.error ?? NO_HEAD);
    }
    carrier.handlerReturns();
  }

  private makeExchange(carrier: UwsCarrier, head: RequestHead, bodyFraming: RequestFraming): Exchange {
    const { servers } = this.listener;
    const exchange = new Exchange(head, bodyFraming, carrier, carrier, this.site, servers.default);
    const server = chooseServer(servers, head.host, exchange, this.tls);
    if (server !== undefined && server !== servers.default) {
      exchange.server = server;
      exchange.location = server.location;
    }
    const wish = head.headers.knownValue(KnownHeader.connection);
    // That is how uWebSockets.js finds out whether it has to close the connection.
    carrier.begin(exchange, bodyFraming, wish?.length === 5);
    return exchange;
  }

  private serve(carrier: UwsCarrier, head: RequestHead): void {
    const exchange = this.makeExchange(carrier, head, framing);
    exchange.keepAlive = framing.connection !== 'close' && !this.retired;
    if (framing.chunked || framing.contentLength > 0) this.withoutIdleTimeout();
    if (head.notices !== null) for (const notice of head.notices) log(exchange, 'info', notice);
    if (this.waiting === undefined) begin(exchange);
    else this.hold(this.waiting, exchange);
  }

  private hold(waiting: (() => void)[], exchange: Exchange): void {
    exchange.site.users++;
    waiting.push(() => {
      if (exchange.released) return;
      exchange.site.users--;
      begin(exchange);
    });
  }

  /** Answers a request that could not be understood, and closes. */
  private refuse(carrier: UwsCarrier, head: RequestHead, error: ProtocolError): void {
    if (head.version === 9) head.version = 11;
    const exchange = this.makeExchange(carrier, head, NO_BODY);
    exchange.keepAlive = false;
    carrier.closeAfter();
    exchange.site.users++;
    log(exchange, error.level, `${error.message} while ${error.action}`);
    finalize(exchange, error.status);
  }
}

const NO_HEAD = requestError(400, 'client sent invalid header line');

/** A timeout for uWebSockets.js that is never over too early. */
function timeoutSeconds(milliseconds: number): number {
  return Math.min(LONGEST_TIMEOUT, Math.ceil(milliseconds / 1000)) + TIMEOUT_STEP;
}

/**
 * Whether this engine can serve a listener as it is configured.
 * @throws ConfigError where it cannot, or cannot be loaded at all
 */
export function checkUwsListener(listener: Listener): void {
  try {
    loadUws();
  } catch (error) {
    throw new ConfigError(
      `the engine "uws" of ${listener.address.text} is not possible: ${(error as Error).message}`,
      { statement: listener.servers.default.scope.statements('listen')[0], cause: error },
    );
  }
  checkLimits(listener);
}

/** Opens an address; the master has to be told the descriptor. */
export function openUwsListener(listener: Listener, site: Site): EngineListener {
  return new UwsListener(listener, site);
}
