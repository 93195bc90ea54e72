import assert from 'node:assert/strict';
import { test } from 'node:test';
import { headerBlockOf } from '../../src/http/header-block.ts';
import {
  checkRequestFields,
  checkRequestHead,
  parseContentLength,
  type RequestFraming,
} from '../../src/http/request-check.ts';
import { COMPLETE } from '../../src/http/request-head.ts';
import { RequestHeadParser } from '../../src/http/request-head-parser.ts';
import { DEFAULT_LIMITS } from './head-samples.ts';

function check(input: string, allowConnect = false): string | RequestFraming {
  const parser = new RequestHeadParser(DEFAULT_LIMITS);
  const bytes = Buffer.from(input, 'latin1');
  assert.equal(parser.parse(bytes, 0, bytes.length), COMPLETE);
  const framing: RequestFraming = { contentLength: 0, chunked: true, connection: 'close' };
  const error = checkRequestHead(parser.head, allowConnect, framing);
  return error === undefined ? framing : `${error.status} ${error.message}`;
}

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n';

test('a request without a body announces none', () => {
  assert.deepEqual(check(`${GET}\r\n`), { contentLength: -1, chunked: false, connection: 'none' });
});

test('a body is delimited by its length or by chunks', () => {
  assert.deepEqual(check(`${GET}Content-Length: 007\r\n\r\n`), {
    contentLength: 7,
    chunked: false,
    connection: 'none',
  });
  assert.deepEqual(check(`${GET}Transfer-Encoding: Chunked\r\n\r\n`), {
    contentLength: -1,
    chunked: true,
    connection: 'none',
  });
});

test('a body whose end could be disputed is refused', () => {
  assert.equal(
    check(`${GET}Content-Length: 5, 5\r\n\r\n`),
    '400 client sent invalid "Content-Length" header',
  );
  assert.equal(check(`${GET}Content-Length: +5\r\n\r\n`), '400 client sent invalid "Content-Length" header');
  assert.equal(check(`${GET}Content-Length:\r\n\r\n`), '400 client sent invalid "Content-Length" header');
  const both = '400 client sent "Content-Length" and "Transfer-Encoding" headers at the same time';
  assert.equal(check(`${GET}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`), both);
  assert.equal(check(`${GET}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n`), both);
  for (const encoding of [
    'gzip, chunked',
    'identity',
    '',
    'chunked\t',
    '\tchunked',
    '\x0bchunked',
    'chunked,',
  ]) {
    assert.equal(
      check(`${GET}Transfer-Encoding: ${encoding}\r\n\r\n`),
      `501 client sent unknown "Transfer-Encoding": "${encoding}"`,
    );
  }
  assert.equal(
    check('POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n'),
    '400 client sent HTTP/1.0 request with "Transfer-Encoding" header',
  );
});

test('HTTP/1.1 asks for a Host field, even with an absolute target', () => {
  const missing = '400 client sent HTTP/1.1 request without "Host" header';
  assert.equal(check('GET / HTTP/1.1\r\n\r\n'), missing);
  assert.equal(check('GET http://a/ HTTP/1.1\r\n\r\n'), missing);
  assert.equal(typeof check('GET / HTTP/1.0\r\n\r\n'), 'object');
  assert.equal(typeof check('GET /\r\n'), 'object');
});

test('TRACE is refused, and CONNECT unless it is allowed', () => {
  assert.equal(check('TRACE / HTTP/1.1\r\nHost: a\r\n\r\n'), '405 client sent TRACE method');
  const connect = 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n';
  assert.equal(check(`${connect}\r\n`), '405 client sent CONNECT method');
  assert.equal(typeof check(`${connect}\r\n`, true), 'object');
  assert.equal(
    check(`${connect}Content-Length: 1\r\n\r\n`, true),
    '400 client sent CONNECT request with body',
  );
  assert.equal(check('CONNECT a:1 HTTP/1.0\r\n\r\n', true), '405 client sent CONNECT method');
});

test('Connection is searched for its two words', () => {
  const wish = (fields: string) => (check(`${GET}${fields}\r\n`) as RequestFraming).connection;
  assert.equal(wish('Connection: Keep-Alive\r\n'), 'keep-alive');
  assert.equal(wish('Connection: upgrade, CLOSE\r\n'), 'close');
  assert.equal(wish('Connection: upgrade\r\n'), 'none');
  assert.equal(wish('Connection: close\r\nConnection: keep-alive\r\n'), 'keep-alive');
  assert.equal(wish('Connection: close\r\nConnection: te\r\n'), 'close');
});

test('a content length is digits up to 2^63-1', () => {
  assert.equal(parseContentLength('0'), 0);
  assert.equal(parseContentLength('9223372036854775807'), 2 ** 63);
  assert.equal(parseContentLength('9223372036854775808'), -1);
  assert.equal(parseContentLength('10000000000000000000'), -1);
  assert.equal(parseContentLength(`${'0'.repeat(30)}12`), 12);
  for (const text of ['', ' 1', '1 ', '1a', '-1', '0x1', '1.0', '1e3', '\xb2']) {
    assert.equal(parseContentLength(text), -1, text);
  }
});

test('fields from elsewhere get the checks the parser makes', () => {
  const into = { host: '', port: 0 };
  assert.equal(checkRequestFields(headerBlockOf([['host', 'A.b:8']]), into), undefined);
  assert.deepEqual(into, { host: 'a.b', port: 8 });
  const authority = { host: 'given', port: 1 };
  assert.equal(checkRequestFields(headerBlockOf([['host', 'A.b:8']]), authority), undefined);
  assert.deepEqual(authority, { host: 'given', port: 1 });
  assert.equal(
    checkRequestFields(headerBlockOf([['host', 'a b']]), into)?.message,
    'client sent invalid host header',
  );
  assert.equal(
    checkRequestFields(
      headerBlockOf([
        ['range', 'a'],
        ['range', 'b'],
        ['if-match', 'x'],
        ['if-match', 'y'],
      ]),
      into,
    )?.message,
    'client sent duplicate header line: "if-match: y", previous value: "if-match: x"',
  );
});
