import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { COMPLETE, FAILED, NEED_MORE } from '../../src/http/request-head.ts';
import { RequestHeadParser } from '../../src/http/request-head-parser.ts';
import { cutsOf, DEFAULT_LIMITS, FIELD, HEADLIKE, readRequest } from './head-samples.ts';

function refusal(input: string, limits = DEFAULT_LIMITS) {
  const { outcome, error } = readRequest(input, [], limits);
  assert.equal(outcome, FAILED, JSON.stringify(input));
  return `${error?.status} ${error?.message}`;
}

test('a usual head is taken apart', () => {
  const input = 'GET /a/b.html?c=d HTTP/1.1\r\nHost: A.Test:8080\r\nAccept: */*\r\n\r\nbody';
  assert.deepEqual(readRequest(input), {
    outcome: COMPLETE,
    consumed: input.length - 4,
    method: 'GET',
    version: 11,
    target: '/a/b.html?c=d',
    hostFromTarget: '',
    host: 'a.test',
    port: 8080,
    uri: '/a/b.html',
    args: 'c=d',
    extension: 'html',
    quotedUri: false,
    plusInUri: false,
    validUnparsedUri: true,
    byteLength: input.length - 4,
    notices: null,
    requestLine: 'GET /a/b.html?c=d HTTP/1.1',
    protocol: 'HTTP/1.1',
    fields: 'Host: A.Test:8080\r\nAccept: */*\r\n',
    known: [1, 47],
  });
});

test('targets with an authority give host and path', () => {
  const absolute = readRequest('GET http://B.test.:81/x?y HTTP/1.1\r\nHost: other\r\n\r\n');
  assert.equal(absolute.host, 'b.test');
  assert.equal(absolute.port, 81);
  assert.equal(absolute.hostFromTarget, 'B.test.:81');
  assert.equal(absolute.target, '/x?y');
  const bare = readRequest('GET http://b.test HTTP/1.1\r\n\r\n');
  assert.equal(bare.target, '/');
  assert.equal(bare.uri, '/');
  const query = readRequest('GET http://b.test?x HTTP/1.1\r\n\r\n');
  assert.equal(query.target, '?x');
  assert.equal(query.uri, '/');
  assert.equal(query.args, 'x');
  assert.equal(query.validUnparsedUri, false);
  const tunnel = readRequest('CONNECT [::1]:443 HTTP/1.1\r\n\r\n');
  assert.equal(tunnel.host, '[::1]');
  assert.equal(tunnel.port, 443);
  assert.equal(tunnel.target, '/');
});

test('versions are those nginx takes', () => {
  assert.equal(readRequest('GET / HTTP/1.0\r\n\r\n').version, 10);
  assert.equal(readRequest('GET / HTTP/1.01\r\n\r\n').version, 11);
  assert.equal(readRequest('GET / HTTP/1.2\r\n\r\n').version, 12);
  const simple = readRequest('GET /x  \r\nrest');
  assert.equal(simple.version, 9);
  assert.equal(simple.consumed, 10);
  assert.equal(simple.protocol, '');
  assert.equal(refusal('GET / HTTP/2.0\r\n'), '505 client sent invalid version');
  assert.equal(refusal('GET / HTTP/11.1\r\n'), '505 client sent invalid version');
  assert.equal(refusal('POST /\r\n'), '400 client sent invalid method in HTTP/0.9 request');
});

test('a bad request line is refused at its first bad byte', () => {
  assert.equal(refusal('get / HTTP/1.1'), '400 client sent invalid method');
  assert.equal(refusal('\x16\x03\x01'), '400 client sent invalid method');
  for (const line of [
    'GET /a b HTTP/1.1',
    'GET /\0',
    'GET /\x7f',
    'GET /\t',
    'GET *',
    'GET / http',
    'GET / HTTP/0',
    'GET / HTTP/1.1 x',
    'GET / HTTP/1.1000',
    'GET / HTTP/1.1\rx',
    'GET http:/x',
    'GET http://a_b',
    'GET http://u@',
    'CONNECT b.test ',
    'CONNECT b.test: ',
    'CONNECT b.test:1/',
    'OPTIONS *',
  ]) {
    assert.equal(refusal(line), '400 client sent invalid request', line);
  }
  assert.equal(refusal('GET /../ HTTP/1.1\r\n'), '400 client sent invalid request');
  assert.equal(refusal('GET http:///x HTTP/1.1\r\n'), '400 client sent invalid host in request line');
});

