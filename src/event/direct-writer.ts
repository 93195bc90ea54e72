/**
 * Writes to a socket without the streams' write path, as long as the system takes what it is given: that path costs an
 * object, a callback and a tick for each write, together a twentieth of the cost of a small proxied request. What the
 * system does not take at once waits in libuv, as it does with Node's own writes, and is counted here.
 *
 * It rests on Node's binding for streams, which programs can get but Node does not promise: where it is not there, or a
 * socket has something else in mind (TLS, a write that waits), nothing is written here, and the stream is to be used.
 */
import type { Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';

/** A write that the system has not taken whole; Node keeps it until it has. */
interface WriteRequest {
  oncomplete: (this: WriteRequest, status: number) => void;
  writer: DirectWriter;
  length: number;
  /** Kept from being collected. */
  chunk: Buffer | undefined;
}

/** The system's end of a socket. All calls return 0, or the system's error as a negative number. */
interface StreamHandle {
  /** Bytes that wait in libuv, those of the stream among them. */
  readonly writeQueueSize?: number;
  writeLatin1String(request: object, text: string): number;
  writeBuffer(request: object, chunk: Buffer): number;
  writev(request: object, chunksAndEncodings: readonly (string | Buffer)[], allBuffers: false): number;
}

interface StreamBinding {
  readonly WriteWrap: new () => object;
  /** What the last call of this thread has to say beside its result. */
  readonly streamBaseState: Readonly<Record<number, number>>;
  readonly kLastWriteWasAsync: number;
}

const binding = loadBinding();

function loadBinding(): StreamBinding | undefined {
  try {
    const load = (process as { binding?: (name: string) => Partial<StreamBinding> }).binding;
    const { WriteWrap, streamBaseState, kLastWriteWasAsync } = load?.call(process, 'stream_wrap') ?? {};
    if (WriteWrap === undefined || streamBaseState === undefined || kLastWriteWasAsync === undefined) {
      return undefined;
    }
    return { WriteWrap, streamBaseState, kLastWriteWasAsync };
  } catch {
    // Node's permission model forbids it.
    return undefined;
  }
}

/** Longest text that Node tries to write at once, in bytes. */
const LONGEST_TEXT = 16_384;

/** Used by the next write: one that the system takes at once leaves it as it was. */
let spare: object | undefined = binding === undefined ? undefined : new binding.WriteWrap();

/** Whoever writes. */
export interface WriterOwner {
  /** The system has taken all that was waiting, and the stream has nothing to write either. */
  onDrain(): void;
}

/** Writes to one socket. */
export class DirectWriter {
  /** Bytes of writes that the system has not taken whole yet. The socket's own `writableLength` comes on top. */
  waiting = 0;
  private readonly socket: Socket;
  private readonly owner: WriterOwner;
  private readonly usable: boolean;
  private queueSize = 0;

  constructor(socket: Socket, owner: WriterOwner) {
    this.socket = socket;
    this.owner = owner;
    this.usable = binding !== undefined && (socket as { encrypted?: boolean }).encrypted !== true;
  }

  /** @returns false where nothing has been done: write to the socket instead */
  writeText(text: string): boolean {
    const handle = text.length <= LONGEST_TEXT ? this.idleHandle() : undefined;
    if (handle === undefined) return false;
    const request = spare!;
    this.written(handle.writeLatin1String(request, text), request, text.length, undefined);
    return true;
  }

  /**
   * Until `waiting` is 0 the memory of `chunk` is in use.
   * @returns false where nothing has been done: write to the socket instead
   */
  writeBuffer(chunk: Buffer): boolean {
    const handle = this.idleHandle();
    if (handle === undefined) return false;
    const request = spare!;
    this.written(handle.writeBuffer(request, chunk), request, chunk.length, chunk);
    return true;
  }

  /** A chunk between two texts, in one write. As `writeBuffer`. */
  writeAround(before: string, chunk: Buffer, after: string): boolean {
    const handle = this.idleHandle();
    if (handle === undefined) return false;
    const request = spare!;
    const parts = [before, 'latin1', chunk, 'buffer'];
    if (after !== '') parts.push(after, 'latin1');
    const error = handle.writev(request, parts, false);
    this.written(error, request, before.length + chunk.length + after.length, chunk);
    return true;
  }

  /** Whether the system has taken some of what waits since this was last asked, what the stream has written included. */
  get progressed(): boolean {
    // Neither counts it piece by piece; Node's own timeout for writes asks the handle, too.
    const size = this.handle?.writeQueueSize ?? 0;
    const progressed = size !== this.queueSize;
    this.queueSize = size;
    return progressed;
  }

  /** None when the socket has been destroyed. */
  private get handle(): StreamHandle | undefined {
    return (this.socket as { _handle?: StreamHandle | null })._handle ?? undefined;
  }

  private idleHandle(): StreamHandle | undefined {
    const { socket } = this;
    if (
      !this.usable ||
      this.waiting > 0 ||
      socket.writableLength > 0 ||
      socket.writableCorked > 0 ||
      socket.writableEnded ||
      socket.connecting
    ) {
      return undefined;
    }
    return this.handle;
  }

  private written(error: number, request: object, length: number, chunk: Buffer | undefined): void {
    const { WriteWrap, streamBaseState, kLastWriteWasAsync } = binding!;
    if (error !== 0) this.fail(error);
    else if (streamBaseState[kLastWriteWasAsync] !== 0) {
      spare = new WriteWrap();
      this.waiting += length;
      Object.assign(request, { oncomplete, writer: this, length, chunk } satisfies WriteRequest);
    }
  }

  /** Node: the system has taken all of a write, or never will. */
  completed(status: number, length: number): void {
    this.waiting -= length;
    const { socket } = this;
    if (socket.destroyed) return;
    if (status < 0) this.fail(status);
    else if (this.waiting === 0 && socket.writableLength === 0) this.owner.onDrain();
  }

  private fail(status: number): void {
    const code = getSystemErrorName(status);
    const error = Object.assign(new Error(`write ${code}`), { errno: status, code, syscall: 'write' });
    this.socket.destroy(error);
  }
}

function oncomplete(this: WriteRequest, status: number): void {
  this.chunk = undefined;
  this.writer.completed(status, this.length);
}
