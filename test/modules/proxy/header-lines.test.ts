import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { headerBlockOf } from '../../../src/http/header-block.ts';
import { KNOWN_HEADER_NAMES } from '../../../src/http/header-names.ts';
import { headerNameSet, linesWithout } from '../../../src/modules/proxy/request.ts';

const name = fc.oneof(
  fc.constantFrom(...KNOWN_HEADER_NAMES.slice(1)),
  fc.constantFrom('x-one', 'x-two', 'x-three'),
);
const spelled = fc.tuple(name, fc.boolean()).map(([text, upper]) => (upper ? text.toUpperCase() : text));
const value = fc
  .string({ unit: fc.constantFrom('a', 'b', ' ', ',', ';'), maxLength: 8 })
  .map((text) => text.trim());

test('exactly the lines whose names are not in the set are left, as they were and in their order', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(spelled, value)), fc.array(spelled), (fields, dropped) => {
      const lowerCase = new Set(dropped.map((text) => text.toLowerCase()));
      const expected = fields
        .filter(([text]) => !lowerCase.has(text.toLowerCase()))
        .map(([text, given]) => `${text}: ${given}\r\n`)
        .join('');
      assert.equal(linesWithout(headerNameSet(dropped), headerBlockOf(fields)), expected);
    }),
    { seed: 20_261_121, numRuns: 500 },
  );
});
