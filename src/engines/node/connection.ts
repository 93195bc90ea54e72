/**
 * One client connection that speaks HTTP/1: reads requests, gives each an exchange, and carries its answer.
 *
 * The input is in one of these states; what a chunk from the socket means depends on nothing else.
 *
 * | state   | a chunk is                                  | leaves it when                                      |
 * |---------|---------------------------------------------|-----------------------------------------------------|
 * | HEAD    | (part of) a request's head                  | the head is complete: BODY or BUSY                  |
 * | BODY    | the request's body, for its receiver        | the body is complete: BUSY; the answer is: DISCARD  |
 * | BUSY    | the next request: held, reading stops       | the answer is complete: HEAD                        |
 * | DISCARD | the rest of a body nobody wants             | it is complete: HEAD                                |
 * | TUNNEL  | for the tunnel's receiver                   | the connection ends                                 |
 * | LINGER  | dropped, so that the answer is not lost     | the client closes, or lingering_time is over        |
 * | CLOSED  | nothing any more                            |                                                     |
 */
import type { Socket } from 'node:net';
import { carrierHasRoom } from '../../core/body-filter.ts';
import type {
  BodyReceiver,
  Carrier,
  DownstreamConnection,
  Tunnel,
  TunnelReceiver,
} from '../../core/carrier.ts';
import { mayLinger, settleExchange } from '../../core/epilogue.ts';
import { Exchange } from '../../core/exchange.ts';
import { clientGone, finalize } from '../../core/finalize.ts';
import { debugConnection, isDebugged, log, logConnection } from '../../core/log.ts';
import { isWatched } from '../../core/relations.ts';
import { begin, release } from '../../core/run.ts';
import type { Site } from '../../core/site.ts';
import { chooseServer, type TlsConnection } from '../../core/tls.ts';
import type { Reusable } from '../../event/connection-limit.ts';
import type { Timer } from '../../event/timers.ts';
import { chunkPrefix, LAST_CHUNK } from '../../http/chunked.ts';
import { latin1Text } from '../../http/latin1.ts';
import type { ProtocolError } from '../../http/protocol-error.ts';
import { checkRequestHead, type RequestFraming } from '../../http/request-check.ts';
import { COMPLETE, NEED_MORE, type RequestHead, type RequestHeadParser } from '../../http/request-head.ts';
import { debugging } from '../../log/debugging.ts';
import { isSystemError } from '../../log/system-errors.ts';
import {
  ACCEPTED,
  ACTIVE_CONNECTIONS,
  HANDLED,
  READING,
  REQUESTS,
  WAITING,
  WRITING,
} from '../../shared/counters.ts';
import { type ClientReader, ClientSocket } from './client-socket.ts';
import type { NodeListener } from './listener.ts';
import { RequestBodyReader } from './request-body-reader.ts';
import { describeSocketError } from './socket-errors.ts';
import { describeTlsError, isTlsError, tlsErrorLevel } from './tls-errors.ts';

const HEAD = 0;
const BODY = 1;
const BUSY = 2;
const DISCARD = 3;
const TUNNEL = 4;
const LINGER = 5;
const CLOSED = 6;

/** A body up to this size is copied into one write with the head; beyond, a second buffer in one writev is cheaper. */
const COPY_LIMIT = 4096;
/** Strings waiting to be written beyond this many bytes mean that the client reads too slowly. */
const WAITING_LIMIT = 65_536;

/** Filled by every check, read at once: one for the thread is enough. */
const framing: RequestFraming = { contentLength: -1, chunked: false, connection: 'none' };
const NO_BODY: RequestFraming = { contentLength: -1, chunked: false, connection: 'close' };

let lastNumber = 0;

/** The serial number of the next connection. */
export function takeConnectionNumber(): number {
  return ++lastNumber;
}

/** What is known already of a connection that was accepted where TLS is expected. */
export interface Expected {
  readonly number: number;
  readonly acceptedAt: number;
  /** Undefined where the client speaks plain HTTP. */
  readonly tls: TlsConnection | undefined;
  /** The connection under it. */
  readonly raw: Socket;
}

