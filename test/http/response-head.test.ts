import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { COMPLETE, FAILED, NEED_MORE } from '../../src/http/request-head.ts';
import { checkResponseHead, type ResponseFraming, ResponseHeadParser } from '../../src/http/response-head.ts';
import { cutsOf, FIELD, HEADLIKE } from './head-samples.ts';

function read(input: string, cuts: readonly number[] = [], limit = 4096) {
  const parser = new ResponseHeadParser(limit);
  const bytes = Buffer.from(input, 'latin1');
  const edges = [0, ...cuts, bytes.length];
  for (let i = 0; i + 1 < edges.length; i++) {
    const outcome = parser.parse(bytes, edges[i], edges[i + 1]);
    if (outcome === NEED_MORE) continue;
    assert.equal(parser.started, false);
    if (outcome === FAILED) return { outcome, message: parser.error?.message };
    const { head } = parser;
    return {
      outcome,
      version: head.version,
      status: head.status,
      statusLine: head.statusLine,
      fields: head.headers.text,
      byteLength: head.byteLength,
      // The body as far as it has come: what was held, what is left of this chunk, and what was not looked at.
      body: (parser.bodyPrefix?.toString('latin1') ?? '') + input.slice(parser.consumed),
    };
  }
  return { outcome: NEED_MORE };
}

test('a usual head is taken apart', () => {
  const head = 'HTTP/1.1 404 Not Found\r\nServer: x\r\nContent-Length: 4\r\n\r\n';
  assert.deepEqual(read(`${head}body`), {
    outcome: COMPLETE,
    version: 11,
    status: 404,
    statusLine: '404 Not Found',
    fields: 'Server: x\r\nContent-Length: 4\r\n',
    byteLength: head.length,
    body: 'body',
  });
});

test('status lines are read as nginx reads them', () => {
  for (const [line, version, statusLine] of [
    ['HTTP/1.0 200 OK', 10, '200 OK'],
    ['HTTP/1.1 200', 11, '200'],
    ['HTTP/1.1 200 ', 11, '200 '],
    ['HTTP/1.1  404 Not  Found', 11, '404 Not  Found'],
    ['HTTP/1.1 403.1 x', 11, '403.1 x'],
    ['HTTP/2.0 200 OK', 11, '200 OK'],
    ['HTTP/1.9 299 caf\xe9', 11, '299 caf\xe9'],
  ] as const) {
    for (const end of ['\r\n', '\n']) {
      const head = read(`${line}${end}A:b${end}${end}`);
      assert.equal(head.version, version, line);
      assert.equal(head.statusLine, statusLine, line);
      assert.equal(head.fields, 'A: b\r\n');
    }
  }
});

test('without a valid status line everything is body', () => {
  for (const text of [
    'hello',
    'http/1.1 200 OK\r\n\r\n',
    'HTTP/1.1 20 OK\r\n\r\n',
    'HTTP/1.1 200\tOK\r\n\r\n',
    'HTTP/0.9 200 OK\r\n\r\n',
    'HTTP/1.1 200 a\rb\r\n\r\n',
    'HTTP/1.1 2000\r\n\r\n',
  ]) {
    const whole = read(text);
    assert.equal(whole.version, 9, text);
    assert.equal(whole.body, text);
    const bytewise = read(
      text,
      Array.from({ length: text.length }, (_, i) => i),
    );
    assert.deepEqual(bytewise, whole);
  }
});

test('odd names are taken, repeated status lines skipped', () => {
  assert.equal(
    read('HTTP/1.1 200 OK\r\nHTTP/1.1 200 OK\r\nX_(a): 1\r\nfoo\r\n\r\n').fields,
    'X_(a): 1\r\nfoo: \r\n',
  );
});

test('invalid and too big heads are refused', () => {
  const start = 'HTTP/1.1 200 OK\r\n';
  const invalid = (text: string) => read(start + text).message;
  assert.equal(invalid('A b: c\r\n\r\n'), 'upstream sent invalid header: "A\\x20..."');
  assert.equal(invalid('A: b\r\n c\r\n\r\n'), 'upstream sent invalid header: "\\x20..."');
  assert.equal(invalid('A: b\0'), 'upstream sent invalid header: "A: b\\x00..."');
  assert.equal(invalid('A: b\rc'), 'upstream sent invalid header: "A: b\\x0d..."');
  const head = `${start}A: ${'b'.repeat(40)}\r\n\r\n`;
  assert.equal(read(head, [], head.length).outcome, COMPLETE);
  assert.equal(read(head, [], head.length - 1).message, 'upstream sent too big header');
  assert.equal(
    read('HTTP/1.0 103 Early Hints\r\n\r\n').message,
    'upstream sent HTTP/1.0 response with early hints',
  );
});

