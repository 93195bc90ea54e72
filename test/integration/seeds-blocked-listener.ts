/**
 * A thread that listens and never accepts: once its queue is full, the kernel answers nobody who connects. Posts its
 * port, then sleeps until the first number of the shared array it was given is no longer 0.
 */
import { createServer } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';

const gate = workerData as Int32Array;
const server = createServer();
server.listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
  parentPort!.postMessage(address.port);
  Atomics.wait(gate, 0, 0);
  process.exit();
});
