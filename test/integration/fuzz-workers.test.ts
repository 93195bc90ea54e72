import { test } from 'node:test';
import { askAtRandom } from './fuzz-run.ts';

// The other half of 200,000 is fuzz.test.ts.
test('100,000 random and mutated requests to two workers crash nothing, and leave no counter off zero', (t) =>
  askAtRandom(t, { seed: Number(process.env['FUZZ_SEED'] ?? 20_261_122), requests: 100_000, workers: 2 }));
