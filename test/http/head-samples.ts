import fc from 'fast-check';
import { COMPLETE, FAILED, type RequestHeadLimits } from '../../src/http/request-head.ts';
import { RequestHeadParser } from '../../src/http/request-head-parser.ts';

/** nginx's defaults. */
export const DEFAULT_LIMITS: RequestHeadLimits = {
  clientHeaderBufferSize: 1024,
  largeBufferCount: 4,
  largeBufferSize: 8192,
  maxHeaders: 1000,
  ignoreInvalidHeaders: true,
  underscoresInHeaders: false,
  mergeSlashes: true,
};

/** Everything a parser says about its input, given in pieces or as text, comparable with deepEqual. */
export function readRequest(
  input: string,
  cuts: readonly number[] | 'as text' = [],
  limits: RequestHeadLimits = DEFAULT_LIMITS,
  servers: Readonly<Record<string, RequestHeadLimits>> = {},
) {
  const parser = new RequestHeadParser(limits);
  parser.onHost = (host) => servers[host] ?? limits;
  const bytes = Buffer.from(input, 'latin1');
  const asText = cuts === 'as text';
  const edges = [0, ...(asText ? [] : cuts), bytes.length];
  for (let i = 0; i + 1 < edges.length; i++) {
    const outcome = asText
      ? parser.parseText(input, Buffer.alloc(input.length + 10))
      : parser.parse(bytes, edges[i], edges[i + 1]);
    const { head } = parser;
    if (outcome === FAILED) return { outcome, error: parser.error, notices: head.notices };
    if (outcome !== COMPLETE) continue;
    return {
      outcome,
      consumed: parser.consumed,
      method: head.method,
      version: head.version,
      target: head.target,
      hostFromTarget: head.hostFromTarget,
      host: head.host,
      port: head.port,
      uri: head.uri,
      args: head.args,
      extension: head.extension,
      quotedUri: head.quotedUri,
      plusInUri: head.plusInUri,
      validUnparsedUri: head.validUnparsedUri,
      byteLength: head.byteLength,
      notices: head.notices,
      requestLine: head.requestLine,
      protocol: head.protocol,
      fields: head.headers.text,
      known: Array.from({ length: head.headers.count }, (_, field) => head.headers.id(field)),
    };
  }
  return { outcome: 0 as const };
}

/** Places to cut a text of this length, in order. */
export function cutsOf(text: string, fractions: readonly number[]): number[] {
  return fractions.map((fraction) => Math.floor(fraction * (text.length + 1))).sort((a, b) => a - b);
}

const PIECES = [
  'GET / HTTP/1.1\r\n',
  'GET http://b.test:80/x?y HTTP/1.0\r\n',
  'POST /a%2f..//b?c#d HTTP/1.1\n',
  'CONNECT b.test:1 HTTP/1.1\r\n',
  'Host: a.test\r\n',
  'host:big.test \r\n',
  'Content-Length: 5\r\n',
  'Transfer-Encoding: chunked\r\n',
  'X_Under: 1\r\n',
  'X.Bad: 1\n',
  `Cookie: ${'c'.repeat(60)}\r\n`,
  'no colon\r\n',
  'HTTP/1.1 200 OK\r\n',
  '\r\n',
  '\n',
  '\r',
  '\0',
  ' ',
  ':',
  '\x7f',
  '\xff',
  'G',
  '/',
  '%',
  '0',
];

/** Texts that look like heads, more or less. */
export const HEADLIKE: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(...PIECES) },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) },
    ),
    { maxLength: 14 },
  )
  .map((parts) => parts.join(''));

const TOKEN = fc.stringMatching(/^[A-Za-z0-9-]{1,20}$/);

/** A field that may be written on a line as it is: name and value. */
export const FIELD: fc.Arbitrary<[name: string, value: string]> = fc.tuple(
  fc.oneof(TOKEN, fc.constantFrom('Cookie', 'Accept', 'via', 'X-Forwarded-For', 'SERVER', 'Set-Cookie')),
  fc.array(fc.integer({ min: 1, max: 255 }), { maxLength: 30 }).map((codes) =>
    String.fromCharCode(...codes)
      .replaceAll(/[\r\n]/g, '.')
      .replaceAll(/^ +| +$/g, ''),
  ),
);
