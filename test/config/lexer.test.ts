import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createLexer, type Token } from '../../src/config/lexer.ts';
import { ConfigError } from '../../src/config/statement.ts';

/** Every token of a text, the end not included. */
function tokens(text: string, file = 'x'): Token[] {
  const lexer = createLexer(text, file);
  const found: Token[] = [];
  for (let token = lexer.next(); token.kind !== 'end of text'; token = lexer.next()) found.push(token);
  return found;
}

/** The words of the only statement of a text. */
function words(text: string): readonly string[] {
  const [token, ...others] = tokens(text);
  assert.deepEqual(others, []);
  assert.ok(token.kind === 'statement');
  return token.words;
}

function errorOf(text: string, file = 'x'): string {
  try {
    tokens(text, file);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.format();
  }
  return assert.fail('no error');
}

test('words are separated by any white space', () => {
  assert.deepEqual(words('  a\tb\r\nc \n;'), ['a', 'b', 'c']);
});

test('statements, blocks and their ends are told apart, each with the line where it ends', () => {
  assert.deepEqual(tokens('a\nb;\nc {\n}\n'), [
    { kind: 'statement', words: ['a', 'b'], line: 2 },
    { kind: 'block', words: ['c'], line: 3 },
    { kind: 'end of block', line: 4 },
  ]);
  assert.deepEqual(tokens('a{b;}'), [
    { kind: 'block', words: ['a'], line: 1 },
    { kind: 'statement', words: ['b'], line: 1 },
    { kind: 'end of block', line: 1 },
  ]);
});

test('quotes of either kind keep white space, braces and semicolons', () => {
  assert.deepEqual(words(`a "b c" 'd; e' "{f}" '"' "'";`), ['a', 'b c', 'd; e', '{f}', '"', "'"]);
});

test('a quoted word may be empty and may span lines', () => {
  assert.deepEqual(words(`a "" '';`), ['a', '', '']);
  assert.deepEqual(tokens('a "b\nc";'), [{ kind: 'statement', words: ['a', 'b\nc'], line: 2 }]);
});

test('a quote within a word is part of it', () => {
  assert.deepEqual(words('a b"c d\'e;'), ['a', 'b"c', "d'e"]);
});

test('a closing brace within a word is part of it, and so is a number sign', () => {
  assert.deepEqual(words('a b}c d#e;'), ['a', 'b}c', 'd#e']);
});

test('escapes of quotes and the backslash lose it, \\t \\r \\n are control characters, others stay', () => {
  assert.deepEqual(words(String.raw`a \" \' \\ \t \r \n \. \d \$;`), [
    ...['a', '"', "'", '\\', '\t', '\r', '\n', '\\.', '\\d', '\\$'],
  ]);
  assert.deepEqual(words(String.raw`a "x\"y" 'x\'y' "x\ny\wz";`), ['a', 'x"y', "x'y", 'x\ny\\wz']);
  assert.deepEqual(words(String.raw`a \\\" \\n;`), ['a', '\\"', '\\n']);
});

test('an escaped separator does not separate, and keeps its backslash', () => {
  assert.deepEqual(words('a b\\ c\\;d\\{;'), ['a', 'b\\ c\\;d\\{']);
});

test('a dollar keeps a brace from opening a block', () => {
  assert.deepEqual(words('a ${b}c d${e} $${f};'), ['a', '${b}c', 'd${e}', '$${f}']);
  assert.deepEqual(words('a ${{b;'), ['a', '${{b']);
  assert.deepEqual(tokens('a $b{'), [{ kind: 'block', words: ['a', '$b'], line: 1 }]);
});

test('a comment runs to the end of its line and may stand between words', () => {
  assert.deepEqual(tokens('# a; {\nb # c "\n d;#e'), [{ kind: 'statement', words: ['b', 'd'], line: 3 }]);
});

