import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { parseSchedstat, processorBetween, processTree, readClocks } from '../../native-bench/accounting.ts';
import { parseCoreList, placeOn } from '../../native-bench/machine.ts';
import { readOptions } from '../../native-bench/options.ts';
import { fillTemplate } from '../../native-bench/template.ts';
import { describeErrors, parseWrk } from '../../native-bench/wrk.ts';

const counted =
  '{"requests":1000,"duration":1000000,"bytes":5000,"connect":0,"read":0,"write":0,"status":2,"timeout":0,"p50":500,"p99":900}';

test('what wrk counted is read from the line of our script', () => {
  const result = parseWrk(`Running 1s test\n  Non-2xx or 3xx responses: 2\n\nportico-bench ${counted}\n`);
  assert.equal(result.requests, 1000);
  assert.equal(result.p99, 900);
  assert.equal(describeErrors(result), '2 answers of 400 or above');
});

test('output of wrk without that line is an error that shows the output', () => {
  assert.throws(
    () => parseWrk('unable to connect to 127.0.0.1:1 Connection refused\n'),
    /Connection refused/,
  );
});

test('a run without any answer is no valid run', () => {
  const nothing = { ...parseWrk(`\nportico-bench ${counted}\n`), requests: 0, bytes: 0, status: 0 };
  assert.equal(describeErrors(nothing), 'no answer at all');
});

test('schedstat is read in microseconds', () => {
  assert.deepEqual(parseSchedstat('2500000 1000 7\n'), { processor: 2500, waited: 1 });
  assert.equal(parseSchedstat(''), undefined);
});

test('a thread that is new between two readings counts from nothing', () => {
  const before = { processor: new Map([['1/1', 10]]), waited: 0 };
  const after = {
    processor: new Map([
      ['1/1', 15],
      ['1/2', 3],
    ]),
    waited: 0,
  };
  assert.equal(processorBetween(before, after), 8);
});

test('processor time is counted for all that a process has started', {
  skip: process.platform !== 'linux',
}, async () => {
  // The shell waits; its child is the one that works.
  const work =
    'process.stdout.write("x"); const end = performance.now() + 60000; while (performance.now() < end);';
  const shell = spawn('/bin/sh', ['-c', '"$0" -e "$1"; true', process.execPath, work], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await once(shell.stdout, 'data');
    const before = readClocks(processTree(shell.pid!));
    const started = performance.now();
    while (performance.now() - started < 100) await new Promise((resolve) => setTimeout(resolve, 10));
    const tree = processTree(shell.pid!);
    assert.equal(tree.length, 2);
    assert.ok(processorBetween(before, readClocks(tree)) > 1000);
  } finally {
    process.kill(-shell.pid!, 'SIGKILL');
    await once(shell, 'exit');
  }
});

test('sets of processors are read in the form the kernel writes them', () => {
  assert.deepEqual(parseCoreList('0-3,8\n'), [0, 1, 2, 3, 8]);
  assert.deepEqual(parseCoreList('1'), [1]);
});

test('each worker of the proxy has a processor and the load the next one; where there are too few, all share', () => {
  assert.deepEqual(placeOn([0, 1, 2, 3], 1).proxy, [0]);
  assert.deepEqual(placeOn([0, 1, 2, 3], 1).load, [1]);
  assert.deepEqual(placeOn([0, 1, 2, 3], 2).load, [2]);
  assert.deepEqual(placeOn([0, 1], 2).proxy, [0, 1]);
  assert.deepEqual(placeOn([0, 1], 2).load, [0, 1]);
});

test('a template is filled in; a line of nothing but an empty value goes away', () => {
  assert.equal(
    fillTemplate('a @b@;\n  @c@\n  @d@\nend\n', { b: '$x', c: '', d: 'd;' }),
    'a $x;\n  d;\nend\n',
  );
});

test('a value that is missing from a template, or that no place asks for, is an error', () => {
  assert.throws(() => fillTemplate('@a@', {}), /no value for @a@/);
  assert.throws(() => fillTemplate('', { a: '' }), /nothing asks for a/);
});

test('options are read, and what is not known is an error that says what is', () => {
  const options = readOptions(
    [
      '--only',
      'keepalive,1m',
      '--peers',
      'nginx',
      '--peers',
      'portico',
      '--rounds',
      '5',
      '--sweep',
      'worker_connections=256,1024',
    ],
    'last.json',
  );
  assert.deepEqual(options?.workloads, ['keepalive', '1m']);
  assert.deepEqual(options?.peers, ['portico', 'nginx']);
  assert.equal(options?.method.rounds, 5);
  assert.deepEqual(options?.sweep, { setting: 'worker_connections', values: [256, 1024] });
  assert.equal(options?.json, 'last.json');
  assert.throws(() => readOptions(['--only', 'nothing'], ''), /no nothing; there are keepalive/);
  assert.throws(() => readOptions(['--rounds', '0'], ''), /above 0/);
  assert.throws(() => readOptions(['--rounds', '2.5'], ''), /whole number/);
  assert.throws(() => readOptions(['--sweep', 'keepalive=1'], ''), /worker_connections or worker_processes/);
  assert.equal(readOptions(['--help'], ''), undefined);
});

test('a quick run leaves out what takes long, unless it is asked for by name', () => {
  assert.ok(readOptions(['--quick'], '')?.workloads.includes('handshakes'));
  assert.ok(!readOptions(['--quick'], '')?.workloads.includes('idle-tls'));
  assert.ok(readOptions([], '')?.workloads.includes('idle-tls'));
  assert.deepEqual(readOptions(['--quick', '--only', 'idle-tls'], '')?.workloads, ['idle-tls']);
});
