import assert from 'node:assert/strict';
import { test } from 'node:test';
import { statusLine } from '../../src/http/status.ts';

test('statuses have the words nginx gives them, or none', () => {
  assert.equal(statusLine(200), '200 OK');
  assert.equal(statusLine(302), '302 Moved Temporarily');
  assert.equal(statusLine(405), '405 Not Allowed');
  assert.equal(statusLine(503), '503 Service Temporarily Unavailable');
  assert.equal(statusLine(103), '103 Early Hints');
  assert.equal(statusLine(418), '418 ');
  assert.equal(statusLine(203), '203 ');
  assert.equal(statusLine(999), '999 ');
});
