import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  errorLogTime,
  httpDate,
  iso8601,
  logTime,
  nowMilliseconds,
  wallMilliseconds,
} from '../../src/event/clock.ts';

/** Runs `ask` within one second of the clock, and returns that second too. */
async function withinOneSecond<Answer>(ask: () => Answer): Promise<{ second: number; answer: Answer }> {
  for (;;) {
    await nextTurn();
    const second = Math.floor(Date.now() / 1000);
    const answer = ask();
    if (Math.floor(Date.now() / 1000) === second) return { second, answer };
  }
}

test('the Date header has the form of RFC 9110', async () => {
  const { second, answer } = await withinOneSecond(httpDate);
  assert.match(answer, /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z][a-z] \d{4} \d\d:\d\d:\d\d GMT$/);
  assert.equal(Date.parse(answer) / 1000, second);
});

test('the other forms are those of nginx and tell the present second', async () => {
  const { second, answer } = await withinOneSecond(() => [logTime(), errorLogTime(), iso8601()] as const);
  const [log, error, iso] = answer;
  assert.match(log, /^\d\d\/[A-Z][a-z][a-z]\/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}$/);
  assert.match(error, /^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d$/);
  assert.match(iso, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d$/);
  assert.equal(Date.parse(iso) / 1000, second);
  assert.equal(new Date(error).getTime() / 1000, second);
});

test('the local zone is used, with half hours and west of Greenwich', () => {
  const source = `
    const { httpDate, logTime, errorLogTime, iso8601 } = await import(process.argv[1]);
    Date.now = () => 1_795_255_200_999; // 2026-11-21T10:00:00Z
    console.log(JSON.stringify([httpDate(), logTime(), errorLogTime(), iso8601()]));
    await new Promise(setImmediate);
    Date.now = () => 2_208_988_800_000; // beyond 32 bits
    console.log(JSON.stringify([httpDate()]));`;
  const clock = new URL('../../src/event/clock.ts', import.meta.url).href;
  const run = (zone: string) => {
    const options = { env: { ...process.env, TZ: zone }, encoding: 'utf8' } as const;
    const result = spawnSync(process.execPath, ['--input-type=module', '-e', source, clock], options);
    return result.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as string[]);
  };
  assert.deepEqual(run('Asia/Kolkata'), [
    [
      'Sat, 21 Nov 2026 10:00:00 GMT',
      '21/Nov/2026:15:30:00 +0530',
      '2026/11/21 15:30:00',
      '2026-11-21T15:30:00+05:30',
    ],
    ['Sun, 01 Jan 2040 00:00:00 GMT'],
  ]);
  assert.deepEqual(run('America/St_Johns')[0]?.slice(1), [
    '21/Nov/2026:06:30:00 -0330',
    '2026/11/21 06:30:00',
    '2026-11-21T06:30:00-03:30',
  ]);
});

test('the same second is formatted once and the next one anew', async (context) => {
  await nextTurn();
  context.mock.timers.enable({ apis: ['Date'], now: 784_111_777_000 });
  const first = httpDate();
  assert.equal(first, 'Sun, 06 Nov 1994 08:49:37 GMT');
  context.mock.timers.setTime(784_111_777_999);
  await nextTurn();
  assert.equal(httpDate(), first);
  context.mock.timers.setTime(784_111_778_000);
  await nextTurn();
  assert.equal(httpDate(), 'Sun, 06 Nov 1994 08:49:38 GMT');
  // A clock that is set back is followed too.
  context.mock.timers.setTime(784_111_777_000);
  await nextTurn();
  assert.equal(httpDate(), first);
});

test('one turn of the event loop has one time', async (context) => {
  await nextTurn();
  context.mock.timers.enable({ apis: ['Date'], now: 1000 });
  const monotonic = nowMilliseconds();
  assert.equal(wallMilliseconds(), 1000);
  context.mock.timers.setTime(2000);
  for (const start = performance.now(); performance.now() - start < 3; );
  assert.equal(wallMilliseconds(), 1000);
  assert.equal(nowMilliseconds(), monotonic);
  await nextTurn();
  assert.equal(wallMilliseconds(), 2000);
  assert.ok(nowMilliseconds() - monotonic >= 3);
});

test('the monotonic clock does not follow changes of the time of day', (context) => {
  const before = nowMilliseconds();
  context.mock.timers.enable({ apis: ['Date'], now: 0 });
  const after = nowMilliseconds();
  assert.ok(after >= before && after - before < 1000);
});
