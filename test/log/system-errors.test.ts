import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { connect } from 'node:net';
import { constants } from 'node:os';
import { test } from 'node:test';
import { describeError, describeFileError, isSystemError } from '../../src/log/system-errors.ts';

test('system errors read as the C library words them', () => {
  try {
    openSync('/no/such/file', 'r');
    assert.fail('opened');
  } catch (error) {
    assert.ok(isSystemError(error));
    assert.equal(describeError(error), '2: No such file or directory');
    assert.equal(
      describeFileError('open()', '/no/such/file', error),
      'open() "/no/such/file" failed (2: No such file or directory)',
    );
  }
});

test('a refused connection reads as nginx reports it', { skip: process.platform !== 'linux' }, async () => {
  const socket = connect(1, '127.0.0.1');
  const [error] = await once(socket, 'error').catch((thrown: Error) => [thrown]);
  assert.equal(describeError(error), '111: Connection refused');
});

test('every errno of this system has its wording', { skip: process.platform !== 'linux' }, (context) => {
  const codes = Object.entries(constants.errno);
  const script = 'import os,sys\nfor n in sys.argv[1:]: print(os.strerror(int(n)))';
  const result = spawnSync('python3', ['-c', script, ...codes.map(([, number]) => String(number))], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  });
  if (result.error !== undefined) return context.skip('python3 is not there to ask');
  const wordings = result.stdout.split('\n');
  codes.forEach(([code, number], index) => {
    const error = Object.assign(new Error('other words'), { code, errno: -number });
    assert.equal(describeError(error), `${number}: ${wordings[index]}`);
  });
});

test('an error that is not the system’s gives its own message', () => {
  assert.equal(describeError(new Error('plain')), 'plain');
  assert.equal(
    describeError(Object.assign(new Error('tls'), { code: 'ERR_SSL_WRONG_VERSION_NUMBER' })),
    'tls',
  );
  assert.ok(!isSystemError(new Error('plain')));
});
