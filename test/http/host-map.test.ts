import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { asciiLowerCase, HostMap } from '../../src/http/host-map.ts';

/** A map in which each name is its own value. */
function hostMap(...names: string[]): HostMap<string> {
  const map = new HostMap<string>();
  for (const name of names) assert.equal(map.add(name, name, true), 'added', name);
  return map;
}

test('names are found in either case', () => {
  const map = hostMap('Example.COM', '*.Example.org');
  assert.equal(map.find('example.com'), 'Example.COM');
  assert.equal(map.find('EXAMPLE.com'), 'Example.COM');
  assert.equal(map.find('WWW.example.ORG'), '*.Example.org');
  assert.equal(map.find('example.net'), undefined);
});

test('an exact name goes before wildcards, those in front before those at the end, and longer before shorter', () => {
  const map = hostMap('www.example.com', '*.example.com', '*.com', 'www.*', 'www.example.*');
  assert.equal(map.find('www.example.com'), 'www.example.com');
  assert.equal(map.find('a.www.example.com'), '*.example.com');
  assert.equal(map.find('example.com'), '*.com');
  assert.equal(map.find('www.other.com'), '*.com');
  assert.equal(map.find('www.example.org'), 'www.example.*');
  assert.equal(map.find('www.org'), 'www.*');
  assert.equal(map.find('www'), undefined);
  assert.equal(map.find('com'), undefined);
});

test('a dot in front stands for the name itself and all below it', () => {
  const map = hostMap('.example.com', '*.com', '*.a.example.com');
  assert.equal(map.find('example.com'), '.example.com');
  assert.equal(map.find('b.example.com'), '.example.com');
  assert.equal(map.find('a.example.com'), '.example.com');
  assert.equal(map.find('b.a.example.com'), '*.a.example.com');
  assert.equal(map.find('other.com'), '*.com');
});

test('wildcards end at a dot', () => {
  const map = hostMap('*.example.com', 'www.*');
  assert.equal(map.find('myexample.com'), undefined);
  assert.equal(map.find('wwwx.com'), undefined);
  assert.equal(map.find('.example.com'), '*.example.com');
  assert.equal(map.find('www.'), 'www.*');
});

test('an asterisk elsewhere, and two dots in a row, are invalid', () => {
  const map = new HostMap<number>();
  for (const name of ['*', '*.', 'a*.com', 'www.*.com', '*.example.*', '**', 'a..b', '..', '*example.com']) {
    assert.equal(map.add(name, 1, true), 'invalid', name);
  }
  assert.equal(map.find('a..b'), undefined);
});

test('without wildcards any byte string is a name', () => {
  const map = new HostMap<number>();
  for (const [index, name] of [
    '',
    '*',
    '.',
    'a..b',
    '*.example.com',
    '.example.com',
    '\xc9t\xe9 A',
  ].entries()) {
    assert.equal(map.add(name, index, false), 'added', name);
    assert.equal(map.find(name), index, name);
  }
  assert.equal(map.find('www.example.com'), undefined);
  assert.equal(map.find('\xc9T\xe9 a'), 6);
  assert.equal(map.find('\xe9t\xe9 a'), undefined);
});

test('a name that is there already is a conflict', () => {
  const conflicts: [string, string][] = [
    ['a.com', 'A.com'],
    ['*.a.com', '*.A.com'],
    ['*.a.com', '.a.com'],
    ['.a.com', '*.a.com'],
    ['.a.com', '.a.com'],
    ['.a.com', 'a.com'],
    ['a.com', '.a.com'],
    ['a.*', 'A.*'],
  ];
  for (const [first, second] of conflicts) {
    assert.equal(hostMap(first).add(second, 'x', true), 'conflicting', `${first} ${second}`);
  }
  assert.equal(hostMap('a.com', '*.a.com').add('a.*', 'x', true), 'added');
});

test('lookups agree with the rule written down plainly', () => {
  const label = fc.constantFrom('a', 'b', 'com', 'org');
  const host = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
  const key = fc
    .tuple(host, fc.nat(3))
    .map(([name, kind]) => [name, `*.${name}`, `.${name}`, `${name}.*`][kind]);
  fc.assert(
    fc.property(fc.array(key, { maxLength: 30 }), host, (keys, name) => {
      const map = new HostMap<string>();
      const names = keys.filter((text) => map.add(text, text, true) === 'added');
      const longest = (fits: (text: string) => boolean) =>
        names
          .filter(fits)
          .sort((one, other) => other.replace('*', '').length - one.replace('*', '').length)[0];
      const expected =
        names.find((text) => text === name) ??
        longest(
          (text) => text === `.${name}` || (/^\*?\./.test(text) && name.endsWith(text.replace('*', ''))),
        ) ??
        longest((text) => text.endsWith('.*') && name.startsWith(text.slice(0, -1)));
      assert.equal(map.find(name), expected, `${name} in ${names.join(' ')}`);
    }),
    { seed: 5, numRuns: 2000 },
  );
});

test('only A to Z become lower case', () => {
  assert.equal(asciiLowerCase('AbZ@[`{'), 'abz@[`{');
  assert.equal(asciiLowerCase('\xc9A\xdf'), '\xc9a\xdf');
  assert.equal(asciiLowerCase(''), '');
});
