/**
 * One proxied request. Its states, and what leads from one to the next:
 *
 * | state   | what is going on                                   | leaves it when                                    |
 * |---------|----------------------------------------------------|---------------------------------------------------|
 * | body    | the request's body is read (buffered requests)     | it is complete: asking                            |
 * | asking  | a server is connected to, asked, waited for        | its head comes: answer, tunnel, or settled; it    |
 * |         |                                                    | fails: asking another, or over with 502, 504      |
 * | settled | the answer is not for the client: its end is       | it has come: error page, internal redirect        |
 * |         | waited for, so that the connection can be kept     |                                                   |
 * | answer  | the answer's body is passed on                     | it is complete: over; it breaks off: aborted      |
 * | tunnel  | an upgraded connection, both ways                  | one side ends: over                               |
 * | over    | nothing is held any more                           |                                                   |
 *
 * The client may go at any moment: `clientGone`. Every way out leads through `close`, which gives back what is held:
 * the server's count, the connection, timers, the temporary file.
 */
import type { Exchange, UpstreamAttempt } from '../../core/exchange.ts';
import { abortExchange, breakOffExchange, finalize, internalRedirectTo } from '../../core/finalize.ts';
import { log } from '../../core/log.ts';
import { DONE, OK, type PhaseResult } from '../../core/phases.ts';
import { hasRequestBody, readRequestBody, sendContinue } from '../../core/request-body.ts';
import { endExchange, sendHead } from '../../core/send.ts';
import { nowMilliseconds } from '../../event/clock.ts';
import type { HeaderBlock } from '../../http/header-block.ts';
import { KnownHeader } from '../../http/header-names.ts';
import { latin1Text } from '../../http/latin1.ts';
import type { ResponseHead } from '../../http/response-head.ts';
import { debugging } from '../../log/debugging.ts';
import type { UpstreamAttempts, UpstreamRequest } from '../../upstream/client.ts';
import type { UpstreamFailure, UpstreamReceiver } from '../../upstream/receiver.ts';
import { AnswerPipe } from './answer-pipe.ts';
import { debugAnswer, debugAttempt, debugConnected, debugPeer, debugQuestion } from './debug-lines.ts';
import type { ProxyLocation } from './location.ts';
import { leadsOn, NEXT_BY_STATUS, newAttempt, noteEnd, reasonOf } from './next-upstream.ts';
import { FileQuestion, MemoryQuestion, type QuestionSender, StreamQuestion } from './question-body.ts';
import { maySharePlace, writeHead } from './request.ts';
import {
  charsetOf,
  limitRateOf,
  redirectTargetOf,
  takeHead,
  takeRedirectedHead,
  trailerLines,
  wantsBuffering,
} from './response.ts';
import { type Destination, upstreamUri } from './target.ts';
import { UpgradeTunnel } from './upgrade-tunnel.ts';

/** The answer's end leads to an internal redirect, to the target of `redirectTarget`. */
const REDIRECT = -1;

/** Bytes of a piece that is written as a string. */
const SMALL = 4096;

export class ProxiedExchange implements UpstreamReceiver {
  private readonly exchange: Exchange;
  private readonly location: ProxyLocation;
  private readonly destination: Destination;
  private attempts: UpstreamAttempts | undefined = undefined;
  /** The question under way; stays after its end, for what it has measured. */
  private request: UpstreamRequest | undefined = undefined;
  private attempt: UpstreamAttempt | undefined = undefined;
  private startedAt = 0;
  private uri = '';
  private question = '';
  /** Sends the body; undefined where there is none. */
  private sender: QuestionSender | undefined = undefined;
  /** The body is passed on as it comes. */
  private streaming = false;
  /** The question, or some of it, has been sent to the server being asked. */
  private requestSent = false;

  /** The status, or REDIRECT, that takes the answer's place once it is complete. */
  private settled = 0;
  private redirectTarget = '';
  /** The head has been passed on, and the body is. */
  private answering = false;
  /** The answer may be read ahead of the client. */
  private buffering = false;
  /** Passes the answer's body on to a client that does not keep up; undefined as long as it does. */
  private pipe: AnswerPipe | undefined = undefined;
  private tunnel: UpgradeTunnel | undefined = undefined;

