/** Random conversations of a client, valid and broken, for fuzz-run.ts. The same seed makes the same ones. */

/** A source of random numbers. */
export interface Random {
  /** 0 or more, below `limit`. */
  below(limit: number): number;
  /** True with a probability of 0 to 1. */
  chance(probability: number): boolean;
  pick<Item>(items: readonly Item[]): Item;
}

/** One, by its seed: Marsaglia's xorshift on 32 bits. */
export function createRandom(seed: number): Random {
  let state = seed | 0 || 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 0x1_0000_0000;
  };
  for (let skipped = 0; skipped < 8; skipped++) next();
  const below = (limit: number) => Math.floor(next() * limit);
  return {
    below,
    chance: (probability) => next() < probability,
    pick: (items) => items[below(items.length)]!,
  };
}

/** What a client does once it has sent everything. */
export type Ending = 'wait' | 'end' | 'destroy' | 'reset' | 'stall';

/** One connection's worth of requests. */
export interface Conversation {
  /** Byte strings, each sent by itself. */
  readonly pieces: readonly string[];
  readonly requests: number;
  /** What `n` is in the requests, where every one of them has to be answered, in this order. */
  readonly numbers: readonly number[] | undefined;
  readonly ending: Ending;
  /** Reads nothing until everything is sent. */
  readonly deaf: boolean;
}

const LOCAL = [
  '/local',
  '/empty',
  '/redirect',
  '/static/small.txt',
  '/static/',
  '/refused',
  '/captured',
  '/nowhere',
  '/./a/../local',
];
const PROXIED = ['/good', '/unbuffered', '/regex/1/some'];
const BAD = [
  ...PROXIED,
  '/bad',
  '/bad-unbuffered',
  '/bad-careless',
  '/dead',
  '/closed',
  '/limited',
  '/static/big.bin',
  '/upgrade',
];
const HOSTS = ['localhost', 'a.example', 'LocalHost:8080', '127.0.0.1', '[::1]:80', 'x'.repeat(60)];
const FIELDS = [
  'Accept: */*',
  'Accept-Encoding: gzip, br',
  'Connection: keep-alive',
  'Cookie: a=b; c=d',
  'Range: bytes=0-3',
  'If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT',
  'If-None-Match: "x"',
  'TE: trailers',
  'X-Empty:',
  'X-Tab:\ta\t',
  'X-Bytes: \xe4\xf6\xfc\xff',
  'X_Underscore: 1',
  'X-Forwarded-For: 1.2.3.4',
  'User-Agent: fuzz',
  'Proxy-Connection: keep-alive',
];
const BROKEN_FIELDS = [
  'Content-Length: 5\r\nTransfer-Encoding: chunked',
  'Content-Length: 5\r\nContent-Length: 6',
  'Content-Length: 5, 5',
  'Content-Length: -1',
  'Content-Length: +5',
  'Content-Length: 99999999999999999999999',
  'Content-Length: 1000000',
  'Content-Length: 0x10',
  'Content-Length:',
  'Transfer-Encoding: gzip',
  'Transfer-Encoding: chunked, chunked',
  'Transfer-Encoding: xchunked',
  'Transfer-Encoding : chunked',
  'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked',
  'Host: another',
  'Host: a b',
  'Host:',
  ' Folded: line',
  'X-Folded: a\r\n b',
  'No colon',
  ': no name',
  'X-Zero: a\0b',
  'X-Return: a\rb',
  'X-Bare: a\nX-Second: b',
  'Connection: close, keep-alive',
  'Connection: upgrade\r\nUpgrade: websocket',
  'Connection: host, content-length',
  'Expect: 100-continue',
  'Expect: something',
  `X-Long: ${'l'.repeat(3000)}`,
  `X-Many: 1\r\n`.repeat(60).trimEnd(),
  'Upgrade: h2c',
  'Range: bytes=9-1,,5-',
];
const BROKEN_LINES = [
  'GET / HTTP/1.1\r\n\r\n',
  'GET /local\r\n',
  'GET /good?n=0\r\n',
  'GET /local HTTP/1.0\r\n\r\n',
  'GET /local HTTP/1.2\r\nHost: a\r\n\r\n',
  'GET /local HTTP/2.0\r\nHost: a\r\n\r\n',
  'GET /local HTTP/1.1 \r\nHost: a\r\n\r\n',
  'GET  /local  HTTP/1.1\r\nHost: a\r\n\r\n',
  'get /local HTTP/1.1\r\nHost: a\r\n\r\n',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n',
  'CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n',
  'TRACE /good HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET http://a.example/good HTTP/1.1\r\nHost: b\r\n\r\n',
  'GET http:// HTTP/1.1\r\nHost: b\r\n\r\n',
  'GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /static/%2e%2e/%2e%2e/conf/portico.conf HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /good%00%zz HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /good%0d%0aX: HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /good#fragment?n HTTP/1.1\r\nHost: a\r\n\r\n',
  `GET /${'u'.repeat(5000)} HTTP/1.1\r\nHost: a\r\n\r\n`,
  '\r\n\r\n\r\n',
  '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n',
  '\0\0\0\0',
];
const BYTES = '\r\n\0 \t:;,/%?#.\x7f\x80\xff-0aAH';

