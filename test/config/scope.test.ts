import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  block,
  type Directives,
  dataBlock,
  flag,
  number,
  statements,
  text,
} from '../../src/config/directive.ts';
import { loadConfiguration } from '../../src/config/load.ts';
import { parseText } from '../../src/config/parser.ts';
import { createRegistry } from '../../src/config/registry.ts';
import { buildScopes, type Scope } from '../../src/config/scope.ts';
import { ConfigError } from '../../src/config/statement.ts';

/** Directives that nest as those of HTTP do. */
const http = {
  http: block(['main'], 'http', [0, 0]),
  server: block(['http'], 'server', [0, 0], { repeat: true }),
  location: block(['server', 'location'], 'location', [1, 2], { repeat: true }),
  if: block(['server', 'location'], { server: 'if in server', location: 'if in location' }, [1, 9], {
    repeat: true,
  }),
  depth: number(['main', 'http', 'server', 'location', 'if in location'], 1),
  local: text(['http', 'server', 'location'], undefined, { inherited: false }),
  header: statements(['http', 'server', 'location'], [2, 2]),
  rewrite: statements(['server', 'location', 'if in server', 'if in location'], [1, 2]),
  map: dataBlock(['http'], [2, 2]),
};
const upstream = {
  upstream: block(['http'], 'upstream', [1, 1], { repeat: true }),
  server: statements(['upstream'], [1, 9]),
  keepalive: number(['upstream'], 0),
};
const log = { error_log: text(['main', 'http', 'server', 'location'], 'logs/error.log') };

const registry = createRegistry([
  { name: 'http', directives: http },
  { name: 'upstream', directives: upstream },
  { name: 'log', directives: log },
]);

function scopesOf(source: string): Scope {
  return buildScopes(parseText(source, 'f'), registry);
}

/** The scope reached by names of blocks, the first of each. */
function inside(scope: Scope, ...names: readonly string[]): Scope {
  return names.reduce((outer, name) => outer.children(name)[0], scope);
}

function messageOf(operation: () => unknown): string {
  try {
    operation();
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.format();
  }
  return assert.fail('no error');
}

function errorOf(source: string): string {
  return messageOf(() => scopesOf(source));
}

test('a value holds in the scope that sets it and in those inside, up to the next that sets it', () => {
  const main = scopesOf(
    'http { depth 2; server { location / { depth 4; location /a { } } } server { depth 3; } }',
  );
  const [first, second] = inside(main, 'http').children('server');
  assert.equal(main.settings(http).depth, 1);
  assert.equal(inside(main, 'http').settings(http).depth, 2);
  assert.equal(first.settings(http).depth, 2);
  assert.equal(inside(first, 'location').settings(http).depth, 4);
  assert.equal(inside(first, 'location', 'location').settings(http).depth, 4);
  assert.equal(second.settings(http).depth, 3);
});

test('a value holds for the whole scope, wherever in it it stands', () => {
  const main = scopesOf('http { server { } depth 2; }');
  assert.equal(inside(main, 'http', 'server').settings(http).depth, 2);
});

test('what the main scope sets is seen from inside', () => {
  const main = scopesOf('error_log x; http { server { } }');
  assert.equal(inside(main, 'http', 'server').settings(log).error_log, 'x');
});

test('a directive that is not inherited starts from its default in every scope', () => {
  const main = scopesOf('http { local a; server { } }');
  assert.equal(inside(main, 'http').settings(http).local, 'a');
  assert.equal(inside(main, 'http', 'server').settings(http).local, undefined);
});

test('a list in an inner scope replaces the outer one', () => {
  const main = scopesOf('http { header a 1; header b 2; server { header c 3; } server { } }');
  const [first, second] = inside(main, 'http').children('server');
  const names = (scope: Scope) => scope.settings(http).header.map((header) => header.args[0]);
  assert.deepEqual(names(first), ['c']);
  assert.deepEqual(names(second), ['a', 'b']);
});

test('what is set in this very scope can be told from what is inherited', () => {
  const main = scopesOf('http { depth 2; server { local a; } }');
  const server = inside(main, 'http', 'server');
  assert.deepEqual(server.own(http), { local: 'a' });
  assert.equal(server.has('local'), true);
  assert.equal(server.has('depth'), false);
});

test('settings are put together once for each scope and set of directives', () => {
  const main = scopesOf('depth 2;');
  assert.equal(main.settings(http), main.settings(http));
  assert.equal(main.settings(log), main.settings(log));
});

