import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { debugging, holdDebugging } from '../../src/log/debugging.ts';
import { createErrorLog } from '../../src/log/error-log.ts';
import { LEVELS } from '../../src/log/levels.ts';
import { createOpenFiles } from '../../src/log/open-files.ts';
import { createSandbox, runPortico, startPortico } from '../support/portico.ts';
import { freePorts } from '../support/ports.ts';
import { ask, rawClient } from '../support/raw-client.ts';
import { until } from '../support/wait.ts';

/** Messages of the debugging log, without what stands before them. */
function messagesOf(log: string, connection: number): string[] {
  return log.split('\n').flatMap((line) => {
    const found = /^\S+ \S+ \[debug\] \d+#\d+: \*(\d+) (.*)$/.exec(line);
    return found !== null && Number(found[1]) === connection ? [found[2]!] : [];
  });
}

const request = (target: string): string =>
  `GET ${target} HTTP/1.1\r\nHost: one\r\nX-Test: 1\r\nConnection: close\r\n\r\n`;

/** That these messages are there, in that order; others may stand between them. */
function assertInOrder(messages: readonly string[], wanted: readonly string[]): void {
  let from = 0;
  for (const text of wanted) {
    const at = messages.findIndex((message, index) => index >= from && message.startsWith(text));
    assert.ok(at >= 0, `"${text}" is missing behind line ${from} of\n${messages.join('\n')}`);
    from = at + 1;
  }
}

describe('the debugging log', () => {
  test('tells the way of a request, and of the one to its upstream server', async () => {
    const [port = 0, backend = 0] = await freePorts(2);
    await using portico = await startPortico({
      level: 'debug',
      http: `
        server {
          listen 127.0.0.1:${port};
          server_name one two;
          location /r { rewrite ^/r(.*)$ /named$1 last; }
          location /named { deny all; error_page 403 = @fallback; }
          location @fallback { proxy_pass http://127.0.0.1:${backend}; proxy_set_header X-Sent yes; }
        }
        server { listen 127.0.0.1:${backend}; return 200 "hello"; }`,
    });
    assert.match(await ask(port, request('/r/x?a=1')), /hello$/);
    const log = await until('the end of the connection', () =>
      /\*1 close http connection/.test(portico.errorLog()) ? portico.errorLog() : undefined,
    );
    assertInOrder(messagesOf(log, 1), [
      'accept: 127.0.0.1:',
      'http request line: "GET /r/x?a=1 HTTP/1.1"',
      'http uri: "/r/x"',
      'http args: "a=1"',
      'http header: "Host: one"',
      'http header: "X-Test: 1"',
      'http header done',
      'http server: "one"',
      'test location: "/r"',
      'using configuration "/r"',
      'http cl:-1 max:1048576',
      'rewrite phase: 3',
      'post rewrite phase: 4',
      'test location: "/named"',
      'using configuration "/named"',
      'access phase: 6',
      'http finalize request: 403, "/named/x?a=1"',
      'named location: @fallback "/named/x?a=1"',
      'content phase: 9',
      'http init upstream',
      'http proxy header: "X-Sent: yes"',
      'get peer, try: 1',
      `connect to 127.0.0.1:${backend}`,
      'http upstream send request',
      'http proxy status 200 "200 OK"',
      'http proxy header: "Content-Length: 5"',
      'http proxy header done',
      'HTTP/1.1 200 OK',
      'Content-Length: 5',
      'finalize http upstream request: ok',
      'http log handler',
      'http close request: status 200, ',
      'close http connection, requests: 1',
    ]);
  });

  test('holds for the locations that have it, and leaves the others alone', async () => {
    const [port = 0] = await freePorts(1);
    await using portico = await startPortico({
      level: 'error',
      http: `server {
        listen 127.0.0.1:${port};
        location /debug { error_log logs/debug.log debug_http; error_log logs/notice.log notice; return 204; }
        location / { return 204; }
      }`,
    });
    await ask(port, request('/other'));
    await ask(port, request('/debug'));
    const log = await until('the end of the request', () => {
      const text = portico.sandbox.read('logs/debug.log');
      return text.includes('http close request') ? text : undefined;
    });
    assert.ok(!log.includes('/other'));
    assert.ok(log.includes('using configuration "/debug"'));
    assert.equal(portico.sandbox.read('logs/notice.log'), '');
    assert.ok(!portico.errorLog().includes('[debug]'));
  });
});

describe('debug_connection', () => {
  test('logs everything about some clients, whatever the levels of the logs', async () => {
    const [port = 0] = await freePorts(1);
    using sandbox = createSandbox();
    const path = sandbox.path('s.sock');
    await using portico = await startPortico({
      sandbox,
      level: 'emerg',
      events: 'debug_connection 127.0.0.2/31; debug_connection unix:;',
      http: `
        error_log logs/one.log alert;
        error_log logs/two.log crit;
        server { listen 127.0.0.1:${port}; listen 127.0.0.2:${port}; listen unix:${path}; return 204; }`,
    });
    await ask(port, request('/quiet'));
    assert.equal(portico.sandbox.read('logs/one.log'), '');
    const answer = await fetchUnix(path, request('/loud'));
    assert.match(answer, / 204 /);
    const [one, two] = await until('both logs', () => {
      const texts = ['logs/one.log', 'logs/two.log'].map((name) => portico.sandbox.read(name));
      return texts.every((text) => text.includes('close http connection')) ? texts : undefined;
    });
    assert.equal(one, two);
    assert.match(one!, /\[debug\] \d+#\d+: \*2 http request line: "GET \/loud HTTP\/1\.1"/);
    assert.equal(portico.errorLog(), '');
  });

  test('wants an address, a range, a name or unix:', async () => {
    using sandbox = createSandbox();
    const complaint = async (value: string): Promise<string> => {
      sandbox.write('conf/c.conf', `events { debug_connection ${value}; }\nhttp { }\n`);
      const { stderr } = await runPortico([
        ...['-t', '-p', sandbox.directory, '-c', 'conf/c.conf', '-e', 'logs/error.log'],
      ]);
      return stderr.split('\n')[0]!.replace(sandbox.directory, '/');
    };
    assert.match(await complaint('::1'), /syntax is ok/);
    assert.match(await complaint('localhost'), /syntax is ok/);
    assert.equal(
      await complaint('10.0.0.1/8'),
      'portico: [warn] low address bits of 10.0.0.1/8 are meaningless in /conf/c.conf:1',
    );
    assert.equal(
      await complaint('no-such-host.invalid'),
      'portico: [emerg] host not found in debug_connection "no-such-host.invalid" in /conf/c.conf:1',
    );
  });
});

test('debugging messages are made only while a log takes them', () => {
  using sandbox = createSandbox();
  const files = createOpenFiles();
  const open = (level: number) =>
    createErrorLog([{ kind: 'file', path: sandbox.path('logs/e.log'), level, json: false }], files);
  assert.equal(debugging.on, false);
  const info = open(LEVELS.info);
  assert.equal(debugging.on, false);
  const first = open(LEVELS.debug);
  const second = open(LEVELS.debug);
  const release = holdDebugging();
  first.close();
  first.close();
  second.close();
  assert.equal(debugging.on, true);
  release();
  release();
  assert.equal(debugging.on, false);
  info.close();
});

async function fetchUnix(path: string, text: string): Promise<string> {
  const client = await rawClient({ path });
  client.send(text);
  const heard = await client.closed();
  client.destroy();
  return heard;
}
