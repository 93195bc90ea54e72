import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type IfModifiedSince,
  isConditional,
  judgeConditions,
  matchesEntityTag,
  matchesIfRange,
} from '../../src/http/conditional.ts';
import { formatHttpDate } from '../../src/http/dates.ts';
import { headerBlockOf } from '../../src/http/header-block.ts';

const TIME = 1_000_000_000;
const ETAG = '"3b9aca00-63"';
const VALIDATORS = { lastModified: TIME, etag: ETAG };

function judge(
  fields: Readonly<Record<string, string>>,
  validators = VALIDATORS,
  mode: IfModifiedSince = 'exact',
): string {
  return judgeConditions(headerBlockOf(Object.entries(fields)), validators, mode);
}

const at = (seconds: number) => formatHttpDate(seconds);

test('a request is conditional when it has one of the four fields', () => {
  for (const name of ['If-Match', 'If-None-Match', 'If-Modified-Since', 'If-Unmodified-Since']) {
    assert.ok(isConditional(headerBlockOf([[name, 'x']])), name);
  }
  assert.ok(!isConditional(headerBlockOf([['If-Range', 'x']])));
});

test('If-Modified-Since: the very date, or none earlier than the change, or not at all', () => {
  assert.equal(judge({ 'If-Modified-Since': at(TIME) }), 'not modified');
  assert.equal(judge({ 'If-Modified-Since': at(TIME + 1) }), 'send');
  assert.equal(judge({ 'If-Modified-Since': at(TIME - 1) }), 'send');
  assert.equal(judge({ 'If-Modified-Since': at(TIME + 1) }, VALIDATORS, 'before'), 'not modified');
  assert.equal(judge({ 'If-Modified-Since': at(TIME - 1) }, VALIDATORS, 'before'), 'send');
  assert.equal(judge({ 'If-Modified-Since': 'yesterday' }, VALIDATORS, 'before'), 'send');
  assert.equal(judge({ 'If-Modified-Since': at(TIME) }, VALIDATORS, 'off'), 'send');
  assert.equal(judge({ 'If-Modified-Since': at(TIME) }, { lastModified: -1, etag: ETAG }), 'send');
});

test('If-Unmodified-Since fails for an answer changed later, or one nobody knows the date of', () => {
  assert.equal(judge({ 'If-Unmodified-Since': at(TIME) }), 'send');
  assert.equal(judge({ 'If-Unmodified-Since': at(TIME + 1) }), 'send');
  assert.equal(judge({ 'If-Unmodified-Since': at(TIME - 1) }), 'failed');
  assert.equal(judge({ 'If-Unmodified-Since': 'x' }), 'failed');
  assert.equal(judge({ 'If-Unmodified-Since': at(TIME) }, { lastModified: -1, etag: ETAG }), 'failed');
});

test('If-Match compares strongly, If-None-Match weakly', () => {
  assert.equal(judge({ 'If-Match': ETAG }), 'send');
  assert.equal(judge({ 'If-Match': `W/${ETAG}` }), 'failed');
  assert.equal(judge({ 'If-Match': '*' }), 'send');
  assert.equal(judge({ 'If-Match': '"x"' }), 'failed');
  assert.equal(judge({ 'If-None-Match': ETAG }), 'not modified');
  assert.equal(judge({ 'If-None-Match': `W/${ETAG}` }), 'not modified');
  assert.equal(judge({ 'If-None-Match': ETAG }, { lastModified: -1, etag: `W/${ETAG}` }), 'not modified');
  assert.equal(judge({ 'If-None-Match': '"x"' }), 'send');
  assert.equal(judge({ 'If-None-Match': ETAG }, { lastModified: -1, etag: '' }), 'send');
});

test('an answer is left out only if every condition that would leave it out holds', () => {
  assert.equal(judge({ 'If-Modified-Since': at(TIME), 'If-None-Match': ETAG }), 'not modified');
  assert.equal(judge({ 'If-Modified-Since': at(TIME), 'If-None-Match': '"x"' }), 'send');
  assert.equal(judge({ 'If-Modified-Since': at(TIME - 1), 'If-None-Match': ETAG }), 'send');
  assert.equal(judge({ 'If-Match': '"x"', 'If-None-Match': ETAG }), 'failed');
});

test('If-Range holds for the very ETag, or the very date', () => {
  assert.ok(matchesIfRange(ETAG, VALIDATORS));
  assert.ok(!matchesIfRange(`W/${ETAG}`, VALIDATORS));
  assert.ok(!matchesIfRange('"x"', VALIDATORS));
  assert.ok(matchesIfRange(at(TIME), VALIDATORS));
  assert.ok(!matchesIfRange(at(TIME + 1), VALIDATORS));
  assert.ok(!matchesIfRange('x', VALIDATORS));
  assert.ok(!matchesIfRange(at(TIME), { lastModified: -1, etag: ETAG }));
});

test('a tag is found wherever it stands in a list', () => {
  assert.ok(matchesEntityTag(`"a" , ${ETAG}\t,"b"`, ETAG, 'strong'));
  assert.ok(matchesEntityTag(`"a",,${ETAG}`, ETAG, 'strong'));
  assert.ok(!matchesEntityTag(`${ETAG}x`, ETAG, 'strong'));
  assert.ok(!matchesEntityTag(`x${ETAG}`, ETAG, 'strong'));
  assert.ok(!matchesEntityTag('', ETAG, 'weak'));
  const tag = fc.stringMatching(/^(W\/)?"[a-c]{0,3}"$/);
  fc.assert(
    fc.property(fc.array(tag, { maxLength: 6 }), tag, (tags, etag) => {
      const opaque = (text: string) => text.replace(/^W\//, '');
      assert.equal(matchesEntityTag(tags.join(', '), etag, 'strong'), tags.includes(etag));
      assert.equal(
        matchesEntityTag(tags.join(', '), etag, 'weak'),
        tags.some((one) => opaque(one) === opaque(etag)),
      );
    }),
    { seed: 1, numRuns: 1000 },
  );
});