  constructor(location: ProxyLocation, exchange: Exchange, destination: Destination) {
    this.location = location;
    this.exchange = exchange;
    this.destination = destination;
  }

  // ---- the question ----

  /** Begins; what follows happens by itself. */
  begin(): PhaseResult {
    const { exchange } = this;
    if (hasRequestBody(exchange)) {
      if (this.mayStream()) this.stream();
      else this.readBody();
    } else if (exchange.location.settings.client_body_in_file_only === 'off') {
      sendContinue(exchange);
      this.ask();
    } else this.readBody();
    return DONE;
  }

  private readBody(): void {
    readRequestBody(this.exchange, () => this.ask());
  }

  /** Whether the body can be passed on as it comes. */
  private mayStream(): boolean {
    const { exchange, location } = this;
    const { settings } = location;
    return (
      !settings.proxy_request_buffering &&
      location.body === undefined &&
      settings.proxy_pass_request_body &&
      exchange.body === undefined &&
      (!exchange.chunked || location.request.isVersion11)
    );
  }

  /** Passes the body on as it comes, unless all of it is here already. */
  private stream(): void {
    const { exchange } = this;
    const stream = new StreamQuestion(exchange, (status) => this.bodyFailed(status));
    const whole = stream.begin();
    if (stream.over) return;
    if (whole !== undefined) exchange.body = whole;
    else {
      this.streaming = true;
      this.sender = stream;
      // Whoever answers instead, after an error, finds that there is nothing left to read.
      exchange.body = { size: 0, chunks: [], file: undefined, complete: true };
    }
    this.ask();
  }

  /** Writes the question, and finds somebody to ask. */
  private ask(): void {
    const { exchange, location, destination } = this;
    const { url, group } = destination;
    const { settings, target } = location;
    this.uri = upstreamUri(target, destination, exchange);
    if (this.uri === '') {
      log(exchange, 'error', 'zero length URI to proxy');
      finalize(exchange, 500);
      return;
    }
    const methodTemplate = location.request.method;
    const method = methodTemplate === undefined ? exchange.method : methodTemplate.evaluate(exchange);
    this.writeQuestion(method);
    if (debugging.on) debugQuestion(exchange, this.question);

    // Another proxied location has been here before: ` : ` in `$upstream_addr`.
    if (exchange.upstream !== undefined) exchange.upstream.attempts.push(newAttempt(''));
    const attempts = group.begin(url.secure ? location.secure : location.plain, exchange);
    this.attempts = attempts;
    attempts.headOnly = method.length === 4 && method.toUpperCase() === 'HEAD';
    if (location.localAddress !== undefined) attempts.localAddress = location.localAddress.evaluate(exchange);
    if (url.secure && location.needsTlsName) {
      attempts.tlsName = location.tlsName === undefined ? url.host : location.tlsName.evaluate(exchange);
    }
    if (group.sharing && location.mayShare) {
      attempts.sharing = maySharePlace(location.request, exchange, method);
    }
    const { proxy_next_upstream_tries: tries } = settings;
    if (tries > 0 && attempts.tries > tries) attempts.tries = tries;
    if (settings.proxy_next_upstream_timeout > 0) this.startedAt = nowMilliseconds();
    this.watchClient();
    this.askNext();
  }

  private watchClient(): void {
    this.exchange.onAbort = () => this.clientGone();
  }

  private writeQuestion(method: string): void {
    const { exchange, location, destination } = this;
    const { request, settings } = location;
    const { hostHeader } = destination.url;
    const { body } = exchange;
    if (location.body !== undefined) {
      const text = location.body.evaluate(exchange);
      this.question = writeHead(request, exchange, method, this.uri, hostHeader, text.length, false) + text;
      return;
    }
    if (this.streaming) {
      const length = exchange.chunked ? -1 : exchange.contentLength;
      this.question = writeHead(request, exchange, method, this.uri, hostHeader, length, exchange.chunked);
      (this.sender as StreamQuestion).head = this.question;
      return;
    }
    const length = body !== undefined && hasRequestBody(exchange) ? body.size : exchange.contentLength;
    this.question = writeHead(request, exchange, method, this.uri, hostHeader, length, false);
    if (body === undefined || body.size === 0 || !settings.proxy_pass_request_body) return;
    this.sender =
      body.file === undefined
        ? new MemoryQuestion(this.question, body.chunks, body.size)
        : new FileQuestion(exchange, this.question, body.file, () => this.giveUp(500));
  }

