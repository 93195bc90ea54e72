/**
 * Loaded into the program by a test (`NODE_OPTIONS="--expose-gc --import=.../endurance-heap.ts"`): whenever the file
 * named by NODE_TEST_HEAP_FILE has changed, each thread collects its garbage and writes how much memory is in use then,
 * in bytes, to `FILE.THREAD.CONTENT`, where CONTENT is what stands in the file. Resident memory would tell less: how
 * much garbage a thread lets lie before it collects it is its own affair.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { threadId } from 'node:worker_threads';

const file = process.env['NODE_TEST_HEAP_FILE'];

if (file !== undefined) {
  let last = '';
  setInterval(() => {
    let wanted: string;
    try {
      wanted = readFileSync(file, 'latin1');
    } catch {
      return;
    }
    if (wanted === last || wanted === '') return;
    last = wanted;
    // The first finds what the second can let go: weak references, and memory outside the heap.
    globalThis.gc?.();
    setTimeout(() => {
      globalThis.gc?.();
      const { heapUsed, external } = process.memoryUsage();
      const name = `${file}.${threadId}.${wanted}`;
      writeFileSync(`${name}.new`, String(heapUsed + external));
      renameSync(`${name}.new`, name);
    }, 50);
  }, 20).unref();
}
