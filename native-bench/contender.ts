/** A peer with one setup of one workload, running. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Backend } from './backend.ts';
import { checkContender } from './check.ts';
import type { Peer } from './peers.ts';
import { freePorts } from './ports.ts';
import type { Keeper, Kept } from './process-keeper.ts';
import type { Setup } from './setup.ts';

/** See startContender. */
export interface Contender {
  readonly peer: Peer;
  readonly setup: Setup;
  readonly port: number;
  readonly kept: Kept;
}

let directories = 0;

/**
 * Starts a peer, waits until it accepts connections, and checks that it does what the others do.
 * @throws Error when it does not
 */
export async function startContender(
  keeper: Keeper,
  peer: Peer,
  setup: Setup,
  backend: Backend,
  cores: readonly number[],
): Promise<Contender> {
  const [port] = await freePorts(1);
  const directory = join(keeper.directory, `${++directories}-${peer.name}`);
  mkdirSync(directory);
  const { ports: backendPorts, echoPort } = backend;
  const sharedDirectory = keeper.directory;
  const command = peer.prepare({ port, setup, backendPorts, echoPort, directory, sharedDirectory });
  const kept = keeper.start({ ...command, cores });
  try {
    await keeper.waitForPort(kept, port);
    await checkContender(peer.name, port, setup);
  } catch (error) {
    await keeper.end(kept);
    throw error;
  }
  return { peer, setup, port, kept };
}
