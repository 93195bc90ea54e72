import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileRegex } from '../../src/core/regex.ts';

const matches = (pattern: string, text: string, caseless = false) =>
  compileRegex(pattern, { caseless }).test(text);

test('properties of Unicode are those of the characters of Latin-1', () => {
  assert.equal(matches('^www\\p{N}+$', 'www12'), true);
  assert.equal(matches('^www\\p{N}+$', 'wwwx'), false);
  assert.equal(matches('^\\pL$', '\xe9'), true);
  assert.equal(matches('^\\PL$', '\xe9'), false);
  assert.equal(matches('^\\p{^Lu}$', 'A'), false);
  assert.equal(matches('^\\p{Latin}$', '\xe9'), true);
  assert.equal(matches('^\\p{Greek}$', 'a'), false);
  assert.equal(matches('^[\\p{Nd}_]+$', '1_2'), true);
  assert.equal(matches('^[^\\p{Nd}]$', '1'), false);
  assert.equal(matches('^\\p{Xan}+$', 'a1'), true);
});

test('without regard to case a cased letter stands for all of them', () => {
  assert.equal(matches('^\\p{Lu}$', 'a', true), true);
  assert.equal(matches('^\\p{Lu}$', 'a'), false);
  assert.equal(matches('^[\\p{ll}]$', 'A', true), true);
});

test('a property nobody knows, or that is not written whole, is an error', () => {
  assert.throws(() => matches('\\p{Nobody}', ''), /unknown property after \\P or \\p in/);
  assert.throws(() => matches('\\p', ''), /malformed \\P or \\p sequence in/);
  assert.throws(() => matches('\\p{L', ''), /malformed \\P or \\p sequence in/);
});
