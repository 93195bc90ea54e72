import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check } from '../support/check.ts';
import { createSandbox, startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import { get } from '../support/request.ts';

test('a value is chosen by name, in either case, then by regular expressions in order, else by default', async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `
    map $arg_x $chosen {
      default                none;
      One                    1;
      ""                     empty;
      ~^one$                 never;
      ~^(?<digits>\\d+)-(.)   "$digits and $2";
      ~*^b                   caseless;
      ~^B                    never;
      \\default               "the word";
      \\~x                    tilde;
      caf\xe9                accent;
    }
    map $arg_x $without { a A; }
    server {
      listen 127.0.0.1:${port};
      location / { return 200 "$chosen"; }
      location /without { return 200 "[$without]"; }
    }`,
  });
  const chosen = async (x: string) => (await get({ port, path: `/?x=${x}` })).body;
  assert.equal(await chosen('one'), '1');
  assert.equal(await chosen('ONE'), '1');
  assert.equal(await chosen(''), 'empty');
  assert.equal(await chosen('12-z'), '12 and z');
  assert.equal(await chosen('bit'), 'caseless');
  assert.equal(await chosen('Bit'), 'caseless');
  assert.equal(await chosen('default'), 'the word');
  assert.equal(await chosen('~x'), 'tilde');
  assert.equal(await chosen('caf\xe9'), 'accent');
  assert.equal(await chosen('caf\xc9'), 'none');
  assert.equal(await chosen('other'), 'none');
  assert.equal((await get({ port, path: '/without?x=A' })).body, '[A]');
  assert.equal((await get({ port, path: '/without?x=b' })).body, '[]');
});

test('an empty text matches no regular expression', async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `map $arg_x $chosen { ~^ matched; default default; }
    server { listen 127.0.0.1:${port}; return 200 $chosen; }`,
  });
  assert.equal((await get({ port, path: '/' })).body, 'default');
  assert.equal((await get({ port, path: '/?x=1' })).body, 'matched');
});

test('with hostnames, names have wildcards, and a dot at the end of the source does not count', async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `
    map $arg_x $chosen {
      *.plain.org     before;
      hostnames;
      default         none;
      example.com     exact;
      *.example.com   below;
      .dot.org        "itself and below";
      www.example.*   right;
      ~\\.$            never;
    }
    server { listen 127.0.0.1:${port}; return 200 $chosen; }`,
  });
  const chosen = async (x: string) => (await get({ port, path: `/?x=${x}` })).body;
  assert.equal(await chosen('example.com'), 'exact');
  assert.equal(await chosen('Example.com.'), 'exact');
  assert.equal(await chosen('a.b.example.com.'), 'below');
  assert.equal(await chosen('dot.org'), 'itself and below');
  assert.equal(await chosen('a.dot.org'), 'itself and below');
  assert.equal(await chosen('www.example.net'), 'right');
  assert.equal(await chosen('www.example.com'), 'below');
  assert.equal(await chosen('www.example'), 'none');
  assert.equal(await chosen('*.plain.org'), 'before');
  assert.equal(await chosen('a.plain.org'), 'none');
});

test('source and values are texts with variables, of maps further down as well', async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `
    map "$arg_x/$arg_y" $outer { 1/2 "<$inner>"; default "$inner-$arg_x"; }
    map $arg_x $inner { 1 one; default other; }
    server { listen 127.0.0.1:${port}; return 200 "$outer"; }`,
  });
  assert.equal((await get({ port, path: '/?x=1&y=2' })).body, '<one>');
  assert.equal((await get({ port, path: '/?x=3&y=2' })).body, 'other-3');
});

test('a value is remembered for the request, unless the map is volatile', async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `
    map $step $remembered { default $step; }
    map $step $volatile { volatile; default $step; }
    server {
      listen 127.0.0.1:${port};
      set $step 1;
      set $first "$remembered $volatile";
      set $step 2;
      return 200 "$first, $remembered $volatile";
    }`,
  });
  assert.equal((await get({ port })).body, '1 1, 1 2');
});