export class ClientConnection implements Carrier, DownstreamConnection, ClientReader, Reusable {
  readonly number: number;
  readonly remoteAddress: string;
  readonly debug: boolean;
  readonly acceptedAt: number;
  readonly scheme: 'http' | 'https';
  readonly expectsTls: boolean;
  readonly tls: TlsConnection | undefined;
  requests = 0;
  bytesSent = 0;
  headBytes = 0;

  nextIdle: Reusable | undefined = undefined;
  previousIdle: Reusable | undefined = undefined;

  readonly socket: Socket;
  /** The system's connection: the same, or what is under TLS. */
  private readonly raw: Socket;
  /** The same, where what is read is borrowed. */
  private readonly borrowing: ClientSocket | undefined;
  private readonly listener: NodeListener;
  private state: number = HEAD;
  /** True while the connection stands in the queue of idle ones. */
  private idle = false;
  private exchange: Exchange | undefined = undefined;
  /** Holds an incomplete head; undefined between heads, when the listener's own parser serves. */
  private parser: RequestHeadParser | undefined = undefined;
  /** Bytes after the present request. */
  private held: Buffer | undefined = undefined;
  private body: RequestBodyReader | undefined = undefined;
  private tunnelReceiver: TunnelReceiver | undefined = undefined;
  /** One timer for reading: header, body, keep-alive, lingering. A late one for a state that has passed is ignored. */
  private readonly timer: Timer;
  private sendTimer: Timer | undefined = undefined;
  private gauge: typeof READING | typeof WRITING | typeof WAITING = WAITING;

  /** The head, until the first piece of the body or a flush takes it along; small chunks, until the turn is over. */
  private pendingText = '';
  /** What is pending will be written when the present callback has ended. */
  private flushing = false;
  private chunkedAnswer = false;
  private trailers = '';
  private closeAfterAnswer = false;
  private answerEnded = false;
  /** Somebody has been told to wait for room. */
  private awaitingDrain = false;
  /** TCP_NODELAY is set, or not wanted. */
  private undelayed: boolean;
  /** True while `process` runs: an answer that is complete at once must not start another run inside it. */
  private processing = false;
  private lingerUntil = 0;
  /** The client is known to be still sending: closing at once would reset the connection and lose the answer. */
  private stillSending = false;
  private inputEnded = false;
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
    this.undelayed = !listener.defaultServer.settings.tcp_nodelay;
    this.timer = listener.runtime.timers.timer(onTimer, this);
    const { counters } = listener.runtime;
    counters.add(HANDLED, 1);
    counters.add(ACTIVE_CONNECTIONS, 1);
    counters.add(WAITING, 1);
    (socket as OwnedSocket).reader = this;
    if (this.borrowing === undefined) socket.on('data', onData);
    socket.on('drain', onDrain);
    socket.on('end', onEnd);
    socket.on('error', onError);
    socket.on('close', onClose);
    // Where Node's own servers are not in between, TLS sockets tell of what breaks after the handshake in this way.
    if (this.tls !== undefined) socket.on('_tlsError', onTlsError);
    // nginx counts a connection that has sent nothing as one that may be closed when places are short.
    this.timer.start(listener.defaultServer.settings.client_header_timeout);
    this.enterIdle();
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

