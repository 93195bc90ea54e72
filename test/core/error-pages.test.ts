import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check } from '../support/check.ts';
import { startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import { ask } from '../support/raw-client.ts';
import { get } from '../support/request.ts';

test('error_page answers with a page, a named location or a redirect, and the status it is told', async () => {
  const port = await freePort();
  await using portico = await startPortico({
    http: `
    server {
      listen 127.0.0.1:${port};
      location /page { return 200 "page $uri $args $request_method"; }
      location @named { return 200 "named $uri"; }
      location @refusing { return 403 "refused"; }
      location /plain { error_page 404 /page; return 404; }
      location /own { error_page 404 = /page; return 404; }
      location /other { error_page 404 =503 /page?x=1; return 404; }
      location /variable { error_page 404 /page/$arg_a?$args; return 404; }
      location /name { error_page 404 @named; return 404; }
      location /name/own { error_page 404 = @refusing; return 404; }
      location /name/none { error_page 404 @nobody; return 404; }
      location /url { error_page 404 http://example.com/x; return 404; }
      location /url/moved { error_page 404 =301 http://example.com$uri; return 404; }
      location /url/okay { error_page 404 =200 http://example.com/; return 404; }
    }`,
  });
  const answer = async (path: string) => {
    const { status, body, headers } = await get({ port, path });
    return `${status} ${headers.location ?? (body.startsWith('<') ? '-' : body)}`;
  };
  assert.equal(await answer('/plain'), '404 page /page  GET');
  assert.equal(await answer('/own'), '200 page /page  GET');
  assert.equal(await answer('/other'), '503 page /page x=1 GET');
  assert.equal(await answer('/variable?a=1'), '404 page /page/1 a=1 GET');
  assert.equal(await answer('/name'), '404 named /name');
  assert.equal(await answer('/name/own'), '403 refused');
  assert.equal(await answer('/name/none'), '500 -');
  assert.match(portico.errorLog(), /could not find named location "@nobody"/);
  assert.equal(await answer('/url'), '302 http://example.com/x');
  assert.equal(await answer('/url/moved'), '301 http://example.com/url/moved');
  assert.equal(await answer('/url/okay'), '302 http://example.com/');
});

test('an error in an error page has a page of its own only where recursive_error_pages says so', async () => {
  const port = await freePort();
  await using portico = await startPortico({
    http: `
    server {
      listen 127.0.0.1:${port};
      error_page 403 /forbidden;
      location /forbidden { return 200 "forbidden"; }
      location /deeper { return 403; }
      location /once { error_page 404 /deeper; return 404; }
      location /again { recursive_error_pages on; error_page 404 /deeper; return 404; }
      location /round { recursive_error_pages on; error_page 404 /round; return 404; }
    }`,
  });
  const once = await get({ port, path: '/once' });
  assert.equal(once.status, 403);
  assert.match(once.body, /<h1>403 Forbidden<\/h1>/);
  const again = await get({ port, path: '/again' });
  assert.equal(`${again.status} ${again.body}`, '403 forbidden');
  assert.equal((await get({ port, path: '/round' })).status, 500);
  assert.match(portico.errorLog(), /redirection cycle while internally redirecting to "\/round"/);
});

test('408, 444 and 499 close the connection without an answer', async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `server { listen 127.0.0.1:${port}; location /408 { return 408; }
      location /444 { return 444; } location /499 { return 499; } }`,
  });
  for (const status of ['408', '444', '499']) {
    assert.equal(await ask(port, `GET /${status} HTTP/1.1\r\nHost: x\r\n\r\n`), '', status);
  }
});

test('what is wrong in an error_page is told as nginx tells it', async () => {
  const cases = [
    ['error_page = /x;', 'invalid value "="'],
    ['error_page 404 =x /x;', 'invalid value "=x"'],
    ['error_page 499 /x;', 'invalid value "499"'],
    ['error_page 600 /x;', 'value "600" must be between 300 and 599'],
  ] as const;
  await Promise.all(
    cases.map(async ([http, message]) => {
      const { line } = await check(`server { ${http} }`);
      assert.equal(line, `portico: [emerg] ${message} in FILE:2`);
    }),
  );
});
