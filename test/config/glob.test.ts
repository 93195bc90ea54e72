import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { glob } from '../../src/config/glob.ts';

const root = mkdtempSync(join(tmpdir(), 'portico-glob-'));
after(() => rmSync(root, { recursive: true }));

mkdirSync(join(root, 'conf.d'));
mkdirSync(join(root, 'Sites/b'), { recursive: true });
mkdirSync(join(root, 'Sites/a'));
const names = ['10-b.conf', '2-a.conf', 'B.conf', 'a.conf', 'a.conf~', '.hidden.conf', 'x[1].conf', 'st*r'];
for (const name of names) writeFileSync(join(root, 'conf.d', name), '');
writeFileSync(Buffer.from(join(root, 'conf.d/\xe9.conf'), 'latin1'), '');
writeFileSync(join(root, 'Sites/a/site.conf'), '');
writeFileSync(join(root, 'Sites/b/site.conf'), '');
symlinkSync('/nowhere', join(root, 'conf.d/dangling.link'));

/** Matches under the test's directory, as names from there. */
function found(pattern: string): string[] {
  return glob(`${root}/${pattern}`).map((path) => {
    assert.ok(path.startsWith(`${root}/`));
    return path.slice(root.length + 1);
  });
}

test('a star matches any part of a name but a leading dot, in the order of bytes', () => {
  assert.deepEqual(
    found('conf.d/*.conf'),
    ['10-b.conf', '2-a.conf', 'B.conf', 'a.conf', 'x[1].conf', '\xe9.conf'].map((name) => `conf.d/${name}`),
  );
});

test('a dot that is written matches a leading dot', () => {
  assert.deepEqual(found('conf.d/.*.conf'), ['conf.d/.hidden.conf']);
});

test('a question mark matches one character', () => {
  assert.deepEqual(found('conf.d/?.conf'), ['conf.d/B.conf', 'conf.d/a.conf', 'conf.d/\xe9.conf']);
});

test('a set matches one of its members, ranges, classes, or anything else when negated', () => {
  assert.deepEqual(found('conf.d/[ab].conf'), ['conf.d/a.conf']);
  assert.deepEqual(found('conf.d/[A-C].conf'), ['conf.d/B.conf']);
  assert.deepEqual(found('conf.d/[[:alpha:]].conf'), ['conf.d/B.conf', 'conf.d/a.conf']);
  assert.deepEqual(found('conf.d/[[:digit:]_]-*'), ['conf.d/2-a.conf']);
  assert.deepEqual(found('conf.d/[!a].conf'), ['conf.d/B.conf', 'conf.d/\xe9.conf']);
  assert.deepEqual(found('conf.d/[^a].conf'), ['conf.d/B.conf', 'conf.d/\xe9.conf']);
  assert.deepEqual(found('conf.d/x[[]1[]].conf'), ['conf.d/x[1].conf']);
  assert.deepEqual(found('conf.d/[[.a.]].conf'), ['conf.d/a.conf']);
  assert.deepEqual(found('conf.d/[]x].conf'), []);
});

test('a bracket that opens no set and a quoted wildcard stand for themselves', () => {
  assert.deepEqual(found('conf.d/x\\[1\\].conf'), ['conf.d/x[1].conf']);
  assert.deepEqual(found('conf.d/st\\*r'), ['conf.d/st*r']);
  assert.deepEqual(found('conf.d/[a.conf'), []);
});

test('wildcards in directories match directories', () => {
  assert.deepEqual(found('S*/*/site.conf'), ['Sites/a/site.conf', 'Sites/b/site.conf']);
  assert.deepEqual(found('*/?/*.conf'), ['Sites/a/site.conf', 'Sites/b/site.conf']);
  assert.deepEqual(found('conf.d/*/x'), []);
});

test('a star does not reach into directories', () => {
  assert.deepEqual(found('Sites/*.conf'), []);
});

test('slashes stay as they are written', () => {
  assert.deepEqual(found('Sites//a/*.conf'), ['Sites//a/site.conf']);
});

test('a dangling link is a name like any other', () => {
  assert.deepEqual(found('conf.d/*.link'), ['conf.d/dangling.link']);
});

test('what is not there, or cannot be read, matches nothing', () => {
  assert.deepEqual(found('none/*.conf'), []);
  assert.deepEqual(found('conf.d/a.conf/*'), []);
  const closed = join(root, 'closed');
  mkdirSync(closed, { mode: 0 });
  assert.deepEqual(found('closed/*'), []);
  chmodSync(closed, 0o700);
});

test('many stars do not take long', () => {
  const started = performance.now();
  assert.deepEqual(found(`conf.d/${'*a'.repeat(60)}*`), []);
  assert.ok(performance.now() - started < 1000);
});

test('no pattern throws', () => {
  const pattern = fc.array(fc.constantFrom(...'ab*?[]!^-:.=\\/', '[:alpha:]', '\0'), { maxLength: 20 });
  fc.assert(
    fc.property(pattern, (pieces) => {
      glob(`${root}/conf.d/${pieces.join('')}`);
    }),
    { seed: 3, numRuns: 500 },
  );
});
