import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import { nowMilliseconds } from '../../src/event/clock.ts';
import { createTimerWheel, TICK, type Timer, type TimerWheel } from '../../src/event/timers.ts';

/** A clock and scheduler that stand still until told otherwise. */
function handTurned(): {
  wheel: TimerWheel;
  now: () => number;
  /** Lets time pass, waking the wheel whenever it asked to be, but not while `stalled` ms pass at the start. */
  pass: (milliseconds: number, stalled?: number) => void;
  wakeups: () => number;
  scheduled: () => boolean;
} {
  let time = 1234.5;
  let wakeups = 0;
  let pending: { at: number; wake: () => void } | undefined;
  const wheel = createTimerWheel({
    now: () => time,
    schedule: (wake, milliseconds) => {
      assert.equal(pending, undefined, 'one Node timer at a time');
      assert.ok(Number.isInteger(milliseconds) && milliseconds >= 1);
      const mine = { at: time + milliseconds, wake };
      pending = mine;
      return () => {
        if (pending === mine) pending = undefined;
      };
    },
  });
  return {
    wheel,
    now: () => time,
    wakeups: () => wakeups,
    scheduled: () => pending !== undefined,
    pass(milliseconds, stalled = 0) {
      const end = time + milliseconds;
      time += Math.min(stalled, milliseconds);
      while (pending !== undefined && pending.at <= end) {
        const { at, wake } = pending;
        pending = undefined;
        time = Math.max(time, at);
        wakeups++;
        wake();
      }
      time = end;
    },
  };
}

test('a timer fires once, not before its time and at most a tick late', () => {
  const { wheel, now, pass } = handTurned();
  for (const milliseconds of [
    0,
    1,
    TICK,
    TICK + 1,
    999.5,
    60_000,
    102_399,
    102_400,
    250_000,
    3 * 86_400_000,
  ]) {
    const fired: number[] = [];
    const timer = wheel.timer(() => fired.push(now()));
    const start = now();
    timer.start(milliseconds);
    assert.ok(timer.armed);
    pass(milliseconds + 2 * TICK);
    assert.equal(fired.length, 1, `${milliseconds} ms`);
    assert.ok((fired[0] ?? 0) >= start + milliseconds, `${milliseconds} ms: early`);
    assert.ok((fired[0] ?? 0) <= start + milliseconds + TICK + 1, `${milliseconds} ms: late`);
    assert.ok(!timer.armed);
  }
});

test('any sequence of starts, moves, stops, pauses and stalls fires what a plain list of deadlines would', () => {
  const duration = fc.oneof(fc.integer({ min: -5, max: 400 }), fc.integer({ min: 0, max: 400_000 }));
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('start' as const),
        index: fc.nat(19),
        milliseconds: duration,
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant('stop' as const), index: fc.nat(19), milliseconds: duration }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant('pass' as const), index: fc.nat(1), milliseconds: duration }),
    },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const { wheel, now, pass, scheduled } = handTurned();
      const deadlines = new Map<number, number>();
      /** Until when the event loop was held up. */
      let stalledUntil = 0;
      const timers: Timer[] = [];
      for (let index = 0; index < 20; index++) {
        timers.push(
          wheel.timer((owner: number) => {
            const deadline = deadlines.get(owner);
            assert.ok(deadline !== undefined, 'fired though not armed');
            deadlines.delete(owner);
            assert.ok(now() >= deadline, 'fired early');
            assert.ok(now() <= Math.max(deadline, stalledUntil) + TICK + 1, `fired ${now() - deadline} late`);
            // Every third starts again from its own callback, and stops a neighbour that may be due as well.
            if (owner % 3 === 0) {
              deadlines.set(owner, now() + 333);
              timers[owner]?.start(333);
              deadlines.delete(owner + 1);
              timers[owner + 1]?.stop();
            }
          }, index),
        );
      }
      for (const { kind, index, milliseconds } of steps) {
        if (kind === 'start') {
          timers[index]?.start(milliseconds);
          deadlines.set(index, now() + Math.max(0, milliseconds));
        } else if (kind === 'stop') {
          timers[index]?.stop();
          deadlines.delete(index);
        } else {
          const passing = Math.max(0, milliseconds);
          const stalled = index === 1 ? Math.min(passing, 200_000) : 0;
          stalledUntil = now() + stalled;
          pass(passing, stalled);
          for (const [owner, deadline] of deadlines) {
            assert.ok(
              deadline > now() - TICK - 1 || now() < stalledUntil + TICK,
              `timer ${owner} was forgotten`,
            );
          }
        }
        assert.equal(wheel.armed, deadlines.size);
        assert.equal(scheduled(), deadlines.size > 0, 'the Node timer runs exactly while timers are armed');
        timers.forEach((timer, owner) => assert.equal(timer.armed, deadlines.has(owner)));
      }
      wheel.stopAll();
      assert.equal(wheel.armed, 0);
      assert.ok(!scheduled());
    }),
    { numRuns: 400, seed: 20261121 },
  );
});

