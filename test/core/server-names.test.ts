import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { test } from 'node:test';
import type { Statement } from '../../src/config/statement.ts';
import type { Exchange } from '../../src/core/exchange.ts';
import { compileRegex } from '../../src/core/regex.ts';
import { hasCaptures, primaryServerName, readServerNames, ServerNames } from '../../src/core/server-names.ts';
import type { Server } from '../../src/core/site.ts';

const warnings: string[] = [];

const compiler = {
  regex: (statement: Statement, pattern: string, caseless: boolean) =>
    compileRegex(pattern, { caseless, statement }),
  warn: (_statement: Statement, message: string) => warnings.push(message),
};

const read = (...args: string[]) =>
  readServerNames([{ name: 'server_name', args, file: 'x', line: 1 }], compiler);

/** One server for each list of names; looked up by host, its position in the list is the answer. */
function build(...servers: string[][]): {
  find(host: string): number;
  warnings: string[];
  captures(): string[];
} {
  const conflicts: string[] = [];
  const made = servers.map((_, index) => ({ index }) as unknown as Server);
  const entries = servers.flatMap((names, index) =>
    read(...names).map((name) => ({ ...name, server: made[index] })),
  );
  const table = ServerNames.build(entries, '0.0.0.0:80', (message) => conflicts.push(message));
  const exchange = { captures: undefined } as unknown as Exchange;
  return {
    warnings: conflicts,
    find(host) {
      const server = table.find(host, exchange);
      assert.equal(table.find(host, undefined), server);
      return server === undefined ? -1 : made.indexOf(server);
    },
    captures: () => [...(exchange.captures ?? [])],
  };
}

test('the whole name goes before wildcards in front, these before wildcards at the end, and patterns come last', () => {
  const names = build(
    ['~^www\\.(?<domain>.+)$'],
    ['www.example.*'],
    ['*.example.com'],
    ['*.www.example.com'],
    ['www.example.com'],
    ['.example.org'],
  );
  assert.equal(names.find('www.example.com'), 4);
  assert.equal(names.find('a.www.example.com'), 3);
  assert.equal(names.find('a.example.com'), 2);
  assert.equal(names.find('a.b.example.com'), 2);
  assert.equal(names.find('example.com'), -1);
  assert.equal(names.find('www.example.net'), 1);
  assert.equal(names.find('www.example.co.uk'), 1);
  assert.equal(names.find('example.org'), 5);
  assert.equal(names.find('a.example.org'), 5);
  assert.equal(names.find('www.other.net'), 0);
  assert.deepEqual(names.captures(), ['www.other.net', 'other.net']);
});

test('the longest wildcard wins', () => {
  const names = build(['*.a.com'], ['*.b.a.com'], ['x.*'], ['x.y.*']);
  assert.equal(names.find('c.b.a.com'), 1);
  assert.equal(names.find('b.a.com'), 0);
  assert.equal(names.find('x.y.z'), 3);
  assert.equal(names.find('x.z.y'), 2);
});

test('a request without a host belongs to the server with an empty name', () => {
  const names = build(['a.com'], ['b.com', ''], ['~.*']);
  assert.equal(names.find(''), 1);
  assert.equal(build(['a.com'], ['~^$']).find(''), -1);
});

test('a name that another server has is ignored with a warning', () => {
  const names = build(['a.com', '.a.com'], ['A.com', '*.b.com'], ['.b.com']);
  assert.deepEqual(names.warnings, [
    'conflicting server name ".a.com" on 0.0.0.0:80, ignored',
    'conflicting server name "a.com" on 0.0.0.0:80, ignored',
    'conflicting server name ".b.com" on 0.0.0.0:80, ignored',
  ]);
  assert.equal(names.find('a.com'), 0);
  assert.equal(names.find('x.b.com'), 1);
});

test('names that cannot be are errors', () => {
  for (const name of ['a.*.com', '*.a.*', 'a..com', 'a*']) {
    assert.throws(() => build([name]), {
      message: `invalid server name or wildcard "${name}" on 0.0.0.0:80`,
    });
  }
  for (const name of ['*', '*a.com', '*.', '.']) {
    assert.throws(() => read(name), { message: `server name "${name}" is invalid` });
  }
  assert.throws(() => read('~'), { message: 'empty regex in server name "~"' });
  assert.throws(() => read('~(a'), {
    message: 'pcre2_compile() failed: missing closing parenthesis in "(a"',
  });
});

test('a slash in a name is worth a warning', () => {
  warnings.length = 0;
  read('a/b');
  assert.deepEqual(warnings, ['server name "a/b" has suspicious symbols']);
});

test('the first name is the name of the server', () => {
  assert.equal(primaryServerName(read('Example.COM', 'b')), 'example.com');
  assert.equal(primaryServerName(read('.example.com')), 'example.com');
  assert.equal(primaryServerName(read('~^A')), '~^A');
  assert.equal(primaryServerName(read('$hostname')), hostname().toLowerCase());
  assert.equal(primaryServerName(readServerNames([], compiler)), '');
});

test('a pattern with a capital letter matches in either case, for hosts are in lower case', () => {
  assert.equal(build(['~^WWW\\.']).find('www.a'), 0);
});

test('captures are those of the last pattern of a server', () => {
  assert(hasCaptures(read('a', '~(b)')));
  assert(!hasCaptures(read('~(b)', '~c')));
  assert(!hasCaptures(read('a')));
});
