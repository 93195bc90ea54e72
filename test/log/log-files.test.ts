import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { createTimerWheel } from '../../src/event/timers.ts';
import { type AccessLogBuffering, createAccessLogWriter } from '../../src/log/access-log-writer.ts';
import { createErrorLog, type ErrorLog, NO_ERROR_LOG } from '../../src/log/error-log.ts';
import { WAITING_LIMIT } from '../../src/log/log-file.ts';
import { createOpenFiles } from '../../src/log/open-files.ts';

const directory = mkdtempSync(join(tmpdir(), 'portico-log-files-'));
after(() => rmSync(directory, { recursive: true }));
let serial = 0;
const newPath = () => join(directory, `${++serial}.log`);
const text = (path: string) => readFileSync(path, 'latin1');
const bytes = (content: string) => Buffer.from(content, 'latin1');
const nextTurn = () => new Promise(setImmediate);

/** An error log that keeps what it is told. */
function listening(): { errorLog: ErrorLog; alerts: string[] } {
  const alerts: string[] = [];
  const write: ErrorLog['write'] = (level, message) => alerts.push(`${level}: ${message}`);
  return { alerts, errorLog: { ...NO_ERROR_LOG, write } };
}

function openDescriptorsOf(path: string): number {
  let count = 0;
  for (const name of readdirSync('/proc/self/fd')) {
    try {
      if (readlinkSync(`/proc/self/fd/${name}`).startsWith(path)) count++;
    } catch {
      // The descriptor the list was read with.
    }
  }
  return count;
}

function access(path: string, buffering?: AccessLogBuffering, errorLog = NO_ERROR_LOG) {
  const files = createOpenFiles();
  const timers = createTimerWheel({ keepAlive: true });
  return { files, timers, writer: createAccessLogWriter(files, path, errorLog, timers, buffering) };
}

/** Reads what is in a FIFO now. */
function drain(descriptor: number): string {
  const chunk = Buffer.alloc(65536);
  let content = '';
  for (;;) {
    try {
      const length = readSync(descriptor, chunk);
      if (length === 0) return content;
      content += chunk.toString('latin1', 0, length);
    } catch {
      return content;
    }
  }
}

function makeFifo(): string {
  const path = newPath();
  execFileSync('mkfifo', [path]);
  return path;
}

test('a path is opened once, made with mode 0644, and closed with its last user', () => {
  const path = newPath();
  const files = createOpenFiles();
  const mask = process.umask(0o022);
  const [one, other] = [files.open(path), files.open(path)];
  process.umask(mask);
  assert.equal(statSync(path).mode & 0o777, 0o644);
  assert.equal(openDescriptorsOf(path), 1);
  one.close();
  one.close();
  other.write(bytes('still open\n'));
  assert.equal(text(path), 'still open\n');
  other.close();
  assert.equal(openDescriptorsOf(path), 0);
  other.write(bytes('too late\n'));
  assert.equal(text(path), 'still open\n');
});

test('names with any bytes are the same file to the system', () => {
  const files = createOpenFiles();
  const path = `${directory}/caf\xc3\xa9.log`;
  files.open(path).write(bytes('x\n'));
  assert.ok(existsSync(join(directory, 'café.log')));
  files.closeAll();
});

test('files are appended to, whatever else writes there', () => {
  const path = newPath();
  const [files, others] = [createOpenFiles(), createOpenFiles()];
  const [mine, other] = [files.open(path), others.open(path)];
  mine.write(bytes('1\n'));
  other.write(bytes('2\n'));
  mine.write(bytes('3\n'));
  assert.equal(text(path), '1\n2\n3\n');
  files.closeAll();
  others.closeAll();
  assert.equal(openDescriptorsOf(path), 0);
});

test('after a rename, reopening goes on in a new file and what was gathered is in the old one', async () => {
  const path = newPath();
  const { files, writer } = access(path, { size: 4096, flush: 0, gzip: 0 });
  writer.write('before\n');
  renameSync(path, `${path}.1`);
  writer.write('renamed\n');
  assert.equal(text(`${path}.1`), '');
  const reports: string[] = [];
  files.reopen((message) => reports.push(message));
  writer.write('after\n');
  writer.close();
  assert.deepEqual(reports, []);
  assert.equal(text(`${path}.1`), 'before\nrenamed\n');
  assert.equal(text(path), 'after\n');
  assert.equal(openDescriptorsOf(path), 0);
});

