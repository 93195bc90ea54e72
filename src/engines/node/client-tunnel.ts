/** A client connection after 101 Switching Protocols, as whoever has taken it over sees it. */
import type { Socket } from 'node:net';
import type { Tunnel, TunnelReceiver } from '../../core/carrier.ts';
import type { ClientConnection } from './connection.ts';

export class ClientTunnel implements Tunnel {
  /** Who gets what the client sends. */
  readonly receiver: TunnelReceiver;
  private readonly connection: ClientConnection;
  private readonly socket: Socket;
  /** The receiver has been told to wait for room. */
  private awaitingDrain = false;

  constructor(connection: ClientConnection, receiver: TunnelReceiver) {
    this.receiver = receiver;
    this.connection = connection;
    this.socket = connection.socket;
  }

  write(chunk: Buffer): boolean {
    const room = this.connection.answer.writeTunnel(chunk);
    if (!room) this.awaitingDrain = true;
    return room;
  }

  end(): void {
    this.socket.end();
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  destroy(): void {
    // Otherwise it is over already, and may be lingering.
    if (this.connection.isTunnel) this.connection.close();
  }

  /** The system has taken all that was written. */
  onDrain(): void {
    if (!this.awaitingDrain) return;
    this.awaitingDrain = false;
    this.receiver.drain();
  }
}
