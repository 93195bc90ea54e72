import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type ControlOpcode,
  closePayload,
  type DataOpcode,
  FrameReader,
  Opcode,
  readClose,
  writeFrame,
} from '../../src/http/websocket-frames.ts';

const SEED = 6455;

interface Sent {
  readonly opcode: number;
  readonly payload: Uint8Array;
}

/** What a reader makes of bytes, messages put together again. */
function readAll(
  pieces: readonly Uint8Array[],
  masked: boolean,
): { found: Sent[]; error: string | undefined } {
  const found: Sent[] = [];
  let parts: Buffer[] = [];
  let begun = false;
  const reader = new FrameReader(
    {
      data(piece: Buffer, opcode: DataOpcode, first: boolean, last: boolean) {
        assert.equal(first, !begun, 'first is the first piece of a message');
        begun = !last;
        parts.push(Buffer.from(piece));
        if (last) {
          found.push({ opcode, payload: Buffer.concat(parts) });
          parts = [];
        }
      },
      control(opcode: ControlOpcode, payload: Buffer) {
        found.push({ opcode, payload: Buffer.from(payload) });
      },
    },
    masked,
  );
  let error: string | undefined;
  // Unmasked in place: the reader gets bytes of its own.
  for (const piece of pieces) error = reader.read(Buffer.from(piece));
  return { found, error };
}

function cut(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((place) => place % (bytes.length + 1)))].sort(
    (one, other) => one - other,
  );
  const pieces: Buffer[] = [];
  let from = 0;
  for (const place of [...places, bytes.length]) {
    pieces.push(bytes.subarray(from, place));
    from = place;
  }
  return pieces;
}

const payloads = fc.oneof(
  fc.uint8Array({ maxLength: 130 }),
  fc.uint8Array({ minLength: 0, maxLength: 8 }),
  fc.integer({ min: 65_530, max: 65_545 }).map((length) => new Uint8Array(length).fill(length & 0xff)),
);
const messages = fc.record({ opcode: fc.constantFrom(Opcode.text, Opcode.binary), payload: payloads });
const controls = fc.record({
  opcode: fc.constantFrom(Opcode.ping, Opcode.pong, Opcode.close),
  payload: fc.uint8Array({ maxLength: 125 }),
});

test('frames that are written are read, however they are cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(messages, controls), { maxLength: 6 }),
      fc.array(fc.nat(), { maxLength: 12 }),
      fc.boolean(),
      (frames, cuts, masked) => {
        const bytes = Buffer.concat(frames.map(({ opcode, payload }) => writeFrame(opcode, payload, masked)));
        const { found, error } = readAll(cut(bytes, cuts), masked);
        assert.equal(error, undefined);
        assert.deepEqual(
          found.map(({ opcode, payload }) => [opcode, Buffer.from(payload).toString('hex')]),
          frames.map(({ opcode, payload }) => [opcode, Buffer.from(payload).toString('hex')]),
        );
      },
    ),
    { seed: SEED, numRuns: 300 },
  );
});

test('messages in fragments are put together, with control frames between them', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(Opcode.text, Opcode.binary),
      fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 1, maxLength: 6 }),
      fc.array(fc.nat(), { maxLength: 20 }),
      fc.boolean(),
      (opcode, fragments, cuts, masked) => {
        const frames: Buffer[] = [];
        for (const [index, fragment] of fragments.entries()) {
          const last = index === fragments.length - 1;
          frames.push(writeFrame(index === 0 ? opcode : Opcode.continuation, fragment, masked, last));
          if (!last) frames.push(writeFrame(Opcode.ping, Buffer.from([index]), masked));
        }
        const { found, error } = readAll(cut(Buffer.concat(frames), cuts), masked);
        assert.equal(error, undefined);
        const pings = found.filter((frame) => frame.opcode === Opcode.ping);
        assert.equal(pings.length, fragments.length - 1);
        assert.deepEqual(
          found.filter((frame) => frame.opcode !== Opcode.ping).map(({ payload }) => Buffer.from(payload)),
          [Buffer.concat(fragments)],
        );
        assert.equal(found.at(-1)!.opcode, opcode);
      },
    ),
    { seed: SEED, numRuns: 300 },
  );
});

