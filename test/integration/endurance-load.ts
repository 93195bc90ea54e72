/** What the endurance tests share: a load of keep-alive clients, backends, and what the program says of itself. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Client, get, openClient } from '../support/client.ts';
import type { Sandbox } from '../support/portico.ts';
import { until } from '../support/wait.ts';

/** One number out of /proc/PID/status, in kB: `VmRSS`. */
export function memory(pid: number, name = 'VmRSS'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]);
}

/** How many threads a process has. */
export function threads(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).length;
}

/** Measures the memory that is in use, without the garbage. */
export interface MemoryMeter {
  /** For the program that is measured. */
  readonly environment: NodeJS.ProcessEnv;
  /** Has each thread collect its garbage. @returns the memory of all of them, in bytes */
  read(jsThreads: number): Promise<number>;
}

/** Makes one, see endurance-heap.ts. */
export function memoryMeter(sandbox: Sandbox): MemoryMeter {
  let readings = 0;
  return {
    environment: {
      NODE_OPTIONS: `--expose-gc --import=${new URL('endurance-heap.ts', import.meta.url).href}`,
      NODE_TEST_HEAP_FILE: sandbox.path('heap/wanted'),
    },
    async read(jsThreads) {
      const reading = `.${++readings}`;
      sandbox.write('heap/wanted', reading.slice(1));
      const files = await until('the memory of each thread', () => {
        const found = readdirSync(sandbox.path('heap')).filter((name) => name.endsWith(reading));
        return found.length === jsThreads ? found : undefined;
      });
      return files.reduce((sum, name) => sum + Number(sandbox.read(`heap/${name}`)), 0);
    },
  };
}

/** The memory of a process once it has not changed by more than 1 % for a second, or after some seconds: kB. */
export async function quietMemory(pid: number): Promise<number> {
  let last = memory(pid);
  let quietFor = 0;
  for (let looked = 0; looked < 60 && quietFor < 10; looked++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    const now = memory(pid);
    quietFor = Math.abs(now - last) < last / 100 ? quietFor + 1 : 0;
    if (quietFor === 0) last = now;
  }
  return memory(pid);
}

/** What `stub_status` shows. */
export interface Gauges {
  readonly active: number;
  readonly requests: number;
  readonly reading: number;
  readonly writing: number;
  readonly waiting: number;
}

/** Asks `stub_status` at `/status`, on a connection of its own, which is one of those it counts. */
export async function gauges(port: number): Promise<Gauges> {
  const { body } = await get(port, '/status');
  const [active, , , requests, reading, writing, waiting] = (body.match(/\d+/g) ?? []).map(Number);
  if (waiting === undefined) throw new Error(`not the page of stub_status: ${body}`);
  return { active: active!, requests: requests!, reading: reading!, writing: writing!, waiting };
}

/**
 * Waits until so many connections are open and idle, and nobody else is connected but the one that asks: a connection
 * that its client has closed is known to the server a little later.
 */
export async function onlyIdle(port: number, idle: number): Promise<void> {
  let last: Gauges | undefined;
  await until(
    `the gauges to show ${idle} idle connections and nothing else`,
    async () => {
      last = await gauges(port);
      return last.active === idle + 1 && last.reading === 0 && last.writing === 1 && last.waiting === idle;
    },
    { explain: () => JSON.stringify(last) },
  );
}

/** A backend that answers at once, except to `/hold`: that waits for `releaseHeld`. */
export interface Backend {
  readonly port: number;
  readonly server: Server;
  /** Requests held at present. */
  readonly held: number;
  releaseHeld(): void;
  [Symbol.dispose](): void;
}

/** Starts one. @param name what it answers */
export async function startBackend(name: string): Promise<Backend> {
  const held = new Set<() => void>();
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    const answer = () => {
      held.delete(answer);
      response.setHeader('Content-Length', name.length);
      response.end(name);
    };
    if (request.url !== '/hold') {
      answer();
      return;
    }
    held.add(answer);
    response.once('close', () => held.delete(answer));
  });
  await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    server,
    get held() {
      return held.size;
    },
    releaseHeld() {
      for (const answer of [...held]) answer();
    },
    [Symbol.dispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/**
 * Proves what the peers' counts of active connections are, from outside: with `max_conns` a group takes exactly as many
 * requests at once as all its peers may have, and one more is refused. A count that is too high would refuse one of
 * them, a count that is too low would take the one more.
 * @param port where `path` is passed to the group, as `/hold`
 * @param backends all of the group
 * @param places the sum of their `max_conns`
 */
export async function countsAreZero(
  port: number,
  backends: readonly Pick<Backend, 'held' | 'releaseHeld'>[],
  places: number,
  path = '/hold',
): Promise<void> {
  const held = () => backends.reduce((sum, backend) => sum + backend.held, 0);
  await until('requests held before to be over', () => held() === 0);
  const clients = await Promise.all(Array.from({ length: places }, () => openClient(port)));
  try {
    const answers = clients.map((client) => client.get(path));
    for (const answer of answers) answer.catch(() => {});
    const refused = Promise.race(
      answers.map(async (answer) => {
        const { status } = await answer;
        if (held() < places)
          throw new Error(`a request was answered with ${status}, with ${held()} of ${places} held`);
        return true;
      }),
    );
    refused.catch(() => {});
    await Promise.race([until(`${places} requests to be held`, () => held() === places), refused]);
    const oneMore = await get(port, path);
    assert.equal(oneMore.status, 502, 'one more than the peers may have is refused');
    for (const backend of backends) backend.releaseHeld();
    for (const answer of answers) assert.equal((await answer).status, 200);
  } finally {
    for (const client of clients) client.close();
    for (const backend of backends) backend.releaseHeld();
  }
}

/** A load: clients that ask again and again, each on its one connection. */
export interface Load {
  readonly clients: readonly LoadClient[];
  /** Whole answers so far. */
  readonly answered: number;
  /** Everything that was not a 200. */
  readonly failures: readonly string[];
  /** Lets each client finish the request it is at. */
  stop(): Promise<void>;
  close(): void;
}

/** One client of a load. */
export interface LoadClient {
  readonly client: Client;
  readonly number: number;
  /** Answers on this connection. */
  answered: number;
  /** Why it ended, where it did not end because it was told to. */
  failure: string | undefined;
  /** Resolves when it has ended. */
  readonly over: Promise<void>;
}

/** Starts a load on connections that are open. @param path asked for by all of them */
export function startLoad(clients: readonly Client[], path: string): Load {
  let stopping = false;
  let answered = 0;
  const failures: string[] = [];
  async function run(one: LoadClient): Promise<void> {
    while (!stopping) {
      try {
        const { status, head, body } = await one.client.get(path);
        if (status !== 200) throw new Error(`${head}${body}`);
        one.answered++;
        answered++;
      } catch (error) {
        one.failure = (error as Error).message;
        failures.push(`client ${one.number} after ${one.answered} answers: ${one.failure}`);
        return;
      }
    }
  }
  const running = clients.map((client, number) => {
    const one = { client, number, answered: 0, failure: undefined, over: Promise.resolve() };
    one.over = run(one);
    return one;
  });
  return {
    clients: running,
    get answered() {
      return answered;
    },
    failures,
    async stop() {
      stopping = true;
      await Promise.all(running.map(({ over }) => over));
    },
    close() {
      stopping = true;
      for (const client of clients) client.close();
    },
  };
}
