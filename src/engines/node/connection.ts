/**
 * One client connection that speaks HTTP/1: reads requests, gives each an exchange, and decides what comes after its
 * answer, which `answer-writer.ts` sends.
 *
 * The input is in one of these states; what a chunk from the socket means depends on nothing else.
 *
 * | state   | a chunk is                                  | leaves it when                                      |
 * |---------|---------------------------------------------|-----------------------------------------------------|
 * | HEAD    | (part of) a request's head                  | the head is complete: BODY or BUSY                  |
 * | BODY    | the request's body, for its receiver        | the body is complete: BUSY; the answer is: DISCARD  |
 * | BUSY    | the next request: held, up to a limit       | the answer is complete: HEAD                        |
 * | DISCARD | the rest of a body nobody wants             | it is complete: HEAD                                |
 * | TUNNEL  | for the tunnel's receiver                   | the connection ends                                 |
 * | LINGER  | dropped, so that the answer is not lost     | the client closes, or lingering_time is over        |
 * | CLOSING | dropped                                     | the system has the last bytes, or 5 s are over      |
 * | CLOSED  | nothing any more                            |                                                     |
 */
import type { Socket } from 'node:net';
import type { BodyReceiver, DownstreamConnection, Tunnel, TunnelReceiver } from '../../core/carrier.ts';
import { mayLinger, settleExchange } from '../../core/epilogue.ts';
import { Exchange } from '../../core/exchange.ts';
import { clientGone, finalize } from '../../core/finalize.ts';
import { debugConnection, isDebugged, log, logConnection } from '../../core/log.ts';
import { isWatched } from '../../core/relations.ts';
import { begin, release } from '../../core/run.ts';
import type { Site } from '../../core/site.ts';
import { chooseServer, type TlsConnection } from '../../core/tls.ts';
import type { Timer } from '../../event/timers.ts';
import { describeOpensslError } from '../../http/openssl-errors.ts';
import type { ProtocolError } from '../../http/protocol-error.ts';
import { checkRequestHead, type RequestFraming } from '../../http/request-check.ts';
import { COMPLETE, NEED_MORE, type RequestHead } from '../../http/request-head.ts';
import type { RequestHeadParser } from '../../http/request-head-parser.ts';
import { debugging } from '../../log/debugging.ts';
import type { LevelName } from '../../log/levels.ts';
import { ACCEPTED, READING, REQUESTS, WAITING, WRITING } from '../../shared/counters.ts';
import { AnswerWriter } from './answer-writer.ts';
import { type ClientReader, ClientSocket } from './client-socket.ts';
import { ClientTunnel } from './client-tunnel.ts';
import type { NodeListener } from './listener.ts';
import { RequestBodyReader } from './request-body-reader.ts';
import { describeSocketError, socketErrorLevel } from './socket-errors.ts';
import { listenToSocket } from './socket-events.ts';
import { ConnectionStanding } from './standing.ts';
import { isTlsError, tlsErrorLevel } from './tls-errors.ts';

const HEAD = 0;
const BODY = 1;
const BUSY = 2;
const DISCARD = 3;
const TUNNEL = 4;
const LINGER = 5;
const CLOSING = 6;
const CLOSED = 7;

/**
 * Reading goes on while an answer is made, for that the client has gone is to be noticed, until so many bytes of further
 * requests are held.
 */
const HELD_LIMIT = 16_384;

/** How long a client may take for the last bytes on a connection that is being closed, in milliseconds. */
const CLOSING_TIME = 5000;

/** Filled by every check, read at once: one for the thread is enough. */
const framing: RequestFraming = { contentLength: -1, chunked: false, connection: 'none' };
const NO_BODY: RequestFraming = { contentLength: -1, chunked: false, connection: 'close' };

let lastNumber = 0;

/** The serial number of the next connection. */
export function takeConnectionNumber(): number {
  return ++lastNumber;
}

/** What is known already of a connection that was accepted where TLS is expected. */
interface Expected {
  readonly number: number;
  readonly acceptedAt: number;
  /** Undefined where the client speaks plain HTTP. */
  readonly tls: TlsConnection | undefined;
  /** The connection under it. */
  readonly raw: Socket;
}

