/**
 * One connection to an address with `listen ... ssl`, from when it is accepted until it is known what it is: TLS whose
 * handshake is done, plain HTTP, which is answered with 497, or nothing that can be talked to.
 *
 * The ClientHello is read here before OpenSSL gets it. So the server that the client asks for is known from the start,
 * its context is the handshake's only one, and plain HTTP needs no guessing afterwards.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { isDebugged, type LoggedConnection, logConnection } from '../../core/log.ts';
import type { Server, VirtualServers } from '../../core/site.ts';
import type { TlsContexts } from '../../core/tls.ts';
import type { Reusable } from '../../event/connection-limit.ts';
import type { Timer } from '../../event/timers.ts';
import { validateHost } from '../../http/host.ts';
import { describeOpensslError } from '../../http/openssl-errors.ts';
import { readSession } from '../../http/tls-session.ts';
import { describeError, isSystemError } from '../../log/system-errors.ts';
import { ACTIVE_CONNECTIONS, HANDLED, WAITING } from '../../shared/counters.ts';
import { type ClientHello, INCOMPLETE, readClientHello } from './client-hello.ts';
import { type ClientReader, ClientSocket } from './client-socket.ts';
import { takeConnectionNumber } from './connection.ts';
import type { NodeListener } from './listener.ts';
import { NodeTlsConnection } from './tls-connection.ts';
import { isTlsError, tlsErrorLevel } from './tls-errors.ts';

/** What HTTP/1 calls itself in ALPN (RFC 7301), with nginx's two others. */
const ALPN = Buffer.from('\x08http/1.1\x08http/1.0\x08http/0.9', 'latin1');

/** A fatal alert: unrecognized_name (RFC 6066 3). Nothing is encrypted yet. */
const UNRECOGNIZED_NAME = Buffer.from([21, 3, 3, 0, 2, 2, 112]);

const TLS_HANDSHAKE = 0x16;
/** A hello of SSLv2 has this bit in its first byte. */
const SSL2_BIT = 0x80;

const NO_HELLO: ClientHello = {
  serverName: '',
  cipherSuites: '',
  groups: '',
  signatureAlgorithms: '',
  takesTickets: false,
  ticket: '',
};

/** What `TLSSocket` asks of the server it is told it belongs to, for sessions: here, one for each connection. */
interface SessionEvents {
  listenerCount(event: string): number;
  emit(event: string, id: Buffer, ...more: unknown[]): boolean;
}

const checkedHost = { host: '', port: 0 };

export class TlsHandshake implements ClientReader, Reusable, LoggedConnection {
  readonly number = takeConnectionNumber();
  readonly acceptedAt = Date.now();
  readonly remoteAddress: string;
  readonly debug: boolean;
  readonly streaming = false;
  nextIdle: Reusable | undefined = undefined;
  previousIdle: Reusable | undefined = undefined;
  /** The connection as it was accepted. */
  readonly socket: Socket;
  private readonly listener: NodeListener;
  private readonly servers: VirtualServers;
  private readonly timer: Timer;
  private server: Server;
  private idle = true;
  /** What has come of the ClientHello. */
  private bytes: Buffer | undefined = undefined;
  private tls: TLSSocket | undefined = undefined;
  /** It is over, one way or the other. */
  private done = false;
  /** An alert is on its way. */
  private refused = false;

  constructor(socket: Socket, listener: NodeListener, servers: VirtualServers) {
    this.socket = socket;
    this.listener = listener;
    this.servers = servers;
    this.server = servers.default;
    this.remoteAddress = socket.remoteAddress ?? 'unix:';
    this.debug = isDebugged(listener.site, this.remoteAddress);
    const { runtime } = listener;
    runtime.counters.add(HANDLED, 1);
    runtime.counters.add(ACTIVE_CONNECTIONS, 1);
    runtime.counters.add(WAITING, 1);
    if (servers.default.settings.tcp_nodelay) socket.setNoDelay(true);
    if (socket instanceof ClientSocket) socket.reader = this;
    else socket.on('data', this.onData);
    socket.on('end', this.onEnd);
    socket.on('error', this.onError);
    socket.on('close', this.onClose);
    this.timer = runtime.timers.timer(onTimer, this);
    this.timer.start(servers.default.settings.client_header_timeout);
    // As long as it has sent nothing it may be closed where places are short.
    runtime.connections.enterIdle(this);
  }

