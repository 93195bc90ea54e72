/**
 * One request on uWebSockets.js: its exchange, its body, its answer. A connection as such has no object here, for
 * uWebSockets.js tells nothing of connections between requests; the listener counts them.
 *
 * | state   | what is going on                                   | leaves it when                                      |
 * |---------|----------------------------------------------------|-----------------------------------------------------|
 * | OPEN    | the request is read and answered                   | the answer is complete: OVER; 101: TUNNEL           |
 * | TUNNEL  | a WebSocket                                        | it is closed: GONE                                  |
 * | OVER    | the answer is complete                             |                                                     |
 * | GONE    | the client has gone, or been given up              |                                                     |
 *
 * `response` may be used in OPEN only. The exchange is let go of once, in whatever state its end finds the carrier.
 */
import { carrierHasRoom } from '../../core/body-filter.ts';
import type {
  AnswerHead,
  BodyReceiver,
  Carrier,
  DownstreamConnection,
  Tunnel,
  TunnelReceiver,
} from '../../core/carrier.ts';
import type { Exchange } from '../../core/exchange.ts';
import { clientGone } from '../../core/finalize.ts';
import { isDebugged, log } from '../../core/log.ts';
import { release } from '../../core/run.ts';
import type { TlsConnection } from '../../core/tls.ts';
import { wallMilliseconds } from '../../event/clock.ts';
import type { Timer } from '../../event/timers.ts';
import type { RequestFraming } from '../../http/request-check.ts';
import { AnswerWriter } from './answer-writer.ts';
import type { OpenApp, UwsListener } from './listener.ts';
import type { UpgradeContext, UwsResponse } from './native.ts';
import { type BodyConnection, RequestBodySource } from './request-body.ts';
import { insideSpareCork } from './spare-connection.ts';
import { WebSocketTunnel } from './websocket-tunnel.ts';

const OPEN = 0;
const TUNNEL = 1;
const OVER = 2;
const GONE = 3;

/** What a client that asks for a WebSocket has sent, and uWebSockets.js wants back. */
export interface WebSocketRequest {
  readonly context: UpgradeContext;
  readonly key: string;
}

let lastNumber = 0;

export class UwsCarrier implements Carrier, DownstreamConnection, BodyConnection {
  readonly number = ++lastNumber;
  readonly acceptedAt = wallMilliseconds();
  readonly remotePort = 0;
  requests = 1;
  readonly remoteAddress: string;

  private readonly listener: UwsListener;
  private readonly app: OpenApp;
  private response: UwsResponse;
  private state: number = OPEN;
  private exchange: Exchange | undefined = undefined;
  private readonly webSocket: WebSocketRequest | undefined;
  /** Set while uWebSockets.js calls: all that is written then leaves in one piece. */
  private corked = true;
  private readonly writer: AnswerWriter;
  private body: RequestBodySource | undefined = undefined;
  private bodyTimer: Timer | undefined = undefined;
  private readingPaused = false;
  /** Bytes of body since uWebSockets.js began to count for its own timeout. */
  private uncounted = 0;
  private tunnelled: WebSocketTunnel | undefined = undefined;
  private sendTimer: Timer | undefined = undefined;
  private closeAfterAnswer = false;
  private answerEnded = false;

  constructor(
    listener: UwsListener,
    app: OpenApp,
    response: UwsResponse,
    remoteAddress: string,
    webSocket: WebSocketRequest | undefined,
  ) {
    this.listener = listener;
    this.app = app;
    this.response = response;
    this.remoteAddress = remoteAddress;
    this.webSocket = webSocket;
    this.writer = new AnswerWriter();
  }

  // ---- the connection ----

  get scheme(): 'http' | 'https' {
    return this.listener.scheme;
  }

  get expectsTls(): boolean {
    return this.listener.scheme === 'https';
  }

  get tls(): TlsConnection | undefined {
    return this.listener.tls;
  }

  get localAddress(): string {
    return this.listener.localAddress;
  }

  get localPort(): number {
    return this.listener.port;
  }

  get unixPath(): string {
    return this.listener.unixPath;
  }

  get debug(): boolean {
    const { site } = this.listener;
    return site.debugConnections !== undefined && isDebugged(site, this.remoteAddress);
  }

  get closed(): boolean {
    return this.state === GONE;
  }

  get drained(): boolean {
    return !this.writer.blocked;
  }

  get bytesSent(): number {
    return this.writer.bytesSent + (this.tunnelled?.bytesSent ?? 0);
  }

  get headBytes(): number {
    return this.writer.headBytes;
  }

  // ---- the request, driven by the listener ----

