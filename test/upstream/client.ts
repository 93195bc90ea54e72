/** What the tests of the upstream client share: a thread's runtime, groups, servers that do as told, a receiver. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { ConnectionLimit } from '../../src/event/connection-limit.ts';
import { createTimerWheel } from '../../src/event/timers.ts';
import type { HeaderBlock } from '../../src/http/header-block.ts';
import type { ResponseHead } from '../../src/http/response-head.ts';
import { PeerTable } from '../../src/shared/peer-table.ts';
import { SlotDirectory } from '../../src/shared/slot-directory.ts';
import { parseAddress } from '../../src/upstream/address.ts';
import type { BalancingMethod } from '../../src/upstream/balance/index.ts';
import type { UpstreamAttempts, UpstreamRequest, UpstreamSettings } from '../../src/upstream/client.ts';
import { Group } from '../../src/upstream/group.ts';
import { DEFAULT_POOL, type PoolSettings } from '../../src/upstream/pool.ts';
import type { UpstreamFailure, UpstreamReceiver } from '../../src/upstream/receiver.ts';
import type { UpstreamRuntime } from '../../src/upstream/runtime.ts';
import { DEFAULT_PARAMETERS, type ServerParameters } from '../../src/upstream/server-line.ts';
import { PATIENCE } from '../support/wait.ts';

/** A worker's runtime of its own, with what the tests look at. */
export interface TestRuntime extends UpstreamRuntime {
  readonly connections: ConnectionLimit;
  readonly kept: Map<string, { close(): void }>;
  readonly names: Map<string, readonly string[]>;
  /** Active connections counted for all peers. */
  active(): number;
  close(): void;
}

export function createTestRuntime(limit = 512): TestRuntime {
  const peers = PeerTable.create({ capacity: 256, workers: 2 });
  const table = PeerTable.attach(peers.buffer, 0);
  const generation = new SlotDirectory(peers).open();
  const timers = createTimerWheel();
  const connections = new ConnectionLimit(limit, () => {});
  const kept = new Map<string, { close(): void }>();
  const names = new Map<string, readonly string[]>();
  return {
    worker: 0,
    timers,
    peers: table,
    connections,
    kept,
    names,
    slot: (key) => generation.slotOf(key),
    configurePeer: (slot, group, parameters) => peers.configure(slot, group, parameters),
    async resolve(host) {
      const addresses = names.get(host);
      if (addresses === undefined) throw new Error(`no such host ${host}`);
      return addresses;
    },
    keep<Kept extends { close(): void }>(key: string, create: () => Kept): Kept {
      let thing = kept.get(key) as Kept | undefined;
      if (thing === undefined) {
        thing = create();
        kept.set(key, thing);
      }
      return thing;
    },
    active() {
      let sum = 0;
      for (const [key, slot] of generation.entries()) {
        if (key.includes('\0')) sum += table.read(slot).active;
      }
      return sum;
    },
    close() {
      for (const thing of kept.values()) thing.close();
      timers.stopAll();
      generation.close();
    },
  };
}

export interface TestGroupOptions {
  readonly method?: BalancingMethod;
  readonly pool?: Partial<PoolSettings>;
  readonly parameters?: Partial<ServerParameters>;
  readonly name?: string;
}

/** A group of these addresses, ready for use. */
export function createGroup(
  runtime: UpstreamRuntime,
  addresses: readonly string[],
  options: TestGroupOptions = {},
): Group<string> {
  const { method = { name: 'round_robin' }, pool, parameters, name = 'backend' } = options;
  const group = new Group<string>(name);
  const servers = addresses.map((text) => {
    const parsed = parseAddress(text, 80, false);
    if (typeof parsed === 'string' || parsed.address === undefined)
      throw new Error(`not an address: ${text}`);
    return { name: text, addresses: [parsed.address], parameters: { ...DEFAULT_PARAMETERS, ...parameters } };
  });
  group.settle(runtime, name, servers, { method, key: (subject) => subject }, { ...DEFAULT_POOL, ...pool });
  return group;
}

export const SETTINGS: UpstreamSettings = {
  tag: 'test',
  connectTimeout: 5000,
  sendTimeout: 5000,
  readTimeout: 5000,
  bufferSize: 4096,
  trailerLimit: 0,
  socketKeepalive: false,
  tls: undefined,
};

/** A TCP server that hands each connection to `serve`; its connections are closed with it. */
export interface TestServer {
  readonly server: Server;
  /** `127.0.0.1:port` or `unix:/path`. */
  readonly address: string;
  readonly sockets: Set<Socket>;
  /** Connections accepted so far. */
  accepted: number;
  close(): Promise<void>;
}

export async function listen(
  serve: (socket: Socket, number: number) => void,
  path?: string,
): Promise<TestServer> {
  return listenWith(createServer({ allowHalfOpen: true }), 'connection', serve, path);
}

