import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Exchange, UpstreamAttempt } from '../../../src/core/exchange.ts';
import { headerBlockOf } from '../../../src/http/header-block.ts';
import type { PoolSettings } from '../../../src/upstream/pool.ts';
import { answering, createTestRuntime, listen, Recorder, SETTINGS } from '../../upstream/client.ts';
import { errorOf, HERE, link } from './configuration.ts';

/** Which servers a group asks, request after request. */
function order(
  linked: Awaited<ReturnType<typeof link>>,
  name: string,
  count: number,
  exchange: unknown = {},
): string[] {
  const group = linked.groups.find(name, 80, false);
  assert.ok(group !== undefined);
  return Array.from({ length: count }, () => {
    const attempts = group.begin(SETTINGS, exchange as Exchange);
    const request = attempts.next(new Recorder());
    attempts.close();
    return request === undefined ? '-' : request.address.slice(-1);
  });
}

const TWO = 'server 127.0.0.1:1; server 127.0.0.1:2;';

describe('an upstream block', () => {
  it('balances by weight, and every address of a name is a server', async () => {
    const runtime = createTestRuntime();
    runtime.names.set('many.test', ['127.0.0.7', '::1']);
    const linked = await link(
      'upstream a { server 127.0.0.1:1 weight=2; server 127.0.0.1:2; } upstream b { server many.test:8080; }',
      undefined,
      runtime,
    );
    assert.deepEqual(order(linked, 'a', 6), ['1', '2', '1', '1', '2', '1']);
    const group = linked.groups.find('B', 80, false);
    const seen = new Set<string>();
    for (let index = 0; index < 4; index++) {
      const attempts = group!.begin(SETTINGS, {} as Exchange);
      seen.add(attempts.next(new Recorder())!.address);
      attempts.close();
    }
    assert.deepEqual([...seen], ['127.0.0.7:8080', '[::1]:8080']);
    runtime.close();
  });

  it('chooses by each method', async () => {
    const linked = await link(`
      upstream least { least_conn; ${TWO} }
      upstream ip { ip_hash; ${TWO} }
      upstream key { hash $upstream_http_x; ${TWO} }
      upstream ring { hash $upstream_http_x consistent; ${TWO} }
      upstream chance { random two least_conn; ${TWO} }
    `);
    assert.deepEqual(order(linked, 'least', 4), ['1', '2', '1', '2']);
    const client = (address: string) => ({ remoteAddress: address });
    assert.equal(new Set(order(linked, 'ip', 5, client('192.0.2.9'))).size, 1);
    const servers = new Set<string>();
    for (let net = 0; net < 20; net++) servers.add(order(linked, 'ip', 1, client(`192.0.${net}.9`))[0]);
    assert.equal(servers.size, 2);
    const keyed = (value: string) => ({ values: [], upstream: { headers: headerBlockOf([['X', value]]) } });
    for (const name of ['key', 'ring']) {
      assert.equal(new Set(order(linked, name, 5, keyed('one'))).size, 1);
      const seen = new Set<string>();
      for (let index = 0; index < 30; index++) seen.add(order(linked, name, 1, keyed(`k${index}`))[0]);
      assert.equal(seen.size, 2);
    }
    assert.equal(new Set(order(linked, 'chance', 40)).size, 2);
    assert.equal(linked.runtime.active(), 0);
    linked.runtime.close();
  });

  const refused: [string, string][] = [
    [
      'upstream a { server 127.0.0.1:1; } upstream A { server 127.0.0.1:1; }',
      'duplicate upstream "A" in test.conf:2',
    ],
    ['upstream a {\n}', 'no servers are inside upstream in test.conf:3'],
    ['upstream a { server 127.0.0.1:1 backup; }', 'no servers in upstream "a" in test.conf:2'],
    ['upstream a { server nowhere.test:81; }', 'host not found in upstream "nowhere.test:81" in test.conf:2'],
    ['upstream a { server a/b; }', 'invalid host in upstream "a/b" in test.conf:2'],
    ['upstream a { server a:99999; }', 'invalid port in upstream "a:99999" in test.conf:2'],
    ['upstream a { server unix:; }', 'no path in the unix domain socket in upstream "unix:" in test.conf:2'],
    ['upstream a { server [::1; }', 'invalid host in upstream "[::1" in test.conf:2'],
    ['upstream a { server 127.0.0.1 weight=0; }', 'invalid parameter "weight=0" in test.conf:2'],
    ['upstream a { server 127.0.0.1 slow_start=1s; }', 'invalid parameter "slow_start=1s" in test.conf:2'],
    ['upstream a { server 127.0.0.1 max_fails=x; }', 'invalid parameter "max_fails=x" in test.conf:2'],
    [
      'upstream a { server a.test resolve; }',
      'the "resolve" parameter is not supported yet: there is no resolving names at run time in test.conf:2',
    ],
    [
      'upstream a { ip_hash; server 127.0.0.1 backup; server 127.0.0.1; }',
      'balancing method does not support parameter "backup" in test.conf:2',
    ],
    ['upstream a { hash $x other; server 127.0.0.1; }', 'invalid parameter "other" in test.conf:2'],
    ['upstream a { random three; server 127.0.0.1; }', 'invalid parameter "three" in test.conf:2'],
    ['upstream a { random two x; server 127.0.0.1; }', 'invalid parameter "x" in test.conf:2'],
    ['upstream a { zone z 1k; server 127.0.0.1; }', 'zone "z" is too small in test.conf:2'],
    ['upstream a { zone z; server 127.0.0.1; }', 'zero size shared memory zone "z"'],
    [
      'upstream a { zone z 64k; server 127.0.0.1; } upstream b { zone z 128k; server 127.0.0.1; }',
      'the size 131072 of shared memory zone "z" conflicts with already declared size 65536 in test.conf:2',
    ],
    [
      'upstream a { keepalive x; server 127.0.0.1; }',
      'invalid value "x" in "keepalive" directive in test.conf:2',
    ],
    ['upstream a { keepalive 1 x; server 127.0.0.1; }', 'invalid parameter "x" in test.conf:2'],
    [
      'upstream a { keepalive 1; keepalive 1; server 127.0.0.1; }',
      '"keepalive" directive is duplicate in test.conf:2',
    ],
    [
      'upstream a { keepalive_pipeline 0; server 127.0.0.1; }',
      'invalid value "0" in "keepalive_pipeline" directive in test.conf:2',
    ],
    [
      'upstream a { keepalive_pipeline x; server 127.0.0.1; }',
      'invalid value "x" in "keepalive_pipeline" directive in test.conf:2',
    ],
    [
      'upstream a { keepalive_pipeline 2; keepalive_pipeline 2; server 127.0.0.1; }',
      '"keepalive_pipeline" directive is duplicate in test.conf:2',
    ],
    [
      'upstream a { server 127.0.0.1; keepalive_pipeline 2; keepalive 0; }',
      '"keepalive_pipeline" needs "keepalive" in test.conf:2',
    ],
    ['upstream a { queue 1; server 127.0.0.1; }', 'unknown directive "queue" in test.conf:2'],
  ];
  for (const [text, message] of refused) {
    it(`is refused: ${message}`, async () => {
      assert.equal((await errorOf(text)).split('\n')[0], message);
    });
  }

  it('with two methods has the last one, and says so', async () => {
    const linked = await link(`upstream a { random; ${TWO}\n least_conn; }`);
    assert.deepEqual(linked.warnings, ['load balancing method redefined in test.conf:3']);
    assert.deepEqual(order(linked, 'a', 4), ['1', '2', '1', '2']);
    linked.runtime.close();
  });

  it('may have backup servers where the method comes after them, as in nginx', async () => {
    await link('upstream a { server 127.0.0.1:1; server 127.0.0.1:2 backup; ip_hash; }');
  });

  it('keeps its pool over a reload that leaves it alone, and only then', async () => {
    const runtime = createTestRuntime();
    const text = (more: string) => `upstream a { ${TWO} ${more} }`;
    await link(text(''), undefined, runtime);
    assert.equal(runtime.kept.size, 1);
    await link(text(''), undefined, runtime);
    assert.equal(runtime.kept.size, 1);
    await link(text('keepalive 7;'), undefined, runtime);
    assert.equal(runtime.kept.size, 2);
    await link(text('server 127.0.0.1:3;'), undefined, runtime);
    assert.equal(runtime.kept.size, 3);
    runtime.close();
  });

  it('has nginx’s pool where nothing is said', async () => {
    const { runtime } = await link(`
      upstream a { ${TWO} }
      upstream b { keepalive 5; keepalive_requests 6; keepalive_time 7s; keepalive_timeout 8s; keepalive_pipeline 9; ${TWO} }
      upstream c { keepalive 0; ${TWO} }
    `);
    const pools = [...runtime.kept.values()].map(
      (pool) => (pool as unknown as { settings: PoolSettings }).settings,
    );
    assert.deepEqual(pools, [
      { size: 32, local: true, requests: 1000, time: 3_600_000, timeout: 60_000, pipeline: 0 },
      { size: 5, local: false, requests: 6, time: 7000, timeout: 8000, pipeline: 9 },
      { size: 0, local: false, requests: 1000, time: 3_600_000, timeout: 60_000, pipeline: 0 },
    ]);
    runtime.close();
  });
});