test('what set assigns goes before the map, only where it was assigned', async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `
    map $arg_x $chosen { default mapped; }
    map $arg_x $fresh { volatile; default mapped; }
    server {
      listen 127.0.0.1:${port};
      location /set { set $chosen assigned; set $fresh assigned; return 200 "$chosen $fresh"; }
      location /not { return 200 "$chosen $fresh"; }
    }`,
  });
  assert.equal((await get({ port, path: '/set' })).body, 'assigned assigned');
  assert.equal((await get({ port, path: '/not' })).body, 'mapped mapped');
});

test('the last map of a variable holds', async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `
    map $arg_x $chosen { default first; }
    map $arg_x $chosen { default second; }
    server { listen 127.0.0.1:${port}; return 200 $chosen; }`,
  });
  assert.equal((await get({ port })).body, 'second');
});

test('a map may be kept in a file of its own', async () => {
  using sandbox = createSandbox();
  sandbox.write('conf/table.map', 'a 1;\nb 2;\n');
  const port = await freePort();
  await using _portico = await startPortico({
    sandbox,
    http: `map $arg_x $chosen { default 0; include table.map; \\include word; }
    server { listen 127.0.0.1:${port}; return 200 $chosen; }`,
  });
  assert.equal((await get({ port, path: '/?x=b' })).body, '2');
  assert.equal((await get({ port, path: '/?x=include' })).body, 'word');
});

test('maps that need each other are given up, and the log says so', async () => {
  const port = await freePort();
  await using portico = await startPortico({
    http: `
    map $a $b { default "b$a"; }
    map $b $a { default "a$b"; }
    server { listen 127.0.0.1:${port}; location / { return 200 $a; } location /fine { return 200 fine; } }`,
  });
  assert.equal((await get({ port })).status, 200);
  await portico.logged(/\[error\] .*cycle while evaluating variable "[ab]"/);
  assert.equal((await get({ port, path: '/fine' })).body, 'fine');
});

test('errors of a map are reported where they stand, in the words of nginx', async () => {
  const expected: [string, string, number][] = [
    ['map $uri chosen { }', 'invalid variable name "chosen"', 2],
    ['map $uri $ { }', 'invalid variable name "$"', 2],
    ['map $uri $host { a b; }', 'the duplicate "host" variable', 2],
    ['map $uri $chosen {\n a b c;\n}', 'invalid number of the map parameters', 3],
    ['map $uri $chosen {\n a;\n}', 'invalid number of the map parameters', 3],
    ['map $uri $chosen {\n default a;\n default b;\n}', 'duplicate default map parameter', 4],
    ['map $uri $chosen {\n A 1;\n a 2;\n}', 'conflicting parameter "a"', 4],
    ['map $uri $chosen {\n hostnames;\n a.*.B 1;\n}', 'invalid hostname or wildcard "a.*.B"', 4],
    ['map $uri $chosen {\n a { }\n}', 'unexpected "{"', 3],
    ['map $uri $chosen {\n a $nobody;\n}', 'unknown "nobody" variable', 3],
    ['map $nobody $chosen { a b; }', 'unknown "nobody" variable', 2],
    ['map $uri { a b; }', 'invalid number of arguments in "map" directive', 2],
    ['server { map $uri $chosen { a b; } }', '"map" directive is not allowed here', 2],
    ['map $uri $a { a b; }\nmap_hash_max_size 4096;', '"map_hash_max_size" directive is duplicate', 3],
  ];
  for (const [http, message, line] of expected) {
    const { code, text } = await check(http);
    assert.equal(code, 1, http);
    assert.ok(text.includes(`[emerg] ${message} in FILE:${line}\n`), `${http}: ${text}`);
  }
  const bad = await check('map $uri $chosen {\n ~( b;\n}');
  assert.match(bad.text, /\[emerg\] pcre2_compile\(\) failed: missing closing parenthesis in "\(" .*FILE:3/);
});

test('sizes of the table are taken and mean nothing', async () => {
  const { code, text } = await check(
    'map_hash_max_size 4096; map_hash_bucket_size 128; map $uri $a { a b; }',
  );
  assert.equal(code, 0, text);
});
