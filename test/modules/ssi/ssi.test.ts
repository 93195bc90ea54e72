import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startHeldBackend } from '../../support/held-backend.ts';
import { type RunningPortico, startPortico } from '../../support/portico.ts';
import { freePort } from '../../support/ports.ts';
import { rawClient } from '../../support/raw-client.ts';
import { get } from '../../support/request.ts';
import { until } from '../../support/wait.ts';

const ERROR = '[an error occurred while processing the directive]';

/** Portico with `ssi on` for pages of its sandbox. */
async function startPages(
  locations = '',
  settings = '',
): Promise<{ portico: RunningPortico; port: number; show(page: string, args?: string): Promise<string> }> {
  const port = await freePort();
  const portico = await startPortico({
    http: `upstream unused { server 127.0.0.1:1; }
    server { listen 127.0.0.1:${port}; root .; ssi on; ${settings} location / { } ${locations} }`,
  });
  let pages = 0;
  return {
    portico,
    port,
    async show(page, args = '') {
      const name = `pages/${++pages}.html`;
      portico.sandbox.write(name, page);
      return (await get({ port, path: `/${name}?${args}` })).body;
    },
  };
}

test('echo shows variables of nginx and its own, encoded as it is told', async () => {
  const { portico, show } = await startPages();
  await using _ = portico;
  assert.equal(
    await show('<!--#echo var="arg_x" -->|<!--# echo var=\'arg_y\' default="none"-->', 'x=1'),
    '1|none',
  );
  assert.equal(await show('<!--#echo var="arg_y" --><!--#echo var="arg_x" default="no" -->', 'x='), '(none)');
  assert.equal(
    await show(
      '<!--#set var="V" value="<&$arg_x>\\"\\$x" --><!--#echo var="v" -->|' +
        '<!--#echo var="v" encoding="none" -->|<!--#echo var="v" -->|<!--#echo var="v" encoding="url" -->',
      'x=%20',
    ),
    '&lt;&amp;%20&gt;&quot;$x|<&%20>"$x|<&%20>"$x|%3C&%2520%3E%22$x',
  );
  assert.equal(await show('<!--#echo var="nothing_of_that_name" -->'), '(none)');
});

