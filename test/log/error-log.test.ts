import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  createErrorLog,
  LINE_LIMIT,
  type LogContext,
  NO_ERROR_LOG,
  threadNumber,
} from '../../src/log/error-log.ts';
import { readErrorLog } from '../../src/log/error-log-target.ts';
import { LEVEL_NAMES, LEVELS, type LevelName } from '../../src/log/levels.ts';
import { createOpenFiles } from '../../src/log/open-files.ts';

const directory = mkdtempSync(join(tmpdir(), 'portico-error-log-'));
after(() => rmSync(directory, { recursive: true }));
let serial = 0;

function open(level: LevelName, json = false) {
  const path = join(directory, `${++serial}.log`);
  const files = createOpenFiles();
  const log = createErrorLog([{ kind: 'file', path, level: LEVELS[level], json }], files);
  return { path, files, log, text: () => readFileSync(path, 'latin1') };
}

const CONTEXT: LogContext = [
  ['while', 'connecting to upstream', false],
  ['client', '127.0.0.1', false],
  ['server', 'localhost', false],
  ['request', 'GET / HTTP/1.1', true],
  ['upstream', 'http://127.0.0.1:1/', true],
  ['host', 'localhost', true],
];

function connectionRefused(): NodeJS.ErrnoException {
  return Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), { code: 'ECONNREFUSED', errno: -111 });
}

test('a line is written as nginx writes it', () => {
  const { log, text } = open('error');
  log.write('error', 'connect() failed', 7, () => CONTEXT, connectionRefused());
  assert.match(
    text(),
    new RegExp(
      String.raw`^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[error\] ${process.pid}#\d+: \*7 connect\(\) failed ` +
        String.raw`\(111: Connection refused\) while connecting to upstream, client: 127\.0\.0\.1, server: localhost, ` +
        String.raw`request: "GET / HTTP/1\.1", upstream: "http://127\.0\.0\.1:1/", host: "localhost"\n$`,
    ),
  );
  log.close();
});

test('a message of no connection has no number', () => {
  const { log, text } = open('notice');
  log.write('notice', 'start worker processes');
  assert.match(text(), new RegExp(`\\[notice\\] ${process.pid}#${threadNumber}: start worker processes\\n$`));
  log.close();
});

test('a log takes its level and everything worse, and asks for a context only then', () => {
  for (const level of LEVEL_NAMES) {
    const { log, text } = open(level);
    let asked = 0;
    for (const name of LEVEL_NAMES) {
      const wanted = LEVELS[name] <= LEVELS[level];
      assert.equal(log.enabled(name), wanted);
      const before = asked;
      log.write(name, 'message', 1, () => `, asked: ${++asked}`);
      assert.equal(asked - before, wanted && name !== 'debug' ? 1 : 0);
    }
    assert.equal(text().split('\n').length - 1, LEVELS[level]);
    log.close();
  }
});

test('several targets each take their own level, and the same file may be named twice', () => {
  const files = createOpenFiles();
  const [warnings, everything] = [join(directory, 'warnings'), join(directory, 'everything')];
  const log = createErrorLog(
    [
      { kind: 'file', path: warnings, level: LEVELS.warn, json: false },
      { kind: 'file', path: everything, level: LEVELS.debug, json: false },
      { kind: 'file', path: everything, level: LEVELS.crit, json: false },
    ],
    files,
  );
  assert.equal(log.level, LEVELS.debug);
  log.write('debug', 'one');
  log.write('warn', 'two');
  log.write('crit', 'three');
  const messages = (path: string) => readFileSync(path, 'latin1').match(/(?<=: )\w+(?=\n)/g);
  assert.deepEqual(messages(warnings), ['two', 'three']);
  assert.deepEqual(messages(everything), ['one', 'two', 'three', 'three']);
  assert.deepEqual(files.paths().sort(), [everything, warnings].sort());
  log.close();
  assert.deepEqual(files.paths(), []);
  log.write('crit', 'after the end');
  assert.equal(messages(warnings)?.length, 2);
});

test('bytes are written as they are', () => {
  const { log, path } = open('error');
  log.write('error', 'caf\xc3\xa9 \xff\x01', 0, () => ', host: "\xe9"');
  assert.ok(readFileSync(path).includes(Buffer.from('caf\xc3\xa9 \xff\x01, host: "\xe9"\n', 'latin1')));
  log.close();
});

test('a long line is cut where nginx cuts it, and the system error survives a long message', () => {
  const { log, text } = open('error');
  log.write('error', 'x'.repeat(5000), 1, () => ', client: 127.0.0.1');
  log.write('error', 'y'.repeat(5000), 1, () => ', client: 127.0.0.1', connectionRefused());
  log.write('error', 'short', 1, () => `, request: "${'z'.repeat(5000)}"`);
  const [first = '', second = '', third = '', ...rest] = text().split('\n');
  assert.deepEqual(rest, ['']);
  assert.equal(first.length, LINE_LIMIT - 1);
  assert.ok(first.endsWith('xxx'));
  assert.ok(second.includes('yyy... (111: Connection refused), client: 1'), second.slice(-60));
  assert.ok(second.length < LINE_LIMIT);
  assert.equal(third.length, LINE_LIMIT - 1);
  log.close();
});