test('a block may open another context in another place', () => {
  const main = scopesOf('http { server { if (a) { rewrite x; } location / { if (b) { depth 5; } } } }');
  const server = inside(main, 'http', 'server');
  assert.equal(inside(server, 'if').context, 'if in server');
  assert.equal(inside(server, 'location', 'if').context, 'if in location');
  assert.equal(inside(server, 'location', 'if').settings(http).depth, 5);
  assert.equal(
    errorOf('http { server { if (a) { depth 5; } } }'),
    '"depth" directive is not allowed here in f:1',
  );
});

test('one name means different directives in different contexts', () => {
  const main = scopesOf('http { upstream u { server a; server b weight=5; keepalive 2; } server { } }');
  const group = inside(main, 'http', 'upstream');
  assert.deepEqual(
    group.settings(upstream).server.map((peer) => peer.args),
    [['a'], ['b', 'weight=5']],
  );
  assert.deepEqual(group.settings(http).server, []);
  assert.equal(inside(main, 'http').settings(http).server.length, 1);
  assert.deepEqual(
    group.entries.map((entry) => [entry.name, entry.module, entry.scope]),
    [
      ['server', 'upstream', undefined],
      ['server', 'upstream', undefined],
      ['keepalive', 'upstream', undefined],
    ],
  );
});

test('entries keep the order of the file, with the scopes of blocks', () => {
  const main = scopesOf('http { server { rewrite a;\n if (x) { } rewrite b; location / { } } }');
  const server = inside(main, 'http', 'server');
  assert.deepEqual(
    server.entries.map((entry) => [entry.name, entry.scope?.context]),
    [
      ['rewrite', undefined],
      ['if', 'if in server'],
      ['rewrite', undefined],
      ['location', 'location'],
    ],
  );
  assert.deepEqual(
    server.statements('rewrite').map((statement) => statement.line),
    [1, 2],
  );
});

test('a scope knows what it is in', () => {
  const main = scopesOf('http { server { location /a { location /a/b { } } } }');
  const inner = inside(main, 'http', 'server', 'location', 'location');
  assert.deepEqual(inner.statement?.args, ['/a/b']);
  assert.deepEqual(inner.parent?.statement?.args, ['/a']);
  assert.equal(inner.enclosing('server'), inside(main, 'http', 'server'));
  assert.equal(inner.enclosing('main'), main);
  assert.equal(inner.enclosing('upstream'), undefined);
  assert.equal(main.parent, undefined);
  assert.equal(main.statement, undefined);
});

test('data is not taken for directives', () => {
  const main = scopesOf('http { map $a $b { server x; "unknown" y z; } }');
  assert.equal(inside(main, 'http').settings(http).map[0].block?.length, 2);
});

test('an unknown directive is told with the name that was meant', () => {
  assert.equal(errorOf('a;'), 'unknown directive "a" in f:1');
  assert.equal(errorOf('http {\n sever { }\n}'), 'unknown directive "sever" in f:2\ndid you mean "server"?');
  assert.equal(errorOf('incldue x;'), 'unknown directive "incldue" in f:1\ndid you mean "include"?');
});

test('a name that is allowed here is meant rather than a nearer one that is not', () => {
  const choice = createRegistry([
    { name: 'test', directives: { abcdef: flag(['other'], true), abcdxx: flag(['main'], true) } },
  ]);
  const message = messageOf(() => buildScopes(parseText('abcdex on;', 'f'), choice));
  assert.equal(message, 'unknown directive "abcdex" in f:1\ndid you mean "abcdxx"?');
  assert.match(
    messageOf(() => buildScopes(parseText('bbcdef on;', 'f'), choice)),
    /mean "abcdef"/,
  );
});

test('a byte order mark is told', () => {
  assert.match(errorOf('\xef\xbb\xbfdepth 1;'), /^unknown directive "ï»¿depth" in f:1\n.*byte order mark/);
});

test('a directive in the wrong place is not allowed there', () => {
  assert.equal(errorOf('server { }'), '"server" directive is not allowed here in f:1');
  assert.equal(errorOf('http { http { } }'), '"http" directive is not allowed here in f:1');
});

test('a block where there should be none, and none where there should be one', () => {
  assert.equal(errorOf('depth 1 { }'), 'directive "depth" is not terminated by ";" in f:1');
  assert.equal(errorOf('http;'), 'directive "http" has no opening "{" in f:1');
  assert.equal(errorOf('http { map a b; }'), 'directive "map" has no opening "{" in f:1');
});

