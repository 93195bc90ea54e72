/**
 * What a client has sent and nobody takes yet. uWebSockets.js cannot stop reading from a WebSocket at all, and from a
 * request only once its client has paused for a moment; so it has to be kept: in memory to some extent, the rest in a
 * temporary file.
 */
import { TempFile, type TempPath } from '../../core/temp-file.ts';
import { describeError } from '../../log/system-errors.ts';

/** Kept in memory, in bytes. */
const IN_MEMORY = 1024 * 1024;
/** Read from a file at a time. */
const PIECE = 64 * 1024;

/** Where a queue makes its file, and whom it tells. */
export interface QueueOwner {
  readonly tempPath: TempPath;
  readonly worker: number;
  /** What may be kept altogether, in bytes. */
  readonly limit: number;
  /** Takes a piece, to keep. May call `pause`, and then gets no more until `resume`. */
  deliver(piece: Buffer): void;
  /** All that was kept has been delivered. */
  emptied(): void;
  /** After `end`: that was all. */
  ended(): void;
  /** A file has been begun. */
  spilled(path: string): void;
  /** It could not be kept: everything is lost, and nothing more is delivered. */
  failed(reason: string): void;
}

/** Delivers at once, in order, as long as it is not paused; else keeps. */
export class SpillQueue {
  private readonly owner: QueueOwner;
  private paused: boolean;
  private ending = false;
  private over = false;
  private memory: Buffer[] = [];
  private memorySize = 0;
  private file: TempFile | undefined = undefined;
  private position = 0;
  private reading = false;
  /** Read from the file while this was paused. */
  private ready: Buffer | undefined = undefined;

  /** @param paused at first */
  constructor(owner: QueueOwner, paused: boolean) {
    this.owner = owner;
    this.paused = paused;
  }

  /** Whether nothing is kept. */
  get isEmpty(): boolean {
    return this.memory.length === 0 && this.file === undefined;
  }

  /** Takes a piece, which is the queue's from now on. */
  add(piece: Buffer): void {
    if (this.over || this.ending) return;
    if (!this.paused && this.isEmpty) this.owner.deliver(piece);
    else if (this.file === undefined && this.memorySize + piece.length <= IN_MEMORY) {
      this.memory.push(piece);
      this.memorySize += piece.length;
    } else this.spill(piece);
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.flow();
  }

  /** Nothing more is added. */
  end(): void {
    if (this.over || this.ending) return;
    this.ending = true;
    if (!this.paused && this.isEmpty) this.finish();
  }

  /** Drops everything, and delivers no more. */
  close(): void {
    this.over = true;
    this.memory = [];
    this.memorySize = 0;
    this.ready = undefined;
    this.file?.close();
    this.file = undefined;
  }

  private finish(): void {
    this.over = true;
    this.owner.ended();
  }

  private spill(piece: Buffer): void {
    const { owner } = this;
    const kept = this.memorySize + (this.file === undefined ? 0 : this.file.size - this.position);
    if (kept + piece.length > owner.limit) {
      this.fail(`${kept} bytes of the client wait to be taken`);
      return;
    }
    try {
      if (this.file === undefined) {
        this.file = new TempFile(owner.tempPath, owner.worker);
        this.position = 0;
        owner.spilled(this.file.path);
      }
      this.file.append(piece);
    } catch (error) {
      const failure = error as NodeJS.ErrnoException;
      const call = failure.syscall ?? 'open';
      this.fail(`${call}() "${owner.tempPath.directory}" failed (${describeError(failure)})`);
    }
  }

  private fail(reason: string): void {
    this.close();
    this.owner.failed(reason);
  }

  private flow(): void {
    while (!this.paused && !this.over && this.memory.length > 0) {
      const piece = this.memory.shift()!;
      this.memorySize -= piece.length;
      this.owner.deliver(piece);
    }
    if (this.paused || this.over) return;
    const { ready } = this;
    if (ready !== undefined) {
      this.ready = undefined;
      this.owner.deliver(ready);
      if (this.paused || this.over) return;
    }
    if (this.file !== undefined) this.read(this.file);
    else if (this.ending) this.finish();
    else this.owner.emptied();
  }

  private read(file: TempFile): void {
    if (this.reading) return;
    if (this.position === file.size) {
      this.file = undefined;
      file.close();
      this.flow();
      return;
    }
    this.reading = true;
    const piece = Buffer.allocUnsafeSlow(Math.min(PIECE, file.size - this.position));
    file.read(this.position, piece, (error, length) => {
      this.reading = false;
      if (this.over) return;
      if (error !== null || length === 0) {
        this.fail(
          `read() from "${file.path}" failed (${error === null ? 'end of file' : describeError(error)})`,
        );
        return;
      }
      this.position += length;
      this.ready = length === piece.length ? piece : piece.subarray(0, length);
      this.flow();
    });
  }
}
