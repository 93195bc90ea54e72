import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  CHUNK_END,
  CHUNKED_DATA,
  CHUNKED_DONE,
  CHUNKED_INVALID,
  CHUNKED_NEED_MORE,
  ChunkedDecoder,
  chunkPrefix,
  LAST_CHUNK,
  lastChunkWithTrailers,
} from '../../src/http/chunked.ts';
import { headerBlockOf } from '../../src/http/header-block.ts';
import { cutsOf, FIELD } from './head-samples.ts';

function decode(input: string, cuts: readonly number[] = [], trailerLimit = 0) {
  const decoder = new ChunkedDecoder(trailerLimit);
  const bytes = Buffer.from(input, 'latin1');
  const edges = [0, ...cuts, bytes.length];
  let body = '';
  for (let i = 0; i + 1 < edges.length; i++) {
    const end = edges[i + 1];
    let position = edges[i];
    for (;;) {
      const outcome = decoder.next(bytes, position, end);
      assert.ok(decoder.position >= position && decoder.position <= end);
      position = decoder.position;
      if (outcome === CHUNKED_DATA) {
        assert.ok(decoder.dataEnd > decoder.dataStart && decoder.dataEnd === position);
        body += bytes.toString('latin1', decoder.dataStart, decoder.dataEnd);
        continue;
      }
      if (outcome === CHUNKED_NEED_MORE) {
        assert.equal(position, end);
        break;
      }
      if (outcome === CHUNKED_INVALID) return { body, outcome, message: decoder.message };
      return { body, outcome, position, trailers: decoder.trailers.text };
    }
  }
  return { body, outcome: CHUNKED_NEED_MORE };
}

test('a body is taken out of its chunks', () => {
  const input = '5\r\nhello\r\n00A;name="v"\r\n0123456789\r\n1 \r\n!\r\n0\r\n\r\nGET /';
  assert.deepEqual(decode(input), {
    body: 'hello0123456789!',
    outcome: CHUNKED_DONE,
    position: input.length - 5,
    trailers: '',
  });
});

test('what is not exactly the coding is refused', () => {
  for (const input of [
    '\r\n',
    'g\r\n',
    '-1\r\n',
    '+1\r\n',
    '0x1\r\n',
    ' 1\r\n',
    '5\nhello',
    '5\r\rhello',
    '5\r\nhello\n',
    '5\r\nhelloX',
    '5\r\nhello\rX',
    '5;a\nb',
    '0\n\r\n',
    '0\r\n\n',
    '0\r\nA: b\n',
    '0;x\n',
    'fffffffffffffffff\r\n',
    '8000000000000000\r\n',
    '5\0\r\n',
  ]) {
    assert.equal(decode(input).outcome, CHUNKED_INVALID, JSON.stringify(input));
  }
});

test('a decoder stays where it ended', () => {
  const decoder = new ChunkedDecoder();
  const done = Buffer.from('0\r\n\r\nmore');
  assert.equal(decoder.next(done, 0, done.length), CHUNKED_DONE);
  assert.equal(decoder.next(done, 5, done.length), CHUNKED_DONE);
  assert.equal(decoder.position, 5);
  assert.equal(decoder.next(done, 5, 5), CHUNKED_DONE);
  decoder.reset();
  assert.equal(decoder.next(done, 5, done.length), CHUNKED_INVALID);
  assert.equal(decoder.next(done, 0, done.length), CHUNKED_INVALID);
});

test('the rest of a chunk is known as soon as its size is', () => {
  const decoder = new ChunkedDecoder();
  const bytes = Buffer.from('100\r\nab');
  assert.equal(decoder.next(bytes, 0, 5), CHUNKED_NEED_MORE);
  assert.equal(decoder.remaining, 256);
  assert.equal(decoder.next(bytes, 5, 7), CHUNKED_DATA);
  assert.equal(decoder.remaining, 254);
});

test('trailers are dropped, or kept up to a size', () => {
  const input = '0\r\nX-A:  1 \r\nX-B: 2\r\n\r\n';
  assert.equal(decode(input).trailers, '');
  assert.equal(decode(input, [], 100).trailers, 'X-A: 1\r\nX-B: 2\r\n');
  assert.equal(decode(input, [], 19).message, 'upstream sent too big trailers');
  assert.equal(decode(input, [], input.length - 3).outcome, CHUNKED_DONE);
  assert.equal(decode('0\r\nA b: c\r\n\r\n', [], 100).message, 'upstream sent invalid trailer: "A\\x20..."');
  assert.equal(decode('0\r\nA b: c\r\n\r\n').outcome, CHUNKED_DONE);
});

test('what was encoded is decoded, however it is cut, and not a byte further is read', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ minLength: 1, maxLength: 40 }), { maxLength: 6 }),
      fc.array(FIELD, { maxLength: 4 }),
      fc.string({ maxLength: 10 }),
      fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { maxLength: 6 }),
      (parts, fields, after, fractions) => {
        const texts = parts.map((part) => Buffer.from(part).toString('latin1'));
        const trailers = headerBlockOf(fields);
        const message =
          texts.map((text) => chunkPrefix(text.length) + text + CHUNK_END).join('') +
          (fields.length === 0 ? LAST_CHUNK : lastChunkWithTrailers(trailers));
        const input = message + Buffer.from(after).toString('latin1');
        for (const cuts of [
          [],
          cutsOf(input, fractions),
          Array.from({ length: input.length }, (_, i) => i),
        ]) {
          assert.deepEqual(decode(input, cuts, 4096), {
            body: texts.join(''),
            outcome: CHUNKED_DONE,
            position: message.length,
            trailers: trailers.text,
          });
        }
      },
    ),
    { seed: 6, numRuns: 400 },
  );
});

test('garbage means the same however it is cut, and never makes the decoder throw', () => {
  const piece = fc.constantFrom(
    '0',
    '1',
    '5',
    'a',
    'f',
    '\r\n',
    '\r',
    '\n',
    ';',
    ' ',
    'hello',
    'X: y\r\n',
    '0\r\n\r\n',
    '5\r\nhello\r\n',
    '\0',
    '\xff',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), fc.constantFrom(0, 12), (parts, trailerLimit) => {
      const input = parts.join('');
      const bytewise = Array.from({ length: input.length }, (_, i) => i);
      assert.deepEqual(decode(input, bytewise, trailerLimit), decode(input, [], trailerLimit));
    }),
    { seed: 7, numRuns: 1500 },
  );
});