  /**
   * The request has an exchange from now on, and a body as `framing` says.
   * @param closesAnyway uWebSockets.js closes the connection after the answer
   */
  begin(exchange: Exchange, { chunked, contentLength }: RequestFraming, closesAnyway: boolean): void {
    this.exchange = exchange;
    this.writer.closesAnyway = closesAnyway;
    if (!chunked && contentLength <= 0) return;
    this.body = new RequestBodySource(this, exchange);
    this.listenForBody();
  }

  /**
   * uWebSockets.js has called for the request, and goes on when this has returned. Where the answer is not complete it
   * ends the process if nobody wants to hear that the client has gone: not even an error may be in the way of this.
   */
  handlerReturns(): void {
    this.corked = false;
    if (this.state === OPEN) this.response.onAborted(() => this.onAborted());
  }

  private listenForBody(): void {
    this.uncounted = 0;
    this.response.onData((chunk, last) => this.onData(chunk, last));
  }

  private onData(chunk: ArrayBuffer, last: boolean): void {
    const { body } = this;
    // A connection whose answer is complete: the rest is dropped.
    if (body === undefined) return;
    this.uncounted += chunk.byteLength;
    if (!last && this.state === OPEN && this.uncounted > this.listener.countedBytes) this.listenForBody();
    this.corked = true;
    body.take(chunk, last);
    this.corked = false;
  }

  /** The connection has been closed, by the client or a timeout, before the answer was complete. */
  private onAborted(): void {
    if (this.state !== OPEN) return;
    this.state = GONE;
    this.listener.requestOver();
    this.bodyTimer?.stop();
    this.sendTimer?.stop();
    const { exchange, body } = this;
    if (exchange === undefined || exchange.released) return;
    if (body !== undefined && !body.complete && !this.answerEnded) {
      log(exchange, 'info', 'client prematurely closed connection');
      body.clientGone();
      body.stop();
      this.body = undefined;
      if (clientGone(exchange, 400)) return;
    } else {
      body?.stop();
      this.body = undefined;
      if (!this.answerEnded && clientGone(exchange)) return;
    }
    this.letGo();
  }

  // ---- the request's body ----

  readBody(receiver: BodyReceiver, limit: number, timeout: number): void {
    if (this.body === undefined) receiver.end();
    else this.body.start(receiver, limit, timeout);
  }

  pauseBody(): void {
    this.body?.pause();
  }

  resumeBody(): void {
    this.body?.resume();
  }

  discardBody(): boolean {
    this.body?.discard();
    return true;
  }

  bodyOver(): void {
    this.body = undefined;
  }

  armBodyTimer(milliseconds: number): void {
    if (milliseconds > 0) {
      this.bodyTimer ??= this.listener.runtime.timers.timer(onBodyTimer, this);
      this.bodyTimer.start(milliseconds);
    } else this.bodyTimer?.stop();
  }

  /** The timer of the body has run out. */
  bodyTimedOut(): void {
    this.body?.timedOut();
  }

  /** While the client does not take the answer its connection has to be listened to: that is one thing to the system. */
  pauseReading(): void {
    if (this.state !== OPEN || this.writer.blocked || this.readingPaused) return;
    this.readingPaused = true;
    this.response.pause();
  }

  resumeReading(): void {
    if (!this.readingPaused) return;
    this.readingPaused = false;
    if (this.state !== OPEN) return;
    this.listener.withoutResponseTimeout();
    this.response.resume();
  }

  // ---- the answer ----

  sendHead(head: AnswerHead): void {
    const exchange = this.exchange!;
    if (this.closeAfterAnswer) exchange.keepAlive = false;
    this.writer.listenerEnds = this.listener.retired;
    this.writer.setHead(exchange, head);
  }

  sendInterim(): void {
    // `100 Continue` has been sent by uWebSockets.js; it has no others.
  }

  setTrailers(): void {
    // uWebSockets.js has none.
  }

  closeAfter(): void {
    this.closeAfterAnswer = true;
  }

  write(chunk: Buffer | string): boolean {
    if (this.state !== OPEN || chunk.length === 0) return true;
    this.writer.add(chunk);
    return this.send();
  }

  flush(): void {
    // What has been written is on its way; a head cannot leave before the first byte of its body.
  }

  end(): void {
    if (this.answerEnded) return;
    this.answerEnded = true;
    if (this.state === OPEN) {
      this.writer.end();
      this.send();
      return;
    }
    if (this.state === TUNNEL) this.tunnelled!.destroy();
    this.letGo();
  }

  abort(): void {
    this.answerEnded = true;
    if (this.state === OPEN) this.closeConnection();
    this.letGo();
  }