test('a callback that throws does not keep the others of its tick from being called', () => {
  const { wheel, pass } = handTurned();
  const called: string[] = [];
  const fail = (name: string) => {
    called.push(name);
    throw new Error(name);
  };
  wheel.timer(fail, 'a').start(10);
  wheel.timer(() => called.push('b')).start(10);
  assert.throws(() => pass(100), { message: 'a' });
  assert.deepEqual(called.sort(), ['a', 'b']);

  wheel.timer(fail, 'c').start(10);
  wheel.timer(fail, 'd').start(10);
  const later = wheel.timer(() => called.push('e'));
  later.start(500);
  assert.throws(() => pass(100), AggregateError);
  pass(1000);
  assert.deepEqual(called.sort(), ['a', 'b', 'c', 'd', 'e']);
});

test('a timer moved again and again fires after the last move only', () => {
  const { wheel, now, pass } = handTurned();
  let firedAt = 0;
  const timer = wheel.timer(() => {
    firedAt = now();
  });
  for (let move = 0; move < 1000; move++) {
    timer.start(60_000);
    pass(1000);
  }
  assert.equal(firedAt, 0);
  const end = now() - 1000 + 60_000;
  pass(70_000);
  assert.ok(firedAt >= end && firedAt <= end + TICK + 1);
});

test('with nothing due soon the thread is woken about once a second', () => {
  const { wheel, pass, wakeups } = handTurned();
  wheel.timer(() => {}).start(60_000);
  pass(50_000);
  assert.ok(wakeups() <= 60, `${wakeups()} times`);
});

test('fifty thousand armed timers are next to no work for a tick', () => {
  const { wheel, pass, wakeups } = handTurned();
  let fired = 0;
  const timers = Array.from({ length: 50_000 }, () => wheel.timer(() => fired++));
  timers.forEach((timer, index) => timer.start(60_000 + index));
  const begin = performance.now();
  pass(59_000);
  const perWakeup = (performance.now() - begin) / wakeups();
  assert.equal(fired, 0);
  assert.ok(perWakeup < 1, `${perWakeup} ms`);
  wheel.stopAll();
});

test('starting, moving and stopping take no memory', () => {
  const wheel = createTimerWheel();
  const timer = wheel.timer(() => {});
  const other = wheel.timer(() => {});
  other.start(1e6);
  const rounds = (count: number) => {
    for (let round = 0; round < count; round++) {
      timer.start(60_000);
      timer.start(61_000);
      timer.start(100);
      timer.stop();
    }
  };
  rounds(50_000);
  const before = process.memoryUsage().heapUsed;
  rounds(200_000);
  const each = (process.memoryUsage().heapUsed - before) / 800_000;
  // performance.now() gives a fresh number until the compiler has seen through it; a Timeout is 200 bytes.
  assert.ok(each < 40, `${each} bytes each`);
  wheel.stopAll();
});

test('with the real clock timers are neither early nor more than a tick late', async () => {
  const wheel = createTimerWheel({ keepAlive: true });
  const durations = [0, 3, 24, 26, 50, 99, 180, 333];
  await Promise.all(
    durations.map(
      (milliseconds) =>
        new Promise<void>((resolve, reject) => {
          // As the wheel sees it: the time of this turn of the event loop.
          const start = nowMilliseconds();
          // A machine that is busy is late with this one too.
          const late = setTimeout(
            () => reject(new Error(`${milliseconds} ms: not by a tick later`)),
            milliseconds + 2 * TICK,
          );
          const timer = wheel.timer(() => {
            clearTimeout(late);
            const elapsed = performance.now() - start;
            if (elapsed < milliseconds) reject(new Error(`${milliseconds} ms: after ${elapsed}`));
            else resolve();
          });
          timer.start(milliseconds);
        }),
    ),
  );
});

test('an error in a callback is an uncaught exception, as with a Node timer', async () => {
  const wheel = createTimerWheel({ keepAlive: true });
  let survived = false;
  const uncaught = new Promise<unknown>((resolve) => {
    process.setUncaughtExceptionCaptureCallback(resolve);
  });
  const survivor = new Promise<void>((resolve) => {
    wheel
      .timer(() => {
        survived = true;
        resolve();
      })
      .start(60);
  });
  wheel
    .timer(() => {
      throw new Error('in a timer');
    })
    .start(1);
  assert.match(String(await uncaught), /in a timer/);
  process.setUncaughtExceptionCaptureCallback(null);
  await survivor;
  assert.ok(survived);
});

test('armed timers keep a program alive only if asked to', () => {
  const timers = new URL('../../src/event/timers.ts', import.meta.url).href;
  const run = (keepAlive: boolean) => {
    const source = `
      const { createTimerWheel } = await import(${JSON.stringify(timers)});
      createTimerWheel({ keepAlive: ${keepAlive} }).timer(() => console.log('fired')).start(100);`;
    return spawnSync(process.execPath, ['--input-type=module', '-e', source], { encoding: 'utf8' }).stdout;
  };
  assert.equal(run(true), 'fired\n');
  assert.equal(run(false), '');
});
