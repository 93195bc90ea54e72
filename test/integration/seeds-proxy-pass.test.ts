/** config/proxy-pass.conf and `proxy_pass` as people write it: which URI, which headers, which server. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createSandbox, type RunningPortico, runPortico, startPortico } from '../support/portico.ts';
import { freePort, freePorts } from '../support/ports.ts';
import { ask as askRaw } from '../support/raw-client.ts';
import { get } from '../support/request.ts';
import {
  ask,
  askInTurn,
  type Backend,
  type Handler,
  header,
  on,
  SETTINGS,
  type Shipped,
  startBackend,
  startShipped,
  tally,
} from './seeds.ts';

/** `/go?to=...` redirects. */
const handle: Handler = (request, response) => {
  const { pathname, searchParams } = new URL(request.url!, 'http://backend');
  if (pathname !== '/go') return false;
  response.writeHead(301, { Location: searchParams.get('to')! }).end();
  return true;
};

for (const setting of SETTINGS) {
  const { engine, workers } = setting;
  describe(`the shipped proxy_pass configuration, ${on(setting)}`, () => {
    let shipped: Shipped;
    let port: number;

    before(async () => {
      shipped = await startShipped('proxy-pass.conf', {
        engine,
        workers,
        backends: { 3001: 'one', 3002: 'two' },
        handle,
      });
      port = shipped.port(8085);
    });
    after(() => shipped.stop());

    for (const path of [
      '/products?id=10',
      '/',
      '/?',
      '/users',
      '/a/b/c/d/e/f.html?x=1&y=2',
      '/caf%C3%A9/%20and%2Fslash?q=%20+',
      '/a//b/./c/../d',
      '/apiary',
    ]) {
      test(`without a URI, ${path} goes on as it is`, async () => {
        const seen = await ask(port, { path });
        assert.deepEqual([seen.server, seen.method, seen.url], ['one', 'GET', path]);
      });
    }

    for (const [path, expected] of [
      ['/api/users', '/users'],
      ['/api/', '/'],
      ['/api/?x=1', '/?x=1'],
      ['/api/v1/users/7/orders?since=2026-01-01&limit=5', '/v1/users/7/orders?since=2026-01-01&limit=5'],
      ['/api/a%20b', '/a%20b'],
      ['/api//twice///thrice', '/twice/thrice'],
      ['/api/a/../b', '/b'],
      ['/other/../api/users', '/users'],
      ['/api/api/users', '/api/users'],
    ] as const) {
      test(`with a URI, it takes the place of the prefix: ${path} becomes ${expected}`, async () => {
        assert.equal((await ask(port, { path })).url, expected);
      });
    }

    test('the prefix without its slash leads to the one with it', async () => {
      const answer = await get({ port, path: '/api?x=1', headers: { Host: `example.com:${port}` } });
      assert.equal(answer.status, 301);
      assert.equal(answer.headers.location, `http://example.com:${port}/api/?x=1`);
    });

    test('a group spreads requests, a single server gets all of them', async () => {
      assert.deepEqual(tally(await askInTurn(port, 20, { path: '/api/x' })), { one: 10, two: 10 });
      assert.deepEqual(tally(await askInTurn(port, 6, { path: '/x' })), { one: 6 });
    });

    test('without proxy_set_header, the Host is that of proxy_pass', async () => {
      const seen = await ask(port, { headers: { Host: 'example.com', 'X-Forwarded-For': '203.0.113.9' } });
      assert.deepEqual(header(seen, 'Host'), [`localhost:${shipped.port(3001)}`]);
      assert.deepEqual(header(seen, 'Connection'), []);
      assert.deepEqual(header(seen, 'X-Real-IP'), []);
      assert.deepEqual(header(seen, 'X-Forwarded-For'), ['203.0.113.9']);
    });

    test('the four headers tell where a request comes from', async () => {
      const seen = await ask(port, {
        path: '/api/users',
        localAddress: '127.0.0.8',
        headers: { Host: 'example.com', 'X-Forwarded-For': '203.0.113.9' },
      });
      assert.deepEqual(header(seen, 'Host'), ['example.com']);
      assert.deepEqual(header(seen, 'X-Real-IP'), ['127.0.0.8']);
      assert.deepEqual(header(seen, 'X-Forwarded-For'), ['203.0.113.9, 127.0.0.8']);
      assert.deepEqual(header(seen, 'X-Forwarded-Proto'), ['http']);
    });

    test('redirects to the server behind become redirects to the one in front', async () => {
      const follow = async (path: string) =>
        (await get({ port, path, headers: { Host: `example.com:${port}` } })).headers.location;
      const direct = `http://localhost:${shipped.port(3001)}`;
      assert.equal(await follow(`/go?to=${direct}/new%3Fx=1`), `http://example.com:${port}/new?x=1`);
      assert.equal(await follow('/api/go?to=http://backend_app/new'), `http://example.com:${port}/api/new`);
      assert.equal(await follow('/go?to=https://elsewhere.example/'), 'https://elsewhere.example/');
    });

    test('an answer comes back as the server gave it', async () => {
      const answer = await askRaw(port, 'GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
      assert.match(answer, /\r\nX-Server: one\r\n/);
      assert.match(answer, /\r\nServer: portico\//);
      const head = await askRaw(port, 'HEAD /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      assert.ok(head.endsWith('\r\n\r\n'));
    });
  });

  describe(`several locations to different servers, ${on(setting)}`, () => {
    let portico: RunningPortico;
    let port: number;
    const backends: Backend[] = [];

    before(async () => {
      const ports = await freePorts(5);
      port = ports.pop()!;
      for (const name of ['a', 'b', 'c', 'd'])
        backends.push(await startBackend(name, ports[backends.length]!));
      const [a, b, c, d] = ports;
      portico = await startPortico({
        engine,
        workers,
        http: `
          upstream group { server 127.0.0.1:${b}; }
          upstream spare { server 127.0.0.1:${d} backup; server 127.0.0.1:${c}; }
          server {
            listen 127.0.0.1:${port};
            location / { proxy_pass http://127.0.0.1:${a}; }
            location /shop/ {
              proxy_pass http://group/store/;
              location /shop/cart/ {
                proxy_pass http://127.0.0.1:${c}/basket/v2/;
              }
              location ~ \\.php$ { proxy_pass http://127.0.0.1:${d}; }
            }
            location = /shop/exact { proxy_pass http://127.0.0.1:${d}/found; }
            location ^~ /assets { proxy_pass http://spare; }
            location ~* \\.(png|jpg)$ { proxy_pass http://127.0.0.1:${d}; }
            location /no-slash { proxy_pass http://127.0.0.1:${a}/with; }
            location /choice/ {
              proxy_pass http://127.0.0.1:${a};
              if ($arg_beta = yes) { proxy_pass http://group; }
              if ($request_method = POST) { proxy_pass http://127.0.0.1:${c}; }
            }
            location ~ ^/to/(?<letter>[ab])/(.*)$ {
              set $target_a 127.0.0.1:${a};
              set $target_b group;
              if ($letter = a) { proxy_pass http://$target_a/var/$2$is_args$args; }
              proxy_pass http://$target_b;
            }
          }`,
      });
    });
    after(async () => {
      await portico[Symbol.asyncDispose]();
      await Promise.all(backends.map((backend) => backend.stop()));
    });

    for (const [path, server, url] of [
      ['/', 'a', '/'],
      ['/shop', 'a', '/shop'],
      ['/shop/', 'b', '/store/'],
      ['/shop/shoes?size=42', 'b', '/store/shoes?size=42'],
      ['/shop/cart/items/1?x=y', 'c', '/basket/v2/items/1?x=y'],
      ['/shop/old/index.php?x', 'd', '/shop/old/index.php?x'],
      ['/shop/exact', 'd', '/found'],
      ['/shop/exact/not', 'b', '/store/exact/not'],
      ['/assets/logo.png', 'c', '/assets/logo.png'],
      ['/pictures/Logo.PNG?v=2', 'd', '/pictures/Logo.PNG?v=2'],
      ['/no-slash/deeper', 'a', '/with/deeper'],
      ['/no-slash-at-all', 'a', '/with-at-all'],
      ['/choice/x?beta=no', 'a', '/choice/x?beta=no'],
      ['/choice/x?beta=yes', 'b', '/choice/x?beta=yes'],
      ['/to/a/deep/path?q=1', 'a', '/var/deep/path?q=1'],
      ['/to/b/deep/path?q=1', 'b', '/to/b/deep/path?q=1'],
    ] as const) {
      test(`${path} is ${url} for server ${server}`, async () => {
        if (path === '/shop') {
          const answer = await get({ port, path });
          assert.equal(answer.status, 301);
          assert.equal(answer.headers.location, `http://127.0.0.1:${port}/shop/`);
          return;
        }
        const seen = await ask(port, { path });
        assert.deepEqual([seen.server, seen.url], [server, url]);
      });
    }

    test('a method can decide, too', async () => {
      assert.equal((await ask(port, { path: '/choice/x', method: 'POST' })).server, 'c');
    });
  });
}

describe('where proxy_pass may not stand', () => {
  const where: [what: string, http: string, message: RegExp][] = [
    [
      'directly in a server',
      'server {\n        proxy_pass http://127.0.0.1:9;\n    }',
      /\[emerg\] .*"proxy_pass" directive is not allowed here in .*x\.conf:4\n/,
    ],
    [
      'directly in http',
      'proxy_pass http://127.0.0.1:9;',
      /\[emerg\] .*"proxy_pass" directive is not allowed here in .*:3\n/,
    ],
    [
      'in an if of a server',
      'server { if ($host) { proxy_pass http://127.0.0.1:9; } }',
      /\[emerg\] .*"proxy_pass" directive is not allowed here in .*:3\n/,
    ],
    [
      'in an if of a location with a URI',
      'server { location / { if ($host) { proxy_pass http://127.0.0.1:9/x; } } }',
      /\[emerg\] .*"proxy_pass" cannot have URI part in location given by regular expression, or inside named location, or inside "if" statement, or inside "limit_except" block in .*:3\n/,
    ],
    [
      'twice in a location',
      'server { location / { proxy_pass http://127.0.0.1:9; proxy_pass http://127.0.0.1:8; } }',
      /\[emerg\] .*"proxy_pass" directive is duplicate in .*:3\n/,
    ],
    [
      'without a protocol',
      'server { location / { proxy_pass 127.0.0.1:9; } }',
      /\[emerg\] .*invalid URL prefix in .*:3\n/,
    ],
  ];
  for (const [what, http, message] of where) {
    test(what, async () => {
      using sandbox = createSandbox();
      sandbox.write('conf/x.conf', `events {}\nhttp {\n    ${http}\n}\n`);
      const args = ['-t', '-p', sandbox.directory, '-c', 'conf/x.conf', '-e', 'stderr'];
      const { code, stderr } = await runPortico(args);
      assert.equal(code, 1);
      assert.match(stderr, message);
      assert.match(stderr, /configuration file .*x\.conf test failed\n$/);
      // Nor does it start.
      const started = await runPortico([...args.slice(1), '-g', 'daemon off;']);
      assert.equal(started.code, 1);
      assert.match(started.stderr, message);
    });
  }

  test('a location without one is not proxied', async () => {
    const port = await freePort();
    await using portico = await startPortico({ http: `server { listen 127.0.0.1:${port}; }` });
    assert.equal((await get({ port, path: '/nothing' })).status, 404);
    assert.match(portico.errorLog(), /open\(\) ".*html\/nothing" failed \(2: No such file or directory\)/);
  });
});