export class ClientConnection implements DownstreamConnection, ClientReader {
  readonly number: number;
  readonly remoteAddress: string;
  readonly debug: boolean;
  readonly acceptedAt: number;
  readonly scheme: 'http' | 'https';
  readonly expectsTls: boolean;
  readonly tls: TlsConnection | undefined;
  requests = 0;

  readonly socket: Socket;
  /** The system's connection: the same, or what is under TLS. */
  private readonly raw: Socket;
  /** The same, where what is read is borrowed. */
  private readonly borrowing: ClientSocket | undefined;
  private readonly listener: NodeListener;
  private state: number = HEAD;
  /** The request that is read or answered. */
  exchange: Exchange | undefined = undefined;
  readonly answer: AnswerWriter;
  private readonly standing: ConnectionStanding;
  /** What comes of its body; undefined where it has none, or all of it has come. */
  body: RequestBodyReader | undefined = undefined;
  /** The client has ended its direction. */
  inputEnded = false;
  /** It has, behind what is held. */
  private endIsHeld = false;
  /** Holds an incomplete head; undefined between heads, when the listener's own parser serves. */
  private parser: RequestHeadParser | undefined = undefined;
  /** Bytes after the present request. */
  private held: Buffer | undefined = undefined;
  private tunnel: ClientTunnel | undefined = undefined;
  /** One timer for reading: header, body, keep-alive, lingering. A late one for a state that has passed is ignored. */
  private readonly timer: Timer;
  /** True while `process` runs: an answer that is complete at once must not start another run inside it. */
  private processing = false;
  private lingerUntil = 0;
  /** `lingering_timeout` of the request after which the rest is dropped. */
  private lingeringTimeout = 0;
  /** The client is known to be still sending: closing at once would reset the connection and lose the answer. */
  private stillSending = false;
  /** The next request, or its beginning, came before the answer to this one had gone: `$pipe`. */
  private nextIsPipelined = false;
  private keepaliveTimeout = 0;

  constructor(socket: Socket, listener: NodeListener, expected?: Expected) {
    this.socket = socket;
    this.raw = expected?.raw ?? socket;
    this.number = expected?.number ?? takeConnectionNumber();
    this.acceptedAt = expected?.acceptedAt ?? Date.now();
    this.expectsTls = expected !== undefined;
    this.tls = expected?.tls;
    this.scheme = this.tls === undefined ? 'http' : 'https';
    this.borrowing = socket instanceof ClientSocket ? socket : undefined;
    this.listener = listener;
    this.remoteAddress = socket.remoteAddress ?? 'unix:';
    this.debug = isDebugged(listener.site, this.remoteAddress);
    const { timers } = listener.runtime;
    this.standing = new ConnectionStanding(this, listener.runtime);
    this.answer = new AnswerWriter(this, timers, listener.defaultServer.settings.tcp_nodelay);
    this.timer = timers.timer(onTimer, this);
    listenToSocket(socket, this, this.borrowing !== undefined);
    // nginx counts a connection that has sent nothing as one that may be closed when places are short.
    this.timer.start(listener.defaultServer.settings.client_header_timeout);
    this.standing.enterIdle();
    if (debugging.on) this.tell(`accept: ${this.remoteAddress}:${this.remotePort}, ${listener.text}`);
  }

  /** Writes to the debugging log about the connection itself. */
  private tell(message: string): void {
    debugConnection(this.listener.defaultServer.errorLog, this, message);
  }

  get remotePort(): number {
    return this.socket.remotePort ?? 0;
  }

  get localAddress(): string {
    return this.socket.localAddress ?? this.listener.localAddress;
  }

  get localPort(): number {
    return this.listener.port;
  }

  get unixPath(): string {
    return this.listener.unixPath;
  }

  get closed(): boolean {
    return this.state === CLOSED;
  }

  /** Bytes go through as they come, for 101 has been sent. */
  get isTunnel(): boolean {
    return this.state === TUNNEL;
  }

  // ---- input ----

  get streaming(): boolean {
    return (this.state === BODY && this.body!.reading) || (this.state === TUNNEL && !this.socket.isPaused());
  }

  received(buffer: Buffer, length: number): void {
    // A head is parsed where it stands: most reads are one, and then nothing else has to be made.
    if (this.state === HEAD) this.process(buffer, length);
    else this.onBytes(buffer.subarray(0, length));
  }