describe('a URL', () => {
  it('names a group, or makes one', async () => {
    const runtime = createTestRuntime();
    runtime.names.set('x.test', ['127.0.0.1']);
    const linked = await link(
      `upstream a { ${TWO} }`,
      (groups) => {
        const a = groups.use('a', 80, false, HERE);
        assert.equal(groups.use('A', 443, false, HERE), a);
        const x = groups.use('x.test', 80, false, HERE);
        assert.equal(groups.use('x.test', 80, true, HERE), x);
        assert.notEqual(groups.use('x.test', 443, false, HERE), x);
        groups.use('127.0.0.1', 8080, true, HERE);
        groups.use('unix:/tmp/a.sock', 0, false, HERE);
      },
      runtime,
    );
    const addressOf = (host: string, port: number, hasPort = true) => {
      const group = linked.groups.find(host, port, hasPort);
      if (group === undefined) return undefined;
      const attempts = group.begin(SETTINGS, {} as Exchange);
      const request = attempts.next(new Recorder());
      attempts.close();
      return request?.address;
    };
    assert.equal(addressOf('x.test', 80, false), '127.0.0.1:80');
    assert.equal(addressOf('x.test', 443, false), '127.0.0.1:443');
    assert.equal(addressOf('127.0.0.1', 8080), '127.0.0.1:8080');
    assert.equal(addressOf('unix:/tmp/a.sock', 0, false), 'unix:/tmp/a.sock');
    // Addresses nobody has named before need no resolver; names do.
    assert.equal(addressOf('127.0.0.9', 80, false), '127.0.0.9:80');
    assert.equal(addressOf('[::1]', 81), '[::1]:81');
    assert.equal(addressOf('unix:/tmp/b.sock', 0, false), 'unix:/tmp/b.sock');
    assert.equal(addressOf('y.test', 80, false), undefined);
    assert.equal(addressOf('a', 81), undefined);
    assert.equal(addressOf('a', 80, false), '127.0.0.1:1');
    assert.equal(runtime.active(), 0);
    runtime.close();
  });

  it('with the port of a block’s name is refused, and so is a name that is not found', async () => {
    assert.equal(
      await errorOf(`upstream a { ${TWO} }`, (groups) => groups.use('a', 80, true, HERE)),
      'upstream "a" may not have port 80 in test.conf:99',
    );
    assert.equal(
      await errorOf('', (groups) => groups.use('nowhere.test', 80, false, HERE)),
      'host not found in upstream "nowhere.test" in test.conf:99',
    );
  });

  it('keeps no connection', async () => {
    const server = await listen(answering(() => 'HTTP/1.1 204 No Content\r\n\r\n'));
    const port = Number(server.address.split(':')[1]);
    const { groups, runtime } = await link('', (registry) => registry.use('127.0.0.1', port, true, HERE));
    const group = groups.find('127.0.0.1', port, true)!;
    for (let index = 0; index < 2; index++) {
      const attempts = group.begin(SETTINGS, {} as Exchange);
      const recorder = new Recorder();
      recorder.request = attempts.next(recorder);
      recorder.request?.start();
      await recorder.done;
      attempts.finish('ok');
    }
    assert.equal(server.accepted, 2);
    assert.equal(runtime.connections.used, 0);
    runtime.close();
    await server.close();
  });
});