test('JSON lines carry the same as text lines', () => {
  const { log, text } = open('info', true);
  log.write('error', 'connect() failed', 7, () => CONTEXT, connectionRefused());
  log.write('emerg', 'bytes \xc3\xa9 \xe9 "quoted"\n%s %d', 0, () => ', as text');
  log.write('info', 'caf\xc3\xa9');
  log.write('debug', 'not this');
  const lines = text().trimEnd().split('\n');
  assert.equal(lines.length, 3);
  const [first, second, third] = lines.map((line) =>
    JSON.parse(Buffer.from(line, 'latin1').toString('utf8')),
  );
  const { time, ...fields } = first;
  assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000);
  assert.deepEqual(fields, {
    level: 'error',
    pid: process.pid,
    tid: threadNumber,
    connection: 7,
    msg: 'connect() failed (111: Connection refused)',
    action: 'connecting to upstream',
    client: '127.0.0.1',
    server: 'localhost',
    request: 'GET / HTTP/1.1',
    upstream: 'http://127.0.0.1:1/',
    host: 'localhost',
  });
  // Not UTF-8 as a whole, so every byte is a character.
  assert.equal(second.msg, 'bytes \xc3\xa9 \xe9 "quoted"\n%s %d');
  assert.equal(second.context, ', as text');
  assert.equal(second.level, 'emerg');
  assert.ok(!('connection' in second));
  assert.equal(third.msg, 'caf\u00e9');
  log.close();
});

test('a file that cannot be opened is an error in the words of nginx, and leaves nothing open', () => {
  const files = createOpenFiles();
  const path = join(directory, 'missing', 'error.log');
  assert.throws(
    () =>
      createErrorLog(
        [
          { kind: 'file', path: join(directory, 'fine'), level: 4, json: false },
          { kind: 'file', path, level: 4, json: false },
        ],
        files,
      ),
    { message: `open() "${path}" failed (2: No such file or directory)` },
  );
  assert.deepEqual(files.paths(), []);
});

test('standard error is written to, echoed to while starting, and outlived when it is gone', () => {
  const source = `
    const { createErrorLog } = await import(process.argv[1] + 'error-log.ts');
    const { createOpenFiles } = await import(process.argv[1] + 'open-files.ts');
    const files = createOpenFiles();
    const echo = () => true;
    const both = createErrorLog([{ kind: 'stderr', path: '', level: 5, json: false }], files, { echo });
    const file = createErrorLog([{ kind: 'file', path: process.argv[2], level: 6, json: false }], files, { echo });
    both.write('warn', 'once');
    file.write('emerg', 'twice', 3, () => ', client: a');
    file.write('notice', 'not echoed');
    for (let line = 0; line < 500; line++) both.write('error', 'x'.repeat(1000));
    files.closeAll();
    console.log('alive');`;
  const argv = [new URL('../../src/log/', import.meta.url).href, join(directory, 'echo')];
  const whole = spawnSync(process.execPath, ['--input-type=module', '-e', source, ...argv], {
    encoding: 'utf8',
  });
  assert.equal(whole.stdout, 'alive\n');
  const lines = whole.stderr.split('\n');
  assert.match(lines[0] ?? '', /^\d{4}.* \[warn\] \d+#\d+: once$/);
  assert.equal(lines[1], 'portico: [emerg] twice, client: a');
  assert.equal(lines.length, 503);
  assert.match(readFileSync(join(directory, 'echo'), 'utf8'), /\*3 twice, client: a\n.*not echoed\n$/);

  // The reader goes away after the first line.
  const command = '{ "$0" "$@" 2>&1 >&3 | head -n 1 >/dev/null; } 3>&1';
  const shell = ['-c', command, process.execPath, '--input-type=module', '-e', source, ...argv];
  assert.equal(spawnSync('/bin/sh', shell, { encoding: 'utf8' }).stdout, 'alive\n');
});

test('a full disk does not stop the program', { skip: !existsSync('/dev/full') }, () => {
  const files = createOpenFiles();
  const log = createErrorLog([{ kind: 'file', path: '/dev/full', level: 4, json: false }], files);
  for (let line = 0; line < 3000; line++) log.write('error', 'x'.repeat(1000));
  log.close();
});

test('error_log reads as nginx reads it', () => {
  const read = (text: string) => readErrorLog(text.split(' '));
  assert.deepEqual(read('logs/e'), {
    target: { kind: 'file', path: 'logs/e', level: LEVELS.error, json: false },
  });
  assert.deepEqual(read('stderr warn'), {
    target: { kind: 'stderr', path: '', level: LEVELS.warn, json: false },
  });
  assert.deepEqual(read('e info json'), {
    target: { kind: 'file', path: 'e', level: LEVELS.info, json: true },
  });
  assert.deepEqual(read('e debug_http debug_core'), {
    target: { kind: 'file', path: 'e', level: LEVELS.debug, json: false },
  });
  assert.deepEqual(read('e verbose'), { error: 'invalid log level "verbose"' });
  assert.deepEqual(read('e toString'), { error: 'invalid log level "toString"' });
  assert.deepEqual(read('e warn error'), { error: 'duplicate log level "error"' });
  assert.deepEqual(read('e debug_http error'), { error: 'duplicate log level "error"' });
  assert.deepEqual(read('e error debug_http'), { error: 'invalid log level "debug_http"' });
  assert.deepEqual(read('e json json'), { error: 'duplicate parameter "json"' });
  assert.match(JSON.stringify(read('syslog:server=unix:/dev/log')), /"error":.*syslog/);
  assert.match(JSON.stringify(read('memory:32m debug')), /"error":.*memory/);
});

test('the empty log takes nothing', () => {
  assert.ok(LEVEL_NAMES.every((name) => !NO_ERROR_LOG.enabled(name)));
});
