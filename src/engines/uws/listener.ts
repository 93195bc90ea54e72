/**
 * One address that uWebSockets.js serves in one worker. The master listens, and hands connections to the workers' apps in
 * turn; here they are counted, and their requests get exchanges.
 *
 * There is an object for each request and none for a connection: between requests uWebSockets.js tells nothing of one. So
 * an idle connection cannot be closed by itself. All of them can, together, once no request is under way.
 *
 * A reload that changes certificates puts another app in the place of the one there is, which is left to those who are
 * connected already, and closed when the last of them has gone.
 */
import { ConfigError, type Warning } from '../../config/statement.ts';
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
import { COMPLETE, NEED_MORE, type RequestHead } from '../../http/request-head.ts';
import { RequestHeadParser } from '../../http/request-head-parser.ts';
import { ACCEPTED, ACTIVE_CONNECTIONS, HANDLED, REQUESTS, WAITING, WRITING } from '../../shared/counters.ts';
import type { EngineListener } from '../engine.ts';
import { UwsCarrier } from './carrier.ts';
import { checkLimits } from './check-limits.ts';
import { LONGEST_MESSAGE, LONGEST_TIMEOUT, TIMEOUT_STEP } from './limits.ts';
import {
  loadUws,
  type UpgradeContext,
  type UwsApp,
  type UwsBehaviour,
  type UwsRequest,
  type UwsResponse,
} from './native.ts';
import { addressText } from './remote-address.ts';
import { readHead } from './request-head.ts';
import { holdSpareConnection, releaseSpareConnection } from './spare-connection.ts';
import { describeTls, openTlsApp, planTls, type TlsPlan } from './tls.ts';

/** Bytes a second below which uWebSockets.js calls a client too slow. */
const THROUGHPUT = 16 * 1024;
/** Greatest piece of a body that comes at once, and a little. */
const LARGEST_PIECE = 512 * 1024;
/** How long a connection that is to be closed may wait for its client to do so, in milliseconds. */
const CLOSING_TIMEOUT = 5000;

const WEBSOCKETS: Omit<UwsBehaviour, 'upgrade'> = {
  compression: 0,
  maxPayloadLength: LONGEST_MESSAGE,
  maxBackpressure: 0,
  idleTimeout: 0,
  sendPingsAutomatically: false,
  open: (socket) => socket.tunnel.opened(socket),
  message: (socket, message, binary) => socket.tunnel.message(message, binary),
  ping: (socket, message) => socket.tunnel.pinged(message),
  pong: (socket, message) => socket.tunnel.ponged(message),
  drain: (socket) => socket.tunnel.drained(),
  close: (socket, code, reason) => socket.tunnel.clientClosed(code, reason),
};

/** Filled by every check, read at once: one for the thread is enough. */
const framing: RequestFraming = { contentLength: -1, chunked: false, connection: 'none' };
const NO_BODY: RequestFraming = { contentLength: -1, chunked: false, connection: 'close' };

/** An app, and how many are connected to it. */
export interface OpenApp {
  readonly app: UwsApp;
  /** What its certificates are; undefined without TLS. */
  readonly plan: TlsPlan | undefined;
  connections: number;
}

export class UwsListener implements EngineListener {
  readonly runtime: Runtime;
  readonly ready: Promise<void>;
  readonly descriptor: number;
  readonly scheme: 'http' | 'https';
  tls: TlsConnection | undefined;
  site: Site;
  /** Bytes of a body after which uWebSockets.js is about to judge the client's speed. */
  countedBytes = 0;

  /** The one that gets new connections is last. */
  private apps: OpenApp[] = [];
  /** Made for a configuration that is not in use yet. */
  private prepared: OpenApp | undefined = undefined;
  private listener: Listener;
  private defaultServer: Server;
  private parser: RequestHeadParser;
  /** Requests and WebSockets under way. */
  private busy = 0;
  private refusing = false;
  private closed = false;
  /** It ends with the last request that is under way. */
  retired = false;
  private onEmptied: (() => void) | undefined = undefined;
  /** What has come before `begin`; undefined afterwards. */
  private waiting: (() => void)[] | undefined = [];
  private idleTimeout = 0;
  private idleTimeoutLifted = false;
  private responseTimeout = -1;
  /**
   * The address that everybody has had who has ever connected: a proxy in front, say. Then the system need not be asked at
   * each request, for there is no object for a connection that could remember its own. Undefined before the first, '' once
   * they have been several.
   */
  private everybody: string | undefined;

