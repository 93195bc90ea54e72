/**
 * A client's socket that is read without the streams' read path: all connections of the thread read into one buffer,
 * since what has been read is dealt with before anything else is. Compared with `data` events that saves, for each read,
 * an allocation of 64 kB, two objects and an event: a tenth of the cost of a small proxied request.
 *
 * A connection that brings much (an upload, a tunnel) reads into a buffer of its own while it does, so that what comes
 * can be handed on without being copied.
 */
import { type Server, Socket } from 'node:net';
import { giveBuffer, READ_BUFFER_SIZE, takeBuffer } from '../../event/buffers.ts';

/** Whoever deals with what a client sends. */
export interface ClientReader {
  /** Bytes have come: the first `length` of `buffer`. What is needed after this returns goes through `keep`. */
  received(buffer: Buffer, length: number): void;
  /** More of the same is welcome: the bytes of a body or a tunnel, in nobody's way. */
  readonly streaming: boolean;
}

/** What connections read into that bring little. */
const shared: Buffer = Buffer.allocUnsafeSlow(READ_BUFFER_SIZE);

/** A read of this many bytes is likely to be followed by another one. */
const MUCH = READ_BUFFER_SIZE / 2;

/** What Node is told when it asks for the buffer of the next read; undefined: the same again. */
let nextBuffer: Buffer | undefined;

const onread = {
  buffer(): Uint8Array {
    const buffer = nextBuffer;
    nextBuffer = undefined;
    return buffer as Uint8Array;
  },
  // Node calls it as a method of the socket, so that one function serves all of them.
  callback(this: unknown, length: number, buffer: Uint8Array): boolean {
    nextBuffer = (this as ClientSocket).read_(length, buffer as Buffer);
    return true;
  },
};

export class ClientSocket extends Socket {
  reader: ClientReader | undefined = undefined;
  /** A buffer that only this connection reads into. */
  #own: Buffer | undefined = undefined;
  /** Somebody still looks at what is in it. */
  #ownIsLent = false;

  /** @param handle the system's end of an accepted connection, as Node's own server gets it */
  constructor(handle: object) {
    nextBuffer = shared;
    // A mark of one byte: `drain` comes whenever something had to wait, however little, and a buffer is free again.
    super({ handle, allowHalfOpen: true, highWaterMark: 1, onread } as object);
  }

  /** Deals with a read. @returns the buffer for the next one, undefined for the same */
  read_(length: number, buffer: Buffer): Buffer | undefined {
    const { reader } = this;
    if (reader === undefined) return undefined;
    reader.received(buffer, length);
    const own = this.#own;
    const wantsOwn = length >= MUCH && reader.streaming && !this.destroyed;
    if (own === undefined) {
      if (!wantsOwn) return undefined;
      this.#own = takeBuffer();
      return this.#own;
    }
    if (wantsOwn && !this.#ownIsLent) return undefined;
    if (!this.#ownIsLent) giveBuffer(own);
    this.#ownIsLent = false;
    this.#own = wantsOwn ? takeBuffer() : undefined;
    return this.#own ?? shared;
  }

  /** Gives its buffer back, once the socket is closed and nothing is read any more. */
  releaseBuffer(): void {
    if (this.#own !== undefined && !this.#ownIsLent) giveBuffer(this.#own);
    this.#own = undefined;
  }

  /** A piece of what has been read that is to be looked at later: itself where its memory is not used again, else a copy. */
  keep(piece: Buffer): Buffer {
    const kept = this.unshare(piece);
    this.lend(kept);
    return kept;
  }

  /** A piece of what has been read that other connections' reads leave alone; this one's may not, unless it is lent. */
  unshare(piece: Buffer): Buffer {
    return piece.buffer === shared.buffer ? Buffer.from(piece) : piece;
  }

  /** Notes that the memory of a piece belongs to somebody else from now on. */
  lend(piece: Buffer): void {
    if (piece.buffer === this.#own?.buffer) this.#ownIsLent = true;
  }
}

/** What Node's server does with a connection the system has accepted; the name is the same since its first versions. */
interface ServerHandle {
  onconnection(error: number | undefined, client: object | undefined): void;
}

/**
 * Makes a server that listens hand out `ClientSocket`s. Node's own sockets cannot be told how to read once they have been
 * made, and its server has no option for it; where it is not built as this expects, it is left as it is, and emits
 * `connection` as ever.
 */
export function acceptDirectly(server: Server, accepted: (socket: ClientSocket) => void): void {
  const handle = (server as { _handle?: Partial<ServerHandle> | null })._handle;
  const nodes = handle?.onconnection;
  if (typeof nodes !== 'function') return;
  handle!.onconnection = (error, client) => {
    if (error || client === undefined) nodes.call(handle as ServerHandle, error, client);
    else accepted(new ClientSocket(client));
  };
}
