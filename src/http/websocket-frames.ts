/** The frames of a WebSocket (RFC 6455 section 5): read from bytes that come in pieces, and written. */
import { randomFillSync } from 'node:crypto';

/** RFC 6455 5.2 and 11.8. */
export const Opcode = {
  continuation: 0,
  text: 1,
  binary: 2,
  close: 8,
  ping: 9,
  pong: 10,
} as const;

/** What a message is made of. */
export type DataOpcode = 1 | 2;
/** What concerns the connection. */
export type ControlOpcode = 8 | 9 | 10;

/** Hears what a `FrameReader` finds. */
export interface FrameReceiver {
  /**
   * A piece of a message; empty ones only where the message or its last frame is empty.
   * @param piece borrowed: it is part of what was given to `read`
   * @param opcode of the whole message
   * @param first whether the message begins with it
   * @param last whether the message ends with it
   */
  data(piece: Buffer, opcode: DataOpcode, first: boolean, last: boolean): void;
  /** A whole control frame: its payload is of 125 bytes at most, and the receiver's to keep. */
  control(opcode: ControlOpcode, payload: Buffer): void;
}

/** Longest payload of a control frame, RFC 6455 5.5. */
const LONGEST_CONTROL = 125;
/** Two bytes, eight of length, four of mask. */
const LONGEST_HEADER = 14;

const NOTHING: Buffer = Buffer.alloc(0);

/**
 * Reads frames, each byte once. Payload is handed on as it comes, so nothing is kept but a frame's header and the
 * payload of a control frame.
 */
export class FrameReader {
  readonly #receiver: FrameReceiver;
  readonly #masked: boolean;
  readonly #header = Buffer.alloc(LONGEST_HEADER);
  #headerLength = 0;
  /** Of the frame whose header has been read; -1 while there is none. */
  #opcode = -1;
  #final = false;
  /** Bytes of payload still to come. */
  #remaining = 0;
  /** How much of the payload has come, for the mask. */
  #offset = 0;
  #mask = 0;
  /** Of the message under way; 0 where there is none. */
  #message: DataOpcode | 0 = 0;
  #begun = false;
  #control: Buffer = NOTHING;
  #stopped = false;
  #error: string | undefined = undefined;

  /** @param masked the frames come from a client, which has to mask them; a server must not */
  constructor(receiver: FrameReceiver, masked: boolean) {
    this.#receiver = receiver;
    this.#masked = masked;
  }

