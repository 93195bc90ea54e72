/** Runs of the loads that are ours, in load/, for what wrk cannot do. */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Command, Keeper } from './process-keeper.ts';
import type { LoadResult } from './wrk.ts';

/** How long a load may take to begin and to end beside its time, in milliseconds. */
const PATIENCE = 30_000;

/** What both need to know. */
interface OwnLoad {
  readonly connections: number;
  readonly seconds: number;
}

function commandOf(name: string, cores: readonly number[], ...values: (number | string)[]): Command {
  const script = fileURLToPath(new URL(`load/${name}.ts`, import.meta.url));
  return { name, program: process.execPath, arguments: [script, ...values.map(String)], cores };
}

/**
 * Makes a TLS connection to a port of 127.0.0.1 for each request.
 * @returns what was counted, with how many resumed the session of an earlier one
 * @throws Error when the load does not come to its end
 */
export async function runHandshakes(
  keeper: Keeper,
  port: number,
  { connections, seconds, resume }: OwnLoad & { readonly resume: boolean },
  cores: readonly number[],
): Promise<LoadResult> {
  const sessions = resume ? 'resume' : 'fresh';
  const client = keeper.start(commandOf('handshakes', cores, port, connections, seconds, sessions));
  const timer = setTimeout(() => client.child.kill('SIGKILL'), seconds * 1000 + PATIENCE);
  await client.ended;
  clearTimeout(timer);
  const output = readFileSync(client.outputFile, 'latin1');
  if (!output.startsWith('{')) throw new Error(`the load of handshakes failed: ${output.trim()}`);
  return JSON.parse(output) as LoadResult;
}

/**
 * Sends messages, one at a time on each connection, to a port of 127.0.0.1.
 * @param begin called when all connections are open, right before the first message
 * @param end called right after the last, while all connections are open still
 * @returns what was counted: a request is a message that came back, a failed read a connection that broke
 * @throws Error when the load does not come to its end
 */
export async function runMessages(
  keeper: Keeper,
  port: number,
  { connections, seconds }: OwnLoad,
  cores: readonly number[],
  begin: () => void,
  end: () => void,
): Promise<LoadResult> {
  const client = keeper.start(commandOf('websockets', cores, port, connections, seconds), 'pipe');
  const timer = setTimeout(() => client.child.kill('SIGKILL'), seconds * 1000 + PATIENCE);
  let began = false;
  let result: LoadResult | undefined;
  for await (const line of createInterface({ input: client.child.stdout! })) {
    if (!began) {
      began = true;
      begin();
      client.child.stdin?.write('begin\n');
    } else {
      end();
      result = JSON.parse(line) as LoadResult;
      client.child.stdin?.end();
    }
  }
  clearTimeout(timer);
  await client.ended;
  if (result === undefined) throw new Error('the load of messages did not come to its end');
  return result;
}