/** The same with a server made elsewhere: for TLS. */
export async function listenWith(
  server: Server,
  event: string,
  serve: (socket: Socket, number: number) => void,
  path?: string,
): Promise<TestServer> {
  const sockets = new Set<Socket>();
  const made: TestServer = {
    server,
    address: '',
    sockets,
    accepted: 0,
    async close() {
      const closed = server.listening ? once(server, 'close') : undefined;
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
  server.on(event, (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    serve(socket, ++made.accepted);
  });
  server.listen(path === undefined ? { port: 0, host: '127.0.0.1' } : { path });
  await once(server, 'listening');
  const address = path === undefined ? `127.0.0.1:${(server.address() as AddressInfo).port}` : `unix:${path}`;
  return Object.assign(made, { address });
}

/** Answers each request head (without body) that comes on a socket with what `answer` returns. */
export function answering(answer: (head: string, count: number) => string): (socket: Socket) => void {
  return (socket) => {
    let text = '';
    let count = 0;
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const head = text.slice(0, end + 4);
        text = text.slice(end + 4);
        socket.write(answer(head, ++count), 'latin1');
      }
    });
    socket.on('end', () => socket.end());
  };
}

/** Everything that came for one request. */
export class Recorder implements UpstreamReceiver {
  readonly events: string[] = [];
  readonly interims: number[] = [];
  readonly logs: string[] = [];
  response: ResponseHead | undefined;
  body = '';
  trailers: HeaderBlock | undefined;
  failure: UpstreamFailure | undefined;
  /** Resolves with `end` or `fail`. */
  readonly done: Promise<void>;
  /** What to send once connected. */
  question = 'GET / HTTP/1.1\r\nHost: test\r\n\r\n';
  request: UpstreamRequest | undefined;
  /** What `data` returns. */
  accept: (chunk: Buffer) => boolean = () => true;
  onHead: () => void = () => {};
  onDrain: () => void = () => {};
  #resolve: () => void = () => {};

  constructor() {
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  connected(reused: boolean): void {
    this.events.push(reused ? 'reused' : 'connected');
    if (this.question === '') return;
    this.request!.write(this.question);
    this.request!.endRequest();
  }

  interim(head: ResponseHead): void {
    this.interims.push(head.status);
  }

  head(head: ResponseHead): void {
    this.events.push(`head ${head.status}`);
    this.response = head;
    this.onHead();
  }

  data(buffer: Buffer, start: number, end: number, _last: boolean): boolean {
    const chunk = buffer.subarray(start, end);
    this.body += chunk.toString('latin1');
    return this.accept(chunk);
  }

  end(trailers: HeaderBlock | undefined): void {
    this.events.push('end');
    this.trailers = trailers;
    this.#resolve();
  }

  fail(failure: UpstreamFailure): void {
    this.events.push(`fail ${failure.kind}`);
    this.failure = failure;
    this.#resolve();
  }

  drain(): void {
    this.onDrain();
  }

  log(level: string, message: string): void {
    this.logs.push(`${level}: ${message}`);
  }
}

/** Begins one attempt. */
export function ask(
  group: Group<string>,
  settings: UpstreamSettings = SETTINGS,
  recorder = new Recorder(),
  prepare: (attempts: UpstreamAttempts) => void = () => {},
): { attempts: UpstreamAttempts; recorder: Recorder; request: UpstreamRequest } {
  const attempts = group.begin(settings, '');
  prepare(attempts);
  const request = attempts.next(recorder);
  if (request === undefined) throw new Error(attempts.refusal);
  recorder.request = request;
  request.start();
  return { attempts, recorder, request };
}

/** One request from beginning to end. */
export async function fetchOnce(
  group: Group<string>,
  settings: UpstreamSettings = SETTINGS,
  recorder = new Recorder(),
  prepare?: (attempts: UpstreamAttempts) => void,
): Promise<Recorder> {
  const { attempts } = ask(group, settings, recorder, prepare);
  await recorder.done;
  attempts.finish(recorder.failure === undefined ? 'ok' : 'failed');
  return recorder;
}

/** Closes what a test has used, and sees that nothing is left counted. @param servers emptied */
export async function closeAndCheck(runtime: TestRuntime, servers: TestServer[]): Promise<void> {
  for (const thing of runtime.kept.values()) thing.close();
  runtime.kept.clear();
  await Promise.all(servers.splice(0).map((server) => server.close()));
  assert.equal(runtime.connections.used, 0, 'connections left counted');
  assert.equal(runtime.active(), 0, 'peers left counted');
}

/** Until a condition holds, turn by turn of the event loop. */
export async function untilTurn(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE;
  while (!condition()) {
    assert.ok(performance.now() < deadline, 'it never came true');
    await turn();
  }
}
