/**
 * Loaded into the program by a test (`file-stall.ts`): whenever the named pipe NODE_TEST_STALL_PIPE appears, the one thread
 * that does file work for all event loops opens it, which takes until somebody else opens it for writing. There is a file
 * beside it meanwhile.
 */
import { close, existsSync, open, rmSync, writeFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const pipe = process.env['NODE_TEST_STALL_PIPE'];

if (isMainThread && pipe !== undefined) {
  let stalled = false;
  setInterval(() => {
    if (stalled || !existsSync(pipe)) return;
    stalled = true;
    open(pipe, 'r', (error, descriptor) => {
      if (error === null) close(descriptor);
      stalled = false;
      rmSync(`${pipe}.stalled`);
    });
    // What is asked for from now on stands in line behind that.
    writeFileSync(`${pipe}.stalled`, '');
  }, 10).unref();
}
