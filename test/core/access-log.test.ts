import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { LogFileCache } from '../../src/core/log-file-cache.ts';
import { escapeForLog } from '../../src/core/log-format.ts';
import { createTimerWheel } from '../../src/event/timers.ts';
import { createAccessLogWriter } from '../../src/log/access-log-writer.ts';
import { NO_ERROR_LOG } from '../../src/log/error-log.ts';
import { createOpenFiles } from '../../src/log/open-files.ts';
import { createSandbox, type RunningPortico, runPortico, startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';
import { ask } from '../support/raw-client.ts';
import { until } from '../support/wait.ts';

const SEED = 20_261_121;

const get = (target: string, fields = 'Host: h\r\n'): string =>
  `GET ${target} HTTP/1.1\r\n${fields}Connection: close\r\n\r\n`;

/** Waits until a file has so many lines, and returns them. */
const lines = (portico: RunningPortico, name: string, count: number): Promise<string[]> =>
  until(
    `${count} lines in ${name}`,
    () => {
      const found = portico.sandbox.read(name).split('\n').slice(0, -1);
      return found.length >= count ? found : undefined;
    },
    { explain: () => portico.sandbox.read(name) + portico.errorLog() },
  );

/** Starts it with these servers, and `listen` of a free port wherever they say `PORT`. */
async function start(http: string): Promise<{ portico: RunningPortico; port: number }> {
  const port = await freePort();
  return { port, portico: await startPortico({ http: http.replaceAll('PORT', `127.0.0.1:${port}`) }) };
}

/** What `-t` says of the statements in an `http` block. */
async function complaint(http: string): Promise<string> {
  using sandbox = createSandbox();
  sandbox.write('conf/c.conf', `events { }\nhttp {\n${http}\n}\n`);
  const { stderr } = await runPortico([
    '-t',
    '-p',
    sandbox.directory,
    '-c',
    'conf/c.conf',
    '-e',
    'logs/error.log',
  ]);
  const message = stderr.split('\n').find((line) => line.includes('[')) ?? '';
  return message.replaceAll(sandbox.directory, '/').replace('portico: ', '');
}

describe('access_log', () => {
  test('a line in the predefined format for every request, with what would forge lines escaped', async () => {
    const { portico, port } = await start(
      'server { listen PORT; access_log logs/a.log; location / { return 200 "hello"; } }',
    );
    await using _ = portico;
    await ask(
      port,
      get('/x?y', 'Host: h\r\nUser-Agent: a "b" \\ \xff\r\nReferer: r\r\nAuthorization: Basic bWU6cHc=\r\n'),
    );
    await ask(port, get('/'));
    await ask(port, 'BAD\x01\r\n\r\n');
    const [first, second, third] = await lines(portico, 'logs/a.log', 3);
    assert.match(
      first,
      /^127\.0\.0\.1 - me \[\d\d\/\w+\/\d{4}(:\d\d){3} [+-]\d{4}\] "GET \/x\?y HTTP\/1\.1" 200 5 "r" "a \\x22b\\x22 \\x5C \\xFF"$/,
    );
    assert.match(second, /"GET \/ HTTP\/1\.1" 200 5 "-" "-"$/);
    assert.match(third, /"BAD\\x01" 400 \d+ "-" "-"$/);
  });

  test('without any access_log there is logs/access.log', async () => {
    const port = await freePort();
    const configuration = `daemon off; pid logs/portico.pid; error_log logs/error.log info; events { }
      http { server { listen 127.0.0.1:${port}; return 204; } }`;
    await using portico = await startPortico({ configuration });
    await ask(port, get('/'));
    assert.match((await lines(portico, 'logs/access.log', 1))[0], /"GET \/ HTTP\/1.1" 204 0/);
  });

  test('the lists of inner blocks replace those around them, and off ends them all', async () => {
    const { portico, port } = await start(`
      log_format short '$uri';
      server {
        listen PORT;
        access_log logs/one.log short;
        access_log logs/two.log SHORT;
        location / { return 204; }
        location /inner { access_log logs/inner.log short; return 204; }
        location /off { access_log logs/never.log short; access_log off; return 204; }
        location /if { if ($arg_a) { access_log logs/if.log short; } return 204; }
        location /limited { limit_except GET { access_log logs/limited.log short; deny all; } return 204; }
      }`);
    await using _ = portico;
    for (const target of ['/inner', '/off', '/if?a=1', '/if', '/limited', '/']) await ask(port, get(target));
    await ask(port, 'POST /limited HTTP/1.0\r\n\r\n');
    assert.deepEqual(await lines(portico, 'logs/one.log', 3), ['/if', '/limited', '/']);
    assert.deepEqual(await lines(portico, 'logs/two.log', 3), ['/if', '/limited', '/']);
    assert.deepEqual(await lines(portico, 'logs/inner.log', 1), ['/inner']);
    assert.deepEqual(await lines(portico, 'logs/if.log', 1), ['/if']);
    assert.deepEqual(await lines(portico, 'logs/limited.log', 1), ['/limited']);
    assert.equal(portico.sandbox.read('logs/never.log'), '');
  });

  test('if= leaves out what is empty or 0', async () => {
    const { portico, port } = await start(`
      log_format short '$args';
      server { listen PORT; access_log logs/a.log short if=$arg_a; return 204; }`);
    await using _ = portico;
    for (const value of ['', '0', '00', 'x']) await ask(port, get(`/?a=${value}`));
    assert.deepEqual(await lines(portico, 'logs/a.log', 2), ['a=00', 'a=x']);
  });

  test('buffered lines wait until there are enough, until it is time, or until the end', async () => {
    const { portico, port } = await start(`
      log_format short '$uri';
      server {
        listen PORT;
        access_log logs/full.log short buffer=16;
        location / { return 204; }
        location /timed { access_log logs/timed.log short buffer=4k flush=50ms; return 204; }
        location /same { access_log logs/full.log short; return 204; }
      }`);
    await using _ = portico;
    await ask(port, get('/12345'));
    await ask(port, get('/timed'));
    assert.deepEqual(await lines(portico, 'logs/timed.log', 1), ['/timed']);
    assert.equal(portico.sandbox.read('logs/full.log'), '');
    // The buffer belongs to the file, whoever writes to it.
    await ask(port, get('/same'));
    assert.equal(portico.sandbox.read('logs/full.log'), '');
    await ask(port, get('/1234567'));
    assert.deepEqual(await lines(portico, 'logs/full.log', 2), ['/12345', '/same']);
    await portico.stop('SIGQUIT');
    assert.deepEqual(await lines(portico, 'logs/full.log', 3), ['/12345', '/same', '/1234567']);
  });

  test('files are opened anew on USR1, and closed when a reload has no use for them', async () => {
    const { portico, port } = await start(`
      log_format short '$uri';
      server { listen PORT; access_log logs/a.log short; return 204; }`);
    await using _ = portico;
    await ask(port, get('/1'));
    await lines(portico, 'logs/a.log', 1);
    renameSync(portico.sandbox.path('logs/a.log'), portico.sandbox.path('logs/a.old'));
    portico.signal('SIGUSR1');
    await until('the new file', () => existsSync(portico.sandbox.path('logs/a.log')));
    await ask(port, get('/2'));
    assert.deepEqual(await lines(portico, 'logs/a.log', 1), ['/2']);
    assert.deepEqual(await lines(portico, 'logs/a.old', 1), ['/1']);
    portico.configure({ http: `server { listen 127.0.0.1:${port}; access_log logs/b.log; return 204; }` });
    assert.equal(await portico.reload(), 'done');
    await ask(port, get('/3'));
    await lines(portico, 'logs/b.log', 1);
    await until(
      'a.log to be closed',
      () => !openFilesOf(portico.pid).includes(portico.sandbox.path('logs/a.log')),
    );
  });
});

describe('access_log with gzip', () => {
  test('what is written at one time is one gzip member, and members follow each other', async () => {
    const { portico, port } = await start(`
      log_format short '$uri';
      server {
        listen PORT;
        access_log logs/a.gz short gzip buffer=1k flush=20ms;
        return 204;
      }`);
    await using _ = portico;
    const unzipped = (): string => {
      const bytes = Buffer.from(portico.sandbox.read('logs/a.gz'), 'latin1');
      return bytes.length === 0 ? '' : gunzipSync(bytes).toString('latin1');
    };
    await ask(port, get('/1'));
    await until('the first member', () => unzipped() === '/1\n');
    await ask(port, get('/2'));
    await until('the second member', () => unzipped() === '/1\n/2\n');
    await ask(port, get('/3'));
    await portico.stop('SIGQUIT');
    assert.equal(unzipped(), '/1\n/2\n/3\n');
  });

  test('a buffer larger than a write becomes several members of whole lines', () => {
    using sandbox = createSandbox();
    const files = createOpenFiles();
    const timers = createTimerWheel();
    const path = sandbox.path('logs/big.gz');
    const buffering = { size: 1024 * 1024, flush: 0, gzip: 9 };
    const writer = createAccessLogWriter(files, path, NO_ERROR_LOG, timers, buffering);
    const written: string[] = [];
    for (let number = 0; number < 9000; number++) {
      const line = `${String(number).repeat(20)}\n`;
      written.push(line);
      writer.write(line);
    }
    assert.equal(sandbox.read('logs/big.gz'), '');
    writer.close();
    const bytes = Buffer.from(sandbox.read('logs/big.gz'), 'latin1');
    assert.equal(gunzipSync(bytes).toString('latin1'), written.join(''));
    assert.ok(bytes.toString('latin1').split('\x1f\x8b\x08').length > 2);
    timers.stopAll();
  });
});

describe('access_log to syslog', () => {
  test('sends each line with the severity that is asked for, beside files', async () => {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const received: string[] = [];
    socket.on('message', (message) => received.push(message.toString('latin1')));
    try {
      const server = `syslog:server=localhost:${socket.address().port},severity=warn,tag=web,nohostname`;
      const { portico, port } = await start(`
        log_format short '$uri';
        server {
          listen PORT;
          access_log ${server} short if=$arg_a;
          access_log logs/a.log short;
          return 204;
        }`);
      await using _ = portico;
      await ask(port, get('/no'));
      await ask(port, get('/yes?a=1'));
      assert.deepEqual(await lines(portico, 'logs/a.log', 2), ['/no', '/yes']);
      const message = await until('the message', () => received[0]);
      assert.match(message, /^<188>[A-Z][a-z]{2} [ 1-3]\d [\d:]{8} web: \/yes$/);
      assert.equal(received.length, 1);
    } finally {
      socket.close();
    }
  });
});

function openFilesOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((descriptor) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${descriptor}`)];
    } catch {
      return [];
    }
  });
}

describe('access_log with variables in its name', () => {
  test('a file for each name, where there is a document root', async () => {
    const { portico, port } = await start(`
      log_format short '$uri';
      server {
        listen PORT;
        root sites/$host;
        access_log logs/$host.log short;
        location / { return 204; }
        location /kept { open_log_file_cache max=1; return 204; }
      }`);
    await using _ = portico;
    const { sandbox } = portico;
    for (const site of ['a', 'b']) mkdirSync(sandbox.path(`sites/${site}`), { recursive: true });
    for (const target of ['/', '/kept']) {
      for (const host of ['a', 'b', 'nobody']) await ask(port, get(target, `Host: ${host}\r\n`));
    }
    assert.deepEqual(await lines(portico, 'logs/a.log', 2), ['/', '/kept']);
    assert.deepEqual(await lines(portico, 'logs/b.log', 2), ['/', '/kept']);
    assert.ok(!existsSync(sandbox.path('logs/nobody.log')));
    await portico.logged(
      `testing "${sandbox.path('sites/nobody')}" existence failed (2: No such file or directory) while logging request`,
    );
    const open = openFilesOf(portico.pid);
    assert.ok(!open.includes(sandbox.path('logs/a.log')));
    assert.ok(open.includes(sandbox.path('logs/b.log')));
  });

  test('a name that cannot be opened costs the line, and is told', async () => {
    const { portico, port } = await start(
      `server { listen PORT; root .; access_log logs/$arg_d/x.log; return 204; }`,
    );
    await using _ = portico;
    assert.match(await ask(port, get('/?d=none')), / 204 /);
    await portico.logged(
      `open() "${portico.sandbox.path('logs/none/x.log')}" failed (2: No such file or directory) while logging request`,
    );
  });
});

describe('open_log_file_cache', () => {
  function makeCache(options: { max: number; inactive?: number; minimumUses?: number; valid?: number }) {
    const sandbox = createSandbox();
    const files = createOpenFiles();
    const timers = createTimerWheel();
    let time = 0;
    const cache = new LogFileCache(
      (path) => createAccessLogWriter(files, path, NO_ERROR_LOG, timers),
      { inactive: 10, minimumUses: 1, valid: 60, ...options },
      () => time,
    );
    return {
      sandbox,
      files,
      cache,
      path: (name: string) => sandbox.path(`logs/${name}`),
      pass(seconds: number) {
        time += seconds * 1000;
      },
      [Symbol.dispose]() {
        cache.close();
        files.closeAll();
        timers.stopAll();
        sandbox.remove();
      },
    };
  }

  test('keeps the files used last', () => {
    using made = makeCache({ max: 2 });
    const { cache, files, path, sandbox } = made;
    for (const name of ['a', 'b', 'a', 'c']) cache.write(path(name), `${name}\n`);
    assert.deepEqual(files.paths().sort(), [path('a'), path('c')]);
    cache.close();
    assert.deepEqual(files.paths(), []);
    assert.equal(sandbox.read('logs/a'), 'a\na\n');
    assert.equal(sandbox.read('logs/b'), 'b\n');
  });

  test('closes what nobody has used for a while when something else is used', () => {
    using made = makeCache({ max: 10, inactive: 5 });
    const { cache, files, path } = made;
    cache.write(path('a'), 'a\n');
    made.pass(6);
    cache.write(path('b'), 'b\n');
    assert.deepEqual(files.paths(), [path('b')]);
  });

  test('keeps a file open only once it has been used often enough', () => {
    using made = makeCache({ max: 10, minimumUses: 2 });
    const { cache, files, path } = made;
    cache.write(path('a'), '1\n');
    assert.deepEqual(files.paths(), []);
    cache.write(path('a'), '2\n');
    assert.deepEqual(files.paths(), [path('a')]);
    assert.equal(cache.size, 1);
  });

  test('sees after a while that a file has been taken away', () => {
    using made = makeCache({ max: 10, inactive: 1000, valid: 60 });
    const { cache, files, path, sandbox } = made;
    cache.write(path('a'), '1\n');
    unlinkSync(path('a'));
    writeFileSync(path('other'), '');
    made.pass(59);
    cache.write(path('a'), '2\n');
    assert.ok(!existsSync(path('a')));
    made.pass(2);
    cache.write(path('a'), '3\n');
    files.flushSync();
    assert.equal(sandbox.read('logs/a'), '3\n');
  });
});

describe('log_format', () => {
  test('pieces are joined, and a value that is not there is a dash, or nothing', async () => {
    const { portico, port } = await start(`
      log_format plain "$uri|" '\${http_x}y|' $http_none;
      log_format json escape=json '{"x":"$http_x","none":"$http_none"}';
      log_format raw escape=none '$http_x|$http_none|$STATUS';
      log_format nothing escape=none;
      server {
        listen PORT;
        access_log logs/plain.log plain; access_log logs/json.log json; access_log logs/raw.log raw;
        access_log logs/nothing.log nothing;
        return 204;
      }`);
    await using _ = portico;
    await ask(port, get('/a', 'Host: h\r\nX: "\\\t\xe9\r\n'));
    assert.deepEqual(await lines(portico, 'logs/plain.log', 1), ['/a|\\x22\\x5C\\x09\\xE9y|-']);
    assert.deepEqual(await lines(portico, 'logs/json.log', 1), ['{"x":"\\"\\\\\\t\xe9","none":""}']);
    assert.deepEqual(await lines(portico, 'logs/raw.log', 1), ['"\\\t\xe9||204']);
    assert.deepEqual(await lines(portico, 'logs/nothing.log', 1), ['']);
  });

  test('what is escaped can be read back, and holds only printable characters but the quote', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const text = Buffer.from(bytes).toString('latin1');
        const escaped = escapeForLog(text);
        assert.match(escaped, /^[ !#-~]*$/);
        const back = escaped.replace(/\\x([0-9A-F]{2})/g, (_match, digits: string) =>
          String.fromCharCode(Number.parseInt(digits, 16)),
        );
        assert.equal(back, text);
      }),
      { seed: SEED },
    );
  });
});

describe('errors of the configuration', () => {
  const cases: [http: string, message: string][] = [
    ['access_log logs/a nope;', 'unknown log format "nope" in /conf/c.conf:3'],
    ['access_log logs/a main; log_format main x;', 'unknown log format "main" in /conf/c.conf:3'],
    ['log_format main a;\nlog_format main b;', 'duplicate "log_format" name "main" in /conf/c.conf:4'],
    ['log_format combined a;', 'duplicate "log_format" name "combined" in /conf/c.conf:3'],
    ["log_format main 'a$';", 'invalid parameter "$" in /conf/c.conf:3'],
    ["log_format main 'a${x';", 'the closing bracket in "x" variable is missing in /conf/c.conf:3'],
    ['log_format main escape=xml a;', 'unknown log format escaping "xml" in /conf/c.conf:3'],
    ['log_format main $nope;', 'unknown "nope" variable in /conf/c.conf:3'],
    ['access_log off x;', 'invalid parameter "x" in /conf/c.conf:3'],
    ['access_log logs/a combined foo=1;', 'invalid parameter "foo=1" in /conf/c.conf:3'],
    ['access_log logs/a combined buffer=0;', 'invalid buffer size "0" in /conf/c.conf:3'],
    [
      'access_log logs/a combined flush=1s;',
      'no buffer is defined for access_log "logs/a" in /conf/c.conf:3',
    ],
    ['access_log logs/a combined buffer=1k flush=z;', 'invalid flush time "z" in /conf/c.conf:3'],
    [
      'access_log logs/$host combined buffer=1k;',
      'buffered logs cannot have variables in name in /conf/c.conf:3',
    ],
    [
      'access_log logs/a combined buffer=1k;\nserver { access_log logs/a combined buffer=1k flush=1s; }',
      'access_log "logs/a" already defined with conflicting parameters in /conf/c.conf:4',
    ],
    [
      'server { location / { access_log off; } access_log none/a; }',
      'open() "/none/a" failed (2: No such file or directory)',
    ],
    ['access_log logs/a combined gzip=0;', 'invalid compression level "0" in /conf/c.conf:3'],
    ['access_log logs/a combined gzip=10;', 'invalid compression level "10" in /conf/c.conf:3'],
    [
      'access_log logs/a combined gzip=5;\naccess_log logs/a combined gzip;',
      'access_log "logs/a" already defined with conflicting parameters in /conf/c.conf:4',
    ],
    ['access_log logs/$host combined gzip;', 'buffered logs cannot have variables in name in /conf/c.conf:3'],
    [
      'access_log syslog:server=192.0.2.1 combined gzip;',
      'logs to syslog cannot be buffered in /conf/c.conf:3',
    ],
    ['access_log syslog:tag=x;', 'no syslog server specified in /conf/c.conf:3'],
    [
      'access_log syslog:server=no-such-host.invalid;',
      'host not found in syslog server "no-such-host.invalid" in /conf/c.conf:3',
    ],
    [
      'server { error_log syslog:server=no-such-host.invalid; }',
      'host not found in syslog server "no-such-host.invalid" in /conf/c.conf:3',
    ],
    ['open_log_file_cache inactive=1;', '"open_log_file_cache" must have "max" parameter in /conf/c.conf:3'],
    [
      'open_log_file_cache max=1 valid=x;',
      'invalid "open_log_file_cache" parameter "valid=x" in /conf/c.conf:3',
    ],
    [
      'open_log_file_cache off; open_log_file_cache max=1;',
      '"open_log_file_cache" directive is duplicate in /conf/c.conf:3',
    ],
    [
      'server { if ($arg_a) { access_log logs/a; } }',
      '"access_log" directive is not allowed here in /conf/c.conf:3',
    ],
  ];

  test('are worded as by nginx', async () => {
    for (const [http, message] of cases) assert.equal(await complaint(http), `[emerg] ${message}`, http);
  });
});
