import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTargetUrl, type TargetUrl } from '../../../src/modules/proxy/url.ts';

function parts(url: string): TargetUrl {
  const parsed = parseTargetUrl(url);
  assert.ok(typeof parsed !== 'string', `${url}: ${parsed}`);
  return parsed;
}

test('a URL has a scheme, a host, a port and what follows', () => {
  assert.deepEqual(parts('http://backend:8080/path?x=1'), {
    scheme: 'http://',
    secure: false,
    host: 'backend',
    port: 8080,
    hasPort: true,
    uri: '/path?x=1',
    hostHeader: 'backend:8080',
    portText: '8080',
  });
  assert.equal(parts('http://backend?x').uri, '?x');
  assert.equal(parts('http://backend').uri, '');
});

test('the port of the scheme is not part of $proxy_host', () => {
  assert.equal(parts('http://a:80').hostHeader, 'a');
  assert.equal(parts('https://a:443').hostHeader, 'a');
  assert.equal(parts('https://a:80').hostHeader, 'a:80');
  assert.equal(parts('HTTPS://a').portText, '443');
});

test('an IPv6 address keeps its brackets, a Unix socket is localhost', () => {
  assert.equal(parts('http://[::1]:81/').hostHeader, '[::1]:81');
  const socket = parts('http://unix:/run/app.sock:/uri');
  assert.deepEqual(
    [socket.host, socket.uri, socket.hostHeader, socket.portText],
    ['unix:/run/app.sock', '/uri', 'localhost', ''],
  );
});

test('what is not acceptable is said in the words of nginx', () => {
  assert.equal(parseTargetUrl('ftp://a'), 'invalid URL prefix');
  assert.equal(parseTargetUrl('backend'), 'invalid URL prefix');
  assert.equal(parseTargetUrl('http://'), 'no host');
  assert.equal(parseTargetUrl('http://a:0'), 'invalid port');
  assert.equal(parseTargetUrl('http://unix:'), 'no path in the unix domain socket');
});
