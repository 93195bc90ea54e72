/**
 * The backend where there is no nginx: answers what backend/nginx.conf answers, on Node's sockets, with as
 * little work for each request as will do.
 *
 *     node node-backend.ts SMALL_BODY PORT,PORT,...
 */
import { createServer, type Socket } from 'node:net';

const [, , smallBody, ports] = process.argv;

function answerOf(body: Buffer): Buffer {
  const head = `HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: ${body.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), body]);
}

const small = answerOf(Buffer.from(smallBody, 'latin1'));
const large: ReadonlyMap<string, Buffer> = new Map(
  Object.entries({ '/16k': 16_384, '/1m': 1_048_576, '/100m': 104_857_600 }).map(([path, length]) => [
    path,
    answerOf(Buffer.alloc(length)),
  ]),
);

function serve(socket: Socket): void {
  let pending = '';
  /** Bytes of the request's body that are still to come, before its answer. */
  let bodyLeft = 0;
  let served = 0;
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    if (bodyLeft > 0) {
      if (chunk.length < bodyLeft) {
        bodyLeft -= chunk.length;
        return;
      }
      pending = chunk.toString('latin1', bodyLeft);
      bodyLeft = 0;
      socket.write(small);
    } else {
      pending += chunk.toString('latin1');
    }
    for (let end = pending.indexOf('\r\n\r\n'); end >= 0; end = pending.indexOf('\r\n\r\n')) {
      const head = pending.slice(0, end + 2);
      pending = pending.slice(end + 4);
      served++;
      const path = head.slice(head.indexOf(' ') + 1, head.indexOf(' HTTP/'));
      const length = Number(fieldOf(head, 'content-length'));
      if (length > pending.length) {
        bodyLeft = length - pending.length;
        pending = '';
        return;
      }
      pending = pending.slice(length);
      socket.write(path === '/headers' ? answerOf(describe(head, served)) : (large.get(path) ?? small));
    }
  });
}

function fieldOf(head: string, name: string): string {
  return new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*\\r$`, 'im').exec(head)?.[1] ?? '';
}

function describe(head: string, served: number): Buffer {
  const names = ['host', 'x-real-ip', 'x-forwarded-for', 'x-forwarded-proto'];
  return Buffer.from([...names.map((name) => fieldOf(head, name)), served].join('|'), 'latin1');
}

for (const port of ports.split(',')) createServer(serve).listen(Number(port), '127.0.0.1', 4096);
process.once('SIGTERM', () => process.exit(0));
