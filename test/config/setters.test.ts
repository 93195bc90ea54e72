import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  accepted,
  bits,
  bufs,
  choice,
  custom,
  type Directive,
  type Directives,
  dataBlock,
  flag,
  keyval,
  milliseconds,
  mimeTypes,
  number,
  offset,
  type ReadContext,
  type Settings,
  seconds,
  size,
  statement,
  statements,
  text,
  words,
} from '../../src/config/directive.ts';
import { parseText } from '../../src/config/parser.ts';
import { createRegistry } from '../../src/config/registry.ts';
import { buildScopes } from '../../src/config/scope.ts';
import { ConfigError, formatWarning } from '../../src/config/statement.ts';

const warnings: string[] = [];

/** The value that a text gives the directive `x`; warnings go to the list. */
function readValue<Value>(directive: Directive<Value>, source: string): Value {
  const directives = { x: directive };
  const registry = createRegistry([{ name: 'test', directives }]);
  warnings.length = 0;
  const scope = buildScopes(parseText(source, 'f'), registry, (warning) =>
    warnings.push(formatWarning(warning)),
  );
  return scope.settings(directives).x;
}

function errorOf(directive: Directive<unknown>, source: string): string {
  try {
    readValue(directive, source);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.format();
  }
  return assert.fail('no error');
}

const main = ['main'];

test('a flag is on or off', () => {
  const x = flag(main, false);
  assert.equal(readValue(x, ''), false);
  assert.equal(readValue(x, 'x on;'), true);
  assert.equal(readValue(x, 'x OFF;'), false);
  assert.equal(errorOf(x, 'x yes;'), 'invalid value "yes" in "x" directive, it must be "on" or "off" in f:1');
});

test('every directive with one value refuses a second, before it looks at it', () => {
  const all: Readonly<Record<string, Directive<unknown>>> = {
    on: flag(main, true),
    word: text(main, undefined),
    5: number(main, 0),
    '5k': size(main, 0),
    '5g': offset(main, 0),
    '5ms': milliseconds(main, 0),
    '5m': seconds(main, 0),
    any: choice(main, { any: 0 }, 0),
    '4 8k': bufs(main, undefined),
    anything: statement(main, [1, 1]),
    whatever: accepted(main, [1, 1], 'A reason.'),
  };
  for (const [value, directive] of Object.entries(all)) {
    const bad = value.includes(' ') ? 'bad bad' : 'bad';
    assert.equal(errorOf(directive, `x ${value};\nx ${bad};`), '"x" directive is duplicate in f:2', value);
  }
});

test('a flag of off, an empty text and a zero are values, and so refuse a second', () => {
  assert.equal(errorOf(flag(main, true), 'x off; x on;'), '"x" directive is duplicate in f:1');
  assert.equal(errorOf(text(main, 'd'), 'x ""; x a;'), '"x" directive is duplicate in f:1');
  assert.equal(errorOf(number(main, 5), 'x 0; x 1;'), '"x" directive is duplicate in f:1');
});

test('directives with one value take one argument', () => {
  for (const x of [
    flag(main, true),
    text(main, ''),
    number(main, 0),
    size(main, 0),
    choice(main, { a: 1 }, 1),
  ]) {
    assert.equal(errorOf(x, 'x;'), 'invalid number of arguments in "x" directive in f:1');
    assert.equal(errorOf(x, 'x 1 2;'), 'invalid number of arguments in "x" directive in f:1');
  }
});

test('a text is what is written', () => {
  assert.equal(readValue(text(main, undefined), ''), undefined);
  assert.equal(readValue(text(main, 'default'), ''), 'default');
  assert.equal(readValue(text(main, undefined), 'x "a b";'), 'a b');
});

test('a number has digits only, and bounds where they are given', () => {
  assert.equal(readValue(number(main, 7), ''), 7);
  assert.equal(readValue(number(main, 7), 'x 12;'), 12);
  assert.equal(errorOf(number(main, 7), 'x -1;'), '"x" directive invalid number in f:1');
  const from = number(main, 7, { minimum: 1 });
  assert.equal(errorOf(from, 'x 0;'), 'value must be equal to or greater than 1 in f:1');
  const between = number(main, 7, { minimum: 1, maximum: 9 });
  assert.equal(readValue(between, 'x 9;'), 9);
  assert.equal(errorOf(between, 'x 10;'), 'value must be between 1 and 9 in f:1');
  assert.equal(errorOf(between, 'x 0;'), 'value must be between 1 and 9 in f:1');
});

test('sizes and times are measured', () => {
  assert.equal(readValue(size(main, 0), 'x 8k;'), 8192);
  assert.equal(readValue(offset(main, 0), 'x 2g;'), 2 ** 31);
  assert.equal(readValue(milliseconds(main, 0), 'x "1m 30s";'), 90_000);
  assert.equal(readValue(seconds(main, 0), 'x 1h;'), 3600);
  for (const [x, bad] of [
    [size(main, 0), '2g'],
    [offset(main, 0), 'x'],
    [milliseconds(main, 0), '1y'],
    [seconds(main, 0), '5ms'],
  ] as const) {
    assert.equal(errorOf(x, `x ${bad};`), '"x" directive invalid value in f:1');
  }
});