  get drained(): boolean {
    return this.socket.writableLength === 0;
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
        this.held = this.held === undefined ? this.keep(chunk) : Buffer.concat([this.held, chunk]);
        this.socket.pause();
        return;
      case DISCARD:
        this.discard(chunk);
        return;
      case TUNNEL:
        this.tunnelReceiver?.data(this.keep(chunk));
        return;
      case LINGER: {
        const left = this.lingerUntil - Date.now();
        if (left <= 0) this.socket.destroy();
        else this.timer.start(Math.min(left, this.lingeringTimeout()));
        return;
      }
      default:
        return;
    }
  }

  /** Reads requests from a chunk, and from what is left of it, for as long as their answers are complete at once. */
  private process(first: Buffer, length: number): void {
    let chunk: Buffer | undefined = first;
    let end = length;
    this.processing = true;
    while (chunk !== undefined && this.state === HEAD) {
      if (this.idle) this.leaveIdle();
      chunk = this.readHead(chunk, end);
      if (this.state === HEAD && chunk === undefined && this.held !== undefined) {
        chunk = this.held;
        this.held = undefined;
      }
      if (chunk !== undefined) end = chunk.length;
    }
    this.processing = false;
    // Reading stopped where the next head had begun to arrive with the body before it.
    if (this.state === HEAD && this.socket.isPaused()) this.socket.resume();
  }

  /** @returns what the next request begins with, where this one's answer is complete already */
  private readHead(chunk: Buffer, end: number): Buffer | undefined {
    const { listener } = this;
    if (this.gauge === WAITING) this.setGauge(READING);
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
      if (this.held !== undefined && this.state === BUSY) this.socket.pause();
      return undefined;
    }
    const next = this.held;
    this.held = undefined;
    return next;
  }

  private makeExchange(head: RequestHead, bodyFraming: RequestFraming): Exchange {
    const { listener } = this;
    const servers = listener.serversFor(this);
    const exchange = new Exchange(head, bodyFraming, this, this, listener.site, servers.default);
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
    this.bytesSent = 0;
    this.headBytes = 0;
    this.answerEnded = false;
    this.closeAfterAnswer = false;
    this.trailers = '';
    this.setGauge(WRITING);
    listener.runtime.counters.add(REQUESTS, 1);
    return exchange;
  }

  /** Answers a request that could not be understood, and closes. */
  private refuse(head: RequestHead, error: ProtocolError): void {
    this.state = BUSY;
    const exchange = this.makeExchange(head, NO_BODY);
    exchange.keepAlive = false;
    this.closeAfterAnswer = true;
    exchange.site.users++;
    log(exchange, error.level, `${error.message} while ${error.action}`);
    this.stillSending = error.lingeringClose;
    finalize(exchange, error.status);
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
      case BUSY:
        // A handler that watches its client (the proxy) gives up; any other answer is still sent, as in nginx.
        if (this.exchange !== undefined && !this.answerEnded && isWatched(this.exchange)) {
          this.closeAfterAnswer = true;
          if (!clientGone(this.exchange)) this.socket.destroy();
        }
        return;
      case TUNNEL:
        this.tunnelReceiver?.end();
        return;
      default:
        this.close();
    }
  }

  onError(error: Error): void {
    const level =
      isSystemError(error) && (error.code === 'ECONNRESET' || error.code === 'EPIPE') ? 'info' : 'error';
    const message = describeSocketError(error);
    if (this.exchange !== undefined) log(this.exchange, level, message);
    else logConnection(this.listener.site.errorLog, level, message, this, this.listener.text);
  }

  /** TLS cannot go on: what came is no record, say, or the other side has sent an alert. */
  onTlsError(error: Error): void {
    if (this.state === CLOSED || !isTlsError(error)) return;
    const message = `SSL_read() failed (SSL: ${describeTlsError(error)})`;
    const level = tlsErrorLevel(error);
    if (this.exchange !== undefined) log(this.exchange, level, message);
    else logConnection(this.listener.site.errorLog, level, message, this, this.listener.text);
    this.socket.destroy();
  }

  onClose(): void {
    if (this.state === CLOSED) return;
    const { exchange } = this;
    if (debugging.on) this.tell(`close http connection, requests: ${this.requests}`);
    this.state = CLOSED;
    this.borrowing?.releaseBuffer();
    if (this.idle) this.leaveIdle();
    this.timer.stop();
    this.sendTimer?.stop();
    this.parser = undefined;
    this.held = undefined;
    this.body?.stop();
    this.body = undefined;
    const { runtime } = this.listener;
    runtime.counters.add(this.gauge, -1);
    runtime.counters.add(ACTIVE_CONNECTIONS, -1);
    runtime.connections.release();
    this.listener.forget(this);
    const tunnel = this.tunnelReceiver;
    this.tunnelReceiver = undefined;
    tunnel?.close();
    if (exchange !== undefined && !exchange.released) {
      if (!this.answerEnded && clientGone(exchange)) return;
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
    this.answerEnded = true;
    this.letGo();
  }

  /** Closes once what has been written is on its way. */
  close(): void {
    // TLS says goodbye (close_notify).
    if (this.socket.writableLength === 0 && this.tls === undefined) this.socket.destroy();
    else this.socket.destroySoon();
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
    if (rest.length > 0) {
      this.held = this.keep(rest);
      this.socket.pause();
    } else this.socket.resume();
    if (this.answerEnded) this.afterAnswer();
  }

  readBody(receiver: BodyReceiver, limit: number, timeout: number): void {
    const { body } = this;
    if (body === undefined) receiver.end();
    else body.start(receiver, limit, timeout);
  }

  discardBody(): boolean {
    return this.body === undefined || this.body.discard();
  }

  pauseBody(): void {
    this.body?.pause();
  }

  resumeBody(): void {
    this.body?.resume();
  }

  /** RequestBodyReader: arms the timer of reads. 0 stops it. */
  armBodyTimer(milliseconds: number): void {
    if (milliseconds > 0) this.timer.start(milliseconds);
    else this.timer.stop();
  }

  // ---- the answer ----

  sendHead(
    status: number,
    statusLine: string,
    lines: string,
    fields: string,
    contentLength: number,
    bodyless: boolean,
  ): void {
    const exchange = this.exchange!;
    const { version } = exchange.head;
    this.chunkedAnswer = false;
    if (version === 9) {
      // HTTP/0.9 knows no head.
      exchange.keepAlive = false;
      return;
    }
    let head = `HTTP/1.1 ${statusLine}\r\n${lines}`;
    if (contentLength < 0 && !bodyless) {
      if (version > 10 && exchange.location.settings.chunked_transfer_encoding) {
        this.chunkedAnswer = true;
        head += 'Transfer-Encoding: chunked\r\n';
      } else exchange.keepAlive = false;
    }
    if (this.closeAfterAnswer || this.inputEnded) exchange.keepAlive = false;
    if (status === 101) head += 'Connection: upgrade\r\n';
    else if (exchange.keepAlive) {
      head += 'Connection: keep-alive\r\n';
      const seconds = exchange.location.settings.keepalive_timeout.header;
      if (seconds > 0) head += `Keep-Alive: timeout=${seconds}\r\n`;
    } else head += 'Connection: close\r\n';
    head += `${fields}\r\n`;
    this.headBytes = head.length;
    if (contentLength < 0 || contentLength > COPY_LIMIT) this.undelay();
    this.pendingText = head;
  }

  sendInterim(statusLine: string, fields: string): void {
    const { exchange } = this;
    if (exchange === undefined || exchange.headSent || exchange.head.version < 11 || this.state === CLOSED)
      return;
    this.put(`HTTP/1.1 ${statusLine}\r\n${fields}\r\n`);
  }

  setTrailers(lines: string): void {
    this.trailers = lines;
  }

  closeAfter(): void {
    this.closeAfterAnswer = true;
  }

  write(chunk: Buffer | string): boolean {
    if (this.state === CLOSED || chunk.length === 0) return true;
    if (typeof chunk === 'string') return this.writeText(chunk);
    if (chunk.length <= COPY_LIMIT) return this.writeText(latin1Text(chunk, 0, chunk.length));
    const before = this.chunkedAnswer ? this.takeText() + chunkPrefix(chunk.length) : this.takeText();
    if (before === '') {
      this.bytesSent += chunk.length;
      this.socket.write(chunk);
    } else {
      this.socket.cork();
      this.put(before);
      this.bytesSent += chunk.length;
      this.socket.write(chunk);
      if (this.chunkedAnswer) this.put('\r\n');
      this.socket.uncork();
    }
    // A buffer the system has not taken yet is still in use.
    return this.roomLeft(this.socket.writableLength === 0);
  }

  private writeText(text: string): boolean {
    if (!this.chunkedAnswer) this.put(this.takeText() + text);
    else {
      // The end of the answer often comes right behind: then all of it leaves in one write.
      this.pendingText += `${chunkPrefix(text.length)}${text}\r\n`;
      if (this.pendingText.length > COPY_LIMIT) this.flush();
      else if (!this.flushing) {
        this.flushing = true;
        process.nextTick(flushPending, this);
      }
    }
    return this.roomLeft(this.socket.writableLength < WAITING_LIMIT);
  }

  flush(): void {
    if (this.pendingText !== '') this.put(this.takeText());
  }

  /** The present callback has ended, and the answer has not. */
  flushLate(): void {
    this.flushing = false;
    // A head alone waits for the first of its body.
    if (this.state !== CLOSED && this.exchange !== undefined && this.chunkedAnswer) this.flush();
  }

  end(): void {
    if (this.answerEnded || this.state === CLOSED) {
      // The client went while a handler carried on for its own sake.
      if (this.state === CLOSED) this.letGo();
      return;
    }
    this.answerEnded = true;
    if (this.state === TUNNEL) {
      this.letGo();
      this.close();
      return;
    }
    let last = this.takeText();
    if (this.chunkedAnswer) last += this.trailers === '' ? LAST_CHUNK : `0\r\n${this.trailers}\r\n`;
    if (last !== '') this.put(last);
    if (this.socket.writableLength === 0) this.finishAnswer();
    else this.armSendTimer();
  }

  abort(): void {
    this.answerEnded = true;
    if (this.state === CLOSED) {
      this.letGo();
      return;
    }
    const { exchange } = this;
    if (exchange?.response.status === 444 && exchange.location.settings.reset_timedout_connection) {
      this.raw.resetAndDestroy();
    } else this.socket.destroy();
  }

  tunnel(receiver: TunnelReceiver): Tunnel {
    this.flush();
    this.undelay();
    this.state = TUNNEL;
    this.tunnelReceiver = receiver;
    this.timer.stop();
    const { socket } = this;
    const first = this.held;
    this.held = undefined;
    if (first !== undefined) {
      receiver.data(first);
    }
    socket.resume();
    return {
      write: (chunk) => {
        this.bytesSent += chunk.length;
        socket.write(chunk);
        const room = socket.writableLength === 0;
        if (!room) this.awaitingDrain = true;
        return room;
      },
      end: () => {
        socket.end();
      },
      pause: () => {
        socket.pause();
      },
      resume: () => {
        socket.resume();
      },
      destroy: () => {
        this.close();
      },
    };
  }

  /**
   * Sets TCP_NODELAY, late, as nginx does: a connection closed after one answer that leaves in one piece has no need of
   * it, and is spared the system call.
   */
  private undelay(): void {
    if (this.undelayed) return;
    this.undelayed = true;
    this.socket.setNoDelay(true);
  }

  private takeText(): string {
    const text = this.pendingText;
    this.pendingText = '';
    return text;
  }

  private put(text: string): void {
    this.bytesSent += text.length;
    this.socket.write(text, 'latin1');
  }

  private roomLeft(room: boolean): boolean {
    if (!room) {
      this.awaitingDrain = true;
      this.armSendTimer();
    }
    return room;
  }

  private armSendTimer(): void {
    const timeout = this.exchange?.location.settings.send_timeout ?? 0;
    if (timeout <= 0) return;
    this.sendTimer ??= this.listener.runtime.timers.timer(onSendTimer, this);
    this.sendTimer.start(timeout);
  }

  onSocketDrain(): void {
    if (this.socket.writableLength > 0 || this.state === CLOSED) return;
    this.sendTimer?.stop();
    if (this.state === TUNNEL) {
      if (this.awaitingDrain) {
        this.awaitingDrain = false;
        this.tunnelReceiver?.drain();
      }
      return;
    }
    if (this.answerEnded) {
      // In DISCARD the answer has been seen off; the next head comes after the rest of the body, not before.
      if (this.exchange !== undefined && this.state !== DISCARD) this.finishAnswer();
    } else if (this.awaitingDrain) {
      this.awaitingDrain = false;
      const { exchange } = this;
      if (exchange !== undefined) carrierHasRoom(exchange);
    }
  }

  /** The system has the whole answer. */
  private finishAnswer(): void {
    this.sendTimer?.stop();
    this.afterAnswer();
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
      else this.timer.start(Math.min(left, this.lingeringTimeout()));
      return;
    }
    if (rest.length > 0) this.held = this.keep(rest);
    this.body = undefined;
    this.letGo();
    this.becomeReady();
  }

  /** Ends our direction, and reads what the client still sends for a while: a reset would take the answer with it. */
  private linger(): void {
    const settings = this.exchange!.location.settings;
    this.lingerUntil = Date.now() + settings.lingering_time;
    this.timer.start(Math.min(settings.lingering_timeout, settings.lingering_time));
    this.letGo();
    this.state = LINGER;
    this.held = undefined;
    this.body = undefined;
    if (this.inputEnded) {
      this.close();
      return;
    }
    this.socket.end();
    this.socket.resume();
  }

  private lingeringTimeout(): number {
    return this.listener.defaultServer.settings.lingering_timeout;
  }

  /** Ready for the next request: at once where it is here already. */
  private becomeReady(): void {
    this.undelay();
    this.state = HEAD;
    this.lingerUntil = 0;
    this.nextIsPipelined = this.held !== undefined;
    if (this.held !== undefined) {
      if (this.processing) return;
      const next = this.held;
      this.held = undefined;
      this.socket.resume();
      this.process(next, next.length);
      if (this.state !== HEAD || this.idle || this.parser !== undefined) return;
    }
    if (this.socket.isPaused()) this.socket.resume();
    this.setGauge(WAITING);
    this.timer.start(this.keepaliveTimeout);
    this.enterIdle();
    if (debugging.on) this.tell('http keepalive handler');
  }

  /** The exchange is over for this connection. */
  private letGo(): void {
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
            this.raw.resetAndDestroy();
            return;
          }
        }
        this.close();
        return;
      case BODY:
        this.body?.timedOut();
        return;
      case DISCARD:
      case LINGER:
        this.socket.destroy();
        return;
      default:
        return;
    }
  }

  /** The client has not taken anything for `send_timeout`. */
  sendTimedOut(): void {
    const { exchange } = this;
    if (exchange === undefined) return;
    log(exchange, 'info', 'client timed out (110: Connection timed out) while sending response to client');
    if (exchange.location.settings.reset_timedout_connection) this.raw.resetAndDestroy();
    else this.socket.destroy();
  }

  closeIdle(): void {
    this.idle = false;
    this.close();
  }

  /** Its listener is gone: closes the connection if nothing is under way on it. */
  closeIfIdle(): void {
    if (!this.idle) return;
    this.leaveIdle();
    this.closeIdle();
  }

  private enterIdle(): void {
    this.idle = true;
    this.listener.runtime.connections.enterIdle(this);
  }

  private leaveIdle(): void {
    this.idle = false;
    this.listener.runtime.connections.leaveIdle(this);
  }

  private setGauge(gauge: typeof READING | typeof WRITING | typeof WAITING): void {
    if (gauge === this.gauge) return;
    this.listener.runtime.counters.move(this.gauge, gauge);
    this.gauge = gauge;
  }
}

