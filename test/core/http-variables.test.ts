import assert from 'node:assert/strict';
import { realpathSync, rmSync, symlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { Exchange } from '../../src/core/exchange.ts';
import { httpVariables, secondsText } from '../../src/core/http-variables.ts';
import type { RequestBody } from '../../src/core/request-body.ts';
import { TempFile } from '../../src/core/temp-file.ts';
import { VariableRegistry } from '../../src/core/variables.ts';
import type { RequestFraming } from '../../src/http/request-check.ts';
import { COMPLETE } from '../../src/http/request-head.ts';
import { RequestHeadParser } from '../../src/http/request-head-parser.ts';
import { VERSION } from '../../src/version.ts';
import { createSandbox, type RunningPortico, startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import { ask } from '../support/raw-client.ts';
import { until } from '../support/wait.ts';

const NAMES = Object.entries(httpVariables)
  .filter(([, { prefix, unsupported }]) => !prefix && unsupported === undefined)
  .map(([name]) => name);
const FAMILIES = [
  'arg_a',
  'arg_b_c',
  'arg_',
  'http_x_y',
  'http_',
  'cookie_k',
  'sent_http_x_a',
  'sent_http_etag',
  'sent_trailer_x',
];

/** Every variable in one line: `name<TAB>value<TAB>...`, `-` for none. */
const FORMAT = [...NAMES, ...FAMILIES].map((name) => `${name}\\t$${name}\\t`).join('');

const sandbox = createSandbox();
let port = 0;
let portico: RunningPortico;

/** The lines of logs/all.log, each as a table, once there are `count` more than `from`. */
async function logged(from: number, count = 1): Promise<Map<string, string>[]> {
  const lines = await until('the log', () => {
    const all = sandbox.read('logs/all.log').split('\n').slice(0, -1);
    return all.length >= from + count ? all.slice(from) : undefined;
  });
  return lines.map((line) => {
    const words = line.split('\\t');
    const table = new Map<string, string>();
    for (let index = 0; index + 1 < words.length; index += 2) table.set(words[index], words[index + 1]);
    return table;
  });
}

const linesNow = (): number => sandbox.read('logs/all.log').split('\n').length - 1;

/** Sends one request and returns its variables as the log has them. */
async function variablesOf(request: string): Promise<Map<string, string>> {
  const from = linesNow();
  await ask(port, request);
  return (await logged(from))[0];
}

/** One request that asks for its connection to be closed. */
const get = (target: string, fields = ''): string =>
  `GET ${target} HTTP/1.1\r\nHost: Some.Example:99\r\n${fields}Connection: close\r\n\r\n`;

before(async () => {
  port = await freePort();
  sandbox.write('html/f.txt', 'file\n');
  symlinkSync('html', sandbox.path('link'));
  portico = await startPortico({
    sandbox,
    http: `
      log_format all escape=none '${FORMAT.replaceAll('\\t', '\\\\t')}';
      server {
        listen 127.0.0.1:${port};
        server_name srv.example;
        access_log logs/all.log all;
        root link;
        location / { add_header X-A 1; add_header X-A 2; return 200 "hello\\n"; }
        location = /f.txt { }
        location = /found { return 301 /there?x; }
        location = /missing { return 404; }
        location /set { set $args "a=changed"; set $limit_rate 4k; return 200 "$args $query_string $limit_rate"; }
        location /bad-rate { set $limit_rate fast; return 200 $limit_rate; }
        location /same-id { return 200 "$request_id $request_id"; }
        location /empty { return 204; }
        location /nowhere { root /does/not/exist; return 200 "[$realpath_root]"; }
      }`,
  });
});
after(async () => {
  await portico.stop();
  rmSync(sandbox.directory, { recursive: true, force: true });
});

describe('variables of the request', () => {
  test('the request line is taken apart', async () => {
    const values = await variablesOf(get('/a%20b/../c?a=1&B_c=2'));
    assert.equal(values.get('request'), 'GET /a%20b/../c?a=1&B_c=2 HTTP/1.1');
    assert.equal(values.get('request_method'), 'GET');
    assert.equal(values.get('request_uri'), '/a%20b/../c?a=1&B_c=2');
    assert.equal(values.get('uri'), '/c');
    assert.equal(values.get('document_uri'), '/c');
    assert.equal(values.get('args'), 'a=1&B_c=2');
    assert.equal(values.get('query_string'), 'a=1&B_c=2');
    assert.equal(values.get('is_args'), '?');
    assert.equal(values.get('arg_a'), '1');
    assert.equal(values.get('arg_b_c'), '2');
    assert.equal(values.get('server_protocol'), 'HTTP/1.1');
  });

  test('a family without the rest of the name has no value', async () => {
    const values = await variablesOf(get('/?=1', 'X-Y: 1\r\n'));
    assert.equal(values.get('arg_'), '');
    assert.equal(values.get('http_'), '');
  });

  test('fields are found in either case, and repeated ones are joined', async () => {
    const values = await variablesOf(
      get(
        '/',
        'X-Y: one\r\nx-y: two\r\nCookie: a=1; K=v\r\nCookie: b=2\r\nVia: 1.1 p\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\nReferer: r\r\n',
      ),
    );
    assert.equal(values.get('http_x_y'), 'one, two');
    assert.equal(values.get('http_cookie'), 'a=1; K=v; b=2');
    assert.equal(values.get('cookie_k'), 'v');
    assert.equal(values.get('http_via'), '1.1 p');
    assert.equal(values.get('http_x_forwarded_for'), '192.0.2.1, 192.0.2.2');
    assert.equal(values.get('http_referer'), 'r');
    assert.equal(values.get('http_user_agent'), '');
  });

  test('the host is that of the request without its port, and the name of the server where there is none', async () => {
    const values = await variablesOf(get('/'));
    assert.equal(values.get('host'), 'some.example');
    assert.equal(values.get('http_host'), 'Some.Example:99');
    assert.equal(values.get('request_port'), '99');
    assert.equal(values.get('is_request_port'), ':');
    assert.equal(values.get('server_name'), 'srv.example');
    const without = await variablesOf('GET / HTTP/1.0\r\n\r\n');
    assert.equal(without.get('host'), 'srv.example');
    assert.equal(without.get('is_request_port'), '');
  });

  test('Basic credentials name the user, as far as nginx can read them', async () => {
    const cases: [credentials: string, user: string][] = [
      ['Basic bWU6cHc=', 'me'],
      ['basic   bWU6cHc', 'me'],
      ['Basic bWU6cHc=anything', 'me'],
      ['Basic bWU', ''],
      ['Basic OnB3', ''],
      ['Basic bWU6c', ''],
      ['Basic bW:6cHc=', ''],
      ['Basic ', ''],
      ['Bearer bWU6cHc=', ''],
    ];
    for (const [credentials, user] of cases) {
      const values = await variablesOf(get('/', `Authorization: ${credentials}\r\n`));
      assert.equal(values.get('remote_user'), user, credentials);
    }
  });

  test('a body that nobody reads is announced, and does not count for the length', async () => {
    const request =
      'POST /f.txt HTTP/1.1\r\nHost: h\r\nContent-Type: text/x\r\nContent-Length: 3\r\nConnection: close\r\n\r\n';
    const values = await variablesOf(`${request}abc`);
    assert.equal(values.get('content_length'), '3');
    assert.equal(values.get('content_type'), 'text/x');
    assert.equal(values.get('request_length'), String(request.length));
  });

  test('a request that cannot be understood has few values, and they are right', async () => {
    const values = await variablesOf('GARBAGE\r\n\r\n');
    assert.equal(values.get('request'), 'GARBAGE');
    assert.equal(values.get('status'), '400');
    assert.equal(values.get('uri'), '');
    assert.equal(values.get('server_protocol'), '');
  });

  test('requests that came together are told from the first', async () => {
    const from = linesNow();
    await ask(port, `GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n${get('/3')}`);
    const three = await logged(from, 3);
    assert.deepEqual(
      three.map((values) => values.get('pipe')),
      ['.', 'p', 'p'],
    );
    assert.deepEqual(
      three.map((values) => values.get('connection_requests')),
      ['1', '2', '3'],
    );
    assert.equal(new Set(three.map((values) => values.get('connection'))).size, 1);
    assert.equal(new Set(three.map((values) => values.get('request_id'))).size, 3);
  });
});

describe('variables of the connection and the program', () => {
  test('addresses, ports and scheme', async () => {
    const values = await variablesOf(get('/'));
    assert.equal(values.get('remote_addr'), '127.0.0.1');
    assert.match(values.get('remote_port')!, /^\d+$/);
    assert.equal(values.get('binary_remote_addr'), '\x7f\0\0\x01');
    assert.equal(values.get('server_addr'), '127.0.0.1');
    assert.equal(values.get('server_port'), String(port));
    assert.equal(values.get('scheme'), 'http');
    assert.equal(values.get('https'), '');
  });

  test('times have milliseconds, and the program its names', async () => {
    const values = await variablesOf(get('/'));
    for (const name of ['msec', 'request_time', 'connection_time'])
      assert.match(values.get(name)!, /^\d+\.\d{3}$/);
    assert.ok(Math.abs(Number(values.get('msec')) - Date.now() / 1000) < 60);
    assert.match(values.get('time_local')!, /^\d\d\/\w{3}\/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}$/);
    assert.match(values.get('time_iso8601')!, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d$/);
    assert.match(values.get('request_id')!, /^[0-9a-f]{32}$/);
    assert.equal(values.get('hostname'), hostname().toLowerCase());
    assert.equal(values.get('nginx_version'), VERSION);
    assert.equal(values.get('pid'), String(portico.pid));
  });

  test('milliseconds are written as seconds, and never below nothing', () => {
    assert.equal(secondsText(0), '0.000');
    assert.equal(secondsText(7), '0.007');
    assert.equal(secondsText(1234.9), '1.234');
    assert.equal(secondsText(-5), '0.000');
    assert.equal(secondsText(1_795_260_000_050), '1795260000.050');
  });

  test('the id of a request stays the same', async () => {
    const [one, other] = (await ask(port, get('/same-id'))).split('\r\n\r\n')[1].split(' ');
    assert.match(one, /^[0-9a-f]{32}$/);
    assert.equal(one, other);
  });
});

describe('variables of files', () => {
  test('the file a request stands for, with and without symbolic links', async () => {
    const values = await variablesOf(get('/f.txt'));
    assert.equal(values.get('document_root'), sandbox.path('link'));
    assert.equal(values.get('realpath_root'), realpathSync(sandbox.path('html')));
    assert.equal(values.get('request_filename'), sandbox.path('link/f.txt'));
  });

  test('a root that does not exist has no real path, and the error log says so', async () => {
    assert.match(await ask(port, get('/nowhere')), /\r\n\r\n\[\]$/);
    await portico.logged('[crit] ');
    assert.match(
      portico.errorLog(),
      /realpath\(\) "\/does\/not\/exist" failed \(2: No such file or directory\)/,
    );
  });
});

describe('variables of the answer', () => {
  test('status and bytes', async () => {
    const answer = await ask(port, get('/'));
    const values = await variablesOf(get('/'));
    assert.equal(values.get('status'), '200');
    assert.equal(values.get('bytes_sent'), String(answer.length));
    assert.equal(values.get('body_bytes_sent'), '6');
    assert.equal(values.get('request_completion'), 'OK');
  });

  test('the fields that were sent', async () => {
    const values = await variablesOf(get('/'));
    assert.equal(values.get('sent_http_content_type'), 'text/plain');
    assert.equal(values.get('sent_http_content_length'), '6');
    assert.equal(values.get('sent_http_connection'), 'close');
    assert.equal(values.get('sent_http_x_a'), '1, 2');
    assert.equal(values.get('sent_http_transfer_encoding'), '');
    assert.equal(values.get('sent_trailer_x'), '');
    const file = await variablesOf(get('/f.txt'));
    assert.match(file.get('sent_http_etag')!, /^"[0-9a-f-]+"$/);
    assert.match(file.get('sent_http_last_modified')!, / GMT$/);
  });

  test('a location is shown as it was sent, made absolute', async () => {
    const values = await variablesOf(get('/found'));
    assert.equal(values.get('sent_http_location'), `http://some.example:${port}/there?x`);
    assert.equal(values.get('status'), '301');
  });

  test('no content is no content type either', async () => {
    const values = await variablesOf(get('/empty'));
    assert.equal(values.get('status'), '204');
    assert.equal(values.get('sent_http_content_length'), '');
    assert.equal(values.get('body_bytes_sent'), '0');
  });
});

describe('variables of the body', () => {
  const limits = {
    clientHeaderBufferSize: 1024,
    largeBufferCount: 4,
    largeBufferSize: 8192,
    maxHeaders: 1000,
    ignoreInvalidHeaders: true,
    underscoresInHeaders: false,
    mergeSlashes: true,
  };

  /** A chunked request whose body has been read as far as `body` says. */
  function chunkedRequest(body: RequestBody | undefined): Exchange {
    const parser = new RequestHeadParser(limits);
    const bytes = Buffer.from('POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n');
    assert.equal(parser.parse(bytes, 0, bytes.length), COMPLETE);
    const framing: RequestFraming = { contentLength: -1, chunked: true, connection: 'none' };
    // Neither connection nor server is asked about a body.
    const nothing = {} as never;
    const exchange = new Exchange(parser.head, framing, nothing, nothing, nothing, nothing);
    exchange.body = body;
    return exchange;
  }

  const registry = new VariableRegistry([httpVariables]);
  const evaluate = (name: string, exchange: Exchange) => registry.lookup(name).get(exchange);

  test('a body that has been read into memory is there in one piece, bytes as they are', () => {
    const chunks = [Buffer.from('a\xff', 'latin1'), Buffer.from('b')];
    const exchange = chunkedRequest({ size: 3, chunks, file: undefined, complete: true });
    assert.equal(evaluate('request_body', exchange), 'a\xffb');
    assert.equal(evaluate('request_body_file', exchange), undefined);
  });

  test('a chunked body has a length only when all of it is there', () => {
    const part = { size: 3, chunks: [Buffer.from('abc')], file: undefined };
    assert.equal(evaluate('content_length', chunkedRequest(undefined)), undefined);
    assert.equal(evaluate('content_length', chunkedRequest({ ...part, complete: false })), undefined);
    assert.equal(evaluate('content_length', chunkedRequest({ ...part, complete: true })), '3');
  });

  test('a chunked body that nobody wants has the length 0', () => {
    const dropped = chunkedRequest(undefined);
    dropped.bodyDropped = true;
    assert.equal(evaluate('content_length', dropped), '0');
    const refused = chunkedRequest(undefined);
    refused.errorStatus = 413;
    assert.equal(evaluate('content_length', refused), '0');
  });

  test('a body in a file is named and not read', () => {
    const file = new TempFile({ directory: sandbox.path('bodies'), levels: [1] }, 0, true);
    try {
      const exchange = chunkedRequest({ size: 3, chunks: [], file, complete: true });
      assert.equal(evaluate('request_body', exchange), undefined);
      assert.equal(evaluate('request_body_file', exchange), file.path);
    } finally {
      file.close();
    }
  });

  test('an empty body, or none, has no value', () => {
    assert.equal(evaluate('request_body', chunkedRequest(undefined)), undefined);
    const empty = { size: 0, chunks: [], file: undefined, complete: true };
    assert.equal(evaluate('request_body', chunkedRequest(empty)), undefined);
  });
});

describe('variables that can be assigned', () => {
  test('$args changes the arguments, $limit_rate the rate', async () => {
    assert.match(await ask(port, get('/set?a=first')), /\r\n\r\na=changed a=changed 4096$/);
    const values = await variablesOf(get('/set?a=first'));
    assert.equal(values.get('arg_a'), 'changed');
    assert.equal(values.get('request_uri'), '/set?a=first');
  });

  test('a rate that is none stays as it was, and the error log says so', async () => {
    assert.match(await ask(port, get('/bad-rate')), /\r\n\r\n0$/);
    await portico.logged('invalid $limit_rate "fast"');
  });

  test('no other variable can be assigned', () => {
    const registry = new VariableRegistry([httpVariables]);
    for (const name of NAMES) {
      if (name === 'args' || name === 'limit_rate') assert.ok(registry.assignable(name).assign !== undefined);
      else assert.throws(() => registry.assignable(name), { message: `the duplicate "${name}" variable` });
    }
  });

  test('what Node.js cannot tell is an error that says so', () => {
    const registry = new VariableRegistry([httpVariables]);
    for (const name of ['tcpinfo_rtt', 'tcpinfo_rttvar', 'tcpinfo_snd_cwnd', 'tcpinfo_rcv_space']) {
      assert.throws(() => registry.lookup(name), {
        message: `the "${name}" variable is not supported: Node.js does not tell the kernel's figures of a TCP connection`,
      });
    }
  });

  test('a prefix that is assigned keeps its own value until then, a capture has none', () => {
    const registry = new VariableRegistry([httpVariables]);
    const assigned = registry.assignable('http_x', undefined, () => 'unset');
    const captured = registry.assignable('http_y');
    const unset = registry.assignable('mine', undefined, (_exchange, name) => `no ${name}`);
    const exchange = { values: [], headers: { variable: (name: string) => `field ${name}` } };
    assert.equal(assigned.get(exchange as never), 'field x');
    assigned.assign!(exchange as never, 'set');
    assert.equal(assigned.get(exchange as never), 'set');
    assert.equal(captured.get(exchange as never), undefined);
    assert.equal(unset.get(exchange as never), 'no mine');
    registry.assignable('mine');
    assert.equal(unset.get({ values: [] } as never), undefined);
  });
});
