import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import fc from 'fast-check';
import { ConfigError } from '../../src/config/statement.ts';
import type { Exchange } from '../../src/core/exchange.ts';
import { compileRegex, REGEXP_ENGINE_OPTION } from '../../src/core/regex.ts';
import { VariableRegistry } from '../../src/core/variables.ts';

setFlagsFromString(REGEXP_ENGINE_OPTION);

/** What a match touches of an exchange. */
function target(): Exchange {
  return { captures: undefined, values: [] } as unknown as Exchange;
}

/** The match and its groups; undefined without one. */
function groups(pattern: string, text: string, caseless = false): (string | undefined)[] | undefined {
  // A group around all of it, so that there always is one to look at.
  const exchange = target();
  const regex = compileRegex(`(${pattern})`, { caseless });
  return regex.match(exchange, text) ? [...exchange.captures!].slice(1) : undefined;
}

function matches(pattern: string, text: string, caseless = false): boolean {
  return compileRegex(pattern, { caseless }).test(text);
}

function errorOf(pattern: string): string {
  try {
    compileRegex(pattern, { caseless: false });
  } catch (error) {
    assert(error instanceof ConfigError);
    return error.message;
  }
  return '';
}

test('a dollar and \\Z also match before a final line feed, \\z does not', () => {
  assert(matches('a$', 'a\n'));
  assert(matches('a\\Z', 'a\n'));
  assert(!matches('a\\z', 'a\n'));
  assert(!matches('a$', 'a\n\n'));
  assert(!matches('a$', 'a\nb'));
  assert(matches('(?m)a$', 'a\nb'));
  assert(matches('(?m)^b', 'a\nb'));
  assert(!matches('(?m)a\\n^', 'a\n'));
});

test('a dot matches every byte but a line feed', () => {
  assert(matches('^.$', '\r'));
  assert(matches('^.$', '\x85'));
  assert(!matches('^.\\z', '\n'));
  assert(matches('(?s)^.\\z', '\n'));
});

test('case is that of ASCII letters only', () => {
  assert(matches('straße', 'STRAßE', true));
  assert(!matches('\xe9', '\xc9', true));
  assert(matches('[a-c]+$', 'ABC', true));
  assert(!matches('[^a]', 'A', true));
  assert(matches('[[:upper:]]', 'a', true));
});

test('options hold from where they stand to the end of their group', () => {
  assert.deepEqual(groups('a(?i)b|c', 'C'), ['C']);
  assert.equal(groups('(?:a(?i)b)c', 'aBC'), undefined);
  assert.deepEqual(groups('(?i:a)b', 'Ab'), ['Ab']);
  assert.equal(groups('(?-i:a)b', 'Ab', true), undefined);
  assert.deepEqual(groups('(?^)a', 'a', true), ['a']);
  assert.deepEqual(groups('(?x) a b # comment\n c', 'abc'), ['abc']);
  assert.deepEqual(groups('(?x)a[ ]b', 'a b'), ['a b']);
  assert.deepEqual(groups('(?xx)a[ b ]', 'ab'), ['ab']);
  assert.deepEqual(groups('(?U)a+', 'aaa'), ['a']);
  assert.deepEqual(groups('(?n)(a)(?<x>b)', 'ab'), ['ab', 'b']);
});

test('quoting, comments and escapes mean what they mean in PCRE2', () => {
  assert(matches('^\\Qa.b\\E$', 'a.b'));
  assert(!matches('^\\Qa.b\\E$', 'axb'));
  assert(matches('^a(?#comment)+$', 'aa'));
  assert(matches('^\\x41\\x{42}\\103\\o{104}\\cA\\e\\t$', 'ABCD\x01\x1b\t'));
  assert(matches('^\\h\\v\\R\\N$', '\xa0\x0b\r\na'));
  assert(matches('^[]a]+$', 'a]'));
  assert(matches('^[^]a]+$', 'bc'));
  assert(matches('^[a\\]\\-\\d]+$', 'a]-1'));
  assert(matches('^[\\w-]+$', 'a-b_1'));
  assert(matches('^[[:alpha:][:^alnum:]]+$', 'a./'));
  assert(matches('^a{,3}$', 'a{,3}'));
  assert(matches('^x{2$', 'x{2'));
  assert(matches('[[:<:]]b[[:>:]]', 'a b c'));
});

test('atomic groups and possessive repeats give nothing back, and the numbers of groups stay', () => {
  assert(!matches('^a++a$', 'aaa'));
  assert(!matches('^(?>a|ab)c$', 'abc'));
  assert.deepEqual(groups('(?>(a+))(b)(?>(c))\\3', 'aabcb'), ['aabcb', 'aa', 'b', 'c']);
  assert.deepEqual(groups('((?>x(?>y(z)))++)(.)', 'xyzxyz!'), ['xyzxyz!', 'xyzxyz', 'z', '!']);
});

