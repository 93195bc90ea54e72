/** Ports for the proxies and the backend. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';

/** Given out by this process already. */
const given = new Set<number>();

/**
 * Free ports of 127.0.0.1, all different, below the range from which the system takes the ports of
 * outgoing connections: the load opens tens of thousands of those, and one of them could otherwise sit on
 * a port before its proxy has started.
 *
 * @throws Error when there are not that many
 */
export async function freePorts(count: number): Promise<number[]> {
  const ceiling = Math.max(lowestEphemeralPort(), 4096);
  const floor = Math.min(10_000, ceiling >> 1);
  const ports: number[] = [];
  // Begin somewhere at random: two runs at a time then rarely meet.
  let candidate = floor + Math.floor(Math.random() * (ceiling - floor));
  for (let tried = floor; tried < ceiling && ports.length < count; tried++) {
    candidate = candidate + 1 < ceiling ? candidate + 1 : floor;
    if (given.has(candidate) || !(await isFree(candidate))) continue;
    given.add(candidate);
    ports.push(candidate);
  }
  if (ports.length < count) throw new Error(`fewer than ${count} ports are free`);
  return ports;
}

function lowestEphemeralPort(): number {
  try {
    return Number.parseInt(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'latin1'), 10);
  } catch {
    return 32_768; // Linux's default
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
