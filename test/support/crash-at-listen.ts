/**
 * Loaded into the program by a test (`NODE_OPTIONS=--import=.../crash-at-listen.ts`): makes one worker thread throw in
 * the moment in which the master tells it to listen, which is a step of every reload, if there is the file named by
 * NODE_TEST_CRASH_FILE. As with crash.ts, the thread that takes the file away is the one.
 */
import { unlinkSync } from 'node:fs';
import { isMainThread, MessagePort } from 'node:worker_threads';
import { unpack } from 'msgpackr';

const file = process.env['NODE_TEST_CRASH_FILE'];

function isListen(message: unknown): boolean {
  return message instanceof Uint8Array && (unpack(message) as { kind: string }).kind === 'listen';
}

if (!isMainThread && file !== undefined) {
  const { on } = MessagePort.prototype;
  MessagePort.prototype.on = function (
    this: MessagePort,
    event: string,
    listener: (message: unknown) => void,
  ) {
    return on.call(this, event, (message: unknown) => {
      if (event === 'message' && isListen(message)) {
        try {
          unlinkSync(file);
          // Before it does what it was told.
          process.nextTick(() => {
            throw new Error('the test has made this worker crash');
          });
        } catch {
          // Another one's turn, or nobody's.
        }
      }
      listener(message);
    });
  } as typeof on;
}
