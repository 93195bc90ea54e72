/** Answers that are files: the head says what the file system knows, the body is read no faster than it is sent. */
import { read, readSync } from 'node:fs';
import { describeFileError, isSystemError } from '../log/system-errors.ts';
import { BUFFER_SIZE, returnBuffer, takeBuffer } from './buffer-pool.ts';
import type { BodyParts, Exchange } from './exchange.ts';
import { abortExchange } from './finalize.ts';
import { log } from './log.ts';
import { contentTypeOf } from './mime-types.ts';
import { closeFile, type OpenFile } from './open-file.ts';
import { DONE, OK, type PhaseResult } from './phases.ts';
import { endExchange, sendHead } from './send.ts';

/** What a file's ETag is made of: when it was changed, in seconds, and its size in bytes. */
function fileEtag(modified: number, size: number): string {
  // A time before 1970 is shown as the system's 64 bits are.
  const time = modified < 0 ? BigInt.asUintN(64, BigInt(modified)) : modified;
  return `"${time.toString(16)}-${size.toString(16)}"`;
}

/**
 * Answers with a file, all of it or the ranges that are wanted.
 * @param opened a regular file; it is closed when it has been sent, on every path
 * @param path its name, for the error log
 * @returns DONE, or the status that is to take the answer's place
 */
export function answerWithFile(exchange: Exchange, opened: OpenFile, path: string): PhaseResult {
  const { response, location } = exchange;
  const { descriptor, stats } = opened;
  const { size } = stats;
  const modified = Math.floor(stats.mtimeMs / 1000);
  response.status = 200;
  response.contentType = contentTypeOf(exchange);
  response.contentLength = size;
  response.lastModified = modified;
  if (location.settings.etag) response.etag = fileEtag(modified, size);
  response.acceptRanges = true;
  response.seekable = true;
  let refusal: PhaseResult = 0;
  try {
    refusal = sendHead(exchange);
  } catch (error) {
    closeFile(exchange, descriptor, path);
    throw error;
  }
  if (refusal !== OK) {
    closeFile(exchange, descriptor, path);
    return refusal;
  }
  const { parts } = response;
  if (exchange.bodyless || size === 0) {
    closeFile(exchange, descriptor, path);
    endExchange(exchange);
  } else if (parts === undefined && size <= BUFFER_SIZE && !location.settings.aio) {
    sendSmallFile(exchange, descriptor, size, path);
  } else new FileSender(exchange, descriptor, size, path, parts).proceed();
  return DONE;
}

/** A file that fits into one buffer is read and written at once. */
function sendSmallFile(exchange: Exchange, descriptor: number, size: number, path: string): void {
  const buffer = takeBuffer();
  let length = 0;
  try {
    length = readSync(descriptor, buffer, 0, size, 0);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    log(exchange, 'crit', describeFileError('pread()', path, error));
    length = -1;
  }
  closeFile(exchange, descriptor, path);
  if (length !== size) {
    returnBuffer(buffer);
    if (length >= 0) logTruncated(exchange, length, size, path);
    abortExchange(exchange, 500);
    return;
  }
  if (exchange.output.write(buffer.subarray(0, size))) returnBuffer(buffer);
  else exchange.onRelease(() => returnBuffer(buffer));
  endExchange(exchange);
}

/** The length promised cannot be kept. */
function logTruncated(exchange: Exchange, length: number, wanted: number, path: string): void {
  log(exchange, 'alert', `pread() read only ${length} of ${wanted} from "${path}"`);
}

/** Sends one open file piece by piece. Owns the descriptor and one buffer. */
class FileSender {
  private readonly exchange: Exchange;
  private readonly descriptor: number;
  private readonly path: string;
  private readonly parts: BodyParts;
  private readonly asynchronous: boolean;
  /** Bytes that may be sent in one turn of the event loop. */
  private readonly turn: number;
  /** Undefined while nothing is under way. */
  private buffer: Buffer | undefined = undefined;
  /** The range that is being sent, and how far. */
  private index = -1;
  private position = 0;
  private end = 0;
  /** A piece is being read on another thread: the descriptor and the buffer are in use. */
  private reading = false;
  /** The last piece is with the client's connection. */
  private blocked = false;
  private released = false;
  private readonly epilogues: number;