test('an interim head is followed by the next one', () => {
  const bytes = Buffer.from('HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n');
  const parser = new ResponseHeadParser(4096);
  assert.equal(parser.parse(bytes, 0, bytes.length), COMPLETE);
  assert.equal(parser.head.status, 103);
  assert.equal(parser.parse(bytes, parser.consumed, bytes.length), COMPLETE);
  assert.equal(parser.head.status, 200);
  assert.equal(parser.consumed, bytes.length);
});

test('the framing of a response is judged', () => {
  const judge = (fields: string, line = 'HTTP/1.1 200 OK') => {
    const parser = new ResponseHeadParser(4096);
    const bytes = Buffer.from(`${line}\r\n${fields}\r\n`, 'latin1');
    assert.equal(parser.parse(bytes, 0, bytes.length), COMPLETE);
    const into: ResponseFraming = { contentLength: 5, chunked: true, connectionClose: true };
    return checkResponseHead(parser.head, into)?.message ?? into;
  };
  assert.deepEqual(judge(''), { contentLength: -1, chunked: false, connectionClose: false });
  assert.deepEqual(judge('Content-Length: 7\r\n', 'HTTP/1.0 200 OK'), {
    contentLength: 7,
    chunked: false,
    connectionClose: true,
  });
  assert.deepEqual(judge('transfer-encoding: CHUNKED\r\nConnection: x, Close\r\n'), {
    contentLength: -1,
    chunked: true,
    connectionClose: true,
  });
  assert.equal(
    judge('Content-Length: 7\r\ncontent-length: 7\r\n'),
    'upstream sent duplicate header line: "content-length: 7", previous value: "Content-Length: 7"',
  );
  assert.equal(
    judge('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n'),
    'upstream sent duplicate header line: "Transfer-Encoding: chunked", previous value: "Transfer-Encoding: chunked"',
  );
  assert.equal(
    judge('Content-Length: 7\r\nTransfer-Encoding: chunked\r\n'),
    'upstream sent "Content-Length" and "Transfer-Encoding" headers at the same time',
  );
  assert.equal(
    judge('Content-Length: x\r\n'),
    'upstream sent invalid "Content-Length" header: "Content-Length: x"',
  );
  assert.equal(judge('Transfer-Encoding: gzip\r\n'), 'upstream sent unknown "Transfer-Encoding": "gzip"');
  assert.equal(typeof judge('Transfer-Encoding: gzip\r\n', 'HTTP/1.1 103 Early Hints'), 'object');
});

test('a head means the same however its bytes are cut, and nothing makes the parser throw', () => {
  const start = fc.constantFrom('HTTP/1.1 200 OK\r\n', 'HTTP/1.0 404\n', 'HTTP/1.1 2', '');
  fc.assert(
    fc.property(
      start,
      HEADLIKE,
      fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { maxLength: 6 }),
      fc.constantFrom(4096, 80),
      (line, rest, fractions, limit) => {
        const text = line + rest;
        const whole = read(text, [], limit);
        assert.deepEqual(read(text, cutsOf(text, fractions), limit), whole);
        assert.deepEqual(
          read(
            text,
            Array.from({ length: text.length }, (_, i) => i),
            limit,
          ),
          whole,
        );
      },
    ),
    { seed: 8, numRuns: 1500 },
  );
});

test('a head that was written is read back as it was', () => {
  fc.assert(
    fc.property(fc.array(FIELD, { maxLength: 10 }), fc.string({ maxLength: 8 }), (fields, after) => {
      const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
      const result = read(`HTTP/1.1 200 OK\r\n${lines}\r\n${after}`);
      assert.equal(result.fields, lines);
      assert.equal(result.body, after);
    }),
    { seed: 9, numRuns: 400 },
  );
});
