/**
 * The body of the question to an upstream server, sent no faster than the server reads: from memory, from a temporary
 * file, or as the client sends it (`proxy_request_buffering off`).
 */
import type { BodyReceiver } from '../../core/carrier.ts';
import type { Exchange } from '../../core/exchange.ts';
import { log } from '../../core/log.ts';
import { type RequestBody, sendContinue } from '../../core/request-body.ts';
import type { TempFile } from '../../core/temp-file.ts';
import { CHUNK_END, chunkPrefix, LAST_CHUNK } from '../../http/chunked.ts';
import { latin1Text } from '../../http/latin1.ts';
import { describeError } from '../../log/system-errors.ts';
import type { UpstreamRequest } from '../../upstream/client.ts';

/** Sends head and body of one question, to one server after another where the first fail. */
export interface QuestionSender {
  /** Begins with another server, from the start. */
  send(request: UpstreamRequest): void;
  /** The server takes more. */
  drain(): void;
  /**
   * A good answer has begun before all has been sent. What is at hand goes on being sent, for the server may answer with
   * what it is sent; what the client still has to send does not.
   */
  answered(): void;
  /** Nothing more is to be sent: the answer has come, or nobody waits for it any more. */
  stop(): void;
}

/** Up to so many bytes of body go out in one piece with the head. */
const JOINED_LIMIT = 16_384;
/** Bytes of one piece read from a file. */
const PIECE = 65_536;

/** Sends a body that is in memory. */
export class MemoryQuestion implements QuestionSender {
  private readonly head: string;
  private readonly chunks: readonly Buffer[];
  private readonly size: number;
  private request: UpstreamRequest | undefined = undefined;
  private next = 0;

  constructor(head: string, chunks: readonly Buffer[], size: number) {
    this.head = head;
    this.chunks = chunks;
    this.size = size;
  }

  send(request: UpstreamRequest): void {
    const { chunks, head } = this;
    if (this.size > JOINED_LIMIT) {
      this.request = request;
      this.next = 0;
      if (request.write(head)) this.drain();
      return;
    }
    let text = head;
    for (let index = 0; index < chunks.length; index++) {
      const chunk = chunks[index]!;
      text += latin1Text(chunk, 0, chunk.length);
    }
    request.write(text);
    request.endRequest();
  }

  drain(): void {
    const { request, chunks } = this;
    if (request === undefined) return;
    while (this.next < chunks.length) {
      if (!request.write(chunks[this.next++]!)) break;
    }
    if (this.next < chunks.length) return;
    this.request = undefined;
    request.endRequest();
  }

  answered(): void {
    // It goes on.
  }

  stop(): void {
    this.request = undefined;
  }
}

/** Sends a body that is in a temporary file. */
export class FileQuestion implements QuestionSender {
  private readonly exchange: Exchange;
  private readonly head: string;
  private readonly file: TempFile;
  private readonly failed: () => void;
  private request: UpstreamRequest | undefined = undefined;
  private position = 0;
  private reading = false;
  private isAnswered = false;

  /** @param failed called where the file cannot be read; the reason is in the error log */
  constructor(exchange: Exchange, head: string, file: TempFile, failed: () => void) {
    this.exchange = exchange;
    this.head = head;
    this.file = file;
    this.failed = failed;
  }

  send(request: UpstreamRequest): void {
    this.request = request;
    this.position = 0;
    if (request.write(this.head)) this.drain();
  }

  drain(): void {
    const { request, file } = this;
    if (request === undefined || this.reading) return;
    this.reading = true;
    // A piece of its own each time: what was written before may not have been taken yet.
    const piece = Buffer.allocUnsafeSlow(Math.min(PIECE, file.size - this.position));
    file.read(this.position, piece, (error, length) => {
      this.reading = false;
      // Another server is being asked by now: from the start.
      if (this.request === request) this.sendPiece(request, piece, error, length);
      else this.drain();
    });
  }

  answered(): void {
    this.isAnswered = true;
  }

  stop(): void {
    this.request = undefined;
  }

  private sendPiece(
    request: UpstreamRequest,
    piece: Buffer,
    error: NodeJS.ErrnoException | null,
    length: number,
  ): void {
    if (error !== null || length === 0) {
      this.request = undefined;
      const reason = error === null ? 'read() returned nothing' : `read() failed (${describeError(error)})`;
      log(this.exchange, 'crit', `${reason}, "${this.file.path}" while sending request to upstream`);
      // The answer may end well without the rest.
      if (!this.isAnswered) this.failed();
      return;
    }
    this.position += length;
    const room = request.write(length === piece.length ? piece : piece.subarray(0, length));
    if (this.position === this.file.size) {
      this.request = undefined;
      request.endRequest();
    } else if (room) this.drain();
  }
}

