import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, errorAtEnd, formatWarning, type Statement } from '../../src/config/statement.ts';

const statement: Statement = { name: 'foo', args: [], file: '/etc/x.conf', line: 12 };

test('an error says its place as nginx does', () => {
  assert.equal(
    new ConfigError('unknown directive "foo"', { statement }).format(),
    'unknown directive "foo" in /etc/x.conf:12',
  );
});

test('a hint stands on a line of its own', () => {
  const error = new ConfigError('unknown directive "foo"', { statement, hint: 'did you mean "food"?' });
  assert.equal(error.format(), 'unknown directive "foo" in /etc/x.conf:12\ndid you mean "food"?');
});

test('an error of the command line has no line', () => {
  const error = new ConfigError('unknown directive "foo"', {
    statement: { ...statement, file: '', line: 0 },
  });
  assert.equal(error.format(), 'unknown directive "foo" in command line');
});

test('an error without a statement has no place', () => {
  const errno = { code: 2, text: 'No such file or directory' };
  assert.equal(
    new ConfigError('open() "/x" failed', { errno }).format(),
    'open() "/x" failed (2: No such file or directory)',
  );
});

test('a very long message is cut where nginx cuts it, before the place', () => {
  const error = new ConfigError('x'.repeat(5000), { statement });
  assert.equal(error.format(), `${'x'.repeat(1024)} in /etc/x.conf:12`);
});

test('an error about a whole block is placed at its closing brace', () => {
  const block = { ...statement, block: [], endLine: 20 };
  const error = errorAtEnd(block, 'no servers are inside upstream');
  assert.equal(error.format(), 'no servers are inside upstream in /etc/x.conf:20');
  assert.equal(error.statement, block);
});

test('errors are emerg unless they say otherwise', () => {
  assert.equal(new ConfigError('x').level, 'emerg');
  assert.equal(new ConfigError('x', { level: 'crit' }).level, 'crit');
});

test('a warning says its place in the same way', () => {
  assert.equal(
    formatWarning({ message: 'duplicate value "x"', statement }),
    'duplicate value "x" in /etc/x.conf:12',
  );
});
