/**
 * Loaded into the program by a test (`NODE_OPTIONS=--import=.../crash.ts`): makes one worker thread throw whenever
 * the file named by NODE_TEST_CRASH_FILE appears. The thread that takes the file away is the one that throws, so it is
 * one for each file, and which one is chance.
 */
import { unlinkSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const file = process.env['NODE_TEST_CRASH_FILE'];

if (!isMainThread && file !== undefined) {
  setInterval(() => {
    try {
      unlinkSync(file);
    } catch {
      return;
    }
    throw new Error('the test has made this worker crash');
  }, 10).unref();
}
