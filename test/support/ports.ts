/** Ports nobody listens on, for configurations that a test writes. */
import { createServer, type Server } from 'node:net';

/** Given out by this process already: never twice, however long ago. */
const given = new Set<number>();

/**
 * Ports of 127.0.0.1 that were free a moment ago, all different.
 *
 * The system hands out ephemeral ports from a wide range and comes back to one late, so nobody else gets it soon.
 */
export async function freePorts(count: number): Promise<number[]> {
  const holders: Server[] = [];
  const ports: number[] = [];
  while (ports.length < count) {
    const holder = createServer();
    holders.push(holder);
    await new Promise<void>((resolve, reject) => {
      holder.once('error', reject);
      holder.listen(0, '127.0.0.1', resolve);
    });
    const address = holder.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    if (given.has(address.port)) continue;
    given.add(address.port);
    ports.push(address.port);
  }
  await Promise.all(holders.map((holder) => new Promise((resolve) => holder.close(resolve))));
  return ports;
}

/** One such port. */
export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  return port!;
}