  /**
   * Reads a piece of what came. Unmasks it in place.
   * @returns what is wrong, which it is for good: nothing more is read; undefined where nothing is
   */
  read(bytes: Buffer): string | undefined {
    let position = 0;
    while (!this.#stopped) {
      if (this.#opcode < 0) {
        position = this.#readHeader(bytes, position);
        if (this.#opcode < 0) break;
      }
      const length = Math.min(this.#remaining, bytes.length - position);
      if (length === 0 && this.#remaining > 0) break;
      const piece = length === 0 ? NOTHING : bytes.subarray(position, position + length);
      position += length;
      if (this.#masked) this.#offset = applyMask(piece, this.#mask, this.#offset);
      this.#remaining -= length;
      this.#take(piece);
    }
    return this.#error;
  }

  /** Reads no more, even of what is being read. */
  stop(): void {
    this.#stopped = true;
  }

  #take(piece: Buffer): void {
    const over = this.#remaining === 0;
    const opcode = this.#opcode;
    if (opcode >= Opcode.close) {
      // Copied: it is short, and the receiver keeps it.
      this.#control = Buffer.concat([this.#control, piece]);
      if (!over) return;
      const payload = this.#control;
      this.#control = NOTHING;
      this.#opcode = -1;
      this.#receiver.control(opcode as ControlOpcode, payload);
      return;
    }
    const first = !this.#begun;
    const last = over && this.#final;
    const message = this.#message as DataOpcode;
    this.#begun = !last;
    if (over) this.#opcode = -1;
    if (last) this.#message = 0;
    // The empty frames of a message that goes on mean nothing.
    if (piece.length > 0 || last) this.#receiver.data(piece, message, first, last);
    else if (first) this.#begun = false;
  }

  /** @returns where the payload begins; the header is complete if `#opcode` is set by then */
  #readHeader(bytes: Buffer, start: number): number {
    const header = this.#header;
    let position = start;
    for (;;) {
      const needed = this.#headerLength < 2 ? 2 : headerSize(header[1]!);
      if (this.#headerLength >= 2 && this.#headerLength === needed) break;
      if (position >= bytes.length) return position;
      header[this.#headerLength++] = bytes[position++]!;
      if (this.#headerLength === 2 && !this.#checkStart(header[0]!, header[1]!)) return position;
    }
    const short = header[1]! & 0x7f;
    let length: number = short;
    if (short === 126) length = header.readUInt16BE(2);
    else if (short === 127) {
      const high = header.readUInt32BE(2);
      if (high >= 0x20_0000) return this.#fail('a frame is too long', position);
      length = high * 0x1_0000_0000 + header.readUInt32BE(6);
    }
    if (this.#masked) this.#mask = header.readUInt32BE(this.#headerLength - 4);
    this.#headerLength = 0;
    this.#offset = 0;
    this.#remaining = length;
    this.#final = (header[0]! & 0x80) !== 0;
    const opcode = header[0]! & 0x0f;
    if (opcode === Opcode.text || opcode === Opcode.binary) {
      this.#message = opcode;
      this.#begun = false;
    }
    this.#opcode = opcode;
    return position;
  }

  /** Whether the first two bytes of a frame are as they have to be. */
  #checkStart(first: number, second: number): boolean {
    const opcode = first & 0x0f;
    const final = (first & 0x80) !== 0;
    let error: string | undefined;
    if ((first & 0x70) !== 0) error = 'a reserved bit is set';
    else if (((second & 0x80) !== 0) !== this.#masked) {
      error = this.#masked ? 'a frame is not masked' : 'a frame is masked';
    } else if (opcode >= Opcode.close) {
      if (opcode > Opcode.pong) error = `opcode ${opcode} is unknown`;
      else if (!final) error = 'a control frame is fragmented';
      else if ((second & 0x7f) > LONGEST_CONTROL) error = 'a control frame is too long';
    } else if (opcode > Opcode.binary) error = `opcode ${opcode} is unknown`;
    else if (opcode === Opcode.continuation) {
      if (this.#message === 0) error = 'a message begins with a continuation';
    } else if (this.#message !== 0) error = 'a message begins within another';
    if (error === undefined) return true;
    this.#fail(error, 0);
    return false;
  }

  #fail(error: string, position: number): number {
    this.#error = error;
    this.#stopped = true;
    return position;
  }
}

/** Bytes of a header whose second byte this is. */
function headerSize(second: number): number {
  const short = second & 0x7f;
  return 2 + (short === 126 ? 2 : short === 127 ? 8 : 0) + ((second & 0x80) === 0 ? 0 : 4);
}

/**
 * Masks, or unmasks, in place: RFC 6455 5.3.
 * @param mask the four bytes, the first one highest
 * @param offset how many bytes of the payload came before, modulo 4
 * @returns the same for what comes after
 */
function applyMask(bytes: Buffer, mask: number, offset: number): number {
  const { length } = bytes;
  let index = 0;
  let shift = offset & 3;
  // Up to the next word of memory, byte by byte.
  while (index < length && ((bytes.byteOffset + index) & 3) !== 0) {
    bytes[index] = bytes[index]! ^ (mask >>> (24 - 8 * shift));
    index++;
    shift = (shift + 1) & 3;
  }
  const words = (length - index) >> 2;
  if (words > 0) {
    const view = new Int32Array(bytes.buffer, bytes.byteOffset + index, words);
    const turned = (mask << (8 * shift)) | (shift === 0 ? 0 : mask >>> (32 - 8 * shift));
    const word = LITTLE_ENDIAN ? swapBytes(turned) : turned;
    for (let at = 0; at < words; at++) view[at] = view[at]! ^ word;
    index += words * 4;
  }
  while (index < length) {
    bytes[index] = bytes[index]! ^ (mask >>> (24 - 8 * shift));
    index++;
    shift = (shift + 1) & 3;
  }
  return (offset + length) & 3;
}

const LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

function swapBytes(word: number): number {
  return ((word & 0xff) << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | ((word >>> 24) & 0xff);
}

/** Masks have to be unpredictable: RFC 6455 10.3. Made many at a time. */
const masks = new Uint32Array(1024);
let nextMask = masks.length;

function makeMask(): number {
  if (nextMask === masks.length) {
    randomFillSync(masks);
    nextMask = 0;
  }
  return masks[nextMask++]! | 0;
}

/**
 * Writes one whole frame.
 * @param payload copied
 * @param masked as a client has to
 * @param final false for a message that goes on with a continuation
 * @returns the frame, the caller's to keep
 */
export function writeFrame(opcode: number, payload: Uint8Array, masked: boolean, final = true): Buffer {
  const { length } = payload;
  const extended = length < 126 ? 0 : length < 0x1_0000 ? 2 : 8;
  const headerLength = 2 + extended + (masked ? 4 : 0);
  // So that the payload begins on a word of memory, and is masked word by word.
  const slack = -headerLength & 3;
  const frame = Buffer.allocUnsafe(slack + headerLength + length).subarray(slack);
  frame[0] = (final ? 0x80 : 0) | opcode;
  frame[1] = (masked ? 0x80 : 0) | (extended === 0 ? length : extended === 2 ? 126 : 127);
  if (extended === 2) frame.writeUInt16BE(length, 2);
  else if (extended === 8) {
    frame.writeUInt32BE(Math.floor(length / 0x1_0000_0000), 2);
    frame.writeUInt32BE(length >>> 0, 6);
  }
  frame.set(payload, headerLength);
  if (masked) {
    const mask = makeMask();
    frame.writeInt32BE(mask, headerLength - 4);
    if (length > 0) applyMask(frame.subarray(headerLength), mask, 0);
  }
  return frame;
}

/** What a close frame says. */
export interface CloseReason {
  /** 1005 where it says none. */
  readonly code: number;
  /** UTF-8. */
  readonly reason: Buffer;
}

/** Reads the payload of a close frame: RFC 6455 5.5.1. @returns undefined where it is none */
export function readClose(payload: Buffer): CloseReason | undefined {
  if (payload.length === 0) return { code: 1005, reason: NOTHING };
  if (payload.length === 1) return undefined;
  return { code: payload.readUInt16BE(0), reason: payload.subarray(2) };
}

/** The payload of a close frame; empty for the codes that stand for something else than a frame (RFC 6455 7.4.1). */
export function closePayload(code: number, reason: Uint8Array): Buffer {
  if (code === 0 || code === 1005 || code === 1006 || code === 1015) return NOTHING;
  const payload = Buffer.allocUnsafe(2 + Math.min(reason.length, LONGEST_CONTROL - 2));
  payload.writeUInt16BE(code, 0);
  payload.set(reason.subarray(0, LONGEST_CONTROL - 2), 2);
  return payload;
}
