/**
 * A WebSocket between a client, whose frames uWebSockets.js reads and writes, and a server, whose frames are bytes of an
 * upstream connection. What one side says is said anew to the other:
 *
 * | from the client              | to the server                | from the server           | to the client          |
 * |------------------------------|------------------------------|---------------------------|------------------------|
 * | a message, when it is whole  | a frame, masked              | a piece of a message      | a fragment             |
 * | ping (answered already)      | ping                         | ping                      | ping                   |
 * | pong                         | pong                         | pong                      | nothing                |
 * | close (answered already)     | close, then the end          | close                     | close, then the end    |
 * | the end without a close      | the end                      | the end without a close   | the end                |
 * |                              |                              | what is no frame          | close 1002             |
 *
 * A client cannot be told to wait: what the server does not take is kept in a queue.
 */
import type { Tunnel, TunnelReceiver } from '../../core/carrier.ts';
import type { Exchange } from '../../core/exchange.ts';
import { log } from '../../core/log.ts';
import type { TempPath } from '../../core/temp-file.ts';
import {
  type ControlOpcode,
  closePayload,
  type DataOpcode,
  FrameReader,
  type FrameReceiver,
  Opcode,
  readClose,
  writeFrame,
} from '../../http/websocket-frames.ts';
import type { SendStatus, UwsWebSocket } from './native.ts';
import { type QueueOwner, SpillQueue } from './spill-queue.ts';

const PROTOCOL_ERROR = 1002;
const NOTHING = Buffer.alloc(0);
/** More than this is not kept for a server that does not take it, in bytes. */
const LARGEST_KEPT = 1024 * 1024 * 1024;

export class WebSocketTunnel implements Tunnel, FrameReceiver, QueueOwner {
  readonly limit = LARGEST_KEPT;
  readonly tempPath: TempPath;
  readonly worker: number;
  /** Bytes of payload and frames sent to the client. */
  bytesSent = 0;

  private readonly exchange: Exchange;
  private readonly receiver: TunnelReceiver;
  private readonly queue: SpillQueue;
  /** Called once, when the client's connection is over. */
  private readonly closed: () => void;
  private readonly reader = new FrameReader(this, false);
  /** Undefined before it is open, and after it is closed. */
  private socket: UwsWebSocket | undefined = undefined;
  /** We are the ones who close it. */
  private closing = false;
  private awaitingDrain = false;
  /** What `write` was given, for the time it is corked. */
  private received: Buffer = NOTHING;
  private readonly readReceived = () => this.readFrames();

  constructor(receiver: TunnelReceiver, exchange: Exchange, closed: () => void) {
    this.receiver = receiver;
    this.exchange = exchange;
    this.tempPath = exchange.location.tempPath;
    this.worker = exchange.site.runtime.worker;
    this.queue = new SpillQueue(this, false);
    this.closed = closed;
  }

  // ---- from the server ----

  write(chunk: Buffer): boolean {
    const { socket } = this;
    if (socket === undefined) return true;
    this.received = chunk;
    socket.cork(this.readReceived);
    this.received = NOTHING;
    return !this.awaitingDrain;
  }

  private readFrames(): void {
    const error = this.reader.read(this.received);
    if (error === undefined || this.socket === undefined) return;
    this.toServer(Opcode.close, closePayload(PROTOCOL_ERROR, Buffer.from(error)));
    this.close(PROTOCOL_ERROR, Buffer.from(error));
  }

  data(piece: Buffer, opcode: DataOpcode, first: boolean, last: boolean): void {
    const { socket } = this;
    if (socket === undefined) return;
    this.bytesSent += piece.length + 2;
    const binary = opcode === Opcode.binary;
    if (first) {
      this.note(last ? socket.send(piece, binary) : socket.sendFirstFragment(piece, binary));
    } else this.note(last ? socket.sendLastFragment(piece) : socket.sendFragment(piece));
  }

  control(opcode: ControlOpcode, payload: Buffer): void {
    const { socket } = this;
    if (socket === undefined) return;
    if (opcode === Opcode.ping) {
      this.bytesSent += payload.length + 2;
      this.note(socket.ping(payload));
    } else if (opcode === Opcode.close) {
      this.reader.stop();
      const said = readClose(payload);
      this.toServer(Opcode.close, payload);
      this.bytesSent += payload.length + 2;
      if (said === undefined) this.close(PROTOCOL_ERROR, NOTHING);
      else this.close(said.code, said.reason);
    }
  }

  private note(status: SendStatus): void {
    if (status === 0) this.awaitingDrain = true;
  }

  /** Closes the client's side, telling it why. */
  private close(code: number, reason: Buffer): void {
    const { socket } = this;
    if (socket === undefined) return;
    this.closing = true;
    if (code === 1005) socket.end();
    else socket.end(code, reason);
    this.queue.end();
  }

  end(): void {
    this.destroy();
  }

  destroy(): void {
    this.closing = true;
    this.queue.close();
    this.socket?.close();
  }

  pause(): void {
    this.queue.pause();
  }

  resume(): void {
    this.queue.resume();
  }

  // ---- from the client: called by the listener ----

  opened(socket: UwsWebSocket): void {
    this.socket = socket;
  }

  message(message: ArrayBuffer, binary: boolean): void {
    this.toServer(binary ? Opcode.binary : Opcode.text, new Uint8Array(message));
  }

  pinged(payload: ArrayBuffer): void {
    this.toServer(Opcode.ping, new Uint8Array(payload));
  }

  ponged(payload: ArrayBuffer): void {
    this.toServer(Opcode.pong, new Uint8Array(payload));
  }

  drained(): void {
    if (!this.awaitingDrain || this.socket === undefined || this.socket.getBufferedAmount() > 0) return;
    this.awaitingDrain = false;
    this.receiver.drain();
  }

  /**
   * The client's side is over.
   * @param code 1006 where it has ended without a close frame
   */
  clientClosed(code: number, reason: ArrayBuffer): void {
    this.socket = undefined;
    this.reader.stop();
    if (!this.closing) {
      if (code === 1006) {
        this.queue.close();
        this.closed();
        this.receiver.close();
        return;
      }
      this.toServer(Opcode.close, closePayload(code, new Uint8Array(reason)));
      this.queue.end();
    }
    this.closed();
  }

  private toServer(opcode: number, payload: Uint8Array): void {
    this.queue.add(writeFrame(opcode, payload, true));
  }

  // ---- of the queue ----

  deliver(frame: Buffer): void {
    this.receiver.data(frame);
  }

  emptied(): void {
    // Nobody waits for that.
  }

  ended(): void {
    this.receiver.end();
  }

  spilled(path: string): void {
    log(this.exchange, 'warn', `what a client sends is buffered to a temporary file ${path}`);
  }

  failed(reason: string): void {
    log(this.exchange, 'error', `${reason} while proxying upgraded connection`);
    this.destroy();
    this.receiver.close();
  }
}