  /** A piece that is to be looked at after the read is over. */
  keep(piece: Buffer): Buffer {
    return this.borrowing === undefined ? piece : this.borrowing.keep(piece);
  }

  /** Hands a piece of a body to its receiver. */
  deliver(receiver: BodyReceiver, piece: Buffer): void {
    const { borrowing } = this;
    if (borrowing === undefined) {
      receiver.data(piece);
      return;
    }
    const own = borrowing.unshare(piece);
    if (!receiver.data(own)) borrowing.lend(own);
  }

  /** Bytes in any state but HEAD. */
  private onBytes(chunk: Buffer): void {
    switch (this.state) {
      case BODY:
        this.onBodyBytes(chunk);
        return;
      case BUSY:
        this.hold(this.held === undefined ? this.keep(chunk) : Buffer.concat([this.held, chunk]));
        return;
      case DISCARD:
        this.discard(chunk);
        return;
      case TUNNEL:
        this.tunnel?.receiver.data(this.keep(chunk));
        return;
      case LINGER: {
        const left = this.lingerUntil - Date.now();
        if (left <= 0) this.close();
        else this.timer.start(Math.min(left, this.lingeringTimeout));
        return;
      }
      default:
        return;
    }
  }

  private hold(bytes: Buffer): void {
    this.held = bytes;
    if (bytes.length >= HELD_LIMIT) this.socket.pause();
  }

  /** Reads requests from a chunk, and from what is left of it, for as long as their answers are complete at once. */
  private process(first: Buffer, length: number): void {
    let chunk: Buffer | undefined = first;
    let end = length;
    this.processing = true;
    while (chunk !== undefined && this.state === HEAD) {
      if (this.standing.idle) this.standing.leaveIdle();
      chunk = this.readHead(chunk, end);
      if (this.state === HEAD && chunk === undefined && this.held !== undefined) {
        chunk = this.held;
        this.held = undefined;
      }
      if (chunk !== undefined) end = chunk.length;
    }
    this.processing = false;
    if (this.endIsHeld && this.held === undefined) {
      this.endIsHeld = false;
      this.onInputEnd();
      return;
    }
    // Reading stopped where the next head had begun to arrive with the body before it.
    if (this.state === HEAD && this.socket.isPaused()) this.socket.resume();
  }

  /** @returns what the next request begins with, where this one's answer is complete already */
  private readHead(chunk: Buffer, end: number): Buffer | undefined {
    const { listener } = this;
    if (this.standing.activity === WAITING) this.standing.become(READING);
    const parser = this.parser ?? listener.takeParser();
    const outcome = parser.parse(chunk, 0, end);
    if (outcome === NEED_MORE) {
      if (this.parser === undefined) {
        this.parser = parser;
        if (this.requests > 0 || !this.timer.armed) {
          this.timer.start(listener.defaultServer.settings.client_header_timeout);
        }
      }
      return undefined;
    }
    this.parser = undefined;
    const { head } = parser;
    if (outcome === COMPLETE) {
      const error = checkRequestHead(head, false, framing);
      const rest = parser.consumed < end ? this.keep(chunk.subarray(parser.consumed, end)) : undefined;
      listener.returnParser(parser);
      if (error === undefined) return this.serve(head, rest);
      this.refuse(head, error);
      return undefined;
    }
    const error = parser.error!;
    listener.returnParser(parser);
    this.refuse(head, error);
    return undefined;
  }

  /** Gives a whole head its exchange. @returns what follows the request, where its answer is complete already */
  private serve(head: RequestHead, rest: Buffer | undefined): Buffer | undefined {
    const exchange = this.makeExchange(head, framing);
    const wish = framing.connection;
    exchange.keepAlive =
      wish === 'close' || this.listener.retired ? false : wish === 'keep-alive' || head.version > 10;
    if (head.notices !== null) for (const notice of head.notices) log(exchange, 'info', notice);
    if (framing.chunked || framing.contentLength > 0) {
      this.state = BODY;
      // What is left of the header's time is not the body's.
      this.timer.stop();
      this.body = new RequestBodyReader(this, exchange, framing);
      if (rest !== undefined) this.body.preread(rest);
    } else {
      this.state = BUSY;
      this.held = rest;
    }
    begin(exchange);
    // The answer may be complete by now, and the state HEAD again; the compiler cannot know.
    if ((this.state as number) !== HEAD) {
      if (this.held !== undefined && this.state === BUSY) this.hold(this.held);
      return undefined;
    }
    const next = this.held;
    this.held = undefined;
    return next;
  }

