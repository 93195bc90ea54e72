import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import { ask } from '../support/raw-client.ts';

test('client_body_early_read reads the body before the request goes its way', async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `
    server {
      listen 127.0.0.1:${port};
      client_max_body_size 10;
      client_body_early_read $arg_no $http_x_early;
      return 200 "[$request_body] $content_length";
    }`,
  });
  const post = (fields: string, body: string) =>
    ask(port, `POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${fields}\r\n${body}`);
  assert.match(await post('Content-Length: 3\r\nX-Early: 1\r\n', 'abc'), /\r\n\r\n\[abc\] 3$/);
  assert.match(
    await post('Transfer-Encoding: chunked\r\nX-Early: 1\r\n', '3\r\nabc\r\n0\r\n\r\n'),
    /\r\n\r\n\[abc\] 3$/,
  );
  assert.match(await post('Content-Length: 3\r\nX-Early: 0\r\n', 'abc'), /\r\n\r\n\[\] 3$/);
  assert.match(await post('Content-Length: 11\r\nX-Early: 1\r\n', 'abcdefghijk'), /^HTTP\/1\.1 413 /);
});