test('after an error the request line is what had arrived of it', () => {
  const parser = new RequestHeadParser(DEFAULT_LIMITS);
  const bytes = Buffer.from('GET /a b HTTP/1.1\r\nHost: x\r\n');
  assert.equal(parser.parse(bytes, 0, bytes.length), FAILED);
  assert.equal(parser.head.requestLine, 'GET /a b HTTP/1.1');
  assert.equal(parser.error?.action, 'reading client request line');
  assert.equal(parser.started, false);
});

test('lines may end with a bare LF, and empty lines may come first', () => {
  const input = '\r\n\n\r\nGET / HTTP/1.1\nHost:a\nX:  b \r\r\n\n';
  const read = readRequest(input);
  assert.equal(read.outcome, COMPLETE);
  assert.equal(read.fields, 'Host: a\r\nX: b\r\n');
  assert.equal(read.byteLength, input.length - 5);
});

test('a line without a colon is a field without a value', () => {
  assert.equal(readRequest('GET / HTTP/1.0\r\nfoo\r\nX:\r\n\r\n').fields, 'foo: \r\nX: \r\n');
});

test('what could be read in two ways is refused', () => {
  const start = 'GET / HTTP/1.1\r\n';
  const invalid = (quoted: string) => `400 client sent invalid header line: "${quoted}"`;
  assert.equal(refusal(`${start}Host : a`), invalid('Host\\x20...'));
  assert.equal(refusal(`${start}A: b\r\n folded`), invalid('\\x20...'));
  assert.equal(refusal(`${start}A: b\r\n\tfolded`), invalid('\\x09...'));
  assert.equal(refusal(`${start}: b`), invalid('\\x3a...'));
  assert.equal(refusal(`${start}A: b\0`), invalid('A: b\\x00...'));
  assert.equal(refusal(`${start}A: b\rc`), invalid('A: b\\x0d...'));
  assert.equal(refusal(`${start}A\x01`), invalid('A\\x01...'));
  assert.equal(refusal(`${start}\rX`), invalid('\\x0d...'));
});

test('fields that may come once are refused the second time', () => {
  const start = 'GET / HTTP/1.1\r\nHost: a\r\n';
  assert.equal(
    refusal(`${start}HOST:b\r\n`),
    '400 client sent duplicate host header: "HOST: b", previous value: "Host: a"',
  );
  for (const name of ['Content-Length', 'Transfer-Encoding', 'Authorization', 'If-Range', 'Expect']) {
    assert.equal(
      refusal(`${start}${name}: 1\r\nX: y\r\n${name}: 1\r\n\r\n`),
      `400 client sent duplicate header line: "${name}: 1", previous value: "${name}: 1"`,
    );
  }
  assert.equal(readRequest(`${start}Range: a\r\nRange: b\r\n\r\n`).outcome, COMPLETE);
});