  // ---- before OpenSSL ----

  received(buffer: Buffer, length: number): void {
    if (this.done || this.tls !== undefined || this.refused) return;
    if (this.idle) this.leaveIdle();
    const piece = buffer.subarray(0, length);
    // What is read into may be used again.
    const bytes = this.bytes === undefined ? Buffer.from(piece) : Buffer.concat([this.bytes, piece]);
    this.bytes = bytes;
    const first = bytes[0]!;
    if (first !== TLS_HANDSHAKE && (first & SSL2_BIT) === 0) {
      this.handOver(undefined);
      return;
    }
    const hello = readClientHello(bytes);
    if (hello === INCOMPLETE) return;
    try {
      this.shakeHands(hello ?? NO_HELLO, bytes);
    } catch (error) {
      this.fail(error);
    }
  }

  private readonly onData = (chunk: Buffer): void => this.received(chunk, chunk.length);

  private shakeHands(hello: ClientHello, bytes: Buffer): void {
    const chosen = this.choose(hello);
    // The load check leaves no server without any contexts.
    const contexts = this.server.tls?.contexts ?? this.servers.default.tls?.contexts;
    if (this.server.tls?.rejectsHandshake || contexts === undefined) {
      this.refuse();
      return;
    }
    const { socket } = this;
    socket.off('data', this.onData);
    socket.off('end', this.onEnd);
    socket.pause();
    socket.unshift(bytes);
    this.bytes = undefined;
    const sessions = sessionEvents(contexts, hello);
    const tls = new TLSSocket(socket, {
      isServer: true,
      secureContext: contexts.choose(hello.ticket === '' ? undefined : hello.ticket.slice(0, 16)),
      requestCert: contexts.asksForCertificate,
      // Who may come in is said in words of HTTP.
      rejectUnauthorized: false,
      ALPNProtocols: ALPN,
      server: sessions as never,
      highWaterMark: 1,
    } as object);
    this.tls = tls;
    tls.on('secure', () => this.established(tls, contexts, hello, chosen));
    tls.on('error', this.onError);
    tls.on('end', this.onEnd);
  }

  /** @returns what SNI has chosen; undefined where it has not */
  private choose(hello: ClientHello): { readonly server: Server; readonly name: string } | undefined {
    if (hello.serverName === '') return undefined;
    if (!validateHost(hello.serverName, checkedHost)) return undefined;
    const name = checkedHost.host;
    // An address with one server only has nothing to choose by, and answers to every name.
    const server = this.servers.names?.find(name, undefined);
    if (server === undefined) return undefined;
    this.server = server;
    return { server, name };
  }

  // ---- after it ----

  private established(
    tls: TLSSocket,
    contexts: TlsContexts,
    hello: ClientHello,
    chosen: { readonly server: Server; readonly name: string } | undefined,
  ): void {
    if (this.done) return;
    tls.removeAllListeners('secure');
    tls.off('error', this.onError);
    tls.off('end', this.onEnd);
    if (contexts.recordSize > 0) tls.setMaxSendFragment(contexts.recordSize);
    let connection: NodeTlsConnection;
    try {
      connection = new NodeTlsConnection(tls, hello, { servers: this.servers, chosen, contexts });
    } catch (error) {
      this.fail(error);
      return;
    }
    this.handOver(connection);
  }

  /** A mistake of ours, or a certificate that Node cannot read, costs one connection and not the worker. */
  private fail(error: unknown): void {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.log('crit', `unexpected error: ${what}`);
    this.socket.destroy();
  }

