/**
 * The server behind the proxies' WebSockets: answers each message with the same message.
 *
 *     node echo.ts PORT
 *
 * It counts bytes where a server would parse frames, since it knows what comes; what it does not know
 * ends the connection, and with that the turn is invalid.
 */
import { createServer, type Socket } from 'node:net';
import { clientFrame, serverFrame, upgradeAnswer } from '../messages.ts';

const port = Number(process.argv[2]);
/** The first two bytes of every frame: what is in them, and how long it is. */
const [opcode, length] = clientFrame;

function serve(socket: Socket): void {
  let head = '';
  /** Bytes of a frame that has not all come. */
  let pending = 0;
  const receive = (chunk: Buffer): void => {
    if (pending === 0 && chunk.length === clientFrame.length) {
      if (chunk[0] === opcode && chunk[1] === length) socket.write(serverFrame);
      else socket.destroy(); // a ping, or a close
      return;
    }
    if (pending === 0 && chunk[0] !== opcode) {
      socket.destroy();
      return;
    }
    const bytes = pending + chunk.length;
    pending = bytes % clientFrame.length;
    for (let frame = Math.floor(bytes / clientFrame.length); frame > 0; frame--) socket.write(serverFrame);
  };
  const open = (chunk: Buffer): void => {
    head += chunk.toString('latin1');
    if (!head.includes('\r\n\r\n')) return;
    const key = /^sec-websocket-key:[ \t]*(.*?)[ \t]*\r$/im.exec(head)?.[1];
    if (key === undefined) {
      // Something else than a WebSocket, such as the bench that looks whether anybody is there.
      socket.end('HTTP/1.1 426 Upgrade Required\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    socket.off('data', open);
    socket.on('data', receive);
    socket.write(upgradeAnswer(key), 'latin1');
    head = '';
  };
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  socket.on('data', open);
}

createServer(serve).listen(port, '127.0.0.1', 4096);
process.once('SIGTERM', () => process.exit(0));