  private makeExchange(head: RequestHead, bodyFraming: RequestFraming): Exchange {
    const { listener } = this;
    const servers = listener.serversFor(this);
    const exchange = new Exchange(head, bodyFraming, this.answer, this, listener.site, servers.default);
    if (this.tls !== undefined || servers.names !== undefined) {
      const server = chooseServer(servers, head.host, exchange, this.tls);
      if (server !== undefined && server !== servers.default) {
        exchange.server = server;
        exchange.location = server.location;
      }
    }
    this.requests++;
    exchange.pipelined = this.nextIsPipelined;
    this.nextIsPipelined = false;
    this.exchange = exchange;
    this.answer.reset();
    this.standing.become(WRITING);
    listener.runtime.counters.add(REQUESTS, 1);
    return exchange;
  }

  /** Answers a request that could not be understood, and closes. */
  private refuse(head: RequestHead, error: ProtocolError): void {
    this.state = BUSY;
    const exchange = this.makeExchange(head, NO_BODY);
    exchange.keepAlive = false;
    this.answer.closeAfter();
    exchange.site.users++;
    log(exchange, error.level, `${error.message} while ${error.action}`);
    this.stillSending = error.lingeringClose;
    finalize(exchange, error.status);
  }

  onDrain(): void {
    if (this.answer.pending > 0 || this.state >= CLOSING) return;
    if (this.state === TUNNEL) this.tunnel?.onDrain();
    else this.answer.onDrain();
  }

  onInputEnd(): void {
    this.inputEnded = true;
    switch (this.state) {
      case HEAD:
        if (this.parser?.started) {
          this.giveUpHead(
            this.parser,
            400,
            `client prematurely closed connection while ${this.parser.action}`,
          );
        }
        this.close();
        return;
      case BODY:
        log(this.exchange!, 'info', 'client prematurely closed connection');
        this.body!.clientGone();
        clientGone(this.exchange!, 400);
        this.socket.destroy();
        return;
      case BUSY: {
        const { exchange } = this;
        // A handler that watches its client (the proxy) gives up; any other answer is still sent, as in nginx.
        if (exchange !== undefined && !this.answer.ended && isWatched(exchange) && !clientGone(exchange)) {
          this.socket.destroy();
        } else if (this.held !== undefined) {
          // It is dealt with in its turn, after the requests that came before it.
          this.inputEnded = false;
          this.endIsHeld = true;
        }
        return;
      }
      case TUNNEL:
        this.tunnel?.receiver.end();
        return;
      default:
        // Nothing more comes of a body that is dropped.
        this.letGo();
        this.close();
    }
  }

  onError(error: Error): void {
    this.report(socketErrorLevel(error), describeSocketError(error));
  }

  /** TLS cannot go on: what came is no record, say, or the other side has sent an alert. */
  onTlsError(error: Error): void {
    if (this.state === CLOSED || !isTlsError(error)) return;
    this.report(tlsErrorLevel(error), `SSL_read() failed (SSL: ${describeOpensslError(error)})`);
    this.socket.destroy();
  }

  private report(level: LevelName, message: string): void {
    if (this.isTunnel) message += ' while proxying upgraded connection';
    if (this.exchange !== undefined) log(this.exchange, level, message);
    else logConnection(this.listener.site.errorLog, level, message, this, this.listener.text);
  }

  onClose(): void {
    if (this.state === CLOSED) return;
    const { exchange } = this;
    if (debugging.on) this.tell(`close http connection, requests: ${this.requests}`);
    this.state = CLOSED;
    this.borrowing?.releaseBuffer();
    this.standing.release();
    this.timer.stop();
    this.answer.close();
    this.parser = undefined;
    this.held = undefined;
    this.body?.stop();
    this.body = undefined;
    this.listener.forget(this);
    const { tunnel } = this;
    this.tunnel = undefined;
    tunnel?.receiver.close();
    if (exchange !== undefined && !exchange.released) {
      if (!this.answer.ended && clientGone(exchange)) return;
      this.letGo();
    }
  }