test('a choice takes one of its words in either case, and suggests the nearest', () => {
  const x = choice(main, { all: 'ALL', any: 'ANY' }, 'ALL');
  assert.equal(readValue(x, ''), 'ALL');
  assert.equal(readValue(x, 'x Any;'), 'ANY');
  assert.equal(errorOf(x, 'x anny;'), 'invalid value "anny" in f:1\ndid you mean "any"?');
  assert.equal(errorOf(x, 'x other;'), 'invalid value "other" in f:1');
  assert.equal(errorOf(x, 'x toString;'), 'invalid value "toString" in f:1');
});

test('bits add up over words and statements, and a repeated word is a warning', () => {
  const x = bits(main, { error: 1, timeout: 2, off: 4 }, 3);
  assert.equal(readValue(x, ''), 3);
  assert.equal(readValue(x, 'x timeout;'), 2);
  assert.equal(readValue(x, 'x error;\nx OFF timeout;'), 7);
  assert.deepEqual(warnings, []);
  assert.equal(readValue(x, 'x error;\nx off error;'), 5);
  assert.deepEqual(warnings, ['duplicate value "error" in f:2']);
  assert.equal(errorOf(x, 'x error eror;'), 'invalid value "eror" in f:1\ndid you mean "error"?');
  assert.equal(errorOf(x, 'x;'), 'invalid number of arguments in "x" directive in f:1');
});

test('words and pairs append', () => {
  assert.deepEqual(readValue(words(main, ['d']), ''), ['d']);
  assert.deepEqual(readValue(words(main, ['d']), 'x a; x b;'), ['a', 'b']);
  assert.deepEqual(readValue(words(main, undefined), ''), undefined);
  assert.deepEqual(readValue(words(main, [], { arity: [1, 9] }), 'x a b; x c;'), ['a', 'b', 'c']);
  assert.deepEqual(readValue(keyval(main), 'x a 1; x b 2;'), [
    { key: 'a', value: '1' },
    { key: 'b', value: '2' },
  ]);
});

test('buffers are a number and a size, neither of them 0', () => {
  const x = bufs(main, { number: 8, size: 4096 });
  assert.deepEqual(readValue(x, ''), { number: 8, size: 4096 });
  assert.deepEqual(readValue(x, 'x 4 8k;'), { number: 4, size: 8192 });
  for (const bad of ['0 8k', 'a 8k', '4 0', '4 x']) {
    assert.equal(errorOf(x, `x ${bad};`), '"x" directive invalid value in f:1');
  }
  assert.equal(errorOf(x, 'x 4;'), 'invalid number of arguments in "x" directive in f:1');
});

test('MIME types are a set in lower case with the first default, or everything', () => {
  const x = mimeTypes(main, ['text/html', 'text/plain']);
  assert.deepEqual(readValue(x, ''), new Set(['text/html', 'text/plain']));
  assert.deepEqual(readValue(x, 'x Text/CSS; x a/b;'), new Set(['text/html', 'text/css', 'a/b']));
  assert.equal(readValue(x, 'x a/b *; x c/d;'), '*');
  readValue(x, 'x a/b;\nx A/B text/html;');
  assert.deepEqual(warnings, ['duplicate MIME type "a/b" in f:2', 'duplicate MIME type "text/html" in f:2']);
});

test('statements are kept as they are', () => {
  const one = { name: 'x', args: ['a'], file: 'f', line: 1 };
  assert.equal(readValue(statement(main, [1, 2]), ''), undefined);
  assert.deepEqual(readValue(statement(main, [1, 2]), 'x a;'), one);
  assert.deepEqual(readValue(statements(main, [1, 2]), ''), []);
  assert.deepEqual(readValue(statements(main, [1, 2]), 'x a;\nx b;'), [
    one,
    { ...one, args: ['b'], line: 2 },
  ]);
});

test('a block of data keeps its statements, and none of them may have a block', () => {
  const x = dataBlock(main, [0, 1]);
  assert.deepEqual(
    readValue(x, 'x { a 1; }\nx b { }').map(({ args, block }) => [args, block?.length]),
    [
      [[], 1],
      [['b'], 0],
    ],
  );
  assert.equal(errorOf(x, 'x {\n a 1;\n b { }\n}'), 'unexpected "{" in f:3');
  assert.equal(errorOf(x, 'x;'), 'directive "x" has no opening "{" in f:1');
  assert.equal(
    errorOf(dataBlock(main, [0, 0], { repeat: false }), 'x {}\nx {}'),
    '"x" directive is duplicate in f:2',
  );
});