  /** Hands what is there to uWebSockets.js. @returns whether it wants more */
  private send(): boolean {
    if (this.state !== OPEN) return true;
    const { writer } = this;
    if (writer.blocked) return false;
    if (this.readingPaused) {
      // Nothing may be written meanwhile: a write that has to wait would end the pause without a word.
      this.resumeReading();
    }
    this.setResponseTimeout();
    if (this.corked) writer.run(this.response);
    else {
      corkedCarrier = this;
      this.response.cork(runCorked);
    }
    if (writer.complete) {
      this.answerComplete();
      return true;
    }
    if (writer.broken) {
      this.abort();
      return true;
    }
    if (!writer.blocked) return true;
    if (!writer.listens) {
      writer.listens = true;
      this.response.onWritable(() => this.onWritable());
    }
    this.armSendTimer();
    return false;
  }

  /** How long the client may not take any of the answer, or rest after it: uWebSockets.js has one timeout for both. */
  private setResponseTimeout(): void {
    const { writer } = this;
    const { keepalive_timeout, send_timeout } = this.exchange!.location.settings;
    let timeout = send_timeout;
    if (writer.isLast) {
      timeout = keepalive_timeout.timeout;
      // uWebSockets.js takes more of it than the client does.
      if (writer.isHeld && timeout < send_timeout) timeout = send_timeout;
    }
    this.listener.setResponseTimeout(timeout);
  }

  /** Called inside `cork`. */
  runWriter(): void {
    this.writer.run(this.response);
  }

  private onWritable(): boolean {
    if (this.state !== OPEN) return true;
    const { writer } = this;
    if (!writer.blocked) {
      // What uWebSockets.js holds itself leaves when it is written to: a cork does that.
      this.response.cork(nothing);
      return true;
    }
    writer.unblock();
    if (this.send()) {
      this.sendTimer?.stop();
      if (this.exchange !== undefined && !this.answerEnded) carrierHasRoom(this.exchange);
    }
    return true;
  }

  /** uWebSockets.js has the whole answer: `response` is void. */
  private answerComplete(): void {
    this.state = OVER;
    this.listener.requestOver();
    this.sendTimer?.stop();
    this.bodyTimer?.stop();
    this.body?.stop();
    this.body = undefined;
    if (this.answerEnded) this.letGo();
  }

  private closeConnection(): void {
    this.state = GONE;
    this.listener.requestOver();
    this.sendTimer?.stop();
    this.bodyTimer?.stop();
    this.body?.stop();
    this.body = undefined;
    this.response.close();
  }

  private armSendTimer(): void {
    const timeout = this.exchange?.location.settings.send_timeout ?? 0;
    if (timeout <= 0) return;
    this.sendTimer ??= this.listener.runtime.timers.timer(onSendTimer, this);
    this.sendTimer.start(timeout);
  }

  /** The client has not taken anything for `send_timeout`. */
  sendTimedOut(): void {
    const { exchange } = this;
    if (exchange === undefined || this.state !== OPEN) return;
    log(exchange, 'info', 'client timed out (110: Connection timed out) while sending response to client');
    this.closeConnection();
    if (!this.answerEnded && clientGone(exchange)) return;
    this.letGo();
  }

  private letGo(): void {
    const { exchange } = this;
    if (exchange === undefined) return;
    this.exchange = undefined;
    release(exchange);
  }

  // ---- after 101 ----

  tunnel(receiver: TunnelReceiver): Tunnel {
    const { webSocket, writer } = this;
    if (this.state !== OPEN || webSocket === undefined) {
      // An upstream server that has switched protocols without having been asked to.
      if (this.state === OPEN) {
        log(this.exchange!, 'error', 'upstream switched to a protocol that the engine "uws" cannot carry');
        this.closeConnection();
      }
      queueMicrotask(() => receiver.close());
      return NO_TUNNEL;
    }
    const tunnel = new WebSocketTunnel(receiver, this.exchange!, () => this.tunnelClosed());
    this.tunnelled = tunnel;
    this.state = TUNNEL;
    const { response } = this;
    if (this.corked) writer.writeSwitch(response);
    else response.cork(() => writer.writeSwitch(response));
    insideSpareCork(() => {
      response.upgrade({ tunnel }, webSocket.key, writer.protocol, '', webSocket.context);
    });
    return tunnel;
  }

  /** The client's side of the tunnel is closed. */
  private tunnelClosed(): void {
    this.state = GONE;
    this.listener.requestOver();
    this.listener.connectionOver(this.app);
    if (this.answerEnded) this.letGo();
  }
}

let corkedCarrier: UwsCarrier | undefined;

function runCorked(): void {
  const carrier = corkedCarrier!;
  corkedCarrier = undefined;
  carrier.runWriter();
}

function nothing(): void {}

function onSendTimer(carrier: UwsCarrier): void {
  carrier.sendTimedOut();
}

function onBodyTimer(carrier: UwsCarrier): void {
  carrier.bodyTimedOut();
}

const NO_TUNNEL: Tunnel = {
  write: () => true,
  end() {},
  pause() {},
  resume() {},
  destroy() {},
};