/**
 * Passes the client's body on as it comes; once some of it has been sent, it cannot be sent again. What comes in one
 * read leaves in one write.
 */
export class StreamQuestion implements QuestionSender, BodyReceiver {
  private readonly exchange: Exchange;
  private readonly failed: (status: number) => void;
  private request: UpstreamRequest | undefined = undefined;
  /** What has come and has not been sent. */
  private chunks: Buffer[] = [];
  private size = 0;
  /** The whole body has come. */
  private complete = false;
  private paused = false;
  private stopped = false;
  private flushing = false;
  /** Text that goes in front of what is sent next: the head. */
  head = '';

  /** @param failed called where the body will not be complete, with the status to answer with */
  constructor(exchange: Exchange, failed: (status: number) => void) {
    this.exchange = exchange;
    this.failed = failed;
  }

  /**
   * Begins to read. What has come with the request's head is delivered before this returns; then reading waits for
   * `send`.
   * @returns the body where that was all of it
   */
  begin(): RequestBody | undefined {
    const { carrier, location } = this.exchange;
    sendContinue(this.exchange);
    carrier.readBody(this, location.settings.client_max_body_size, location.settings.client_body_timeout);
    if (this.stopped) return undefined;
    if (this.complete) return { size: this.size, chunks: this.chunks, file: undefined, complete: true };
    this.paused = true;
    carrier.pauseBody();
    return undefined;
  }

  /** The body broke off before there was anybody to send it to. */
  get over(): boolean {
    return this.stopped;
  }

  send(request: UpstreamRequest): void {
    this.request = request;
    this.flush();
    this.drain();
  }

  drain(): void {
    if (!this.paused || this.stopped) return;
    this.paused = false;
    this.exchange.carrier.resumeBody();
  }

  answered(): void {
    this.stop();
  }

  stop(): void {
    if (this.stopped) return;
    this.stopped = true;
    this.chunks = [];
    // Neither wanted nor waited for: the carrier drops it when the answer is complete.
    if (!this.complete) this.exchange.carrier.pauseBody();
  }

  data(chunk: Buffer): boolean {
    if (this.stopped) return true;
    const { request } = this;
    if (request !== undefined && chunk.length > JOINED_LIMIT && this.isNextAsItIs()) {
      if (!request.write(chunk)) this.pause();
      return request.pending === 0;
    }
    this.chunks.push(chunk);
    this.size += chunk.length;
    this.flushSoon();
    return false;
  }

  end(): void {
    this.complete = true;
    this.flushSoon();
  }

  fail(status: number): void {
    if (this.stopped) return;
    this.stopped = true;
    this.failed(status);
  }

  /** Nothing waits to be sent before what comes now, and nothing goes around it. */
  private isNextAsItIs(): boolean {
    return this.chunks.length === 0 && this.head === '' && !this.exchange.chunked;
  }

  private pause(): void {
    if (this.paused) return;
    this.paused = true;
    this.exchange.carrier.pauseBody();
  }

  private flushSoon(): void {
    if (this.flushing || this.request === undefined) return;
    this.flushing = true;
    queueMicrotask(() => {
      this.flushing = false;
      this.flush();
    });
  }

  private flush(): void {
    const { request, chunks, size, complete } = this;
    if (request === undefined || this.stopped) return;
    this.chunks = [];
    this.size = 0;
    const { chunked } = this.exchange;
    let before = this.head;
    this.head = '';
    let after = '';
    if (chunked && size > 0) {
      before += chunkPrefix(size);
      after = CHUNK_END;
    }
    if (chunked && complete) after += LAST_CHUNK;
    let room = true;
    if (size <= JOINED_LIMIT) {
      for (let index = 0; index < chunks.length; index++)
        before += latin1Text(chunks[index]!, 0, chunks[index]!.length);
      room = request.write(before + after);
    } else {
      if (before !== '') request.write(before);
      for (let index = 0; index < chunks.length; index++) room = request.write(chunks[index]!);
      if (after !== '') room = request.write(after);
    }
    if (complete) request.endRequest();
    else if (!room) this.pause();
  }
}