/** A socket that knows its connection, so that one function serves the events of all sockets. */
type OwnedSocket = Socket & { reader?: ClientConnection };

function onData(this: Socket, chunk: Buffer): void {
  (this as OwnedSocket).reader!.received(chunk, chunk.length);
}

function onDrain(this: Socket): void {
  (this as OwnedSocket).reader!.onSocketDrain();
}

function onEnd(this: Socket): void {
  (this as OwnedSocket).reader!.onInputEnd();
}

function onError(this: Socket, error: Error): void {
  (this as OwnedSocket).reader!.onError(error);
}

function onTlsError(this: Socket, error: Error): void {
  (this as OwnedSocket).reader!.onTlsError(error);
}

function onClose(this: Socket): void {
  (this as OwnedSocket).reader!.onClose();
}

function closeConnection(connection: ClientConnection): void {
  connection.close();
}

function flushPending(connection: ClientConnection): void {
  connection.flushLate();
}

function onTimer(connection: ClientConnection): void {
  connection.timedOut();
}

function onSendTimer(connection: ClientConnection): void {
  connection.sendTimedOut();
}

/** Counts a connection the system has handed over, whatever becomes of it. */
export function countAccepted(site: Site): void {
  site.runtime.counters.add(ACCEPTED, 1);
}