test('a file that cannot be reopened is reported and stays as it was, and the others are reopened', () => {
  const files = createOpenFiles();
  const folder = join(directory, 'folder');
  mkdirSync(folder);
  const [lost, kept] = [join(folder, 'lost.log'), newPath()];
  const errorLog = createErrorLog([{ kind: 'file', path: kept, level: 4, json: false }], files);
  const file = files.open(lost);
  renameSync(folder, `${folder}.old`);
  renameSync(kept, `${kept}.1`);
  files.reopen((message) => errorLog.write('emerg', message));
  file.write(bytes('still written\n'));
  assert.equal(text(join(`${folder}.old`, 'lost.log')), 'still written\n');
  // In the error log as it is after reopening.
  assert.match(
    text(kept),
    new RegExp(`\\[emerg\\].*: open\\(\\) "${lost}" failed \\(2: No such file or directory\\)\n$`),
  );
  assert.equal(text(`${kept}.1`), '');

  mkdirSync(folder);
  files.reopen(assert.fail);
  file.write(bytes('new\n'));
  assert.equal(text(lost), 'new\n');
  files.closeAll();
  assert.equal(openDescriptorsOf(directory), 0);
});

test('files can be given to the user the program goes on as', { skip: process.getuid?.() !== 0 }, () => {
  const path = newPath();
  const files = createOpenFiles({ owner: 65534 });
  files.open(path);
  assert.equal(statSync(path).uid, 65534);
  renameSync(path, `${path}.1`);
  files.reopen(assert.fail);
  assert.equal(statSync(path).uid, 65534);
  chmodSync(path, 0o400);
  files.reopen(assert.fail);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  files.closeAll();
});

test('several threads append to one file and every line is whole', async () => {
  const path = newPath();
  const lines = 600;
  const names = ['a', 'b', 'c', 'd'];
  const threads = names.map(
    (name) =>
      new Worker(new URL('appending-thread.ts', import.meta.url), { workerData: { path, name, lines } }),
  );
  await Promise.all(threads.map((thread) => once(thread, 'exit')));
  const seen = new Map(names.map((name) => [name, 0]));
  let errors = 0;
  const threadNumbers = new Set<string>();
  for (const line of text(path).trimEnd().split('\n')) {
    const match = /^access (\w) (\d+) (\w*) end$/.exec(line);
    if (match !== null) {
      const [, name = '', number, filling] = match;
      assert.equal(Number(number), seen.get(name), 'in order within a thread');
      assert.equal(filling, name.repeat(Number(number) % 300));
      seen.set(name, Number(number) + 1);
    } else {
      const error = /^\S+ \S+ \[info\] \d+#(\d+): \*\d+ \d+ (\w*) end, client: (\w)$/.exec(line);
      assert.ok(error !== null, line);
      threadNumbers.add(`${error[1]}`);
      errors++;
    }
  }
  assert.deepEqual([...seen.values()], [lines, lines, lines, lines]);
  assert.equal(errors, 4 * (lines / 3));
  assert.equal(threadNumbers.size, 4, 'each thread has its own number');
});

