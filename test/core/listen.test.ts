import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Statement } from '../../src/config/statement.ts';
import { defaultListen, groupListeners, type ListenAddress, readListen } from '../../src/core/listen.ts';

const HOSTS: Readonly<Record<string, readonly string[]>> = {
  localhost: ['127.0.0.1', '::1'],
  twice: ['192.0.2.1', '192.0.2.1'],
};

const line = (text: string): Statement => ({ name: 'listen', args: text.split(' '), file: 'x', line: 1 });

async function read(text: string, warnings: string[] = []): Promise<readonly ListenAddress[]> {
  const resolve = async (host: string) => HOSTS[host] ?? Promise.reject(new Error('ENOTFOUND'));
  return readListen(line(text), resolve, (message) => warnings.push(message));
}

const texts = async (text: string) => (await read(text)).map((address) => address.text);

test('an address is a port, a host, or both', async () => {
  assert.deepEqual(await texts('8080'), ['0.0.0.0:8080']);
  assert.deepEqual(await texts('*'), ['0.0.0.0:80']);
  assert.deepEqual(await texts('*:81'), ['0.0.0.0:81']);
  assert.deepEqual(await texts('127.0.0.1'), ['127.0.0.1:80']);
  assert.deepEqual(await texts('127.0.0.1:82'), ['127.0.0.1:82']);
  assert.deepEqual(await texts('[::]:83'), ['[::]:83']);
  assert.deepEqual(await texts('[2001:DB8:0:0::1]'), ['[2001:db8::1]:80']);
  assert.deepEqual(await texts('unix:/run/x.sock'), ['unix:/run/x.sock']);
  assert.deepEqual(await texts('8000-8002'), ['0.0.0.0:8000', '0.0.0.0:8001', '0.0.0.0:8002']);
  assert.deepEqual(await texts('[::1]:90-91'), ['[::1]:90', '[::1]:91']);
});

test('a host name stands for all its addresses, each once', async () => {
  assert.deepEqual(await texts('localhost:80-81'), ['127.0.0.1:80', '127.0.0.1:81', '[::1]:80', '[::1]:81']);
  assert.deepEqual(await texts('twice'), ['192.0.2.1:80']);
});

test('family, wildcard and path are told apart', async () => {
  const [wildcard] = await read('[::]:80 ipv6only=off');
  assert.deepEqual(
    [wildcard.family, wildcard.host, wildcard.wildcard, wildcard.ipv6only],
    ['inet6', '::', true, false],
  );
  const [unix] = await read('UNIX:/a');
  assert.deepEqual([unix.family, unix.path, unix.port, unix.wildcard], ['unix', '/a', 0, false]);
  assert.equal(defaultListen().wildcard, true);
});

test('addresses that cannot be are errors', async () => {
  const cases: [text: string, what: string][] = [
    ['0', 'invalid port'],
    ['127.0.0.1:65536', 'invalid port'],
    ['127.0.0.1:', 'invalid port'],
    ['90-80', 'invalid port range'],
    [':80', 'no host'],
    ['[]:80', 'no host'],
    ['[::1', 'invalid host'],
    ['[::1]80', 'invalid host'],
    ['[::g]', 'invalid IPv6 address'],
    ['a/b', 'invalid host'],
    ['a?b', 'invalid host'],
    ['unknown', 'host not found'],
    ['unix:', 'no path in the unix domain socket'],
    [`unix:/${'x'.repeat(107)}`, 'too long path in the unix domain socket'],
    ['unix:/\xff', 'no UTF-8 path in the unix domain socket'],
  ];
  for (const [text, what] of cases) {
    await assert.rejects(read(text), { message: `${what} in "${text}" of the "listen" directive` }, text);
  }
});

test('parameters are read, and those that belong to the socket imply bind', async () => {
  const [plain] = await read('80 default_server engine=node');
  assert.deepEqual([plain.defaultServer, plain.engine, plain.bind, plain.set], [true, 'node', false, false]);
  const [tuned] = await read(
    '80 backlog=5 reuseport deferred fastopen=3 rcvbuf=1k sndbuf=1m so_keepalive=30m::',
  );
  assert.deepEqual([tuned.backlog, tuned.reuseport, tuned.bind, tuned.set], [5, true, true, true]);
  assert.deepEqual(tuned.keepalive, { enabled: true, idle: 1800 });
  assert.deepEqual((await read('80 so_keepalive=off'))[0].keepalive, { enabled: false, idle: 0 });
});