  constructor(listener: Listener, site: Site) {
    this.listener = listener;
    this.site = site;
    this.runtime = site.runtime;
    this.defaultServer = listener.servers.default;
    this.parser = this.makeParser();
    const isTls = listener.servers.ssl;
    this.scheme = isTls ? 'https' : 'http';
    this.tls = isTls ? describeTls(listener.servers) : undefined;
    const opened = this.openApp(isTls ? planTls(listener) : undefined);
    this.apps.push(opened);
    if (this.unixPath !== '') this.everybody = 'unix:';
    this.readTimeouts();
    this.descriptor = opened.app.getDescriptor();
    this.ready = holdSpareConnection();
  }

  private openApp(plan: TlsPlan | undefined): OpenApp {
    const route = (app: UwsApp): void => {
      app.get('/*', (response, request) => this.onRequest(opened, response, request, 'GET', undefined));
      app.any('/*', (response, request) =>
        this.onRequest(opened, response, request, request.getCaseSensitiveMethod(), undefined),
      );
      app.ws('/*', {
        ...WEBSOCKETS,
        upgrade: (response, request, context) => this.onRequest(opened, response, request, 'GET', context),
      });
    };
    let app: UwsApp;
    if (plan === undefined) {
      app = loadUws().App();
      route(app);
    } else app = openTlsApp(plan, route);
    const opened: OpenApp = { app, plan, connections: 0 };
    app.filter((connection, count) => this.onConnection(opened, connection, count));
    return opened;
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

  prepare(listener: Listener): number | undefined {
    const { prepared } = this;
    this.prepared = undefined;
    prepared?.app.close();
    const { plan: present } = this.apps.at(-1)!;
    if (present === undefined) return undefined;
    const plan = planTls(listener);
    if (plan.identity === present.identity) return undefined;
    this.prepared = this.openApp(plan);
    return this.prepared.app.getDescriptor();
  }

  abandon(): void {
    const { prepared } = this;
    this.prepared = undefined;
    prepared?.app.close();
  }

  replace(listener: Listener, site: Site): void {
    const { prepared } = this;
    this.prepared = undefined;
    this.listener = listener;
    this.site = site;
    this.defaultServer = listener.servers.default;
    if (this.tls !== undefined) this.tls = describeTls(listener.servers);
    this.parser = this.makeParser();
    if (prepared !== undefined) {
      const old = this.apps.at(-1)!;
      this.apps.push(prepared);
      this.lookWhetherUnused(old);
    }
    this.readTimeouts();
  }

  close(): void {
    this.waiting = undefined;
    this.closeApps();
  }

  retire(emptied: () => void): void {
    this.retired = true;
    this.onEmptied = emptied;
    this.lookWhetherIdle();
  }

  destroyConnections(): void {
    this.closeApps();
  }

  /** Every connection ends here and now; what the master has handed over and has not arrived yet is refused. */
  private closeApps(): void {
    if (this.closed) return;
    this.closed = true;
    this.abandon();
    for (const { app } of this.apps) app.close();
    releaseSpareConnection();
    this.tellEmptied();
  }

  /** An app that gets no new connections is closed when it has none. */
  private lookWhetherUnused(opened: OpenApp): void {
    if (opened.connections > 0) return;
    // Not inside a call of uWebSockets.js, and behind a connection that the master has handed over just before.
    setImmediate(() => {
      if (this.closed || opened.connections > 0 || !this.apps.includes(opened)) return;
      this.apps = this.apps.filter((other) => other !== opened);
      opened.app.close();
    });
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
      if (this.busy === 0) this.closeApps();
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
    if (!this.idleTimeoutLifted) this.setIdleTimeout(this.idleTimeout);
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
    this.setResponseSeconds(timeoutSeconds(milliseconds === 0 ? CLOSING_TIMEOUT : milliseconds));
  }

  private setResponseSeconds(seconds: number): void {
    const { apps } = this;
    for (let index = 0; index < apps.length; index++) apps[index]!.app.setResponseTimeout(seconds);
  }

  /** uWebSockets.js starts this timeout also where it begins to read again, which is not wanted there. */
  withoutResponseTimeout(): void {
    this.responseTimeout = -1;
    this.setResponseSeconds(0);
  }

  private setIdleTimeout(seconds: number): void {
    const { apps } = this;
    for (let index = 0; index < apps.length; index++) apps[index]!.app.setIdleTimeout(seconds);
  }

  /**
   * When the handler of a request with a body has returned, uWebSockets.js starts the timeout for heads, and closes the
   * connection if not enough has come by then. The body's timeout is ours.
   */
  private withoutIdleTimeout(): void {
    if (this.idleTimeoutLifted || this.idleTimeout === 0) return;
    this.idleTimeoutLifted = true;
    this.setIdleTimeout(0);
    setImmediate(() => {
      this.idleTimeoutLifted = false;
      if (!this.closed) this.setIdleTimeout(this.idleTimeout);
    });
  }

  /**
   * A connection that begins while the timeout for heads is lifted would have none. Where uWebSockets.js begins to read
   * again it starts the other one, which may be as long.
   */
  private startIdleTimeout(connection: UwsResponse): void {
    const { responseTimeout } = this;
    this.setResponseSeconds(this.idleTimeout);
    connection.pause();
    connection.resume();
    this.responseTimeout = -1;
    if (responseTimeout === -1) this.setResponseSeconds(0);
    else this.setResponseTimeout(responseTimeout);
  }

  // ---- connections ----

  private onConnection(opened: OpenApp, connection: UwsResponse, count: 1 | -1): void {
    if (count < 0) {
      if (!this.refusing) this.connectionOver(opened);
      return;
    }
    const { counters, connections } = this.runtime;
    counters.add(ACCEPTED, 1);
    if (this.closed || !this.learnAddress(connection) || !connections.acquire()) {
      this.refusing = true;
      connection.close();
      this.refusing = false;
      return;
    }
    counters.add(HANDLED, 1);
    counters.add(ACTIVE_CONNECTIONS, 1);
    counters.add(WAITING, 1);
    opened.connections++;
    // Handed over so late that the app was given up already.
    if (opened !== this.prepared && !this.apps.includes(opened)) this.apps.unshift(opened);
    if (this.idleTimeoutLifted) this.startIdleTimeout(connection);
  }

  /** @returns false for a client that is gone again already */
  private learnAddress(connection: UwsResponse): boolean {
    if (this.everybody === '' || this.unixPath !== '') return true;
    const address = addressText(connection.getRemoteAddress());
    if (address === '') return false;
    if (this.everybody === undefined) this.everybody = address;
    else if (this.everybody !== address) this.everybody = '';
    return true;
  }

  /** A connection has ended: of a WebSocket its carrier says so, of all others uWebSockets.js. */
  connectionOver(opened: OpenApp): void {
    opened.connections--;
    if (opened !== this.apps.at(-1)) this.lookWhetherUnused(opened);
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

  private onRequest(
    opened: OpenApp,
    response: UwsResponse,
    request: UwsRequest,
    method: string,
    context: UpgradeContext | undefined,
  ): void {
    const address = this.everybody || addressText(response.getRemoteAddress());
    if (address === '') {
      // Gone, leaving a request behind. Nobody could say whether it may come in.
      response.close();
      return;
    }
    const webSocket =
      context !== undefined && request.getHeader('upgrade').toLowerCase() === 'websocket'
        ? { context, key: request.getHeader('sec-websocket-key') }
        : undefined;
    const carrier = new UwsCarrier(this, opened, response, address, webSocket);
    this.busy++;
    const { counters } = this.runtime;
    counters.move(WAITING, WRITING);
    counters.add(REQUESTS, 1);

    try {
      this.handle(carrier, request, method, webSocket !== undefined);
    } finally {
      carrier.handlerReturns();
    }
  }

  private handle(carrier: UwsCarrier, request: UwsRequest, method: string, webSocket: boolean): void {
    const { parser } = this;
    const outcome = readHead(request, method, webSocket, parser);
    const { head } = parser;
    if (outcome === COMPLETE) {
      const error = checkRequestHead(head, false, framing);
      if (error === undefined) this.serve(carrier, head);
      else this.refuse(carrier, head, error);
    } else {
      if (outcome === NEED_MORE) parser.reset();
      this.refuse(carrier, head, parser.error ?? NO_HEAD);
    }
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
 * @param warn hears of what hardly anybody can tell
 * @throws ConfigError where it cannot, or cannot be loaded at all
 */
export function checkUwsListener(listener: Listener, warn: (warning: Warning) => void): void {
  try {
    loadUws();
  } catch (error) {
    throw new ConfigError(
      `the engine "uws" of ${listener.address.text} is not possible: ${(error as Error).message}`,
      { statement: listener.servers.default.scope.statements('listen')[0], cause: error },
    );
  }
  checkLimits(listener, warn);
}

/** Opens an address; the master has to be told the descriptor. */
export function openUwsListener(listener: Listener, site: Site): EngineListener {
  return new UwsListener(listener, site);
}
