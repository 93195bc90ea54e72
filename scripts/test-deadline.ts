/**
 * Loaded into every test file's process by scripts/test.sh. `--test-timeout` ends a test that hangs,
 * but not a file that keeps a server or a timer open after its last test: the runner would wait for it
 * forever. This ends such a file, and says what it left open.
 */
import { isMainThread } from 'node:worker_threads';

const deadlineMilliseconds = 180_000;

// Only in the process of a test file: not in the runner, nor in worker threads that a test starts.
if (isMainThread && process.env.NODE_TEST_CONTEXT?.startsWith('child')) {
  setTimeout(() => {
    const open = process.getActiveResourcesInfo().join(', ') || 'nothing known';
    process.stderr.write(
      `${process.argv[1]} has not ended after ${deadlineMilliseconds / 1000} s; still open: ${open}\n`,
    );
    process.exit(1);
  }, deadlineMilliseconds).unref();
}