  /** The rest is HTTP's. */
  private handOver(tls: NodeTlsConnection | undefined): void {
    const { socket } = this;
    socket.off('data', this.onData);
    socket.off('end', this.onEnd);
    socket.off('close', this.onClose);
    this.finish();
    // It is counted again as what it has become.
    this.listener.runtime.counters.add(HANDLED, -1);
    this.listener.handshakeDone(this, this.tls ?? socket, tls, this.bytes);
  }

  /** Closes with an alert. */
  private refuse(): void {
    this.refused = true;
    this.log('info', 'handshake rejected');
    this.socket.end(UNRECOGNIZED_NAME);
    this.socket.destroySoon();
  }

  // ---- ends ----

  private readonly onEnd = (): void => {
    if (this.done || this.refused) return;
    this.log(
      'info',
      this.bytes === undefined && this.tls === undefined
        ? 'client closed connection'
        : 'peer closed connection in SSL handshake',
    );
    this.socket.destroy();
  };

  private readonly onError = (error: Error): void => {
    if (this.done) return;
    if (isSystemError(error) && !isTlsError(error)) {
      const message =
        this.tls === undefined && this.bytes === undefined
          ? 'recv() failed'
          : 'peer closed connection in SSL handshake';
      this.log('info', `${message} (${describeError(error)})`);
    } else this.log(tlsErrorLevel(error), `SSL_do_handshake() failed (SSL: ${describeOpensslError(error)})`);
    this.socket.destroy();
  };

  private readonly onClose = (): void => {
    if (this.done) return;
    this.finish();
    this.listener.runtime.connections.release();
    this.listener.forget(this);
  };

  /** Gives back what the handshake has counted; the place in `worker_connections` is the connection's, or is released. */
  private finish(): void {
    this.done = true;
    if (this.idle) this.leaveIdle();
    this.timer.stop();
    const { counters } = this.listener.runtime;
    counters.add(ACTIVE_CONNECTIONS, -1);
    counters.add(WAITING, -1);
  }

  /** The time for the handshake is over. */
  timedOut(): void {
    this.log('info', 'client timed out (110: Connection timed out)');
    this.socket.destroy();
  }

  private log(level: 'info' | 'crit', message: string): void {
    logConnection(this.server.errorLog, level, `${message} while SSL handshaking`, this, this.listener.text);
  }

  // ---- places ----

  closeIdle(): void {
    this.idle = false;
    this.socket.destroy();
  }

  /** Its listener is gone: what has begun goes on. */
  closeIfIdle(): void {
    if (!this.idle) return;
    this.leaveIdle();
    this.closeIdle();
  }

  private leaveIdle(): void {
    this.idle = false;
    this.listener.runtime.connections.leaveIdle(this);
  }
}

function onTimer(handshake: TlsHandshake): void {
  handshake.timedOut();
}

/**
 * Where the sessions of a connection are remembered and found; undefined where they are not, or where the client has
 * them as tickets.
 */
function sessionEvents(
  { sessions, tickets, remembersClients }: TlsContexts,
  hello: ClientHello,
): SessionEvents | undefined {
  if (sessions === undefined || (tickets && hello.takesTickets)) return undefined;
  return {
    listenerCount: (event) => (event === 'newSession' || event === 'resumeSession' ? 1 : 0),
    emit(event, id, ...more) {
      if (event === 'newSession') {
        const [session, done] = more as [Buffer, () => void];
        if (remembersClients || !readSession(session).hasCertificate) sessions.add(id, session);
        done();
      } else if (event === 'resumeSession') {
        const [resume] = more as [(error: null, session: Buffer | null) => void];
        // In TLS 1.3 the id stands where tickets do, and what OpenSSL finds first is only noise (RFC 8446 D.4).
        const wanted = hello.ticket === '' ? id : Buffer.from(hello.ticket, 'latin1');
        resume(null, sessions.find(wanted) ?? null);
      }
      return true;
    },
  };
}
