/**
 * Upstream servers that misbehave at random, in a thread of their own, for fuzz-run.ts. They also look at what they are
 * asked: a proxy must not pass on anything that two parsers could read in two ways.
 *
 * A request for `/hold` waits until the test says so, one for `/bad` gets anything at all, one for `/upgrade` is
 * upgraded or not, and any other is answered as it should be.
 */
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { createRandom } from './fuzz-requests.ts';

/** What the thread is started with. */
export interface UpstreamData {
  readonly seed: number;
  readonly servers: number;
}

/** What it says: once about its ports, and then whenever one of the numbers changes. */
export interface UpstreamReport {
  readonly ports: readonly number[];
  /** Requests held. */
  readonly held: number;
  /** Connections open. */
  readonly open: number;
  readonly requests: number;
  /** What a proxy should not have sent. */
  readonly violations: readonly string[];
}

const { seed, servers } = workerData as UpstreamData;
const random = createRandom(seed);
const ports: number[] = [];
const held = new Set<() => void>();
const violations: string[] = [];
let open = 0;
let requests = 0;
let told = false;

function report(): void {
  if (told) return;
  told = true;
  setTimeout(() => {
    told = false;
    parentPort?.postMessage({ ports, held: held.size, open, requests, violations } satisfies UpstreamReport);
  }, 5);
}

function complain(what: string, text: string): void {
  if (violations.length < 10) violations.push(`${what}: ${JSON.stringify(text.slice(0, 1000))}`);
  report();
}

const whole = (body: string, fields = '') =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${fields}\r\n${body}`;
const chunked = (body: string) =>
  `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;

/** Answers of a kind nobody should give; each may be cut off anywhere. */
const BAD_ANSWERS: readonly (() => string)[] = [
  () => whole('x'.repeat(random.below(20_000))),
  () => chunked('x'.repeat(1 + random.below(20_000))),
  () => `HTTP/1.0 200 OK\r\n\r\n${'x'.repeat(random.below(9000))}`,
  () => `HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${'x'.repeat(random.below(9000))}`,
  () => `${whole('short')}${'more than was said'}`,
  () => `${whole('one')}${whole('two')}`,
  () => 'HTTP/1.1 100 Continue\r\n\r\n' + whole('after an interim answer'),
  () => 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n' + whole('after hints'),
  () => 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: nothing\r\nConnection: upgrade\r\n\r\nbytes',
  () => 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nfive!',
  () => 'HTTP/1.1 304 Not Modified\r\n\r\n',
  () =>
    `HTTP/1.1 ${random.pick([200, 301, 400, 404, 500, 502, 503, 504, 599, 999])} Any\r\nContent-Length: 0\r\n\r\n`,
  () => 'HTTP/1.1 20 OK\r\n\r\n',
  () => 'HTTP/1.1 2000 OK\r\n\r\n',
  () => 'HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n',
  () => 'no head at all\r\n\r\n',
  () => '\0\x01\x02\x03',
  () => 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nsixsix',
  () => 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  () => 'HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n',
  () => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n',
  () => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfive!six\r\n0\r\n\r\n',
  () => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
  () => 'HTTP/1.1 200 OK\r\nNo colon\r\n: no name\r\nA b: c\r\nContent-Length: 0\r\n\r\n',
  () => 'HTTP/1.1 200 OK\r\nX-Zero: a\0b\r\nContent-Length: 0\r\n\r\n',
  () => `HTTP/1.1 200 OK\r\nX-Long: ${'l'.repeat(random.below(20_000))}\r\nContent-Length: 0\r\n\r\n`,
  () => whole('', 'X-Accel-Redirect: /local\r\n'),
  () => whole('', 'X-Accel-Redirect: /../../etc/passwd\r\n'),
  () => whole('', 'X-Accel-Redirect: /bad\r\n'),
  () => whole('', 'Location: http://127.0.0.1/x\r\nSet-Cookie: a=b; Path=/\r\nSet-Cookie: c=d\r\n'),
  () => 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok',
  () => `HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n`,
];

function answer(socket: Socket, text: string): void {
  const bytes = Buffer.from(text, 'latin1');
  if (bytes.length < 2 || random.chance(0.5)) {
    socket.write(bytes);
    return;
  }
  const cut = 1 + random.below(bytes.length - 1);
  socket.write(bytes.subarray(0, cut));
  setTimeout(() => socket.destroyed || socket.write(bytes.subarray(cut)), random.below(5));
}

