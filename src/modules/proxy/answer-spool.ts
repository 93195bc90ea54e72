/**
 * An upstream server's answer on its way to a client that reads more slowly than the server sends (`proxy_buffering`):
 * it is read ahead, into memory as far as `proxy_buffers` go, then into a temporary file, so that the server is soon
 * free for others.
 *
 * What is waiting, in the order in which it is sent: pieces in memory; the unread part of the file; one piece that is
 * the upstream connection's, because there was room for it nowhere.
 */
import type { Exchange } from '../../core/exchange.ts';
import { log } from '../../core/log.ts';
import { TempFile, type TempPath } from '../../core/temp-file.ts';
import { describeError } from '../../log/system-errors.ts';

/** Bytes of one piece read from the file. */
const PIECE = 65_536;

/** Whom a spool tells what. */
export interface SpoolOwner {
  /** The piece `add` returned false for is free, and there is room for more. */
  spoolHasRoom(): void;
  /** Nothing is waiting any more: what comes now can go to the client directly. */
  spoolIsEmpty(): void;
  /** What is in the file cannot be had; the reason is in the error log. */
  spoolFailed(): void;
}

/** How much a spool may hold, and where. */
export interface SpoolLimits {
  /** Bytes in memory. */
  readonly memoryLimit: number;
  /** Bytes in the file; 0 for no file. */
  readonly fileLimit: number;
  readonly tempPath: TempPath;
}

export class AnswerSpool {
  private readonly exchange: Exchange;
  private readonly owner: SpoolOwner;
  private readonly limits: SpoolLimits;
  private memory: Buffer[] = [];
  private memorySize = 0;
  private file: TempFile | undefined = undefined;
  private filePosition = 0;
  private reading = false;
  private borrowed: Buffer | undefined = undefined;
  /** The borrowed piece has been written, and the client has not taken it yet. */
  private borrowedInUse = false;
  /** The client has as much as it takes. */
  private blocked = true;
  private closed = false;

  /** Made when the client has as much as it takes. */
  constructor(exchange: Exchange, owner: SpoolOwner, limits: SpoolLimits) {
    this.exchange = exchange;
    this.owner = owner;
    this.limits = limits;
  }

  /**
   * Takes a piece of the answer.
   * @param chunk lent: it is copied, unless there is no room
   * @returns false where there is none: the piece stays in use until `spoolHasRoom`
   */
  add(chunk: Buffer): boolean {
    if (this.closed) return true;
    const { memoryLimit } = this.limits;
    const fileInUse = this.file !== undefined && this.filePosition < this.file.size;
    if (!fileInUse && (this.memorySize === 0 || this.memorySize + chunk.length <= memoryLimit)) {
      const copy = Buffer.allocUnsafeSlow(chunk.length);
      chunk.copy(copy);
      this.memory.push(copy);
      this.memorySize += copy.length;
      if (!this.blocked) this.send();
      return true;
    }
    if (this.appendToFile(chunk)) return true;
    this.borrowed = chunk;
    return false;
  }

  /** The client takes more. */
  drained(): void {
    this.blocked = false;
    if (this.closed) return;
    if (this.borrowedInUse) {
      this.borrowed = undefined;
      this.borrowedInUse = false;
      this.owner.spoolHasRoom();
    }
    if (!this.blocked) this.send();
  }

  /** Forgets what is waiting, and lets go of the file. Harmless at any time. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.memory = [];
    this.borrowed = undefined;
    this.file?.close();
    this.file = undefined;
  }

  private send(): void {
    if (this.closed) return;
    const { output } = this.exchange;
    while (this.memory.length > 0) {
      const piece = this.memory.shift()!;
      this.memorySize -= piece.length;
      if (!output.write(piece)) {
        this.blocked = true;
        return;
      }
    }
    if (this.file !== undefined && this.filePosition < this.file.size) {
      this.readFile(this.file);
      return;
    }
    const { borrowed } = this;
    if (borrowed === undefined) {
      this.owner.spoolIsEmpty();
      return;
    }
    if (!output.write(borrowed)) {
      this.borrowedInUse = true;
      this.blocked = true;
      return;
    }
    this.borrowed = undefined;
    this.owner.spoolHasRoom();
    // That may have brought more, and may have been the end.
    if (!this.closed && !this.blocked && this.memorySize === 0 && this.borrowed === undefined)
      this.owner.spoolIsEmpty();
  }

  private readFile(file: TempFile): void {
    if (this.reading) return;
    this.reading = true;
    const piece = Buffer.allocUnsafeSlow(Math.min(PIECE, file.size - this.filePosition));
    file.read(this.filePosition, piece, (error, length) => {
      this.reading = false;
      if (this.closed) return;
      if (error !== null || length === 0) {
        const reason = error === null ? 'read() returned nothing' : `read() failed (${describeError(error)})`;
        log(this.exchange, 'crit', `${reason}, "${file.path}" while sending to client`);
        this.owner.spoolFailed();
        return;
      }
      this.filePosition += length;
      if (this.exchange.output.write(length === piece.length ? piece : piece.subarray(0, length)))
        this.send();
      else this.blocked = true;
    });
  }

  /** @returns false where the file may not become so large, or cannot be written */
  private appendToFile(chunk: Buffer): boolean {
    const { fileLimit, tempPath } = this.limits;
    if (fileLimit === 0) return false;
    try {
      if (this.file === undefined) {
        this.file = new TempFile(tempPath, this.exchange.site.runtime.worker);
        log(
          this.exchange,
          'warn',
          `an upstream response is buffered to a temporary file ${this.file.path} while reading upstream`,
        );
      }
      if (this.file.size + chunk.length > fileLimit) return false;
      this.file.append(chunk);
      return true;
    } catch (error) {
      const failure = error as NodeJS.ErrnoException;
      const name = this.file?.path ?? tempPath.directory;
      log(
        this.exchange,
        'crit',
        `${failure.syscall ?? 'open'}() "${name}" failed (${describeError(failure)}) while reading upstream`,
      );
      // Without the file the server has to wait for the client; nothing is lost.
      return false;
    }
  }
}