test('a fault in data comes before a brace further down', () => {
  const check = (block: { readonly block?: readonly { readonly name: string }[] }, report: ReadContext) => {
    if (block.block?.some((child) => child.name === 'bad')) report.fail('invalid child');
  };
  const x = dataBlock(main, [0, 0], { check });
  assert.equal(errorOf(x, 'x { bad; b { } }'), 'invalid child in f:1');
  assert.equal(errorOf(x, 'x { b { } bad; }'), 'unexpected "{" in f:1');
});

test('an accepted directive has its arguments checked and says why it does nothing', () => {
  const x = accepted(main, [1, 1], 'Sockets are not tuned here.', { as: size([], 4096) });
  assert.equal(x.accepted, 'Sockets are not tuned here.');
  assert.equal(x.syntax, 'size');
  assert.equal(x.defaultText, '4k');
  assert.equal(readValue(x, 'x 8k;'), true);
  assert.equal(errorOf(x, 'x 8q;'), '"x" directive invalid value in f:1');
  const repeated = accepted(main, [1, 1], 'A reason.', { repeat: true });
  assert.equal(readValue(repeated, 'x 8k; x 9;'), true);
});

test('a check looks at the value and may fail or warn', () => {
  const x = size(main, 0, {
    check(value, report) {
      if (value % 2 === 1) report.failDirective('must be even');
      if (value > 100) report.warn('that is much');
    },
  });
  assert.equal(errorOf(x, 'x 3;'), '"x" directive must be even in f:1');
  assert.equal(readValue(x, 'x 1k;'), 1024);
  assert.deepEqual(warnings, ['that is much in f:1']);
});

test('a custom directive sees what came before and what surrounds it', () => {
  const seen: unknown[] = [];
  const x = custom<number, undefined>(['main', 'b'], [1, 1], undefined, (own, previous, report) => {
    seen.push([
      own.args[0],
      previous,
      report.context,
      report.enclosing.map((outer) => outer.name),
      report.before('y')?.line,
    ]);
    return (previous ?? 0) + Number(own.args[0]);
  });
  const directives = {
    x,
    y: flag(['main', 'b'], true),
    b: { ...dataBlock(['main', 'b'], [0, 0]), block: 'directives', opens: 'b' },
  } as const satisfies Directives;
  const registry = createRegistry([{ name: 'test', directives }]);
  const scope = buildScopes(parseText('x 1;\ny on;\nx 2;\nb { b { x 4; } }', 'f'), registry);
  assert.equal(scope.settings(directives).x, 3);
  assert.deepEqual(seen, [
    ['1', undefined, 'main', [], undefined],
    ['2', 1, 'main', [], 2],
    ['4', undefined, 'b', ['b', 'b'], undefined],
  ]);
});

test('builders write down their syntax and default, unless they are told otherwise', () => {
  const documentation = ({ syntax, defaultText }: Directive<unknown>) => [syntax, defaultText];
  assert.deepEqual(documentation(flag(main, true)), ['on | off', 'on']);
  assert.deepEqual(documentation(text(main, undefined)), ['string', undefined]);
  assert.deepEqual(documentation(number(main, 100)), ['number', '100']);
  assert.deepEqual(documentation(size(main, 16_384)), ['size', '16k']);
  assert.deepEqual(documentation(size(main, 1500)), ['size', '1500']);
  assert.deepEqual(documentation(offset(main, 1 << 20)), ['size', '1m']);
  assert.deepEqual(documentation(milliseconds(main, 60_000)), ['time', '60s']);
  assert.deepEqual(documentation(milliseconds(main, 500)), ['time', '500ms']);
  assert.deepEqual(documentation(milliseconds(main, 3_600_000)), ['time', '1h']);
  assert.deepEqual(documentation(seconds(main, 0)), ['time', '0s']);
  assert.deepEqual(documentation(choice(main, { all: 1, any: 2 }, 2)), ['all | any', 'any']);
  assert.deepEqual(documentation(bits(main, { a: 1, b: 2, c: 4 }, 5)), ['a | b | c ...', 'a c']);
  assert.deepEqual(documentation(bufs(main, { number: 4, size: 8192 })), ['number size', '4 8k']);
  assert.deepEqual(documentation(text(main, '', { syntax: 'path', defaultText: '""' })), ['path', '""']);
});

test('the types of settings follow from the directives', () => {
  const directives = {
    on: flag(main, true),
    maybe: flag(main, undefined),
    name: text(main, 'x'),
    word: choice(main, { all: 'all', any: 'any' }, 'all'),
    list: statements(main, [1, 1]),
  };
  const settings: Settings<typeof directives> = buildScopes(
    { statements: [] },
    createRegistry([{ name: 'test', directives }]),
  ).settings(directives);
  const on: boolean = settings.on;
  const maybe: boolean | undefined = settings.maybe;
  const name: string = settings.name;
  const word: 'all' | 'any' = settings.word;
  assert.deepEqual([on, maybe, name, word, settings.list.length], [true, undefined, 'x', 'all', 0]);
});
