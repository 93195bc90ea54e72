import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { pack, unpack } from 'msgpackr';
import { dump, parseText, readConfiguration } from '../../src/config/parser.ts';
import { ConfigError, type Configuration, type Statement } from '../../src/config/statement.ts';

const root = mkdtempSync(join(tmpdir(), 'portico-parser-'));
after(() => rmSync(root, { recursive: true }));
let directories = 0;

/** Writes files, by name and text, into a directory of their own. Returns its name. */
function write(files: Readonly<Record<string, string>>): string {
  const directory = join(root, String(directories++));
  mkdirSync(directory);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text, 'latin1');
  }
  return directory;
}

/** Reads nginx.conf of a directory with these files. */
function read(files: Readonly<Record<string, string>>, commandLine?: string) {
  const directory = write(files);
  return { directory, configuration: readConfiguration({ path: `${directory}/nginx.conf`, commandLine }) };
}

function errorOf(operation: () => unknown): ConfigError {
  try {
    operation();
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error;
  }
  return assert.fail('no error');
}

/** The error of reading nginx.conf of a directory with these files, with `DIR` for the directory. */
function readError(files: Readonly<Record<string, string>>, commandLine?: string): string {
  const directory = write(files);
  const error = errorOf(() => readConfiguration({ path: `${directory}/nginx.conf`, commandLine }));
  return `${error.level}: ${error.format().replaceAll(directory, 'DIR')}`;
}

/** Statements as nested arrays: name, arguments and, where there is one, the block. */
type Outline = readonly (string | readonly Outline[])[];
function outline(statements: readonly Statement[]): readonly Outline[] {
  return statements.map(({ name, args, block }) =>
    block === undefined ? [name, ...args] : [name, ...args, outline(block)],
  );
}

test('statements and blocks become a tree', () => {
  const { statements } = parseText('a;\nb c {\n  d e; f { }\n}\n', '/x.conf');
  assert.deepEqual(statements, [
    { name: 'a', args: [], file: '/x.conf', line: 1 },
    {
      name: 'b',
      args: ['c'],
      file: '/x.conf',
      line: 2,
      block: [
        { name: 'd', args: ['e'], file: '/x.conf', line: 3 },
        { name: 'f', args: [], file: '/x.conf', line: 3, block: [], endLine: 3 },
      ],
      endLine: 4,
    },
  ]);
});

test('an empty file has no statements', () => {
  const { configuration, directory } = read({ 'nginx.conf': '' });
  assert.deepEqual(configuration, { statements: [], files: [{ path: `${directory}/nginx.conf`, text: '' }] });
});

test('a brace too many and a brace too few are errors', () => {
  assert.equal(readError({ 'nginx.conf': 'a {\n}\n}' }), 'emerg: unexpected "}" in DIR/nginx.conf:3');
  assert.equal(
    readError({ 'nginx.conf': 'a {\n b {\n}\n' }),
    'emerg: unexpected end of file, expecting "}" in DIR/nginx.conf:4',
  );
});

test('a file that is not there has no place when it is the main one', () => {
  const message = 'emerg: open() "DIR/nginx.conf" failed (2: No such file or directory)';
  assert.equal(readError({}), message);
});

test('a directory cannot be read', () => {
  assert.equal(
    readError({ 'nginx.conf/x': '' }),
    'crit: pread() "DIR/nginx.conf" failed (21: Is a directory)',
  );
});

test('a file that ends before its size says so is an error', (context) => {
  // Files of sysfs claim a whole page.
  const path = '/sys/kernel/mm/transparent_hugepage/enabled';
  if (!existsSync(path)) return context.skip('no such file here');
  const error = errorOf(() => readConfiguration({ path }));
  assert.match(error.format(), /^pread\(\) returned only \d+ bytes instead of 4096 in \/sys\/.*:1$/);
});

test('an include is replaced by what it includes, from the directory of the main file', () => {
  const { configuration } = read({
    'nginx.conf': 'a;\ninclude sub/one.conf;\nb;',
    'sub/one.conf': 'c;\ninclude sub/two.conf;',
    'sub/two.conf': 'd;',
  });
  assert.deepEqual(outline(configuration.statements), [['a'], ['c'], ['d'], ['b']]);
  assert.deepEqual(
    configuration.statements.map((statement) => statement.line),
    [1, 1, 1, 3],
  );
});

test('an absolute include is taken as it is', () => {
  const other = write({ 'x.conf': 'a;' });
  const { configuration } = read({ 'nginx.conf': `include ${other}/x.conf;` });
  assert.deepEqual(configuration.statements, [{ name: 'a', args: [], file: `${other}/x.conf`, line: 1 }]);
});

test('an include works in any block, also one of data', () => {
  const { configuration } = read({
    'nginx.conf': 'http { map $a $b { default 0; include m; } server { include s; } }',
    m: 'x 1;\ny 2;',
    s: 'location / { }',
  });
  assert.deepEqual(outline(configuration.statements), [
    [
      'http',
      [
        [
          'map',
          '$a',
          '$b',
          [
            ['default', '0'],
            ['x', '1'],
            ['y', '2'],
          ],
        ],
        ['server', [['location', '/', []]]],
      ],
    ],
  ]);
});

