/** The events of clients' sockets, with one listener of each kind for all of them instead of a closure for each. */
import type { Socket } from 'node:net';
import type { ClientConnection } from './connection.ts';

/** A socket that knows its connection. */
type OwnedSocket = Socket & { reader?: ClientConnection };

/**
 * Has a connection hear of what happens to its socket.
 * @param borrows it reads into borrowed memory, of which there are no events (`client-socket.ts`)
 */
export function listenToSocket(socket: Socket, connection: ClientConnection, borrows: boolean): void {
  (socket as OwnedSocket).reader = connection;
  if (!borrows) socket.on('data', onData);
  socket.on('drain', onDrain);
  socket.on('end', onEnd);
  socket.on('error', onError);
  socket.on('close', onClose);
  // Where Node's own servers are not in between, TLS sockets tell of what breaks after the handshake in this way.
  if (connection.tls !== undefined) socket.on('_tlsError', onTlsError);
}

function onData(this: Socket, chunk: Buffer): void {
  (this as OwnedSocket).reader!.received(chunk, chunk.length);
}

function onDrain(this: Socket): void {
  (this as OwnedSocket).reader!.onDrain();
}

function onEnd(this: Socket): void {
  (this as OwnedSocket).reader!.onInputEnd();
}

function onError(this: Socket, error: Error): void {
  (this as OwnedSocket).reader!.onError(error);
}

function onTlsError(this: Socket, error: Error): void {
  (this as OwnedSocket).reader!.onTlsError(error);
}

function onClose(this: Socket): void {
  (this as OwnedSocket).reader!.onClose();
}