test('the number of arguments is checked', () => {
  assert.equal(errorOf('http x { }'), 'invalid number of arguments in "http" directive in f:1');
  assert.equal(errorOf('http { header a; }'), 'invalid number of arguments in "header" directive in f:1');
  assert.equal(errorOf('http { header a b c; }'), 'invalid number of arguments in "header" directive in f:1');
});

test('a block that may not repeat is a duplicate', () => {
  assert.equal(errorOf('http { }\nhttp { }'), '"http" directive is duplicate in f:2');
});

test('an include of the wrong form is an error like any other', () => {
  assert.equal(errorOf('include;'), 'invalid number of arguments in "include" directive in f:1');
  assert.equal(errorOf('http { include a b; }'), 'invalid number of arguments in "include" directive in f:1');
  assert.equal(errorOf('include a { }'), 'directive "include" is not terminated by ";" in f:1');
});

test('the first error in the file is the one that is told', () => {
  assert.equal(errorOf('http { depth x;\n unknown; }\ndepth y;'), '"depth" directive invalid number in f:1');
  assert.equal(errorOf('http {\n server { bad; }\n depth x; }'), 'unknown directive "bad" in f:2');
});

test('two modules may not claim one name in one context', () => {
  const directives: Directives = { x: flag(['main', 'http'], true) };
  assert.throws(
    () =>
      createRegistry([
        { name: 'a', directives },
        { name: 'b', directives: { x: flag(['http'], true) } },
      ]),
    /"x" is declared for "http" by both a and b/,
  );
});

test('the registry lists every directive for the documentation', () => {
  const rows = registry.list();
  assert.deepEqual(
    rows.map((row) => `${row.name} (${row.module})`),
    [
      'depth',
      'error_log',
      'header',
      'http',
      'if',
      'keepalive',
      'local',
      'location',
      'map',
      'rewrite',
      'server',
      'server',
      'upstream',
    ].map((name, index) => {
      const module = ['keepalive', 'upstream'].includes(name) || index === 11 ? 'upstream' : 'http';
      return `${name} (${name === 'error_log' ? 'log' : module})`;
    }),
  );
  assert.deepEqual(
    rows.find((row) => row.name === 'depth'),
    {
      name: 'depth',
      module: 'http',
      contexts: ['main', 'http', 'server', 'location', 'if in location'],
      arity: [1, 1],
      block: undefined,
      inherited: true,
      accepted: undefined,
      syntax: 'number',
      defaultText: '1',
      differs: undefined,
    },
  );
});

const root = mkdtempSync(join(tmpdir(), 'portico-scope-'));
after(() => rmSync(root, { recursive: true }));

/** The error of loading a file with this text. */
function loadError(source: string, commandLine?: string): string {
  const path = join(root, 'nginx.conf');
  writeFileSync(path, source, 'latin1');
  return messageOf(() => loadConfiguration({ path, commandLine }, registry)).replaceAll(root, 'DIR');
}

test('loading gives both what crosses to the workers and what is in it', () => {
  const path = join(root, 'good.conf');
  writeFileSync(path, 'http { depth 3; }');
  const { configuration, scope } = loadConfiguration({ path, commandLine: 'error_log x;' }, registry);
  assert.equal(configuration.statements.length, 2);
  assert.equal(scope.settings(log).error_log, 'x');
  assert.equal(inside(scope, 'http').settings(http).depth, 3);
});

test('loading tells what is wrong above a syntax error first, as nginx does', () => {
  assert.equal(loadError('http {\n foo;\n'), 'unknown directive "foo" in DIR/nginx.conf:2');
  assert.equal(loadError('foo {\n include none;\n}'), 'unknown directive "foo" in DIR/nginx.conf:1');
  assert.equal(
    loadError('http { server { map; } '),
    '"map" directive is not allowed here in DIR/nginx.conf:1',
  );
});

test('loading tells a syntax error when nothing above it is wrong', () => {
  const message = 'unexpected end of file, expecting "}" in DIR/nginx.conf:2';
  assert.equal(loadError('http {\n depth 1; '), message);
  assert.equal(loadError('}\nfoo;'), 'unexpected "}" in DIR/nginx.conf:1');
});

test('the command line and the file are one scope', () => {
  assert.equal(loadError('depth 2;', 'depth 1;'), '"depth" directive is duplicate in DIR/nginx.conf:1');
  assert.equal(loadError('', 'foo;'), 'unknown directive "foo" in command line');
});