test('conditions compare texts and match regular expressions, whose groups can be shown', async () => {
  const { portico, show } = await startPages();
  await using _ = portico;
  const when = (expression: string, args = '') =>
    show(`<!--#if expr='${expression}' -->yes<!--#else -->no<!--#endif -->`, args);
  assert.equal(await when('$arg_x', 'x=1'), 'yes');
  assert.equal(await when('$arg_x'), 'no');
  assert.equal(await when('$arg_x = a', 'x=a'), 'yes');
  assert.equal(await when('ABC = abc'), 'yes');
  assert.equal(await when('abc = ABC'), 'no');
  assert.equal(await when('$arg_x != ${arg_y}b', 'x=ab&y=a'), 'no');
  assert.equal(await when('$arg_x = /^a+\\$/', 'x=aaa'), 'yes');
  assert.equal(await when('$arg_x != /^a+\\$/', 'x=aaa'), 'no');
  assert.equal(await when('$arg_x > 1', 'x=1'), `${ERROR}yes${ERROR}no${ERROR}`);
  assert.equal(
    await show(
      '<!--#if expr="$arg_x = /(?<first>.)b(.)/" --><!--#echo var="0" --> <!--#echo var="1" -->' +
        '<!--#echo var="2" --><!--#echo var="FIRST" --><!--#echo var="9" --><!--#endif -->',
      'x=xabcx',
    ),
    'abc aca(none)',
  );
  assert.match(await when('$arg_x = /(/'), /^\[an error/);
  await portico.logged('pcre2_compile() failed: missing closing parenthesis in "(" while sending response');
  assert.equal(
    await show(
      '<!--#if expr="$arg_a" -->A<!--#elif expr="$arg_b" -->B<!--#elif expr="$arg_c" -->C<!--#endif -->',
      'b=1&c=1',
    ),
    'B',
  );
});

test('mistakes are shown and logged in the words of nginx', async () => {
  const { portico, show } = await startPages();
  await using _ = portico;
  const mistakes: [page: string, message: string][] = [
    ['<!--#bad -->', 'invalid SSI command: "bad"'],
    ['<!--#echo -->', 'mandatory "var" parameter is absent in "echo" SSI command'],
    ['<!--#echo var="x" foo="1" -->', 'invalid parameter name: "foo" in "echo" SSI command'],
    ['<!--#echo var="a" var="b" -->', 'duplicate "var" parameter in "echo" SSI command'],
    ['<!--#else -->', 'invalid context of SSI command: "else"'],
    ['<!--#echo var=x -->', 'unexpected "x" symbol before value of "var" parameter in "echo" SSI command'],
    ['<!--#echo var-->', 'unexpected "-" symbol after "var" parameter in "echo" SSI command'],
    ['<!--#echo var x-->', 'unexpected "x" symbol after "var" parameter in "echo" SSI command'],
    [
      '<!--#echo var="x"y -->',
      'unexpected "y" symbol after "x" value of "var" parameter in "echo" SSI command',
    ],
    ['<!--#echo -x -->', 'unexpected "x" symbol in "echo" SSI command'],
    [`<!--#${'x'.repeat(33)} -->`, `the "${'x'.repeat(33)}..." SSI command is too long`],
    [
      `<!--#echo ${'x'.repeat(33)}="1" -->`,
      `too long "${'x'.repeat(33)}..." parameter in "echo" SSI command`,
    ],
    [`<!--#echo var="${'x'.repeat(256)}" -->`, `${'x'.repeat(256)}..." value of "var" parameter in "echo"`],
    ['<!--#set var="x" value="${a" -->', 'the closing bracket in "a" variable is missing'],
    ['<!--#set var="x" value="a$" -->', 'invalid variable name in "a$"'],
    ['<!--#include -->', 'no parameter in "include" SSI command'],
    ['<!--#include virtual="a" file="b" -->', 'inclusion may be either virtual="a" or file="b"'],
    ['<!--#include file="b" wait="yes" -->', '"wait" cannot be used with file="b"'],
    ['<!--#include virtual="b" wait="maybe" -->', 'invalid value "maybe" in the "wait" parameter'],
    [
      '<!--#include virtual="b" set="x" stub="y" -->',
      '"set" and "stub" cannot be used together in "include"',
    ],
    ['<!--#include virtual="b" stub="y" -->', '"stub"="y" for "include" not found'],
    ['<!--#include virtual="../../b" -->', 'unsafe URI "/pages/../../b" was detected'],
  ];
  for (const [page, message] of mistakes) {
    const from = portico.errorLog().length;
    assert.equal(await show(`(${page})`), `(${ERROR})`, page);
    const line = await portico.logged(message, from);
    assert.match(line, /\[error\] .* while sending response to client, client: 127\.0\.0\.1, /);
  }
  assert.equal(await show('<!--#config errmsg="oops" --><!--#bad -->'), 'oops');
  const quiet = await startPages('', 'ssi_silent_errors on; ssi_value_length 3;');
  await using __ = quiet.portico;
  assert.equal(await quiet.show('(<!--#bad --><!--#echo var="abcd" -->)'), '()');
});

test('what is begun at the end of a page and not ended is dropped, as by nginx', async () => {
  const { portico, show } = await startPages();
  await using _ = portico;
  assert.equal(await show('abc<'), 'abc');
  assert.equal(await show('abc<!--'), 'abc');
  assert.equal(await show('abc<!--#echo var='), 'abc');
  assert.equal(await show('a<b<!-b<!--b<<!--# echo var="arg_x"--><'), 'a<b<!-b<!--b<(none)');
});

test('includes come in their order; all are asked for at once, unless they are waited for', async () => {
  await using backend = await startHeldBackend();
  const { portico, port } = await startPages(
    `location /b/ { proxy_pass http://127.0.0.1:${backend.port}/; }`,
  );
  await using _ = portico;
  portico.sandbox.write(
    'page.html',
    '1<!--#include virtual="/b/a?x=$arg_x" -->2<!--#include virtual="/b/b" -->3' +
      '<!--#include virtual="/b/w" wait="yes" -->4<!--#include virtual="/b/c" -->5',
  );
  const asked = get({ port, path: '/page.html?x=y' });
  const first = await backend.take('/a?x=y');
  const second = await backend.take('/b');
  const third = await backend.take('/w');
  second.response.end('B');
  third.response.end('W');
  assert.equal(backend.requests.length, 3);
  first.response.end('A');
  (await backend.take('/c')).response.end('C');
  assert.equal((await asked).body, '1A2B3W4C5');
});

test('an include can be kept in a variable, as far as there is room', async () => {
  const { portico, port, show } = await startPages(
    `location /text { default_type text/html; ssi off; return 200 "t e x t"; }
     location /args { default_type text/html; return 200 '<!--#echo var="arg_x" -->'; }
     location /nested { default_type text/html; return 200 '<!--#include virtual="/text" -->'; }
     location /missing { return 404; }
     location /big { subrequest_output_buffer_size 10; alias pages/; }`,
  );
  await using _ = portico;
  assert.equal(
    await show('<!--#include virtual="/text" set="a" -->[<!--#echo var="a" -->]<!--#echo var="A" -->'),
    '[t e x t]t e x t',
  );
  assert.equal(await show('<!--#include virtual="/args?x=1" set="a" --><!--#echo var="a" -->'), '1');
  assert.equal(await show('<!--#include virtual="/missing" set="a" -->[<!--#echo var="a" -->]'), '[]');
  assert.equal(await show('<!--#include virtual="/nested" set="a" --><!--#echo var="a" -->'), ERROR);
  await portico.logged('nested in-memory subrequest "/text"');

  portico.sandbox.write('pages/eleven.html', 'eleven char');
  portico.sandbox.write('pages/set.html', '<!--#include virtual="/big/eleven.html" set="a" -->');
  const client = await rawClient(port);
  client.send('GET /pages/set.html HTTP/1.1\r\nHost: x\r\n\r\n');
  await client.closed();
  await portico.logged('too big subrequest response');
});

test('a block stands in for an include without a body, and is evaluated there', async () => {
  const { portico, show } = await startPages(
    'location /204 { return 204; } location /text { return 200 "text"; } location /missing { return 404; }',
  );
  await using _ = portico;
  const block = '<!--#block name="one" -->[<!--#echo var="arg_x" -->]<!--#endblock -->';
  assert.equal(await show(`${block}<!--#include virtual="/missing?x=1" stub="one" -->`), '[1]');
  assert.equal(
    await show(`${block}<!--#include virtual="/204?x=1" stub="one" -->`).then((text) => text.length > 0),
    true,
  );
  assert.equal(await show(`${block}<!--#include virtual="/text" stub="one" -->`), 'text');
  assert.equal(
    await show(
      `${block}<!--#include virtual="/missing?x=1" stub="one" --><!--#include virtual="/missing?x=2" stub="one" -->`,
    ),
    '[1][2]',
  );
});

test('pages may include pages, but not without end', async () => {
  const { portico, port, show } = await startPages();
  await using _ = portico;
  portico.sandbox.write('inner.html', 'inner <!--#include file="other.html" --> again');
  portico.sandbox.write('other.html', '<!--#set var="v" value="set inside" -->other');
  assert.equal(
    await show('<!--#include virtual="/inner.html" wait="yes" -->, <!--#echo var="v" -->'),
    'inner other again, set inside',
  );
  portico.sandbox.write('endless.html', 'x<!--#include virtual="/endless.html" -->');
  const { body } = await get({ port, path: '/endless.html' });
  assert.equal(body, `${'x'.repeat(52)}${ERROR}`);
  await portico.logged(
    /subrequests cycle while processing "\/endless\.html", client: .* subrequest: "\/endless\.html"/,
  );
});

test('the head loses what no longer holds', async () => {
  const port = await freePort();
  await using portico = await startPortico({
    http: `server { listen 127.0.0.1:${port}; root .; ssi on;
      location / { } location /kept/ { alias ./; ssi_last_modified on; }
      location /types/ { alias ./; ssi_types text/plain; } location /off/ { alias ./; ssi off; } }`,
  });
  portico.sandbox.write('page.html', '<!--#echo var="arg_x" -->');
  portico.sandbox.write('page.txt', '<!--#echo var="arg_x" -->');
  const plain = await get({ port, path: '/page.html' });
  assert.equal(plain.headers['last-modified'], undefined);
  assert.equal(plain.headers.etag, undefined);
  assert.equal(plain.headers['accept-ranges'], undefined);
  const kept = await get({ port, path: '/kept/page.html' });
  assert.notEqual(kept.headers['last-modified'], undefined);
  assert.match(kept.headers.etag ?? '', /^W\//);
  assert.equal((await get({ port, path: '/page.txt' })).body, '<!--#echo var="arg_x" -->');
  const head = await get({ port, path: '/page.html', method: 'HEAD' });
  assert.equal(head.headers['content-length'], undefined);
  assert.equal((await get({ port, path: '/off/page.html' })).body, '<!--#echo var="arg_x" -->');
});

test('a client that goes in the middle ends all includes', async () => {
  await using backend = await startHeldBackend();
  const { portico, port } = await startPages(
    `location /b/ { proxy_pass http://127.0.0.1:${backend.port}/; } location /status { ssi off; stub_status; }`,
  );
  await using _ = portico;
  portico.sandbox.write(
    'page.html',
    'begin<!--#include virtual="/b/1" --><!--#include virtual="/b/2" set="x" --><!--#include virtual="/b/3" -->',
  );
  const client = await rawClient(port);
  client.send('GET /page.html HTTP/1.1\r\nHost: x\r\n\r\n');
  const [one, two] = [await backend.take('/1'), await backend.take('/2')];
  await client.until(/begin/);
  client.destroy();
  await until('both to be given up', () => one.aborted && two.aborted);
  await until('nothing to be under way', async () =>
    /Active connections: 1 \n[\s\S]*Writing: 1/.test((await get({ port, path: '/status' })).body),
  );
  assert.equal(backend.requests.length, 2);
  assert.doesNotMatch(portico.errorLog(), /unexpected error/);
});

test('dates follow the format of the page', async () => {
  const { portico, port, show } = await startPages(
    'location /head { add_header X-Date $date_gmt; return 204; }',
  );
  await using _ = portico;
  const year = new Date().getUTCFullYear();
  assert.match(await show('<!--#echo var="date_gmt" -->'), /^\w+day, \d\d-\w{3}-\d{4} \d\d:\d\d:\d\d GMT$/);
  assert.equal(
    await show(
      '<!--#config timefmt="%Y %Z" --><!--#set var="d" value="<$date_gmt>" --><!--#echo var="d" encoding="none"-->',
    ),
    `<${year} GMT>`,
  );
  assert.match(await show('<!--#config timefmt="%s" --><!--#echo var="date_local" -->'), /^\d{10}$/);
  const { headers } = await get({ port, path: '/head' });
  assert.match(String(headers['x-date']), /GMT$/);
});