test('a quoted include is an include, an escaped one is not', () => {
  const { configuration } = read({ 'nginx.conf': '"include" \'x\'; \\include y;', x: 'a;' });
  assert.deepEqual(outline(configuration.statements), [['a'], ['\\include', 'y']]);
});

test('an include with wildcards takes all matches in order, and none is fine', () => {
  const { configuration } = read({
    'nginx.conf': 'include conf.d/*.conf; include none/*.conf; include conf.d/[!x].conf;',
    'conf.d/b.conf': 'b;',
    'conf.d/a.conf': 'a;',
    'conf.d/B.conf': 'B;',
    'conf.d/c.txt': 'c;',
  });
  assert.deepEqual(outline(configuration.statements), [['B'], ['a'], ['b'], ['B'], ['a'], ['b']]);
});

test('an include of what is not there is an error at the include', () => {
  assert.equal(
    readError({ 'nginx.conf': 'a {\n include x.conf;\n}' }),
    'emerg: open() "DIR/x.conf" failed (2: No such file or directory) in DIR/nginx.conf:2',
  );
});

test('an include that goes through a file is not a directory', () => {
  assert.equal(
    readError({ 'nginx.conf': 'include a/x.conf;', a: '' }),
    'emerg: open() "DIR/a/x.conf" failed (20: Not a directory) in DIR/nginx.conf:1',
  );
});

test('an include of the empty name reads the directory, and fails', () => {
  assert.equal(
    readError({ 'nginx.conf': 'include "";' }),
    'crit: pread() "DIR/" failed (21: Is a directory)',
  );
});

test('an include name ends at a NUL byte', () => {
  const { configuration } = read({ 'nginx.conf': 'include "x\0*";', x: 'a;' });
  assert.deepEqual(outline(configuration.statements), [['a']]);
});

test('names of files are bytes', () => {
  const directory = write({ 'nginx.conf': 'include \xe9.conf; include \xe9*;' });
  writeFileSync(Buffer.from(`${directory}/\xe9.conf`, 'latin1'), Buffer.from('caf\xe9;', 'latin1'));
  const configuration = readConfiguration({ path: `${directory}/nginx.conf` });
  assert.deepEqual(outline(configuration.statements), [['caf\xe9'], ['caf\xe9']]);
});

test('an include that is no include stays in the tree, for whoever checks it', () => {
  const { configuration } = read({ 'nginx.conf': 'include; include a b; include c { }' });
  assert.deepEqual(outline(configuration.statements), [
    ['include'],
    ['include', 'a', 'b'],
    ['include', 'c', []],
  ]);
});

test('an error in an included file is placed there', () => {
  assert.equal(readError({ 'nginx.conf': '\n\ninclude x;', x: '\na }' }), 'emerg: unexpected "}" in DIR/x:2');
});

test('a block begins and ends in the same file', () => {
  assert.equal(readError({ 'nginx.conf': 'a { include x;', x: '}' }), 'emerg: unexpected "}" in DIR/x:1');
  assert.equal(
    readError({ 'nginx.conf': 'include x; }', x: 'a {' }),
    'emerg: unexpected end of file, expecting "}" in DIR/x:1',
  );
});

test('a file that includes itself, however it is named, is a loop', () => {
  assert.equal(
    readError({ 'nginx.conf': 'include x;', x: '\ninclude y;', y: 'include ./x;' }),
    'emerg: include loop: "DIR/x" includes "DIR/y" includes "DIR/./x" in DIR/y:1',
  );
  const directory = write({ 'nginx.conf': 'include link;' });
  symlinkSync('nginx.conf', `${directory}/link`);
  const error = errorOf(() => readConfiguration({ path: `${directory}/nginx.conf` }));
  assert.match(error.format(), /^include loop: .* in .*nginx\.conf:1$/);
});

test('the same file may be included again side by side', () => {
  const { configuration } = read({ 'nginx.conf': 'include x; a { include x; }', x: 'b;' });
  assert.deepEqual(outline(configuration.statements), [['b'], ['a', [['b']]]]);
});

test('every file that was read is listed once, in the order of opening', () => {
  const texts = {
    'nginx.conf': 'include b;\ninclude a;\ninclude b;\n',
    a: '# a\xe9',
    b: 'include c; # no line feed',
    c: '\n',
  };
  const { configuration, directory } = read(texts);
  const expected = [
    ['nginx.conf', texts['nginx.conf']],
    ['b', texts.b],
    ['c', texts.c],
    ['a', texts.a],
  ] as const;
  assert.deepEqual(
    configuration.files,
    expected.map(([name, text]) => ({ path: `${directory}/${name}`, text })),
  );
  assert.equal(
    dump(configuration.files),
    expected.map(([name, text]) => `# configuration file ${directory}/${name}:\n${text}\n`).join(''),
  );
});