  /** A head that will never be complete: it is logged as a request that has failed, as far as it is known. */
  private giveUpHead(parser: RequestHeadParser, status: number, message: string): void {
    const exchange = this.makeExchange(parser.head, NO_BODY);
    exchange.site.users++;
    log(exchange, 'info', message);
    exchange.response.status = status;
    exchange.ended = true;
    this.answer.ended = true;
    this.letGo();
  }

  /** Closes once what has been written is on its way. Harmless where that is happening, or has. */
  close(): void {
    if (this.state >= CLOSING) return;
    // TLS says goodbye (close_notify).
    if (this.answer.pending === 0 && this.tls === undefined) {
      this.socket.destroy();
      return;
    }
    this.socket.destroySoon();
    // A client that does not read would never let it.
    this.state = CLOSING;
    this.timer.start(CLOSING_TIME);
  }

  /** Closes at once, with a reset (`reset_timedout_connection`). */
  reset(): void {
    this.raw.resetAndDestroy();
  }

  // ---- the request's body ----

  private onBodyBytes(chunk: Buffer): void {
    const rest = this.body!.take(chunk);
    if (rest === null) this.socket.destroy();
    else if (rest !== undefined) this.bodyComplete(rest);
  }

  /** RequestBodyReader: the body is complete, and `rest` follows it. */
  bodyComplete(rest: Buffer): void {
    if (this.state !== BODY) return;
    this.state = BUSY;
    this.body = undefined;
    this.socket.resume();
    if (rest.length > 0) this.hold(this.keep(rest));
    // What the system has not taken yet is still in use: `answerSent` comes when it has.
    if (this.answer.ended && this.answer.pending === 0) this.afterAnswer();
  }

  /** RequestBodyReader: arms the timer of reads. 0 stops it. */
  armBodyTimer(milliseconds: number): void {
    if (milliseconds > 0) this.timer.start(milliseconds);
    else this.timer.stop();
  }

  // ---- a tunnel ----

  /** AnswerWriter: 101 has been sent. What has come already is delivered before this returns. */
  becomeTunnel(receiver: TunnelReceiver): Tunnel {
    const tunnel = new ClientTunnel(this, receiver);
    if (this.state === CLOSED) {
      queueMicrotask(() => receiver.close());
      return tunnel;
    }
    this.state = TUNNEL;
    this.tunnel = tunnel;
    this.timer.stop();
    const first = this.held;
    this.held = undefined;
    if (first !== undefined) receiver.data(first);
    this.socket.resume();
    if (this.endIsHeld) {
      this.endIsHeld = false;
      this.onInputEnd();
    }
    return tunnel;
  }

  /** AnswerWriter: the tunnel is over. A client that was held back may be sending still, and is to hear the last words. */
  leaveTunnel(): void {
    const { lingering_close } = this.exchange!.location.settings;
    const isHeldBack = this.socket.isPaused() || this.answer.pending > 0;
    if (lingering_close === 'always' || (lingering_close === 'on' && isHeldBack)) this.linger();
    else {
      this.letGo();
      this.close();
    }
  }

  // ---- after the answer ----

  /** AnswerWriter: the system has the whole answer. */
  answerSent(): void {
    // In DISCARD the answer has been seen off; the next head comes after the rest of the body, not before.
    if (this.state !== DISCARD) this.afterAnswer();
  }

