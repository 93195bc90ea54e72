/**
 * The answers' side of a client connection that speaks HTTP/1: heads, framing, what leaves together with what, and how
 * much the client takes. It is what an exchange is given as its carrier; what that asks about the request's body goes
 * on to the connection, which in turn is told when an answer has left.
 */
import type { Socket } from 'node:net';
import { carrierHasRoom } from '../../core/body-filter.ts';
import type { AnswerHead, BodyReceiver, Carrier, Tunnel, TunnelReceiver } from '../../core/carrier.ts';
import { log } from '../../core/log.ts';
import { DirectWriter } from '../../event/direct-writer.ts';
import type { Timer, TimerWheel } from '../../event/timers.ts';
import { chunkPrefix, LAST_CHUNK } from '../../http/chunked.ts';
import { latin1Text } from '../../http/latin1.ts';
import type { ClientConnection } from './connection.ts';

/** A body up to this size is copied into one write with the head; beyond, a second buffer in one writev is cheaper. */
const COPY_LIMIT = 4096;
/** Strings waiting to be written beyond this many bytes mean that the client reads too slowly. */
const WAITING_LIMIT = 65_536;

export class AnswerWriter implements Carrier {
  bytesSent = 0;
  headBytes = 0;
  /** Whoever makes the answer has said that it is complete, or that it never will be. */
  ended = false;
  /** The connection is gone; nothing is written any more. */
  closed = false;

  private readonly connection: ClientConnection;
  private readonly socket: Socket;
  private readonly direct: DirectWriter;
  private readonly timers: TimerWheel;
  /** The head, until the first piece of the body or a flush takes it along; small chunks, until the turn is over. */
  private pendingText = '';
  /** What is pending will be written when the present callback has ended. */
  private flushing = false;
  private chunked = false;
  private trailers = '';
  /** The connection is not kept alive after this answer. */
  private isLast = false;
  /** Somebody has been told to wait for room. */
  private awaitingDrain = false;
  /** TCP_NODELAY is set, or not wanted. */
  private undelayed: boolean;
  private sendTimer: Timer | undefined = undefined;

  /** @param delayed TCP_NODELAY is to be set when it is worth it (`tcp_nodelay`) */
  constructor(connection: ClientConnection, timers: TimerWheel, delayed: boolean) {
    this.connection = connection;
    this.socket = connection.socket;
    this.direct = new DirectWriter(connection.socket, connection);
    this.timers = timers;
    this.undelayed = !delayed;
  }

  /** Begins anew, for the answer to the next request. */
  reset(): void {
    this.bytesSent = 0;
    this.headBytes = 0;
    this.ended = false;
    this.isLast = false;
    this.trailers = '';
  }

  /** The connection is gone. */
  close(): void {
    this.closed = true;
    this.sendTimer?.stop();
  }

  get drained(): boolean {
    return this.pending === 0;
  }

  /** Bytes written that the system has not taken yet. */
  get pending(): number {
    return this.socket.writableLength + this.direct.waiting;
  }

  // ---- head ----

  sendHead({
    status,
    statusLine,
    server,
    date,
    contentType,
    contentLength,
    lines,
    fields,
    bodyless,
  }: AnswerHead): void {
    const exchange = this.connection.exchange!;
    const { version } = exchange.head;
    this.chunked = false;
    if (version === 9) {
      // HTTP/0.9 knows no head.
      exchange.keepAlive = false;
      return;
    }
    let head = `HTTP/1.1 ${statusLine}\r\n${server}Date: ${date}\r\n${contentType}`;
    if (contentLength >= 0) head += `Content-Length: ${contentLength}\r\n`;
    head += lines;
    if (contentLength < 0 && !bodyless) {
      if (version > 10 && exchange.location.settings.chunked_transfer_encoding) {
        this.chunked = true;
        head += 'Transfer-Encoding: chunked\r\n';
      } else exchange.keepAlive = false;
    }
    if (this.isLast || this.connection.inputEnded) exchange.keepAlive = false;
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
    const { exchange } = this.connection;
    if (exchange === undefined || exchange.headSent || exchange.head.version < 11 || this.closed) return;
    this.put(`HTTP/1.1 ${statusLine}\r\n${fields}\r\n`);
  }

  setTrailers(lines: string): void {
    this.trailers = lines;
  }

  closeAfter(): void {
    this.isLast = true;
  }

  // ---- body ----

  write(chunk: Buffer | string): boolean {
    if (this.closed || chunk.length === 0) return true;
    if (typeof chunk === 'string') return this.writeText(chunk);
    if (chunk.length <= COPY_LIMIT) return this.writeText(latin1Text(chunk, 0, chunk.length));
    const before = this.chunked ? this.takeText() + chunkPrefix(chunk.length) : this.takeText();
    if (before === '') {
      this.bytesSent += chunk.length;
      if (!this.direct.writeBuffer(chunk)) this.socket.write(chunk);
    } else this.putAround(before, chunk, this.chunked ? '\r\n' : '');
    // A buffer the system has not taken yet is still in use.
    return this.roomLeft(this.pending === 0);
  }

