import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Backend, startBackend } from '../../native-bench/backend.ts';
import { allowedCores, findProgram, placeOn } from '../../native-bench/machine.ts';
import { peers } from '../../native-bench/peers.ts';
import { createKeeper, type Keeper } from '../../native-bench/process-keeper.ts';
import { summarize } from '../../native-bench/results.ts';
import { formatTable } from '../../native-bench/table.ts';
import { weigh } from '../../native-bench/weigh.ts';
import { type Workload, workloads } from '../../native-bench/workloads.ts';

const missing = ['wrk', 'nginx', 'taskset'].filter((name) => findProgram(name) === undefined);
const skip = missing.length > 0 ? `not installed: ${missing.join(', ')}` : false;

let keeper: Keeper;
let backend: Backend;
const placement = placeOn(allowedCores(), 1);

before(async () => {
  if (skip !== false) return;
  keeper = createKeeper();
  backend = await startBackend(keeper, placement.load);
});
after(() => keeper?.endAll());

function named(name: string): Workload {
  return workloads.find((each) => each.name === name)!;
}

/** One short round; every peer that is there and can must take part in it, validly. */
async function weighShortly(workload: Workload, names: readonly string[]) {
  const notes: string[] = [];
  const present = peers.filter((peer) => names.includes(peer.name) && peer.version() !== undefined);
  const able = present.filter((peer) => workload.setups.every((setup) => peer.unable(setup) === undefined));
  const weighing = await weigh(
    ...([keeper, workload, present, backend, placement] as const),
    { rounds: 1, seconds: 0.5, warmUp: 0.4 },
    () => {},
    (line) => notes.push(line),
  );
  assert.deepEqual(weighing.failures, []);
  const report = summarize(weighing);
  assert.deepEqual(
    report.lines.map((line) => line.peer),
    able.map((peer) => peer.name),
    notes.join('\n'),
  );
  for (const line of report.lines) assert.deepEqual(line.trouble, [], line.peer);
  return report;
}

// Side by side: most of the time of each is waiting, and no figure matters here.
describe('each workload of its own kind, for a moment', { skip, concurrency: true }, () => {
  test('small answers over TLS are weighed', async () => {
    const { lines } = await weighShortly(named('tls'), ['portico', 'nginx']);
    for (const line of lines) assert.ok(line.cost > 0 && line.requestsPerSecond > 0, line.peer);
  });

  test('full handshakes are weighed, and none of them resumes a session', async () => {
    const report = await weighShortly(named('handshakes'), ['portico-uws', 'haproxy']);
    for (const line of report.lines) {
      assert.ok(line.cost > 0, line.peer);
      assert.equal(line.resumed, 0, line.peer);
    }
  });

  test('handshakes that resume sessions are weighed', async () => {
    const workload = { ...named('resumed'), handshakes: { connections: 2, resume: true } };
    const report = await weighShortly(workload, ['nginx']);
    for (const line of report.lines) assert.ok(line.cost > 0, line.peer);
    assert.match(formatTable(report), /resumed/);
  });

  test('messages over WebSockets are weighed', async () => {
    const report = await weighShortly(named('websocket'), ['portico', 'portico-uws', 'nginx', 'haproxy']);
    for (const line of report.lines) assert.ok(line.cost > 0, line.peer);
    assert.match(formatTable(report), /us\/message.*messages\/s/);
  });

  for (const name of ['idle-tls', 'idle-websocket']) {
    test(`idle connections of the workload ${name} are opened, weighed and still there`, async () => {
      await weighShortly({ ...named(name), idle: 100 }, ['nginx']);
    });
  }
});

test('libraries are left out of what they are not set up for, with one line for all of them', {
  skip,
}, async () => {
  const notes: string[] = [];
  const libraries = peers.filter((peer) => peer.library && peer.version() !== undefined);
  const { series } = await weigh(
    ...([keeper, named('tls'), libraries, backend, placement] as const),
    { rounds: 1, seconds: 0.5, warmUp: 0.4 },
    () => {},
    (line) => notes.push(line),
  );
  assert.deepEqual(series, []);
  assert.deepEqual(notes, [`${libraries.map((peer) => peer.name).join(', ')} left out: not set up for TLS`]);
});