test('an invalid Host is refused', () => {
  for (const host of ['', 'a b', 'a/b', 'a..b', '[::1', 'a:b', 'a:65536', '.']) {
    assert.equal(refusal(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`), '400 client sent invalid host header');
    assert.equal(
      refusal(`GET http://ok/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`),
      '400 client sent invalid host header',
    );
  }
});

test('invalid names are ignored with a notice, or kept', () => {
  const input = 'GET / HTTP/1.0\r\nX_A: 1\r\nX.B: 2\r\nC: 3\r\n\r\n';
  const ignored = readRequest(input);
  assert.equal(ignored.fields, 'C: 3\r\n');
  assert.deepEqual(ignored.notices, [
    'client sent invalid header line: "X_A: 1"',
    'client sent invalid header line: "X.B: 2"',
  ]);
  assert.equal(ignored.byteLength, input.length);
  const underscores = readRequest(input, [], { ...DEFAULT_LIMITS, underscoresInHeaders: true });
  assert.equal(underscores.fields, 'X_A: 1\r\nC: 3\r\n');
  const kept = readRequest(input, [], { ...DEFAULT_LIMITS, ignoreInvalidHeaders: false });
  assert.equal(kept.fields, 'X_A: 1\r\nX.B: 2\r\nC: 3\r\n');
  assert.equal(kept.notices, null);
});

test('lines must fit into the large buffers, and the head into all of them', () => {
  const limits = {
    ...DEFAULT_LIMITS,
    clientHeaderBufferSize: 128,
    largeBufferCount: 2,
    largeBufferSize: 256,
  };
  const target = (length: number) => `GET /${'u'.repeat(length - 16)} HTTP/1.1\r\n`;
  assert.equal(readRequest(`${target(256)}Host: a\r\n\r\n`, [], limits).outcome, COMPLETE);
  assert.equal(refusal(`${target(257)}Host: a\r\n\r\n`, limits), '414 client sent too long URI');

  const field = (length: number) => `X: ${'v'.repeat(length - 5)}\r\n`;
  const start = 'GET / HTTP/1.0\r\n';
  assert.equal(readRequest(`${start}${field(240)}\r\n`, [], limits).outcome, COMPLETE);
  assert.equal(
    refusal(`${start}${field(257)}\r\n`, limits),
    `494 client sent too long header line: "${field(257).slice(0, 256)}..."`,
  );
  assert.match(
    refusal(`${start}${field(250)}${field(250)}${field(250)}\r\n`, limits),
    /^494 client sent too long/,
  );
  assert.equal(
    refusal(`${target(256)}`, { ...limits, largeBufferCount: 1 }),
    '494 client sent too large request',
  );
});

test('there may be so many fields and no more', () => {
  const limits = { ...DEFAULT_LIMITS, maxHeaders: 3 };
  const head = (count: number) => `GET / HTTP/1.0\r\n${'A: b\r\n'.repeat(count)}\r\n`;
  assert.equal(readRequest(head(3), [], limits).outcome, COMPLETE);
  assert.equal(refusal(head(4), limits), '494 client sent too many header lines');
  const failed = readRequest(head(4), [], limits);
  assert.equal(failed.error?.lingeringClose, true);
});

test('the limits become those of the server the Host names', () => {
  const big = { ...DEFAULT_LIMITS, underscoresInHeaders: true, maxHeaders: 2 };
  const read = (fields: string) =>
    readRequest(`GET / HTTP/1.1\r\n${fields}\r\n`, [], DEFAULT_LIMITS, { 'big.test': big });
  assert.equal(read('X_A: 1\r\nHost: big.test\r\nX_B: 2\r\n').fields, 'Host: big.test\r\nX_B: 2\r\n');
  assert.equal(read('Host: big.test\r\nX_A: 1\r\nX_B: 2\r\n').error?.status, 494);
  assert.equal(read('Host: other.test\r\nA: 1\r\nB: 2\r\n').outcome, COMPLETE);
});

test('pipelined requests are read one after the other', () => {
  const first = 'POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n';
  const second = 'GET /2 HTTP/1.1\r\nHost: b\r\n\r\n';
  const bytes = Buffer.from(`${first}abc${second}`);
  const parser = new RequestHeadParser(DEFAULT_LIMITS);
  assert.equal(parser.parse(bytes, 0, bytes.length), COMPLETE);
  const { head } = parser;
  assert.equal(parser.consumed, first.length);
  assert.equal(parser.parse(bytes, parser.consumed + 3, bytes.length), COMPLETE);
  assert.equal(parser.consumed, bytes.length);
  assert.equal(head.target, '/1');
  assert.equal(parser.head.target, '/2');
});

test('a parser can be reset in the middle of a head', () => {
  const parser = new RequestHeadParser(DEFAULT_LIMITS);
  const bytes = Buffer.from('GET / HTTP/1.0\r\nA: ');
  assert.equal(parser.started, false);
  assert.equal(parser.parse(bytes, 0, 5), NEED_MORE);
  assert.equal(parser.action, 'reading client request line');
  assert.equal(parser.parse(bytes, 5, bytes.length), NEED_MORE);
  assert.equal(parser.started, true);
  assert.equal(parser.action, 'reading client request headers');
  parser.reset();
  assert.equal(parser.started, false);
  const next = Buffer.from('GET /n HTTP/1.0\r\n\r\n');
  assert.equal(parser.parse(next, 0, next.length), COMPLETE);
  assert.equal(parser.head.target, '/n');
});

test('the chunk is not needed any more after it was read', () => {
  const parser = new RequestHeadParser(DEFAULT_LIMITS);
  const bytes = Buffer.from('GET /abc HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.equal(parser.parse(bytes, 0, 10), NEED_MORE);
  const rest = Buffer.from(bytes.subarray(10));
  bytes.fill(0);
  assert.equal(parser.parse(rest, 0, rest.length), COMPLETE);
  rest.fill(0);
  assert.equal(parser.head.headers.text, 'Host: a\r\n');
  assert.equal(parser.head.requestLine, 'GET /abc HTTP/1.1');
});

const SMALL_LIMITS = {
  ...DEFAULT_LIMITS,
  clientHeaderBufferSize: 64,
  largeBufferCount: 2,
  largeBufferSize: 100,
  maxHeaders: 5,
};
const SERVERS = {
  'big.test': { ...SMALL_LIMITS, largeBufferCount: 4, underscoresInHeaders: true, maxHeaders: 3 },
};

test('a head means the same however its bytes are cut or given, and nothing makes the parser throw', () => {
  fc.assert(
    fc.property(
      HEADLIKE,
      fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { maxLength: 6 }),
      fc.constantFrom(DEFAULT_LIMITS, SMALL_LIMITS),
      (text, fractions, limits) => {
        const { consumed: whole, ...expected } = { consumed: 0, ...readRequest(text, [], limits, SERVERS) };
        const everywhere = Array.from({ length: text.length }, (_, i) => i);
        for (const cuts of [cutsOf(text, fractions), everywhere, 'as text' as const]) {
          const { consumed, ...actual } = { consumed: 0, ...readRequest(text, cuts, limits, SERVERS) };
          assert.deepEqual(actual, expected);
          assert.equal(consumed, whole);
        }
      },
    ),
    { seed: 2, numRuns: 1500 },
  );
});

test('a head that was written is read back as it was', () => {
  fc.assert(
    fc.property(
      fc.array(FIELD, { maxLength: 10 }),
      fc.boolean(),
      fc.string({ maxLength: 8 }),
      (fields, spaced, after) => {
        const colon = spaced ? ': ' : ':';
        const lines = fields
          .filter(([name]) => !/^(host|if-|content-|transfer-encoding|expect|.*authorization)/i.test(name))
          .map(([name, value]) => [name, value] as const);
        const head = `GET /x HTTP/1.1\r\nHost: a\r\n${lines.map(([name, value]) => `${name}${colon}${value}\r\n`).join('')}\r\n`;
        const read = readRequest(head + after);
        assert.equal(read.outcome, COMPLETE);
        assert.equal(read.consumed, head.length);
        assert.equal(
          read.fields,
          `Host: a\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}`,
        );
      },
    ),
    { seed: 3, numRuns: 500 },
  );
});

test('of a head that is refused what came before the mistake is known', () => {
  function refused(input: string) {
    const parser = new RequestHeadParser(DEFAULT_LIMITS);
    assert.equal(parser.parse(Buffer.from(input), 0, input.length), FAILED);
    return parser.head;
  }
  const host = refused('GET / HTTP/1.1\r\nUser-Agent: a\r\nHost: a..b\r\nAfter: b\r\n\r\n');
  assert.equal(host.headers.text, 'User-Agent: a\r\nHost: a..b\r\n');
  const line = refused('GET / HTTP/1.1\r\nUser-Agent: a\r\n bad\r\n\r\n');
  assert.equal(line.headers.text, 'User-Agent: a\r\n');
  const { method, version } = refused('HEAD / HTTP/2.0\r\n\r\n');
  assert.deepEqual([method, version], ['HEAD', 10]);
  const old = refused('HEAD /\r\n');
  assert.deepEqual([old.method, old.version], ['HEAD', 9]);
});
