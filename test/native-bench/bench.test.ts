import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { findProgram } from '../../native-bench/machine.ts';
import type { Report } from '../../native-bench/results.ts';
import { until } from '../support/wait.ts';

const bench = fileURLToPath(new URL('../../native-bench/bench.ts', import.meta.url));
const missing = ['wrk', 'nginx', 'taskset'].filter((name) => findProgram(name) === undefined);
const skip = missing.length > 0 ? `not installed: ${missing.join(', ')}` : false;

/** Starts the bench with temporary files of its own, so that what it leaves behind shows. */
function start(directory: string, ...options: string[]) {
  const child = spawn(process.execPath, [bench, ...options], {
    env: { ...process.env, TMPDIR: directory },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  return { child, output: () => output };
}

/** Processes that name this directory in their command line. */
function processesOf(directory: string): string[] {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'latin1').includes(directory);
    } catch {
      return false; // it has ended
    }
  });
}

test('a short run weighs Portico and nginx, writes both files, and leaves nothing behind', {
  skip,
}, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'portico-bench-test-'));
  const json = join(directory, 'out.json');
  try {
    const { child, output } = start(
      directory,
      ...[
        '--only',
        'keepalive',
        '--peers',
        'portico,nginx',
        '--rounds',
        '1',
        '--seconds',
        '0.3',
        '--json',
        json,
      ],
    );
    const [code] = (await once(child, 'close')) as [number | null];
    assert.equal(code, 0, output());
    const report = JSON.parse(readFileSync(json, 'utf8')) as Report;
    const [{ lines }] = report.workloads;
    assert.deepEqual(
      lines.map((line) => line.peer),
      ['portico', 'nginx'],
    );
    for (const line of lines) assert.ok(line.cost > 0 && line.requestsPerSecond > 0 && line.memory > 0);
    assert.ok(lines[0].ratioToNginx > 0);
    assert.match(readFileSync(join(directory, 'out.svg'), 'utf8'), /^<svg /);
    assert.deepEqual(readdirSync(directory).sort(), ['out.json', 'out.svg']);
    assert.deepEqual(processesOf(directory), []);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test('a signal ends all that runs, and removes the temporary files', { skip }, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'portico-bench-test-'));
  try {
    const { child, output } = start(
      directory,
      '--only',
      'keepalive',
      '--peers',
      'nginx',
      '--json',
      join(directory, 'out.json'),
    );
    const closed = once(child, 'close');
    const explain = { explain: output };
    await until(
      'wrk',
      () => processesOf(directory).length >= 2 && readdirSync(directory).length > 0,
      explain,
    );
    child.kill('SIGINT');
    const [code] = (await closed) as [number | null];
    assert.equal(code, 130, output());
    assert.deepEqual(readdirSync(directory), []);
    await until('the end of its processes', () => processesOf(directory).length === 0);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