test('parameters that are wrong or not supported are errors', async () => {
  const cases: [parameter: string, message: string | RegExp][] = [
    ['foo', 'invalid parameter "foo"'],
    ['setfib=1', 'invalid parameter "setfib=1"'],
    ['backlog=0', 'invalid backlog "backlog=0"'],
    ['rcvbuf=x', 'invalid rcvbuf "rcvbuf=x"'],
    ['fastopen=x', 'invalid fastopen "fastopen=x"'],
    ['ipv6only=x', 'invalid parameter "ipv6only=x"'],
    ['ipv6only=oo', 'invalid ipv6only flags "oo"'],
    ['so_keepalive=::', 'invalid so_keepalive value: "::"'],
    ['so_keepalive=30m::10', /interval and count of probes/],
    ['http2', 'the "http2" parameter requires ngx_http_v2_module'],
    ['quic', 'the "quic" parameter requires ngx_http_v3_module'],
    ['proxy_protocol', 'the "proxy_protocol" parameter is not supported'],
    ['multipath', 'the "multipath" parameter is not supported'],
    ['engine=x', 'invalid engine "engine=x"'],
  ];
  for (const [parameter, message] of cases)
    await assert.rejects(read(`80 ${parameter}`), { message }, parameter);
  await assert.rejects(read('80 defualt_server'), { hint: 'did you mean "default_server"?' });
});

test('an accept filter is ignored with a warning', async () => {
  const warnings: string[] = [];
  await read('80 accept_filter=httpready', warnings);
  assert.deepEqual(warnings, [
    'accept filters "accept_filter=httpready" are not supported on this platform, ignored',
  ]);
});

/** Groups `server: listen` pairs; sockets as text, with the more special addresses in brackets. */
async function group(...pairs: [server: string, listen: string][]): Promise<string[]> {
  const entries = [];
  for (const [server, text] of pairs) {
    for (const address of await read(text)) entries.push({ server, address, statement: line(text) });
  }
  return groupListeners(entries).map(({ address, default: first, servers, byLocalAddress }) => {
    const special = [...(byLocalAddress ?? [])].map(([host, at]) => `${host}=${at.default}`);
    return `${address.text} ${first}/${servers.join('')}${special.length > 0 ? ` [${special.join(' ')}]` : ''}`;
  });
}

test('the first server of an address is its default unless one says so', async () => {
  assert.deepEqual(await group(['a', '80'], ['b', '*:80']), ['0.0.0.0:80 a/ab']);
  assert.deepEqual(await group(['a', '80'], ['b', '80 default_server'], ['c', '80']), ['0.0.0.0:80 b/abc']);
});

test('a wildcard takes in the other addresses of its port that do not bind', async () => {
  assert.deepEqual(
    await group(['a', '127.0.0.1:80'], ['b', '80'], ['c', '127.0.0.2:80 bind'], ['d', '127.0.0.1:81']),
    ['127.0.0.2:80 c/c', '0.0.0.0:80 b/b [127.0.0.1=a]', '127.0.0.1:81 d/d'],
  );
  assert.deepEqual(await group(['a', '127.0.0.1:80'], ['b', '127.0.0.2:80']), [
    '127.0.0.1:80 a/a',
    '127.0.0.2:80 b/b',
  ]);
});

test('IPv4, IPv6 and Unix sockets have nothing to do with each other', async () => {
  assert.deepEqual(
    await group(['a', '80'], ['a', '[::]:80'], ['b', '[::1]:80'], ['a', 'unix:/a'], ['b', 'unix:/b']),
    ['0.0.0.0:80 a/a', '[::]:80 a/a [::1=b]', 'unix:/a a/a', 'unix:/b b/b'],
  );
});

test('options of the socket come from the one listen that has them', async () => {
  const [first] = await read('80');
  const [second] = await read('80 backlog=7');
  const [made] = groupListeners([
    { server: 'a', address: first, statement: line('80') },
    { server: 'b', address: second, statement: line('80') },
  ]);
  assert.equal(made.address.backlog, 7);
  assert.equal(made.default, 'a');
});

test('what is said twice is an error', async () => {
  await assert.rejects(group(['a', '80'], ['a', '*:80']), { message: 'a duplicate listen 0.0.0.0:80' });
  await assert.rejects(group(['a', '80 bind'], ['b', '80 backlog=5']), {
    message: 'duplicate listen options for 0.0.0.0:80',
  });
  await assert.rejects(group(['a', '[::1]:80 default'], ['b', '[::1]:80 default_server']), {
    message: 'a duplicate default server for [::1]:80',
  });
});