test('no bytes make the reader throw, or go on after an error', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.array(fc.nat(), { maxLength: 8 }),
      fc.boolean(),
      (bytes, cuts, masked) => {
        const whole = readAll([bytes], masked);
        const pieces = readAll(cut(Buffer.from(bytes), cuts), masked);
        assert.deepEqual(
          pieces.found.map(({ opcode, payload }) => [opcode, [...payload]]),
          whole.found.map(({ opcode, payload }) => [opcode, [...payload]]),
        );
        assert.equal(pieces.error, whole.error);
      },
    ),
    { seed: SEED, numRuns: 1000 },
  );
});

test('the examples of RFC 6455 5.7', () => {
  const unmasked = Buffer.from([0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
  assert.deepEqual(readAll([unmasked], false).found, [{ opcode: 1, payload: Buffer.from('Hello') }]);
  assert.deepEqual(writeFrame(Opcode.text, Buffer.from('Hello'), false), unmasked);
  const masked = Buffer.from([0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
  assert.deepEqual(readAll([masked], true).found, [{ opcode: 1, payload: Buffer.from('Hello') }]);
  const fragments = Buffer.from([0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f]);
  assert.deepEqual(readAll([fragments], false).found, [{ opcode: 1, payload: Buffer.from('Hello') }]);
  assert.deepEqual(readAll([Buffer.from([0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f])], false).found, [
    { opcode: 9, payload: Buffer.from('Hello') },
  ]);
});

test('what is no frame is refused', () => {
  const cases: [bytes: number[], masked: boolean, error: string][] = [
    [[0xc1, 0x00], false, 'a reserved bit is set'],
    [[0x83, 0x00], false, 'opcode 3 is unknown'],
    [[0x8b, 0x00], false, 'opcode 11 is unknown'],
    [[0x81, 0x80], false, 'a frame is masked'],
    [[0x81, 0x00], true, 'a frame is not masked'],
    [[0x09, 0x00], false, 'a control frame is fragmented'],
    [[0x89, 0x7e], false, 'a control frame is too long'],
    [[0x80, 0x00], false, 'a message begins with a continuation'],
    [[0x01, 0x00, 0x81, 0x00], false, 'a message begins within another'],
    [[0x82, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0], false, 'a frame is too long'],
  ];
  for (const [bytes, masked, error] of cases) {
    assert.equal(readAll([Uint8Array.from(bytes)], masked).error, error);
    assert.equal(
      readAll(
        bytes.map((byte) => Uint8Array.of(byte)),
        masked,
      ).error,
      error,
    );
  }
});

test('a reader that is stopped by its receiver says nothing more', () => {
  let heard = 0;
  const reader: FrameReader = new FrameReader(
    {
      data() {},
      control() {
        heard++;
        reader.stop();
      },
    },
    false,
  );
  const ping = writeFrame(Opcode.ping, Buffer.from('x'), false);
  assert.equal(reader.read(Buffer.concat([ping, ping])), undefined);
  assert.equal(reader.read(ping), undefined);
  assert.equal(heard, 1);
});

test('masks differ from frame to frame', () => {
  const seen = new Set<string>();
  for (let count = 0; count < 3000; count++) {
    seen.add(writeFrame(Opcode.binary, Buffer.alloc(0), true).subarray(2).toString('hex'));
  }
  assert.ok(seen.size > 2990);
});

test('close frames have a code and a reason, or nothing', () => {
  assert.deepEqual(readClose(closePayload(1000, Buffer.from('bye'))), {
    code: 1000,
    reason: Buffer.from('bye'),
  });
  assert.deepEqual(readClose(closePayload(1005, Buffer.alloc(0))), { code: 1005, reason: Buffer.alloc(0) });
  assert.equal(closePayload(1006, Buffer.from('x')).length, 0);
  assert.equal(closePayload(1000, Buffer.alloc(200)).length, 125);
  assert.equal(readClose(Buffer.from([3])), undefined);
});