test('references go by number, from the last group backwards, and by name', () => {
  for (const pattern of [
    '(?<n>.)\\2',
    '(?<n>.)\\g2',
    '(?<n>.)\\g{-1}',
    '(?<n>.)\\k<n>',
    "(?'n'.)\\k'n'",
    '(?P<n>.)(?P=n)',
  ]) {
    assert.deepEqual(groups(pattern, 'abb'), ['bb', 'b'], pattern);
  }
  assert.deepEqual(groups('(?<n>a)\\k{n}', 'aA', true), ['aA', 'a']);
});

test('named groups become variables, with an empty value where the group took no part', () => {
  const variables = new VariableRegistry([]);
  const regex = compileRegex('^/(?<lang>[a-z]{2})(?:/(?P<rest>.+))?$', { caseless: false, variables });
  const exchange = target();
  assert(!regex.match(exchange, 'nothing'));
  assert.equal(exchange.captures, undefined);
  assert(regex.match(exchange, '/en/a/b'));
  assert.equal(variables.lookup('lang').get(exchange), 'en');
  assert.equal(variables.lookup('rest').get(exchange), 'a/b');
  assert(regex.match(exchange, '/de'));
  assert.equal(variables.lookup('lang').get(exchange), 'de');
  assert.equal(variables.lookup('rest').get(exchange), '');
  assert.deepEqual([...exchange.captures!], ['/de', 'de', undefined]);
});

test('a match without groups takes away the captures of the one before', () => {
  const exchange = target();
  assert(compileRegex('(a)', { caseless: false }).match(exchange, 'a'));
  assert.equal(exchange.captures?.[1], 'a');
  assert(compileRegex('b', { caseless: false }).match(exchange, 'b'));
  assert.equal(exchange.captures?.[1], undefined);
});

test('a named group cannot take the place of a built-in variable', () => {
  const variables = new VariableRegistry([{ uri: { get: () => '' } }]);
  assert.throws(() => compileRegex('(?<uri>a)', { caseless: false, variables }), {
    message: 'the duplicate "uri" variable',
  });
});

test('errors have the words of PCRE2 and the place where it stopped', () => {
  const cases: [pattern: string, message: string][] = [
    ['(a', 'missing closing parenthesis in "(a"'],
    ['a)b', 'unmatched closing parenthesis in "a)b" at ")b"'],
    ['a**', 'quantifier does not follow a repeatable item in "a**" at "*"'],
    ['[a', 'missing terminating ] for character class in "[a"'],
    ['[z-a]', 'range out of order in character class in "[z-a]" at "a]"'],
    ['[[:foo:]]', 'unknown POSIX class name in "[[:foo:]]" at "foo:]]"'],
    ['a{3,2}', 'numbers out of order in {} quantifier in "a{3,2}" at "}"'],
    ['a{70000}', 'number too big in {} quantifier in "a{70000}" at "}"'],
    ['a\\', '\\ at end of pattern in "a\\"'],
    ['\\y', 'unrecognized character follows \\ in "\\y" at "y"'],
    ['(?z)', 'unrecognized character after (? or (?- in "(?z)" at "z)"'],
    ['(?<1>a)', 'subpattern name must start with a non-digit in "(?<1>a)" at "1>a)"'],
    ['(a)\\2', 'reference to non-existent subpattern in "(a)\\2" at "2"'],
    [
      '(?<n>a)(?<n>b)',
      'two named subpatterns have the same name (PCRE2_DUPNAMES not set) in "(?<n>a)(?<n>b)" at "b)"',
    ],
  ];
  for (const [pattern, message] of cases) {
    assert.equal(errorOf(pattern), `pcre2_compile() failed: ${message}`);
  }
});

test('what JavaScript cannot do is an error', () => {
  for (const pattern of [
    '(?R)',
    '(a)(?1)',
    '(?|a|b)',
    '(?(1)a)',
    'a\\Kb',
    '\\X',
    '(*UTF)a',
    '(?C1)a',
    '(?<n>a)(?&n)',
  ]) {
    assert.match(errorOf(pattern), /^pcre2_compile\(\) failed: .* not supported in /, pattern);
  }
});

test('a pattern that would cost exponential time is matched in linear time', { timeout: 5000 }, () => {
  assert(!matches('^(a+)+$', `${'a'.repeat(200)}!`));
  assert(!matches('^([a-z]+)*\\d$', `${'a'.repeat(200)}!`, true));
});

test('every byte, quoted or escaped where it is a sign, matches itself only', () => {
  const byte = fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code));
  const text = fc.array(byte, { maxLength: 12 }).map((bytes) => bytes.join(''));
  fc.assert(
    fc.property(text, text, (one, other) => {
      const escaped = one.replace(/[^A-Za-z0-9]/g, (sign) => `\\${sign}`);
      const regex = compileRegex(`\\A${escaped}\\z`, { caseless: false });
      assert(regex.test(one));
      assert.equal(regex.test(other), one === other);
    }),
    { seed: 11, numRuns: 300 },
  );
});
