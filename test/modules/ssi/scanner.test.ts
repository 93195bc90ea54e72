import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Found, SsiScanner } from '../../../src/modules/ssi/scanner.ts';

/** Everything a body in these pieces is made of: text joined, commands as objects. */
function scan(pieces: readonly string[]): unknown[] {
  const parts: unknown[] = [];
  const addText = (text: string) => {
    if (typeof parts.at(-1) === 'string') parts.push(`${parts.pop()}${text}`);
    else parts.push(text);
  };
  const scanner = new SsiScanner(20, (message) => parts.push({ message }));
  for (const text of pieces) {
    const piece = Buffer.from(text, 'latin1');
    scanner.position = 0;
    for (let found: Found = scanner.next(piece); found !== Found.nothing; found = scanner.next(piece)) {
      if (found === Found.text) addText(piece.toString('latin1', scanner.textStart, scanner.textEnd));
      else if (found === Found.heldText) addText(scanner.held);
      else if (found === Found.command) parts.push(scanner.command);
      else parts.push('an error', { error: true });
    }
  }
  return parts;
}

test('a command has a name and parameters, whose values keep their backslashes', () => {
  assert.deepEqual(scan(['a<!--#echo var="x\\"y" default=\'"\'-->b']), [
    'a',
    {
      name: 'echo',
      parameters: [
        { name: 'var', value: 'x\\"y' },
        { name: 'default', value: '"' },
      ],
    },
    'b',
  ]);
});

test('it does not matter where a body is cut', () => {
  const token = fc.constantFrom(
    '<',
    '!',
    '-',
    '--',
    '#',
    '<!--#',
    '<!--',
    'echo',
    ' ',
    'var',
    '=',
    '"',
    "'",
    '\\',
    '-->',
    '->',
    '>',
    'x',
    'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy',
    ' -->',
    ' var="1"',
  );
  fc.assert(
    fc.property(
      fc.array(token, { maxLength: 30 }),
      fc.array(fc.nat(60), { maxLength: 8 }),
      (tokens, cuts) => {
        const body = tokens.join('');
        const pieces: string[] = [];
        let start = 0;
        for (const cut of cuts) {
          pieces.push(body.slice(start, start + cut));
          start += cut;
        }
        pieces.push(body.slice(start));
        assert.deepEqual(scan(pieces), scan([body]));
      },
    ),
    { seed: 5, numRuns: 2000 },
  );
});

test('text without commands comes out as it went in, but for what may be the beginning of one', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('<', '!', '-', 'a', '>') }), (body) => {
      const [text = ''] = scan([body]) as string[];
      assert.ok(body.startsWith(text));
      assert.ok('<!--'.startsWith(body.slice(text.length)));
    }),
    { seed: 5 },
  );
});
