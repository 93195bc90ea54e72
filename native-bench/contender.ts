/** A peer with one setup of one workload, running. */
import { mkdirSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import type { Backend } from './backend.ts';
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
  const command = peer.prepare({ port, setup, backendPorts: backend.ports, directory });
  const kept = keeper.start({ ...command, cores });
  try {
    await keeper.waitForPort(kept, port);
    await checkAnswers(peer.name, port);
  } catch (error) {
    await keeper.end(kept);
    throw error;
  }
  return { peer, setup, port, kept };
}

/**
 * Asks for what the backend got: without the four headers, or on a new connection for each request, a
 * proxy would be doing less than the others, or more.
 */
async function checkAnswers(name: string, port: number): Promise<void> {
  // As many requests as the largest group has servers, and one more, so that a connection has to repeat.
  let connectionWasKept = false;
  for (let request = 0; request <= 40; request++) {
    const { status, body } = await ask(port, '/headers');
    const [host, realIp, forwardedFor, forwardedProto, servedOnConnection] = body.split('|');
    const wanted = ['127.0.0.1', '127.0.0.1', '10.1.2.3, 127.0.0.1', 'http'];
    const got = [host, realIp, forwardedFor, forwardedProto];
    if (status !== 200 || got.some((value, index) => value !== wanted[index])) {
      throw new Error(`${name} forwards something else: status ${status}, ${JSON.stringify(got)}`);
    }
    if (Number(servedOnConnection) > 1) connectionWasKept = true;
  }
  if (!connectionWasKept) throw new Error(`${name} does not keep its connections to the backend`);
}

function ask(port: number, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const options = {
      port,
      host: '127.0.0.1',
      path,
      headers: { 'X-Forwarded-For': '10.1.2.3' },
      agent: false,
    };
    const request = get(options, (response: IncomingMessage) => {
      let body = '';
      response.setEncoding('latin1');
      response.on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', reject);
    });
    request.setTimeout(10_000, () => request.destroy(new Error(`no answer from port ${port}`)));
    request.on('error', reject);
  });
}
