import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { get, openClient } from '../../support/client.ts';
import {
  createSandbox,
  type RunningPortico,
  runPortico,
  type Sandbox,
  startPortico,
} from '../../support/portico.ts';
import { freePort } from '../../support/ports.ts';
import { ask } from '../../support/raw-client.ts';
import { type Backend, echo, headerOf, startBackend } from './backend.ts';

let backend: Backend;
let local: Backend;
let sandbox: Sandbox;
let portico: RunningPortico;
let port: number;

before(async () => {
  sandbox = createSandbox();
  backend = await startBackend(echo);
  local = await startBackend(echo, { path: sandbox.path('app.sock') });
  port = await freePort();
  const to = `127.0.0.1:${backend.port}`;
  portico = await startPortico({
    sandbox,
    http: `
      upstream group { server ${to}; }
      proxy_set_header X-Outer outer;
      server {
        listen 127.0.0.1:${port};
        location /plain/ { proxy_pass http://${to}; }
        location /slash/ { proxy_pass http://${to}/; }
        location /path/ { proxy_pass http://${to}/other/; }
        location /cut { proxy_pass http://${to}/other; }
        location = /exact { proxy_pass http://${to}/replaced; }
        location ~ ^/regex/(.*)$ { proxy_pass http://${to}; }
        location ~ ^/capture/(.*)$ { proxy_pass http://${to}/got/$1; }
        location /variable/ { proxy_pass http://$arg_to; }
        location /query/ { proxy_pass http://${to}?fixed=1; }
        location /group/ { proxy_pass http://group; }
        location /choice/ { set $name group; proxy_pass http://$name; }
        location /socket/ { proxy_pass http://unix:${sandbox.path('app.sock')}:/in/; }
        location /if/ {
          if ($arg_x) { proxy_pass http://${to}; }
          if ($arg_y) { set $seen 1; }
          proxy_pass http://${to}/outside/;
        }
        location /limit/ {
          proxy_pass http://${to}/inside/;
          limit_except GET { allow all; }
        }
        location /outer/ {
          proxy_pass http://${to};
          location /outer/inner/ { proxy_pass http://${to}/deep/; }
        }
        location @named { proxy_pass http://${to}; }
        location /named/ { error_page 418 = @named; return 418; }
        location /headers/ {
          proxy_pass http://${to}/;
          proxy_set_header Host $host;
          proxy_set_header X-Real-IP $remote_addr;
          proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
          proxy_set_header X-Where $proxy_host:$proxy_port;
          proxy_set_header Accept "";
          proxy_set_header X-Empty $arg_none;
          proxy_set_header Connection close;
        }
        location /inherits/ { proxy_pass http://${to}/; }
        location /none/ { proxy_pass http://${to}/; proxy_pass_request_headers off; proxy_pass_request_body off; proxy_set_header Content-Length ""; }
        location /method/ { proxy_pass http://${to}/; proxy_method $arg_method; proxy_set_body "made of $arg_method"; }
        location /old/ { proxy_pass http://${to}/; proxy_http_version 1.0; }
        location /chunks/ { proxy_pass http://${to}/; proxy_request_buffering off; }
        location /file/ { proxy_pass http://${to}/; client_body_buffer_size 16; }
      }`,
  });
});

after(async () => {
  await portico?.[Symbol.asyncDispose]();
  await backend?.close();
  await local?.close();
  sandbox?.remove();
});

/** The target the upstream server was asked for. */
async function targetOf(path: string): Promise<string> {
  const { body, status } = await get(port, path);
  assert.equal(status, 200, body);
  return body.split(' ')[1]!;
}

test('the location is replaced by the URI of proxy_pass, and without one the target goes on as it came', async () => {
  const cases: readonly (readonly [asked: string, wanted: string])[] = [
    ['/plain/a/../b%20c?d=%20e', '/plain/a/../b%20c?d=%20e'],
    ['/slash/users?id=1', '/users?id=1'],
    ['/slash//a%2Fb%20c', '/a/b%20c'],
    ['/path/x', '/other/x'],
    ['/cutting/x', '/otherting/x'],
    ['/exact', '/replaced'],
    ['/regex/a%20b?x', '/regex/a%20b?x'],
    ['/capture/abc', '/got/abc'],
    ['/query/x', '?fixed=1x'],
    ['/group/x', '/group/x'],
    ['/choice/x?y=z', '/choice/x?y=z'],
    ['/if/z', '/outside/z'],
    ['/if/z?y=1', '/outside/z?y=1'],
    ['/if/z?x=1', '/if/z?x=1'],
    ['/limit/z', '/inside/z'],
    ['/outer/inner/z', '/deep/z'],
    ['/outer/z', '/outer/z'],
    ['/named/z', '/named/z'],
    [`/variable/?to=127.0.0.1:${backend.port}`, `/variable/?to=127.0.0.1:${backend.port}`],
    [`/variable/?to=127.0.0.1:${backend.port}/given`, '/given'],
  ];
  for (const [asked, wanted] of cases) assert.equal(await targetOf(asked), wanted, asked);
});

