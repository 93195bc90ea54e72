import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

/** A thread started for a test. */
export interface TestThread {
  worker: Worker;
  /** Resolves with the exit code; rejects where the thread threw. */
  exit: Promise<number>;
}

/** Starts a thread on a file. */
export function startThread(file: URL, workerData: unknown): TestThread {
  const worker = new Worker(file, { workerData });
  const exit = once(worker, 'exit').then(([code]) => code as number);
  return { worker, exit };
}

/** The next message of a thread. */
export async function messageOf(thread: TestThread): Promise<unknown> {
  const [message] = await once(thread.worker, 'message');
  return message;
}