describe('$upstream_*', () => {
  const attempt = (values: Partial<UpstreamAttempt>): UpstreamAttempt => ({
    address: '127.0.0.1:1',
    status: 200,
    connectTime: 0,
    headerTime: 3.9,
    responseTime: 1234.5,
    bytesReceived: 10,
    bytesSent: 20,
    responseLength: 5,
    ...values,
  });

  async function values(exchange: unknown, ...names: string[]): Promise<(string | undefined)[]> {
    const { variables } = await link('');
    return names.map((name) => variables.lookup(name).get(exchange as Exchange));
  }

  it('have one value for each attempt', async () => {
    const attempts = [
      attempt({ status: 0, connectTime: -1, headerTime: -1, bytesReceived: 0 }),
      attempt({ address: 'unix:/a' }),
      attempt({ address: '' }),
      attempt({ address: 'backend', status: 502 }),
    ];
    const exchange = { upstream: { attempts, headers: undefined, trailers: undefined } };
    assert.deepEqual(
      await values(
        exchange,
        'upstream_addr',
        'upstream_status',
        'upstream_connect_time',
        'upstream_header_time',
        'upstream_response_time',
        'upstream_bytes_received',
        'upstream_bytes_sent',
        'upstream_response_length',
        'upstream_http_x',
      ),
      [
        '127.0.0.1:1, unix:/a : backend',
        '-, 200 : 502',
        '-, 0.000 : 0.000',
        '-, 0.003 : 0.003',
        '1.234, 1.234 : 1.234',
        '0, 10 : 10',
        '20, 20 : 20',
        '5, 5 : 5',
        undefined,
      ],
    );
    assert.deepEqual(await values({ upstream: undefined }, 'upstream_addr', 'upstream_cookie_a'), [
      undefined,
      undefined,
    ]);
  });

  it('have the answer’s fields, cookies and trailers', async () => {
    const exchange = {
      upstream: {
        attempts: [attempt({})],
        headers: headerBlockOf([
          ['X-Two', 'a'],
          ['Set-Cookie', 'sid=1; Path=/'],
          ['Set-Cookie', 'Other = 2'],
          ['X-Two', 'b'],
        ]),
        trailers: headerBlockOf([['X-Sum', '7']]),
      },
    };
    assert.deepEqual(
      await values(
        exchange,
        'upstream_http_x_two',
        'upstream_cookie_sid',
        'upstream_cookie_other',
        'upstream_cookie_none',
        'upstream_trailer_x_sum',
      ),
      ['a, b', '1', '2', undefined, '7'],
    );
  });
});