test('a closing parenthesis may follow a quoted word and is a word of its own', () => {
  assert.deepEqual(tokens('if ($a = "b") {'), [
    { kind: 'block', words: ['if', '($a', '=', 'b', ')'], line: 1 },
  ]);
});

test('bytes above ASCII, NUL and a byte order mark are bytes like any other', () => {
  assert.deepEqual(words('\xef\xbb\xbfa \xe9\0\xff;'), ['\xef\xbb\xbfa', '\xe9\0\xff']);
});

test('a quoted word must be followed by white space or what ends it', () => {
  assert.equal(errorOf('a\n"b"c;'), 'unexpected "c" in x:2');
  assert.equal(errorOf('a "b""c";'), 'unexpected """ in x:1');
  assert.equal(errorOf('a "b"}'), 'unexpected "}" in x:1');
  assert.deepEqual(words('a "b";'), ['a', 'b']);
});

test('nothing may stand alone before a semicolon or a brace', () => {
  assert.equal(errorOf(';'), 'unexpected ";" in x:1');
  assert.equal(errorOf('a;\n{'), 'unexpected "{" in x:2');
});

test('a closing brace may not end a statement', () => {
  assert.equal(errorOf('a b }'), 'unexpected "}" in x:1');
});

test('a statement may not end with the file', () => {
  for (const text of ['a', 'a ', 'a "b', 'a "b"', "a '", 'a\\', 'a # b']) {
    assert.equal(errorOf(text), 'unexpected end of file, expecting ";" or "}" in x:1', text);
  }
  assert.equal(errorOf('a "b\n\n'), 'unexpected end of file, expecting ";" or "}" in x:3');
});

test('a statement may not end with the command line', () => {
  assert.equal(errorOf('a b', ''), 'unexpected end of parameter, expecting ";" in command line');
});

test('a word as long as the buffer is too long, placed where it starts', () => {
  const long = 'abcdefghijkl'.padEnd(4096, 'x');
  assert.equal(errorOf(`a\n\n${long} \n;`), 'too long parameter "abcdefghij..." started in x:3');
  assert.deepEqual(words(`a ${long.slice(1)};`), ['a', long.slice(1)]);
});

test('a quoted word as long as the buffer probably misses its quote', () => {
  const long = 'x\n'.repeat(2048);
  for (const quote of ['"', "'"]) {
    const message = `too long parameter, probably missing terminating "${quote}" character in x:2`;
    assert.equal(errorOf(`a\n${quote}${long}${quote};`), message);
  }
  assert.deepEqual(words(`a "${long.slice(2)}";`), ['a', long.slice(2)]);
  assert.equal(errorOf(`a "${long.slice(1)}" ;`), 'too long parameter "\nx\nx\nx\nx\nx..." started in x:1');
});

test('a comment counts as nginx counts it', () => {
  assert.equal(errorOf(`\n#${'x'.repeat(4096)}\na;`), 'too long parameter "#xxxxxxxxx..." started in x:2');
  assert.deepEqual(words(`#${'x'.repeat(4094)}\na;`), ['a']);
});

test('a long word that the file ends with is an unfinished statement', () => {
  assert.equal(errorOf('x'.repeat(4096)), 'unexpected end of file, expecting ";" or "}" in x:1');
});

test('the command line has no limit of length', () => {
  assert.deepEqual(tokens(`a ${'x'.repeat(10_000)};`, ''), [
    { kind: 'statement', words: ['a', 'x'.repeat(10_000)], line: 0 },
  ]);
});

test('random text is read or refused with a ConfigError, and always comes to an end', () => {
  const piece = fc.constantFrom(...'ab \t\n\r;{}"\'\\$#)', '${', '\\"', '\xff', '\0');
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
      try {
        tokens(pieces.join(''));
      } catch (error) {
        assert.ok(error instanceof ConfigError);
      }
    }),
    { seed: 2, numRuns: 2000 },
  );
});
