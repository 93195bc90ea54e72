import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { enginesPage } from '../../scripts/document-engines.ts';

test('docs/engines.md is as the list of limits has it', () => {
  const page = readFileSync(new URL('../../docs/engines.md', import.meta.url), 'utf8');
  assert.equal(page, enginesPage(), 'run `npm run docs`');
});