function chunkedBody(random: Random, length: number): string {
  let body = '';
  for (let left = length; left > 0; ) {
    const size = Math.min(left, 1 + random.below(left));
    const prefix = random.chance(0.2) ? `0${size.toString(16).toUpperCase()}` : size.toString(16);
    body += `${prefix}${random.chance(0.1) ? ';name=value' : ''}\r\n${'b'.repeat(size)}\r\n`;
    left -= size;
  }
  return `${body}0\r\n${random.chance(0.1) ? 'X-Trailer: t\r\n' : ''}\r\n`;
}

/** A request that is as it should be. */
function validRequest(random: Random, path: string, number: number, last: boolean): string {
  const upgrade = path === '/upgrade';
  const withBody = !upgrade && random.chance(0.25);
  const method = withBody
    ? random.pick(['POST', 'PUT', 'PATCH', 'DELETE'])
    : random.pick(['GET', 'GET', 'GET', 'GET', 'HEAD', 'OPTIONS', 'DELETE']);
  let head = `${method} ${path}?n=${number} HTTP/1.1\r\nHost: ${random.pick(HOSTS)}\r\n`;
  // Neighbours, for none may be there twice.
  let field = random.below(FIELDS.length);
  for (let fields = random.below(4); fields > 0; fields--) head += `${FIELDS[field++ % FIELDS.length]}\r\n`;
  if (random.chance(0.02)) head += `X-Long: ${'l'.repeat(random.below(1800))}\r\n`;
  if (upgrade) head += 'Upgrade: fuzz\r\nConnection: upgrade\r\n';
  if (last) head += 'Connection: close\r\n';
  if (!withBody) return `${head}\r\n`;
  if (random.chance(0.2)) head += 'Expect: 100-continue\r\n';
  const length = random.chance(0.05) ? random.below(70_000) : random.below(2000);
  return random.chance(0.5)
    ? `${head}Transfer-Encoding: chunked\r\n\r\n${chunkedBody(random, length)}`
    : `${head}Content-Length: ${length}\r\n\r\n${'b'.repeat(length)}`;
}

/** Changes something somewhere. */
function mutate(random: Random, text: string): string {
  let mutated = text;
  for (let times = 1 + random.below(3); times > 0; times--) {
    // Most of it in the head: in a long body nothing is found.
    const at = random.below(random.chance(0.8) ? Math.min(mutated.length, 200) : mutated.length);
    const length = random.below(random.chance(0.9) ? 4 : 200);
    const cut = mutated.slice(at, at + length);
    switch (random.below(5)) {
      case 0:
        mutated = mutated.slice(0, at) + BYTES[random.below(BYTES.length)] + mutated.slice(at + 1);
        break;
      case 1:
        mutated = mutated.slice(0, at) + BYTES[random.below(BYTES.length)] + mutated.slice(at);
        break;
      case 2:
        mutated = mutated.slice(0, at) + mutated.slice(at + length);
        break;
      case 3:
        mutated = mutated.slice(0, at) + cut + mutated.slice(at);
        break;
      default:
        mutated = mutated.slice(0, at) + String.fromCharCode(random.below(256)) + mutated.slice(at + 1);
    }
  }
  return mutated;
}

function brokenRequest(random: Random, path: string, number: number): string {
  if (random.chance(0.2)) return random.pick(BROKEN_LINES);
  const request = validRequest(random, path, number, false);
  if (random.chance(0.5)) return mutate(random, request);
  if (random.chance(0.1)) return request.slice(0, random.below(request.length));
  const line = request.indexOf('\r\n') + 2;
  return `${request.slice(0, line)}${random.pick(BROKEN_FIELDS)}\r\n${request.slice(line)}`;
}

/** Cuts a text at random places. */
function cutUp(random: Random, text: string): string[] {
  if (random.chance(0.6)) return [text];
  const places = Array.from({ length: random.below(6) }, () => random.below(text.length)).sort(
    (one, other) => one - other,
  );
  const pieces: string[] = [];
  let from = 0;
  for (const place of [...places, text.length]) {
    if (place > from) pieces.push(text.slice(from, place));
    from = place;
  }
  return pieces;
}

/**
 * Makes one conversation.
 * @param clean everything in it is as it should be, and everything has to be answered
 * @param first what `n` is in its first request
 */
export function makeConversation(random: Random, clean: boolean, first: number): Conversation {
  const requests = 1 + random.below(random.chance(0.5) ? 30 : 6);
  const proxied = clean ? PROXIED : BAD;
  const numbers: number[] = [];
  let text = '';
  for (let index = 0; index < requests; index++) {
    const number = first + index;
    const path = random.chance(0.15) ? random.pick(proxied) : random.pick(LOCAL);
    // What is broken is mostly the last that is read: the earlier it comes, the less is tried at all.
    const broken = !clean && (random.chance(0.02) || (index === requests - 1 && random.chance(0.7)));
    numbers.push(number);
    text += broken
      ? brokenRequest(random, path, number)
      : validRequest(random, path, number, clean && index === requests - 1);
  }
  const ending = clean
    ? 'wait'
    : random.pick<Ending>(['wait', 'wait', 'end', 'destroy', 'reset', 'reset', 'stall']);
  if (!clean && random.chance(0.1)) text = text.slice(0, random.below(text.length));
  return {
    pieces: cutUp(random, text),
    requests,
    numbers: clean ? numbers : undefined,
    ending,
    deaf: !clean && random.chance(0.05),
  };
}
