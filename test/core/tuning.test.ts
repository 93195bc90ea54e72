import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tuningDirectives } from '../../src/core/tuning.ts';
import { check } from '../support/check.ts';

/** What the check says first. */
const complaint = async (http: string) => (await check(http)).line;

test('every tuning directive says why it means nothing', () => {
  for (const [name, directive] of Object.entries(tuningDirectives)) {
    assert.match(directive.accepted ?? '', /\.$/, name);
    assert.ok(directive.syntax !== undefined, name);
  }
});

test('their arguments are checked all the same', async () => {
  assert.equal(
    await complaint(
      'server_names_hash_max_size 512; server_names_hash_bucket_size 64; variables_hash_max_size 2048;' +
        'types_hash_max_size 2048; tcp_nopush on; postpone_output 0; connection_pool_size 256; send_lowat 0;',
    ),
    'portico: the configuration file FILE syntax is ok',
  );
  assert.equal(
    await complaint('server_names_hash_max_size x;'),
    'portico: [emerg] "server_names_hash_max_size" directive invalid number in FILE:2',
  );
  assert.equal(
    await complaint('tcp_nopush on; tcp_nopush on;'),
    'portico: [emerg] "tcp_nopush" directive is duplicate in FILE:2',
  );
  assert.equal(
    await complaint('connection_pool_size 100;'),
    'portico: [emerg] the pool size must be no less than 112 in FILE:2',
  );
  assert.equal(
    await complaint('request_pool_size 1001;'),
    'portico: [emerg] the pool size must be a multiple of 16 in FILE:2',
  );
});
