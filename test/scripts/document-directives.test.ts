import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { directivesPage } from '../../scripts/document-directives.ts';

test('the table of directives says what the program knows (else: npm run docs)', () => {
  const page = readFileSync(new URL('../../docs/directives.md', import.meta.url), 'utf8');
  assert.equal(page, directivesPage());
});