function misbehave(socket: Socket): void {
  const text = random.pick(BAD_ANSWERS)();
  switch (random.below(12)) {
    case 0:
      socket.destroy();
      return;
    case 1:
      socket.resetAndDestroy();
      return;
    case 2:
      socket.end();
      return;
    case 3:
      // Cut off anywhere.
      socket.end(Buffer.from(text.slice(0, random.below(text.length)), 'latin1'));
      return;
    case 4:
      socket.write(Buffer.from(text.slice(0, random.below(text.length)), 'latin1'));
      setTimeout(() => socket.resetAndDestroy(), random.below(10));
      return;
    case 5:
      setTimeout(() => socket.destroyed || answer(socket, text), random.below(50));
      return;
    case 6:
      socket.end(Buffer.from(text, 'latin1'));
      return;
    case 7:
      // Nothing at all, once in a while: the proxy's patience is what ends it.
      if (random.chance(0.2)) return;
      break;
    default:
  }
  answer(socket, text);
}

/** Where a chunked body ends, or -1: exact, for what it is given has to be. */
function chunkedEnd(text: string, from: number): number {
  for (let at = from; ; ) {
    const line = text.indexOf('\r\n', at);
    if (line < 0) return -1;
    const size = text.slice(at, line);
    if (!/^[0-9a-fA-F]+$/.test(size)) {
      complain('a chunk size', text.slice(at, line + 20));
      return text.length;
    }
    const length = Number.parseInt(size, 16);
    if (length === 0) {
      const end = text.indexOf('\r\n\r\n', line);
      return end < 0 ? -1 : end + 4;
    }
    at = line + 2 + length + 2;
    if (at > text.length) return -1;
  }
}

function checkHead(head: string): void {
  const lines = head.split('\r\n');
  if (!/^[!-~]+ [\x21-\x7e\x80-\xff]+ HTTP\/1\.[01]$/.test(lines[0]!)) complain('a request line', head);
  for (const line of lines.slice(1)) {
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+: ?[^\0\r\n]*$/.test(line)) complain('a header line', head);
  }
  const count = (name: string) => lines.filter((line) => line.toLowerCase().startsWith(`${name}:`)).length;
  if (count('host') !== 1) complain('not one Host', head);
  if (count('content-length') + count('transfer-encoding') > 1) complain('more than one length', head);
}

function onConnection(socket: Socket): void {
  open++;
  report();
  let text = '';
  let busy = false;
  let upgraded = false;
  socket.on('error', () => {});
  socket.on('close', () => {
    open--;
    report();
  });
  socket.on('end', () => socket.end());
  socket.on('data', (chunk: Buffer) => {
    if (upgraded) {
      if (random.chance(0.2)) socket.end(chunk);
      else socket.write(chunk);
      return;
    }
    text += chunk.toString('latin1');
    const end = text.indexOf('\r\n\r\n');
    // A misbehaving answer may have been given before the request was complete.
    if (busy || end < 0) return;
    const head = text.slice(0, end);
    const path = /^\S+ (\/[a-z-]*)/.exec(head)?.[1] ?? '';
    const early = path === '/bad' && random.chance(0.2);
    if (!early) {
      const length = /^content-length: *(\d+)$/im.exec(head);
      const isChunked = /^transfer-encoding: *chunked$/im.test(head);
      const bodyEnd =
        length !== null ? end + 4 + Number(length[1]) : isChunked ? chunkedEnd(text, end + 4) : end + 4;
      if (bodyEnd < 0 || bodyEnd > text.length) return;
      if (bodyEnd < text.length) complain('bytes after the request', text);
      text = '';
    }
    requests++;
    checkHead(head);
    if (path === '/hold') {
      const letGo = () => {
        held.delete(letGo);
        report();
        socket.write(whole('held'));
      };
      held.add(letGo);
      report();
      socket.once('close', () => {
        held.delete(letGo);
        report();
      });
    } else if (path === '/bad') {
      busy = early;
      misbehave(socket);
    } else if (path === '/upgrade' && random.chance(0.8)) {
      upgraded = true;
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: fuzz\r\nConnection: upgrade\r\n\r\n');
      if (random.chance(0.3)) setTimeout(() => socket.end('bye'), random.below(20));
    } else {
      const body = head.startsWith('HEAD ')
        ? ''
        : 'g'.repeat(random.below(random.chance(0.02) ? 100_000 : 500));
      if (random.chance(0.3) && body !== '') socket.write(chunked(body));
      else socket.write(whole(body));
    }
  });
}

parentPort?.on('message', () => {
  for (const letGo of [...held]) letGo();
});
for (let number = 0; number < servers; number++) {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, onConnection);
  server.listen({ host: '127.0.0.1', port: 0, backlog: 1024 }, () => {
    ports.push((server.address() as AddressInfo).port);
    if (ports.length === servers) report();
  });
}