  /** Asks the next server. */
  private askNext(): void {
    const { exchange } = this;
    const attempts = this.attempts!;
    const request = attempts.next(this);
    this.request = request;
    this.requestSent = false;
    const address = request === undefined ? attempts.groupName : request.address;
    const attempt = newAttempt(address);
    this.attempt = attempt;
    const { upstream } = exchange;
    if (upstream !== undefined) upstream.attempts.push(attempt);
    else exchange.upstream = { attempts: [attempt], headers: undefined, trailers: undefined };
    const separator = address.startsWith('unix:') ? ':' : '';
    exchange.upstreamUrl = `${this.destination.url.scheme}${address}${separator}${this.uri}`;
    if (request === undefined) {
      log(exchange, 'error', attempts.refusal);
      attempt.status = 502;
      attempt.responseTime = 0;
      this.giveUp(502);
      return;
    }
    if (debugging.on) debugPeer(exchange, address, attempts.tries);
    request.start();
  }

  connected(reused: boolean): void {
    const request = this.request!;
    if (debugging.on) debugConnected(this.exchange, request.address, reused);
    this.requestSent = true;
    if (this.sender !== undefined) {
      this.sender.send(request);
      return;
    }
    request.write(this.question);
    request.endRequest();
  }

  drain(): void {
    if (this.tunnel !== undefined) this.tunnel.upstreamDrained();
    else this.sender?.drain();
  }

  /** The request's body will not be complete. */
  private bodyFailed(status: number): void {
    // 0: the client has gone, which is reported by itself.
    if (status !== 0) this.giveUp(status);
  }

  // ---- failures, and another server ----

  fail(failure: UpstreamFailure): void {
    const { exchange } = this;
    if (failure.message !== '') {
      const inTunnel = this.tunnel !== undefined && failure.kind === 'timeout';
      log(exchange, inTunnel ? 'info' : failure.level, failure.message);
    }
    if (this.tunnel !== undefined) {
      this.tunnel.finish();
      return;
    }
    if (this.answering || this.settled !== 0) {
      this.breakOff(failure);
      return;
    }
    if (failure.kind === 'internal') {
      this.giveUp(500);
      return;
    }
    this.finishAttempt(failure.behind ? 'next' : 'failed');
    const attempts = this.attempts!;
    if (failure.stale) attempts.tries++;
    const status = failure.kind === 'timeout' ? 504 : 502;
    const attempt = this.attempt!;
    attempt.status = status;
    // As nginx measures: a refusal that took its time is the end of connecting.
    const refused = failure.kind === 'error' && !failure.handshake && !attempt.address.startsWith('unix:');
    if (attempt.connectTime < 0 && refused) attempt.connectTime = attempt.responseTime;
    if (attempts.tries > 0 && this.mayAskAnother(reasonOf(failure))) this.askNext();
    else this.giveUp(status);
  }

  /** Whether `proxy_next_upstream` and its companions allow another server after such an outcome. */
  private mayAskAnother(reason: number): boolean {
    const { settings } = this.location;
    if (!leadsOn(settings, reason, this.exchange.method, this.requestSent)) return false;
    // What has been sent of a body that is not kept cannot be sent again.
    if (this.requestSent && this.streaming) return false;
    const timeout = settings.proxy_next_upstream_timeout;
    return timeout === 0 || nowMilliseconds() - this.startedAt < timeout;
  }

  /** The answer breaks off in its middle. */
  private breakOff(failure: UpstreamFailure): void {
    const { exchange, settled } = this;
    this.close();
    if (settled !== 0) {
      this.settle(settled);
      return;
    }
    // What has come is sent, and the connection closed: the client can tell that it is not all.
    exchange.output.flush();
    breakOffExchange(exchange, failure.kind === 'timeout' ? 504 : 502);
  }

