/** Static files: the last handler of the content phase, for `root` and `alias`. */
import { close, constants, fstatSync, openSync, read, type Stats } from 'node:fs';
import type { Exchange } from '../core/exchange.ts';
import { filePath } from '../core/file-path.ts';
import { abortExchange } from '../core/finalize.ts';
import { log } from '../core/log.ts';
import { contentTypeOf } from '../core/mime-types.ts';
import { defineModule } from '../core/module.ts';
import { DECLINED, DONE, OK, type PhaseResult } from '../core/phases.ts';
import { discardRequestBody } from '../core/request-body.ts';
import { endExchange, sendHead } from '../core/send.ts';
import { escapeUri } from '../http/uri-escape.ts';
import { describeError, isSystemError } from '../log/system-errors.ts';

/** Bytes read, and sent, at a time. */
const PIECE = 128 * 1024;

/** Statuses of the errors that open(2) gives for what a client asked. */
function statusOf(error: NodeJS.ErrnoException): number {
  switch (error.code) {
    case 'ENOENT':
    case 'ENOTDIR':
    case 'ENAMETOOLONG':
      return 404;
    case 'EACCES':
    case 'ELOOP':
      return 403;
    default:
      return 500;
  }
}

function serveFile(exchange: Exchange): PhaseResult {
  const { method, uri } = exchange;
  if (method !== 'GET' && method !== 'HEAD' && method !== 'POST') return 405;
  if (uri.endsWith('/')) return DECLINED;
  const path = filePath(exchange);
  let descriptor: number;
  let stats: Stats;
  try {
    // Without waiting: a FIFO nobody writes to must not stop the worker.
    descriptor = openSync(Buffer.from(path, 'latin1'), constants.O_RDONLY | constants.O_NONBLOCK);
    stats = fstatSync(descriptor);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    const status = statusOf(error);
    if (status !== 404 || exchange.location.settings.log_not_found) {
      log(exchange, status === 500 ? 'crit' : 'error', `open() "${path}" failed (${describeError(error)})`);
    }
    return status;
  }
  if (stats.isDirectory()) {
    closeFile(descriptor);
    exchange.response.location = `${escapeUri(uri, 'uri')}/${exchange.args === '' ? '' : `?${exchange.args}`}`;
    return 301;
  }
  if (!stats.isFile()) {
    closeFile(descriptor);
    log(exchange, 'crit', `"${path}" is not a regular file`);
    return 404;
  }
  if (method === 'POST') {
    closeFile(descriptor);
    return 405;
  }
  const refused = discardRequestBody(exchange);
  if (refused !== OK) {
    closeFile(descriptor);
    return refused;
  }
  sendFile(exchange, descriptor, stats);
  return DONE;
}

function closeFile(descriptor: number): void {
  close(descriptor, () => {});
}

function sendFile(exchange: Exchange, descriptor: number, stats: Stats): void {
  const { response } = exchange;
  const modified = Math.floor(stats.mtimeMs / 1000);
  response.status = 200;
  response.contentType = contentTypeOf(exchange);
  response.contentLength = stats.size;
  response.lastModified = modified;
  if (exchange.location.settings.etag)
    response.etag = `"${modified.toString(16)}-${stats.size.toString(16)}"`;
  sendHead(exchange);
  if (exchange.bodyless || stats.size === 0) {
    closeFile(descriptor);
    endExchange(exchange);
    return;
  }
  new FileSender(exchange, descriptor, stats.size).next();
}

/** Sends one open file, piece by piece, no faster than the client reads. Owns the descriptor. */
class FileSender {
  private readonly exchange: Exchange;
  private readonly descriptor: number;
  private readonly size: number;
  private readonly buffer: Buffer;
  private position = 0;
  private reading = false;
  private released = false;

  constructor(exchange: Exchange, descriptor: number, size: number) {
    this.exchange = exchange;
    this.descriptor = descriptor;
    this.size = size;
    this.buffer = Buffer.allocUnsafeSlow(Math.min(size, PIECE));
    exchange.onDrain = () => this.next();
    exchange.onRelease(() => this.release());
  }

  next(): void {
    if (this.reading || this.exchange.ended) return;
    this.reading = true;
    const wanted = Math.min(this.size - this.position, this.buffer.length);
    read(this.descriptor, this.buffer, 0, wanted, this.position, (error, length) => {
      this.reading = false;
      if (this.released) {
        closeFile(this.descriptor);
        return;
      }
      this.sendPiece(error, length);
    });
  }

  private sendPiece(error: NodeJS.ErrnoException | null, length: number): void {
    const { exchange } = this;
    if (exchange.ended) return;
    if (error !== null || length === 0) {
      // The file has become shorter, or cannot be read: the length promised cannot be kept.
      log(
        exchange,
        'alert',
        error === null ? 'file was truncated while it was sent' : `read() failed (${describeError(error)})`,
      );
      abortExchange(exchange, 500);
      return;
    }
    this.position += length;
    const room = exchange.output.write(
      length === this.buffer.length ? this.buffer : this.buffer.subarray(0, length),
    );
    if (this.position === this.size) endExchange(exchange);
    else if (room) this.next();
  }

  /** A read under way still uses the descriptor: it is closed when that is back. */
  private release(): void {
    this.released = true;
    if (!this.reading) closeFile(this.descriptor);
  }
}

export const staticFiles = defineModule({
  name: 'http_static',
  directives: {},
  location: () => ({ content: serveFile }),
});