  /** What becomes of the connection once the answer has gone out: nginx's ngx_http_finalize_connection. */
  private afterAnswer(): void {
    const { exchange } = this;
    if (exchange === undefined) return;
    if (mayLinger(exchange) && !settleExchange(exchange, () => this.afterAnswer())) return;
    const { settings } = exchange.location;
    if (this.state === BODY) {
      // The rest of the body is read and dropped; only then is it known where the next request begins.
      const body = this.body!;
      this.lingerUntil = Date.now() + settings.lingering_time;
      this.lingeringTimeout = settings.lingering_timeout;
      if (exchange.keepAlive || settings.lingering_close !== 'off') {
        if (!exchange.keepAlive) {
          this.linger();
          return;
        }
        if (!body.discard()) {
          this.socket.destroy();
          return;
        }
        // What had come may have been all of it: then this has been called again from there, and the connection may be
        // in the middle of the next request's body by now.
        if (this.body !== body) return;
        this.state = DISCARD;
        this.timer.start(Math.min(settings.lingering_timeout, settings.lingering_time));
        this.socket.resume();
        return;
      }
    }
    if (exchange.keepAlive && !this.inputEnded && !this.listener.site.draining && !this.listener.retired) {
      this.letGo();
      this.becomeReady();
      return;
    }
    const leftover = this.held !== undefined || this.stillSending;
    if (settings.lingering_close === 'always' || (settings.lingering_close === 'on' && leftover))
      this.linger();
    else {
      this.letGo();
      // The access log is written at the end of the turn: a client that sees the end finds its line there, as with nginx.
      setImmediate(closeConnection, this);
    }
  }

  /** Drops the rest of a body; after it comes the next request. */
  private discard(chunk: Buffer): void {
    const rest = this.body!.drop(chunk);
    if (rest === null) {
      this.socket.destroy();
      return;
    }
    if (rest === undefined) {
      const left = this.lingerUntil - Date.now();
      if (left <= 0) this.socket.destroy();
      else this.timer.start(Math.min(left, this.lingeringTimeout));
      return;
    }
    if (rest.length > 0) this.held = this.keep(rest);
    this.body = undefined;
    this.state = BUSY;
    this.afterAnswer();
  }

  /** Ends our direction, and reads what the client still sends for a while: a reset would take the answer with it. */
  private linger(): void {
    const settings = this.exchange!.location.settings;
    this.lingerUntil = Date.now() + settings.lingering_time;
    this.lingeringTimeout = settings.lingering_timeout;
    this.timer.start(Math.min(settings.lingering_timeout, settings.lingering_time));
    this.letGo();
    this.state = LINGER;
    this.held = undefined;
    this.body = undefined;
    if (this.inputEnded || this.endIsHeld) {
      this.close();
      return;
    }
    this.socket.end();
    this.socket.resume();
  }

  /** Ready for the next request: at once where it is here already. */
  private becomeReady(): void {
    this.answer.undelay();
    this.state = HEAD;
    this.lingerUntil = 0;
    this.nextIsPipelined = this.held !== undefined;
    if (this.held !== undefined) {
      if (this.processing) return;
      const next = this.held;
      this.held = undefined;
      this.socket.resume();
      this.process(next, next.length);
      if (this.state !== HEAD || this.standing.idle || this.parser !== undefined) return;
    }
    if (this.socket.isPaused()) this.socket.resume();
    this.standing.become(WAITING);
    this.timer.start(this.keepaliveTimeout);
    this.standing.enterIdle();
    if (debugging.on) this.tell('http keepalive handler');
  }

  /** The exchange is over for this connection. */
  letGo(): void {
    const { exchange } = this;
    if (exchange === undefined) return;
    this.exchange = undefined;
    this.keepaliveTimeout = exchange.location.settings.keepalive_timeout.timeout;
    release(exchange);
  }

  // ---- time and place ----

  /** The timer for reading has run out. */
  timedOut(): void {
    switch (this.state) {
      case HEAD:
        if (this.parser?.started) {
          const { settings } = this.listener.defaultServer;
          const { action } = this.parser;
          this.giveUpHead(this.parser, 408, `client timed out (110: Connection timed out) while ${action}`);
          if (settings.reset_timedout_connection) {
            this.reset();
            return;
          }
        }
        this.close();
        return;
      case BODY:
        this.body?.timedOut();
        return;
      case LINGER:
        this.close();
        return;
      case DISCARD:
      case CLOSING:
        this.socket.destroy();
        return;
      default:
        return;
    }
  }

  /** Its listener is gone: closes the connection if nothing is under way on it. */
  closeIfIdle(): void {
    const { standing } = this;
    if (!standing.idle) return;
    standing.leaveIdle();
    this.close();
  }
}

function closeConnection(connection: ClientConnection): void {
  connection.close();
}

function onTimer(connection: ClientConnection): void {
  connection.timedOut();
}

/** Counts a connection the system has handed over, whatever becomes of it. */
export function countAccepted(site: Site): void {
  site.runtime.counters.add(ACCEPTED, 1);
}