  private putAround(before: string, chunk: Buffer, after: string): void {
    this.bytesSent += before.length + chunk.length + after.length;
    const { socket } = this;
    if (this.direct.writeAround(before, chunk, after)) return;
    socket.cork();
    socket.write(before, 'latin1');
    socket.write(chunk);
    if (after !== '') socket.write(after, 'latin1');
    socket.uncork();
  }

  private writeText(text: string): boolean {
    if (!this.chunked) this.put(this.takeText() + text);
    else {
      // The end of the answer often comes right behind: then all of it leaves in one write.
      this.pendingText += `${chunkPrefix(text.length)}${text}\r\n`;
      if (this.pendingText.length > COPY_LIMIT) this.flush();
      else if (!this.flushing) {
        this.flushing = true;
        process.nextTick(flushPending, this);
      }
    }
    return this.roomLeft(this.pending < WAITING_LIMIT);
  }

  flush(): void {
    if (this.pendingText !== '') this.put(this.takeText());
  }

  /** The present callback has ended, and the answer has not. */
  flushLate(): void {
    this.flushing = false;
    // A head alone waits for the first of its body.
    if (!this.closed && this.connection.exchange !== undefined && this.chunked) this.flush();
  }

  end(): void {
    const { connection } = this;
    if (this.ended || this.closed) {
      // The client went while a handler carried on for its own sake.
      if (this.closed) connection.letGo();
      return;
    }
    this.ended = true;
    if (connection.isTunnel) {
      connection.leaveTunnel();
      return;
    }
    let last = this.takeText();
    if (this.chunked) last += this.trailers === '' ? LAST_CHUNK : `0\r\n${this.trailers}\r\n`;
    if (last !== '') this.put(last);
    if (this.pending === 0) this.sent();
    else this.armSendTimer();
  }

  abort(): void {
    this.ended = true;
    const { connection } = this;
    if (this.closed) {
      connection.letGo();
      return;
    }
    const { exchange } = connection;
    if (exchange?.response.status === 444 && exchange.location.settings.reset_timedout_connection) {
      connection.reset();
    } else this.socket.destroy();
  }

  // ---- the request's body, and what comes after 101: the connection's ----

  readBody(receiver: BodyReceiver, limit: number, timeout: number): void {
    const { body } = this.connection;
    if (body === undefined) receiver.end();
    else body.start(receiver, limit, timeout);
  }

  discardBody(): boolean {
    const { body } = this.connection;
    return body === undefined || body.discard();
  }

  pauseBody(): void {
    this.connection.body?.pause();
  }

  resumeBody(): void {
    this.connection.body?.resume();
  }

  tunnel(receiver: TunnelReceiver): Tunnel {
    this.flush();
    this.undelay();
    return this.connection.becomeTunnel(receiver);
  }

  /** Writes to the tunnel. @returns false where the system has not taken all: the chunk is in use until it has */
  writeTunnel(chunk: Buffer): boolean {
    this.bytesSent += chunk.length;
    if (!this.direct.writeBuffer(chunk)) this.socket.write(chunk);
    return this.pending === 0;
  }

  // ---- the socket ----

  /**
   * Sets TCP_NODELAY, late, as nginx does: a connection closed after one answer that leaves in one piece has no need of
   * it, and is spared the system call.
   */
  undelay(): void {
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
    if (!this.direct.writeText(text)) this.socket.write(text, 'latin1');
  }

  private roomLeft(room: boolean): boolean {
    if (!room) {
      this.awaitingDrain = true;
      this.armSendTimer();
    }
    return room;
  }

  private armSendTimer(): void {
    const timeout = this.connection.exchange?.location.settings.send_timeout ?? 0;
    if (timeout <= 0) return;
    this.sendTimer ??= this.timers.timer(onSendTimer, this);
    this.sendTimer.start(timeout);
    // What it is compared with when the time is over.
    void this.direct.progressed;
  }

  /** The system has taken all that was written. */
  onDrain(): void {
    if (this.ended) this.sent();
    else {
      this.sendTimer?.stop();
      if (!this.awaitingDrain) return;
      this.awaitingDrain = false;
      const { exchange } = this.connection;
      if (exchange !== undefined) carrierHasRoom(exchange);
    }
  }

  /** The system has the whole answer. */
  private sent(): void {
    this.sendTimer?.stop();
    this.connection.answerSent();
  }

  /** The client has not taken anything for `send_timeout`. */
  sendTimedOut(): void {
    const { exchange } = this.connection;
    if (exchange === undefined) return;
    if (this.direct.progressed) {
      // It is slow, but it reads.
      this.armSendTimer();
      return;
    }
    log(exchange, 'info', 'client timed out (110: Connection timed out) while sending response to client');
    if (exchange.location.settings.reset_timedout_connection) this.connection.reset();
    else this.socket.destroy();
  }
}

function flushPending(writer: AnswerWriter): void {
  writer.flushLate();
}

function onSendTimer(writer: AnswerWriter): void {
  writer.sendTimedOut();
}
