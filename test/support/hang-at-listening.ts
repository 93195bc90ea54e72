/**
 * Loaded into the program by a test (`NODE_OPTIONS=--import=.../hang-at-listening.ts`): a worker that has said that it
 * listens does nothing as long as there is the file named by NODE_TEST_HANG_FILE.
 */
import { existsSync } from 'node:fs';
import { isMainThread, MessagePort } from 'node:worker_threads';
import { unpack } from 'msgpackr';

const file = process.env['NODE_TEST_HANG_FILE'] ?? '';
const nothing = new Int32Array(new SharedArrayBuffer(4));

if (!isMainThread) {
  const { postMessage } = MessagePort.prototype;
  MessagePort.prototype.postMessage = function (this: MessagePort, message: unknown) {
    postMessage.call(this, message);
    if (!(message instanceof Uint8Array)) return;
    if ((unpack(message) as { kind?: string }).kind !== 'listening') return;
    while (existsSync(file)) Atomics.wait(nothing, 0, 0, 10);
  } as typeof postMessage;
}