test('limit_except has the proxy_pass of its location', async () => {
  const answer = await ask(port, 'DELETE /limit/z HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  assert.match(answer, /DELETE \/inside\/z HTTP\/1\.1\r\n/);
});

test('a Unix socket is asked with the URI behind its path, as localhost', async () => {
  const { body } = await get(port, '/socket/x');
  assert.match(body, /^GET \/in\/x HTTP\/1\.1\r\nHost: localhost\r\n/);
});

test('a name that only a resolver would know is answered with 502', async () => {
  assert.equal((await get(port, '/variable/?to=nobody.test')).status, 502);
  await portico.logged('no resolver defined to resolve nobody.test, client: 127.0.0.1');
  assert.equal((await get(port, '/variable/?to=')).status, 500);
  await portico.logged('[error] ');
});

test('headers about the client connection are left behind, all others go on as they are', async () => {
  const answer = await ask(
    port,
    'GET /inherits/ HTTP/1.1\r\nHost: front\r\nX-First: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nExpect: nothing\r\n' +
      'Upgrade: h2c\r\nProxy-Connection: x\r\nX-Last:  two words \r\nConnection: close\r\n\r\n',
  );
  const question = answer.slice(answer.indexOf('\r\n\r\n') + 4);
  assert.equal(
    question,
    `GET / HTTP/1.1\r\nHost: 127.0.0.1:${backend.port}\r\nX-Outer: outer\r\nX-First: 1\r\nX-Last: two words\r\n\r\n`,
  );
});

test('proxy_set_header replaces, removes and adds; a location with its own inherits none', async () => {
  using client = await openClient(port);
  client.write(
    'GET /headers/ HTTP/1.1\r\nHost: front.test\r\nAccept: all\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\n\r\n',
  );
  const { body } = await client.answer();
  assert.equal(headerOf(body, 'Host'), 'front.test');
  assert.equal(headerOf(body, 'X-Real-IP'), '127.0.0.1');
  assert.equal(headerOf(body, 'X-Forwarded-For'), '10.0.0.1, 10.0.0.2, 127.0.0.1');
  assert.equal(headerOf(body, 'X-Where'), `127.0.0.1:${backend.port}:${backend.port}`);
  assert.equal(headerOf(body, 'Connection'), 'close');
  for (const name of ['Accept', 'X-Empty', 'X-Outer']) assert.equal(headerOf(body, name), undefined, name);
});

test('headers and body of the client can be left behind', async () => {
  const answer = await ask(
    port,
    'POST /none/ HTTP/1.1\r\nHost: front\r\nX-Mine: 1\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody',
  );
  assert.match(answer, /POST \/ HTTP\/1\.1\r\nHost: 127\.0\.0\.1:\d+\r\n\r\n$/);
});

test('method and body can be made up', async () => {
  const { body } = await get(port, '/method/?method=PUT');
  assert.match(body, /^PUT \/\?method=PUT HTTP\/1\.1\r\n/);
  assert.equal(headerOf(body, 'Content-Length'), '11');
  assert.match(body, /\r\n\r\nmade of PUT$/);
});

test('HTTP/1.0 can be spoken', async () => {
  assert.match((await get(port, '/old/')).body, /^GET \/ HTTP\/1\.0\r\n/);
});

test('a chunked body is counted before it is sent on, unless it is not buffered', async () => {
  const chunks = 'Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n';
  const counted = await ask(port, `POST /slash/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${chunks}`);
  assert.match(counted, /Content-Length: 11\r\nX-|Content-Length: 11\r\n\r\nfirstsecond$/);
  assert.match(counted, /firstsecond$/);
  using client = await openClient(port);
  client.write('POST /chunks/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n');
  const before = backend.connections;
  while (backend.connections === before) await new Promise((resolve) => setImmediate(resolve));
  client.write('6\r\nsecond\r\n0\r\n\r\n');
  const { body } = await client.answer();
  assert.equal(headerOf(body, 'Transfer-Encoding'), 'chunked');
  assert.equal(headerOf(body, 'Content-Length'), undefined);
  assert.match(body, /firstsecond$/);
});

test('a body too large for memory goes through a temporary file', async () => {
  const text = 'x'.repeat(300_000);
  const answer = await ask(
    port,
    `POST /file/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
  );
  assert.ok(answer.endsWith(`\r\n\r\n${text}`));
  await portico.logged('a client request body is buffered to a temporary file');
});

test('what a configuration may not say is an error in the words of nginx', async () => {
  const location = (text: string) => `events {} http { server { location / { ${text} } } }`;
  const uriPart =
    '"proxy_pass" cannot have URI part in location given by regular expression, or inside named location, ' +
    'or inside "if" statement, or inside "limit_except" block';
  const cases: readonly (readonly [configuration: string, message: string])[] = [
    [location('proxy_pass backend;'), 'invalid URL prefix'],
    [location('proxy_pass http://;'), 'no host in upstream ""'],
    [location('proxy_pass http://a:99999/;'), 'invalid port in upstream "a:99999/"'],
    [
      location('proxy_pass http://127.0.0.1; proxy_pass http://127.0.0.1;'),
      '"proxy_pass" directive is duplicate',
    ],
    ['events {} http { server { location ~ x { proxy_pass http://127.0.0.1/; } } }', uriPart],
    ['events {} http { server { location @x { proxy_pass http://127.0.0.1/; } } }', uriPart],
    [location('if ($uri) { proxy_pass http://127.0.0.1/; }'), uriPart],
    [location('limit_except GET { proxy_pass http://127.0.0.1/; }'), uriPart],
    [
      'events {} http { server { proxy_pass http://127.0.0.1/; } }',
      '"proxy_pass" directive is not allowed here',
    ],
    [
      location('proxy_redirect default;'),
      '"proxy_redirect default" should be placed after the "proxy_pass" directive',
    ],
    [
      location('proxy_pass http://$host; proxy_redirect default;'),
      '"proxy_redirect default" cannot be used with "proxy_pass" directive with variables',
    ],
    [location('proxy_redirect off; proxy_redirect a b;'), '"proxy_redirect" directive is duplicate'],
    [location('proxy_cookie_path none;'), 'invalid parameter "none"'],
    [location('proxy_buffers 1 4k;'), 'there must be at least 2 "proxy_buffers"'],
    [
      location('proxy_buffer_size 64k;'),
      '"proxy_busy_buffers_size" must be less than the size of all "proxy_buffers" minus one buffer',
    ],
    [location('proxy_http_version 3;'), 'invalid value "3"'],
    [location('proxy_bind nowhere;'), 'invalid address "nowhere"'],
    [
      location('proxy_pass https://127.0.0.1; proxy_ssl_verify on;'),
      'no proxy_ssl_trusted_certificate for proxy_ssl_verify',
    ],
    [
      location('proxy_pass https://127.0.0.1; proxy_ssl_certificate a.pem;'),
      'no "proxy_ssl_certificate_key" is defined for certificate "a.pem"',
    ],
    [
      location('proxy_pass https://127.0.0.1; proxy_ssl_certificate /nx; proxy_ssl_certificate_key /nx;'),
      'cannot load certificate "/nx": BIO_new_file() failed (SSL: error:80000002:system library::No such file or directory:calling fopen(/nx, r) error:10000080:BIO routines::no such file)',
    ],
    [
      location(
        'proxy_pass https://127.0.0.1; proxy_ssl_verify on; proxy_ssl_trusted_certificate wrong-0.conf;',
      ),
      'wrong-0.conf": PEM_read_bio_X509_AUX() failed (SSL: error:0480006C:PEM routines::no start line:Expecting: TRUSTED CERTIFICATE)',
    ],
    [
      location('proxy_pass https://127.0.0.1; proxy_ssl_password_file /nx;'),
      'open() "/nx" failed (2: No such file or directory) in ',
    ],
    [location('proxy_cache zone;'), 'unknown directive "proxy_cache"'],
  ];
  const failures = cases.map(async ([configuration, message], index) => {
    const file = sandbox.write(`conf/wrong-${index}.conf`, configuration);
    const { code, stderr } = await runPortico([
      '-t',
      '-p',
      sandbox.directory,
      '-c',
      file,
      '-e',
      'logs/wrong.log',
    ]);
    assert.equal(code, 1, `${configuration}: ${stderr}`);
    assert.ok(stderr.includes(message), `${configuration}: ${stderr}`);
  });
  await Promise.all(failures);
});