test('several threads write to one FIFO and every line is whole', async () => {
  const path = makeFifo();
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const threads = ['a', 'b'].map(
    (name) =>
      new Worker(new URL('appending-thread.ts', import.meta.url), { workerData: { path, name, lines: 600 } }),
  );
  let content = '';
  let running = threads.length;
  for (const thread of threads) thread.once('exit', () => running--);
  while (running > 0) {
    content += drain(reader);
    await delay(1);
  }
  content += drain(reader);
  closeSync(reader);
  const lines = content.trimEnd().split('\n');
  for (const line of lines)
    assert.match(line, /^access (\w) \d+ \1* end$|\[info\] \d+#\d+: \*\d+ \d+ (\w*) end, client: \w$/);
  assert.equal(lines.length, 2 * 800);
});

test('the lines of one turn are written together at its end, and at once when they are many', async () => {
  const path = newPath();
  const { writer } = access(path);
  writer.write('one\n');
  writer.write('two \xff\n');
  assert.equal(text(path), '');
  await nextTurn();
  assert.equal(text(path), 'one\ntwo \xff\n');
  const line = `${'x'.repeat(99)}\n`;
  for (let count = 0; count < 1000; count++) writer.write(line);
  assert.ok(text(path).length > 60_000);
  await nextTurn();
  assert.equal(text(path).length, 10 + 100_000);
  writer.close();
  writer.write('too late\n');
  await nextTurn();
  assert.equal(text(path).length, 10 + 100_000);
});

test('two directives with the same file share its lines of a turn, in order', async () => {
  const path = newPath();
  const files = createOpenFiles();
  const timers = createTimerWheel();
  const [one, other] = [
    createAccessLogWriter(files, path, NO_ERROR_LOG, timers),
    createAccessLogWriter(files, path, NO_ERROR_LOG, timers),
  ];
  one.write('1\n');
  other.write('2\n');
  one.write('3\n');
  one.close();
  assert.equal(text(path), '1\n2\n3\n');
  other.write('4\n');
  files.flushSync();
  assert.equal(text(path), '1\n2\n3\n4\n');
  other.close();
  assert.deepEqual(files.paths(), []);
});

test('a buffer is written when the next line does not fit, a line larger than it directly', () => {
  const path = newPath();
  const { writer } = access(path, { size: 10, flush: 0, gzip: 0 });
  writer.write('1234\n');
  writer.write('5678\n');
  assert.equal(text(path), '');
  writer.write('9\n');
  assert.equal(text(path), '1234\n5678\n');
  writer.write('larger than ten\n');
  assert.equal(text(path), '1234\n5678\n9\nlarger than ten\n');
  writer.write('rest\n');
  writer.close();
  assert.equal(text(path), '1234\n5678\n9\nlarger than ten\nrest\n');
});

test('a buffer is written when its time is up, counted from its first line', async () => {
  const path = newPath();
  const { writer, timers } = access(path, { size: 65536, flush: 100, gzip: 0 });
  const start = performance.now();
  writer.write('one\n');
  assert.equal(timers.armed, 1);
  await delay(50);
  writer.write('two\n');
  assert.equal(text(path), '');
  while (timers.armed > 0) await delay(5);
  assert.ok(performance.now() - start >= 100);
  assert.equal(text(path), 'one\ntwo\n');
  writer.write('three\n');
  writer.close();
  assert.equal(timers.armed, 0);
  assert.equal(text(path), 'one\ntwo\nthree\n');
});

test('a full disk is reported once a minute and never throws', {
  skip: !existsSync('/dev/full'),
}, async () => {
  const { errorLog, alerts } = listening();
  const { writer, files } = access('/dev/full', undefined, errorLog);
  for (let turn = 0; turn < 30; turn++) {
    for (let line = 0; line < 1000; line++) writer.write(`${'x'.repeat(99)}\n`);
    await nextTurn();
  }
  assert.deepEqual(alerts, ['alert: write() to "/dev/full" failed (28: No space left on device)']);
  writer.close();
  // All 30,000 lines are accounted for when the file is given up.
  assert.deepEqual(alerts.slice(1), [
    'alert: write() to "/dev/full" failed (28: No space left on device), 30000 lines lost',
  ]);
  files.closeAll();
});

test('a FIFO is opened without a reader, and what it does not take waits for one', async () => {
  const path = makeFifo();
  const { errorLog, alerts } = listening();
  const { writer, files } = access(path, undefined, errorLog);
  const line = `${'x'.repeat(99)}\n`;
  const total = 5000; // 500 kB: more than a pipe holds, less than may wait
  for (let count = 0; count < total; count++) writer.write(line);
  await nextTurn();

  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  let content = '';
  while (content.length < total * 100) {
    content += drain(reader);
    await delay(5);
  }
  assert.equal(content, line.repeat(total));

  // The reader goes, and another one comes.
  closeSync(reader);
  writer.write('in between\n');
  await nextTurn();
  const next = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  writer.write('and on\n');
  writer.close();
  assert.equal(drain(next), 'in between\nand on\n');
  closeSync(next);
  files.closeAll();
  assert.deepEqual(alerts, [], 'a full pipe is no trouble as long as nothing is lost');
});

test('memory is bounded when nobody reads, and the lost lines are counted', () => {
  const path = makeFifo();
  const { errorLog, alerts } = listening();
  const { writer, files } = access(path, undefined, errorLog);
  const line = `${'x'.repeat(99)}\n`;
  const before = process.memoryUsage();
  for (let count = 0; count < 200_000; count++) writer.write(line);
  writer.flush();
  const after = process.memoryUsage();
  assert.ok(after.external + after.arrayBuffers - before.external - before.arrayBuffers < 8 * WAITING_LIMIT);
  const begin = performance.now();
  writer.close();
  // A reader is waited for, but not for ever.
  assert.ok(performance.now() - begin < 3000);
  const lost = Number(/, (\d+) lines lost$/.exec(alerts.at(-1) ?? '')?.[1]);
  assert.ok(lost > 180_000 && lost <= 200_000, alerts.join('\n'));
  files.closeAll();
});

test('a slow reader gets the last lines when the program stops', async () => {
  const path = makeFifo();
  const { writer, files } = access(path);
  const line = `${'y'.repeat(99)}\n`;
  const reader = new Worker(
    `const fs = require('node:fs');
     const { workerData, parentPort } = require('node:worker_threads');
     const descriptor = fs.openSync(workerData, fs.constants.O_RDONLY);
     parentPort.postMessage('open');
     const chunk = Buffer.alloc(16384);
     let length = 0;
     for (let got; (got = fs.readSync(descriptor, chunk)) > 0; ) {
       length += got;
       Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
     }
     parentPort.postMessage(length);`,
    { eval: true, workerData: path },
  );
  await once(reader, 'message');
  for (let count = 0; count < 3000; count++) writer.write(line);
  const read = once(reader, 'message');
  writer.close();
  files.closeAll();
  assert.deepEqual(await read, [300_000]);
});