  /** Ends the exchange with a status of the proxy's own. */
  private giveUp(status: number): void {
    this.close();
    finalize(this.exchange, status);
  }

  /** The client has closed its connection. @returns whether the server is asked all the same */
  private clientGone(): boolean {
    const { exchange, request } = this;
    const gone = exchange.connection.closed;
    // As long as nothing is written to it, nginx does not notice.
    if (this.location.settings.proxy_ignore_client_abort && !(gone && exchange.headSent)) return true;
    if (request !== undefined && !request.over) {
      log(
        exchange,
        'info',
        'epoll_wait() reported that client prematurely closed connection, ' +
          `so upstream connection is closed too while ${request.action}`,
      );
    }
    this.close();
    return false;
  }

  /** Gives back all that is held. Harmless at any time. */
  close(): void {
    const { exchange } = this;
    exchange.onAbort = undefined;
    exchange.onDrain = undefined;
    this.sender?.stop();
    this.pipe?.close();
    this.finishAttempt('ok');
  }

  /** Ends the attempt under way, and notes what it came to. */
  private finishAttempt(outcome: 'ok' | 'next' | 'failed'): void {
    const { attempts, attempt, request } = this;
    if (attempts === undefined || attempt === undefined || request === undefined) return;
    attempts.finish(outcome);
    noteEnd(attempt, request);
    if (debugging.on) debugAttempt(this.exchange, attempt, outcome);
  }

  log(level: 'error' | 'warn' | 'info', message: string): void {
    log(this.exchange, level, message);
  }

  // ---- the answer's head ----

  interim(_head: ResponseHead): void {
    // nginx sends early hints on only where its directive `early_hints` says so.
  }

  head(head: ResponseHead, contentLength: number): void {
    const { exchange, location } = this;
    const { headers, status } = head;
    const attempt = this.attempt!;
    const request = this.request!;
    if (debugging.on) debugAnswer(exchange, head);
    attempt.status = status;
    attempt.connectTime = request.connectTime;
    attempt.headerTime = request.headerTime;
    exchange.upstream!.headers = headers;
    if (status >= 300) {
      if (this.askAnotherAfter(status)) return;
      if (this.intercepts(status, headers)) {
        this.sender?.stop();
        this.settleAfter(status, head, contentLength);
        return;
      }
      this.sender?.stop();
    } else this.sender?.answered();
    const { response: template, settings } = location;
    const limitRate = limitRateOf(template, headers);
    if (limitRate !== undefined) exchange.limitRate = limitRate;
    exchange.response.overrideCharset = charsetOf(template, headers);
    const redirectTarget = redirectTargetOf(template, headers);
    if (redirectTarget !== undefined) {
      this.redirectTarget = redirectTarget;
      takeRedirectedHead(template, exchange, headers);
      this.settleAfter(REDIRECT, head, contentLength);
      return;
    }
    takeHead(template, exchange, head, contentLength);
    const buffering = wantsBuffering(template, headers, settings.proxy_buffering);
    if (!buffering) exchange.limitRate = 0;
    if (status === 101 && exchange.headers.hasKnown(KnownHeader.upgrade)) {
      this.upgrade(request);
      return;
    }
    const refusal = sendHead(exchange);
    if (refusal !== OK) {
      this.settleAfter(refusal, head, contentLength);
      return;
    }
    this.answering = true;
    this.buffering = buffering;
    if (exchange.connection.closed) {
      // `proxy_ignore_client_abort` has let the server finish; there is nobody to tell.
      this.close();
      abortExchange(exchange, 499);
    } else if (exchange.bodyless) {
      if (!this.isEmpty(status, contentLength)) {
        this.close();
        endExchange(exchange);
      }
    } else if (!buffering) this.flushSoon();
  }

  /** Whether the server's answer has no body, so that its end follows at once. */
  private isEmpty(status: number, contentLength: number): boolean {
    return this.attempts!.headOnly || status === 204 || status === 304 || contentLength === 0;
  }