  constructor(
    exchange: Exchange,
    descriptor: number,
    size: number,
    path: string,
    parts: BodyParts | undefined,
  ) {
    const { settings } = exchange.location;
    this.exchange = exchange;
    this.descriptor = descriptor;
    this.path = path;
    this.epilogues = exchange.epilogues;
    this.parts = parts ?? { ranges: [{ start: 0, end: size }], before: undefined, after: '' };
    this.asynchronous = settings.aio;
    this.turn = settings.sendfile_max_chunk || Number.POSITIVE_INFINITY;
    exchange.onDrain = () => this.clientTakesMore();
    exchange.onRelease(() => this.release());
  }

  /** Nobody wants the rest. */
  private get over(): boolean {
    return this.exchange.overSince(this.epilogues);
  }

  /** Sends what the client takes now, as far as it is this file's turn. */
  proceed(): void {
    let left = this.turn;
    while (left > 0) {
      if (this.over || this.blocked || this.reading) return;
      if (this.position === this.end && !this.nextRange()) return;
      this.buffer ??= takeBuffer();
      const wanted = Math.min(this.end - this.position, BUFFER_SIZE, left);
      if (this.asynchronous) {
        this.readElsewhere(this.buffer, wanted);
        return;
      }
      let length: number;
      try {
        length = readSync(this.descriptor, this.buffer, 0, wanted, this.position);
      } catch (error) {
        if (!isSystemError(error)) throw error;
        this.fail(error);
        return;
      }
      if (!this.send(length, wanted)) return;
      left -= length;
    }
    // Others are waiting, too.
    setImmediate(() => this.proceed());
  }

  /** @returns false where there is none: the body is complete */
  private nextRange(): boolean {
    const { exchange, parts } = this;
    this.index++;
    const range = parts.ranges[this.index];
    if (range === undefined) {
      if (parts.after !== '') exchange.output.write(parts.after);
      endExchange(exchange);
      return false;
    }
    this.position = range.start;
    this.end = range.end;
    // A few bytes, whatever the client takes: the piece that follows waits.
    if (parts.before !== undefined) exchange.output.write(parts.before[this.index]!);
    return true;
  }

  private readElsewhere(buffer: Buffer, wanted: number): void {
    this.reading = true;
    read(this.descriptor, buffer, 0, wanted, this.position, (error, length) => {
      this.reading = false;
      if (this.released) {
        this.letGo();
        return;
      }
      if (this.over) return;
      if (error !== null) this.fail(error);
      else if (this.send(length, wanted)) this.proceed();
    });
  }

  /** @returns whether the client takes more */
  private send(length: number, wanted: number): boolean {
    const { exchange } = this;
    const buffer = this.buffer!;
    if (length === 0) {
      logTruncated(exchange, length, wanted, this.path);
      abortExchange(exchange, 500);
      return false;
    }
    this.position += length;
    const isLast = this.position === this.end && this.index === this.parts.ranges.length - 1;
    const room = exchange.output.write(length === buffer.length ? buffer : buffer.subarray(0, length));
    if (isLast && this.parts.after === '') {
      if (room) this.freeBuffer();
      endExchange(exchange);
      return false;
    }
    if (!room) this.blocked = true;
    return room;
  }

  private clientTakesMore(): void {
    if (!this.blocked) return;
    this.blocked = false;
    this.proceed();
  }

  private fail(error: NodeJS.ErrnoException): void {
    log(this.exchange, 'crit', describeFileError('pread()', this.path, error));
    abortExchange(this.exchange, 500);
  }

  /** A read under way still uses the descriptor and the buffer: they go when that is back. */
  private release(): void {
    this.released = true;
    if (!this.reading) this.letGo();
  }

  private letGo(): void {
    this.freeBuffer();
    closeFile(this.exchange, this.descriptor, this.path);
  }

  private freeBuffer(): void {
    const { buffer } = this;
    this.buffer = undefined;
    if (buffer !== undefined) returnBuffer(buffer);
  }
}
