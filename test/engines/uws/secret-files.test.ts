import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { SecretFiles } from '../../../src/engines/uws/secret-files.ts';

/** What there is where files could have been left. */
function names(): string[] {
  return ['/dev/shm', tmpdir()].flatMap((directory) => (existsSync(directory) ? readdirSync(directory) : []));
}

test('texts can be read by name, by nobody else, until they are closed', () => {
  const before = new Set(names());
  const files = new SecretFiles();
  const key = Buffer.from('a key');
  const path = files.path(key);
  assert.equal(readFileSync(path, 'latin1'), 'a key');
  assert.equal(readFileSync(path, 'latin1'), 'a key', 'from its beginning each time');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(files.path(key), path, 'one for each');
  assert.equal(readFileSync(files.path(Buffer.from('another')), 'latin1'), 'another');
  if (process.platform === 'linux') {
    assert.equal(statSync(path).nlink, 0, 'it has no name');
    assert.deepEqual(
      names().filter((name) => name.startsWith('portico-') && !before.has(name) && !name.includes('test')),
      [],
    );
  }
  files.close();
  assert.throws(() => readFileSync(path), { code: 'ENOENT' });
  files.close();
});

test('where there are no files without names, theirs are gone when they are closed', () => {
  const files = new SecretFiles(() => undefined);
  const path = files.path(Buffer.from('a key'));
  assert.equal(readFileSync(path, 'latin1'), 'a key');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(dirname(path)).mode & 0o777, 0o700);
  assert.notEqual(files.path(Buffer.from('a key')), path);
  files.close();
  assert.equal(existsSync(dirname(path)), false);
});
