/** An upstream server for tests: hears requests whole, and answers with the bytes it is told to. */
import { createServer, type ListenOptions, type Server, type Socket } from 'node:net';

/** One request, as it came. */
export interface Heard {
  /** Request line and header lines. */
  readonly head: string;
  readonly method: string;
  readonly target: string;
  /** The body, its framing removed. */
  readonly body: string;
  /** How many requests came on this connection, this one included. */
  readonly count: number;
}

export interface Backend {
  /** Every request, in the order of their ends. */
  readonly requests: Heard[];
  /** Connections accepted so far. */
  readonly connections: number;
  /** Connections open now. */
  readonly open: ReadonlySet<Socket>;
  /** Port of 127.0.0.1; 0 for a Unix socket. */
  readonly port: number;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What to do about a request. A string is the whole answer. */
export type Answering = (request: Heard, socket: Socket) => string | undefined;

/** An answer with a Content-Length. */
export function answer(body: string, lines = '', status = '200 OK'): string {
  return `HTTP/1.1 ${status}\r\n${lines}Content-Length: ${body.length}\r\n\r\n${body}`;
}

/** The request as the body of the answer. */
export const echo: Answering = (request) => answer(`${request.head}\r\n${request.body}`);

/** Starts one. @param where a free port of 127.0.0.1 unless told */
export async function startBackend(
  answering: Answering,
  where: ListenOptions = { host: '127.0.0.1', port: 0 },
): Promise<Backend> {
  const requests: Heard[] = [];
  const open = new Set<Socket>();
  let connections = 0;
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    connections++;
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    socket.on('error', () => {});
    serve(socket, (request) => {
      requests.push(request);
      const text = answering(request, socket);
      if (text !== undefined) socket.write(text, 'latin1');
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, resolve);
  });
  const address = server.address();
  async function close(): Promise<void> {
    for (const socket of open) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
  return {
    requests,
    get connections() {
      return connections;
    },
    open,
    port: address !== null && typeof address === 'object' ? address.port : 0,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function serve(socket: Socket, heard: (request: Heard) => void): void {
  let bytes = '';
  let count = 0;
  let upgraded = false;
  const read = (chunk: Buffer) => {
    bytes += chunk.toString('latin1');
    for (;;) {
      const end = bytes.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = bytes.slice(0, end + 2);
      const body = readBody(head, bytes.slice(end + 4));
      if (body === undefined) return;
      bytes = bytes.slice(end + 4 + body.length);
      const [method = '', target = ''] = head.split(' ', 2);
      heard({ head, method, target, body: body.text, count: ++count });
      // An upgraded connection is not HTTP any more: what follows is for whoever answered.
      if (socket.listenerCount('data') > 1) {
        upgraded = true;
        socket.off('data', read);
        if (bytes !== '') socket.emit('data', Buffer.from(bytes, 'latin1'));
        return;
      }
    }
  };
  socket.on('data', read);
  socket.on('end', () => {
    if (!upgraded) socket.end();
  });
}

/** The body that `rest` begins with; undefined where it is not complete. */
function readBody(head: string, rest: string): { text: string; length: number } | undefined {
  if (!/^transfer-encoding: chunked\r$/im.test(head)) {
    const length = Number(/^content-length: (\d+)\r$/im.exec(head)?.[1] ?? 0);
    return rest.length < length ? undefined : { text: rest.slice(0, length), length };
  }
  let text = '';
  let at = 0;
  for (;;) {
    const lineEnd = rest.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(rest.slice(at, lineEnd), 16);
    const after = lineEnd + 2 + size + 2;
    if (rest.length < after) return undefined;
    text += rest.slice(lineEnd + 2, lineEnd + 2 + size);
    at = after;
    if (size === 0) return { text, length: at };
  }
}

/** The value of a header line. */
export function headerOf(head: string, name: string): string | undefined {
  return new RegExp(`^${name}: (.*)\\r$`, 'im').exec(head)?.[1];
}
