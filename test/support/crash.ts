/**
 * Loaded into the program by a test (`NODE_OPTIONS=--import=.../crash.ts`): makes one worker thread throw whenever
 * the file named by NODE_TEST_CRASH_FILE appears. The thread that takes the file away is the one that throws, so it is
 * one for each file, and which one is chance; or the one whose number, as in the log, is in the file, which must have it
 * from the beginning.
 */
import { readFileSync, unlinkSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { threadNumber } from '../../src/log/error-log.ts';

const file = process.env['NODE_TEST_CRASH_FILE'];

if (!isMainThread && file !== undefined) {
  setInterval(() => {
    try {
      const wanted = readFileSync(file, 'latin1');
      if (wanted !== '' && wanted !== String(threadNumber)) return;
      unlinkSync(file);
    } catch {
      return;
    }
    throw new Error('the test has made this worker crash');
  }, 10).unref();
}