  /** `proxy_next_upstream http_...`. @returns true where another server is being asked */
  private askAnotherAfter(status: number): boolean {
    const reason = NEXT_BY_STATUS[status];
    if (reason === undefined || this.attempts!.tries <= 1 || !this.mayAskAnother(reason)) return false;
    this.finishAttempt(status === 403 || status === 404 ? 'next' : 'failed');
    this.askNext();
    return true;
  }

  /** `proxy_intercept_errors`: whether an error page takes the answer's place. */
  private intercepts(status: number, headers: HeaderBlock): boolean {
    const { exchange } = this;
    if (!this.location.settings.proxy_intercept_errors) return false;
    if (!exchange.location.errorPages?.has(status)) return false;
    if (status === 401) {
      let index = headers.known(KnownHeader.wwwAuthenticate);
      for (; index >= 0; index = headers.known(KnownHeader.wwwAuthenticate, index + 1)) {
        exchange.response.fields += headers.lines(index, index + 1);
      }
    }
    return true;
  }

  /** Something else takes the answer's place: at once, unless the answer's end follows and frees the connection. */
  private settleAfter(outcome: number, { status }: ResponseHead, contentLength: number): void {
    if (this.isEmpty(status, contentLength)) {
      this.settled = outcome;
      return;
    }
    this.close();
    this.settle(outcome);
  }

  private settle(outcome: number): void {
    const { exchange, redirectTarget } = this;
    if (outcome !== REDIRECT) {
      finalize(exchange, outcome);
    } else if (!internalRedirectTo(exchange, redirectTarget)) {
      log(exchange, 'error', `unsafe URI "${redirectTarget}" was detected`);
      finalize(exchange, 404);
    }
  }

  // ---- the answer's body ----

  data(buffer: Buffer, start: number, end: number, last: boolean): boolean {
    if (this.tunnel !== undefined) return this.tunnel.fromUpstream(buffer.subarray(start, end));
    const { exchange, pipe } = this;
    if (!this.answering || exchange.bodyless) return true;
    // Whoever has seen the end of the answer, and asks again, finds it counted as over.
    if (last) this.attempts!.settle();
    if (pipe !== undefined) return pipe.data(buffer.subarray(start, end));
    const { output } = exchange;
    // A small piece is copied into one write with the head anyway: as a string it needs no object of its own before.
    const isSmall = output === exchange.carrier && end - start <= SMALL;
    const room = output.write(isSmall ? latin1Text(buffer, start, end) : buffer.subarray(start, end));
    if (!this.buffering) output.flush();
    if (!room) this.makePipe();
    return room;
  }

  /** The client does not keep up: the piece just written is still in use. */
  private makePipe(): void {
    const { exchange, location, buffering } = this;
    this.pipe = new AnswerPipe(exchange, this.request!, location, buffering, () => this.answerLost());
    this.pipe.wait();
  }

  end(trailers: HeaderBlock | undefined): void {
    const { exchange, settled } = this;
    if (this.tunnel !== undefined) {
      this.tunnel.upstreamEnd();
      return;
    }
    if (settled !== 0) {
      this.close();
      this.settle(settled);
      return;
    }
    if (trailers !== undefined) {
      exchange.upstream!.trailers = trailers;
      exchange.response.trailers += trailerLines(this.location.response, trailers);
    }
    this.sender?.stop();
    // The server has done its part, however long the client takes.
    this.finishAttempt('ok');
    if (this.pipe === undefined) endExchange(exchange);
    else this.pipe.end();
  }

  /** What has been read ahead of the answer cannot be had back. */
  private answerLost(): void {
    this.close();
    abortExchange(this.exchange, 500);
  }

  /** Sends the head off at once, unless a piece of the body that is at hand takes it along. */
  private flushSoon(): void {
    const { exchange } = this;
    queueMicrotask(() => {
      if (!exchange.gone) exchange.output.flush();
    });
  }

  // ---- upgraded connections ----

  private upgrade(request: UpstreamRequest): void {
    const { exchange } = this;
    exchange.keepAlive = false;
    exchange.onAbort = undefined;
    const tunnel = new UpgradeTunnel(exchange, request, () => {
      this.close();
      endExchange(exchange);
    });
    this.tunnel = tunnel;
    sendHead(exchange);
    tunnel.open();
  }
}