test('what -g gives comes first, as part of the main context', () => {
  const { configuration, directory } = read({ 'nginx.conf': 'a;' }, 'daemon off; user "x y";');
  assert.deepEqual(configuration.statements, [
    { name: 'daemon', args: ['off'], file: '', line: 0 },
    { name: 'user', args: ['x y'], file: '', line: 0 },
    { name: 'a', args: [], file: `${directory}/nginx.conf`, line: 1 },
  ]);
  assert.equal(configuration.files.length, 1);
});

test('-g takes no blocks and no half statements', () => {
  const file = { 'nginx.conf': '' };
  const errors: Readonly<Record<string, string>> = {
    'events { }': 'block directives are not supported in -g option in command line',
    a: 'unexpected end of parameter, expecting ";" in command line',
    'a; }': 'unexpected "}" in command line',
    '"a"b': 'unexpected "b" in command line',
    'include nope;': 'open() "DIR/nope" failed (2: No such file or directory) in command line',
  };
  for (const [text, message] of Object.entries(errors))
    assert.equal(readError(file, text), `emerg: ${message}`);
});

test('-g may include a file, which may have blocks', () => {
  const { configuration } = read({ 'nginx.conf': 'a;', x: 'b { }' }, 'include x;');
  assert.deepEqual(outline(configuration.statements), [['b', []], ['a']]);
});

test('an error carries what was read before it', () => {
  const error = errorOf(() => parseText('a;\nb {\n c;\n d', '/x.conf'));
  assert.ok(error.partial);
  assert.deepEqual(outline(error.partial.statements), [['a'], ['b', [['c']]]]);
});

test('text is parsed without a file as the command line is', () => {
  assert.equal(
    errorOf(() => parseText('a {')).format(),
    'block directives are not supported in -g option in command line',
  );
});

test('deep nesting is an error and not the end of the stack', () => {
  const nested = (depth: number) => `${'a {'.repeat(depth)}${'}'.repeat(depth)}`;
  const deep = parseText(nested(200), '/x.conf');
  assert.ok(isDeepStrictEqual(unpack(pack(deep)), deep));
  assert.equal(
    errorOf(() => parseText(nested(100_000), '/x.conf')).format(),
    'too many nested blocks in /x.conf:1',
  );
});

test('a configuration crosses to a worker thread', async () => {
  const configuration = parseText('a "b c" { d; }\ne \xe9;', '/x.conf');
  const source = `
    const { parentPort, workerData } = require('node:worker_threads');
    const { pack, unpack } = require('msgpackr');
    parentPort.postMessage(pack(unpack(workerData)));`;
  const worker = new Worker(source, { eval: true, workerData: pack(configuration) });
  const answer = await new Promise<Uint8Array>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  await worker.terminate();
  assert.deepEqual(unpack(Buffer.from(answer)), configuration);
});

/** Prints a tree so that reading it gives the same again. */
function print(statements: readonly Outline[]): string {
  const quote = (word: string) => `"${word.replace(/["\\]/g, '\\$&')}"`;
  return statements
    .map((statement) => {
      const words = statement.filter((part) => typeof part === 'string').map(quote);
      const block = statement.find((part) => typeof part !== 'string');
      return block === undefined ? `${words.join(' ')};\n` : `${words.join('\t')} {\n${print(block)}}\n`;
    })
    .join('');
}

test('any statements that are printed and read again are the same', () => {
  const character = fc.oneof(
    fc.constantFrom(...'ab "\'\\;{}$#\n\r\tnrt'),
    fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
  );
  const word = fc.string({ unit: character, maxLength: 8 });
  const name = word.filter((candidate) => candidate !== 'include');
  const { statements } = fc.letrec<{ statement: Outline; statements: Outline[] }>((tie) => ({
    statement: fc
      .tuple(name, fc.array(word, { maxLength: 3 }), fc.option(tie('statements'), { maxDepth: 3 }))
      .map(([first, args, block]) => (block === null ? [first, ...args] : [first, ...args, block])),
    statements: fc.array(tie('statement'), { maxLength: 4, depthIdentifier: 'block' }),
  }));
  fc.assert(
    fc.property(statements, (tree) => {
      const text = print(tree);
      const configuration = parseText(text, '/x.conf');
      assert.deepEqual(outline(configuration.statements), tree);
      assert.equal(dump(configuration.files), `# configuration file /x.conf:\n${text}\n`);
    }),
    { seed: 4, numRuns: 500 },
  );
});

test('random text throws nothing but ConfigError, and what is read crosses threads unchanged', () => {
  const piece = fc.constantFrom(
    ...'ab \t\n;;{}{}"\'\\$#)',
    ' a ',
    'include ',
    'include /nowhere/*;',
    '${',
    '\xff',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
      let configuration: Configuration;
      try {
        configuration = parseText(pieces.join(''), '/nowhere/x.conf');
      } catch (error) {
        assert.ok(error instanceof ConfigError);
        return;
      }
      assert.deepEqual(unpack(pack(configuration)), configuration);
    }),
    { seed: 5, numRuns: 1000 },
  );
});
