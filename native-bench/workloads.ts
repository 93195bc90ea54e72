/** What is weighed. A workload is data: which load, with which setups, counted in what. */
import { plainSetup, type Setup } from './setup.ts';
import type { Load } from './wrk.ts';

/**
 * What the cost is divided by: microseconds a request or a message, milliseconds a gigabyte, kilobytes a
 * connection.
 */
export type Unit = 'request' | 'message' | 'gigabyte' | 'connection';

/** One kind of work. */
export interface Workload {
  readonly name: string;
  /** One line for the table and the chart. */
  readonly title: string;
  readonly unit: Unit;
  /** What wrk does in each round; none for what wrk cannot do: the next two, and idle connections. */
  readonly load?: Omit<Load, 'seconds' | 'tls'>;
  /** Messages over WebSockets, to a server that echoes them. */
  readonly messages?: { readonly connections: number };
  /** TLS connections, each for one request for /small; whether they resume the sessions of earlier ones. */
  readonly handshakes?: { readonly connections: number; readonly resume: boolean };
  /** Bytes the proxy carries for a request beside those wrk has read: the upload. */
  readonly uploaded?: number;
  /** How many connections lie idle: of the kind that the setups speak of. */
  readonly idle?: number;
  /** How many times as long as the others' its turns are, where one answer takes most of a second. */
  readonly stretch?: number;
  /** Every peer takes part once with each; the first is what the others are compared with. */
  readonly setups: readonly Setup[];
  /** Whether `--quick` leaves it out, unless it is asked for by name. */
  readonly thorough?: boolean;
  /** Whether Node's libraries stay away, since another workload says the same of them. */
  readonly withoutLibraries?: boolean;
  /** Whether `--quick` has Node's libraries take part; elsewhere they do, if they can. */
  readonly librariesInQuick?: boolean;
  /** Whether what is weighed is what the second setup costs more than the first. */
  readonly added?: boolean;
}

const plain: readonly Setup[] = [plainSetup];
const small = { path: '/small', connections: 64 };

/** About 4 kB of what browsers and single sign-on put into a request. */
const largeHeaders: readonly string[] = [
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
  'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
  'Accept-Language: en-GB,en;q=0.8,de;q=0.5',
  'Accept-Encoding: gzip, deflate, br, zstd',
  'Cache-Control: no-cache',
  'Referer: https://example.com/a/page/somewhere/deep/in/the/site?with=a&few=parameters',
  'Sec-Fetch-Dest: document',
  'Sec-Fetch-Mode: navigate',
  'Sec-Fetch-Site: same-origin',
  'X-Request-Id: 0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9',
  `Authorization: Bearer ${'eyJhbGciOi'.repeat(100)}`,
  `Cookie: ${Array.from({ length: 20 }, (_, index) => `cookie_${index}=${'v0123456789abcdef'.repeat(7)}`)
    .join('; ')
    .slice(0, 2350)}`,
];

/** All workloads, in the order of the report. */
export const workloads: readonly Workload[] = [
  {
    name: 'keepalive',
    title: 'keep-alive, 100-byte responses, 64 connections',
    unit: 'request',
    load: small,
    setups: plain,
    librariesInQuick: true,
  },
  {
    name: 'pipeline',
    title: 'the same, Portico with keepalive_pipeline 16',
    unit: 'request',
    load: small,
    setups: [{ ...plainSetup, pipeline: 16 }],
    withoutLibraries: true,
  },
  {
    name: 'connections',
    title: 'a new connection for each request',
    unit: 'request',
    load: { ...small, headers: ['Connection: close'] },
    setups: plain,
  },
  {
    name: '16k',
    title: '16 kB responses, 64 connections',
    unit: 'request',
    load: { path: '/16k', connections: 64 },
    setups: plain,
    withoutLibraries: true,
    thorough: true,
  },
  {
    name: '1m',
    title: '1 MB responses, 16 connections',
    unit: 'gigabyte',
    load: { path: '/1m', connections: 16 },
    setups: plain,
  },
  {
    name: '100m',
    title: '100 MB responses, 4 connections',
    unit: 'gigabyte',
    load: { path: '/100m', connections: 4 },
    stretch: 3,
    setups: plain,
    withoutLibraries: true,
    thorough: true,
  },
  {
    name: 'upload',
    title: '1 MB uploads, 16 connections',
    unit: 'gigabyte',
    load: { path: '/upload', connections: 16, upload: 1_048_576 },
    uploaded: 1_048_576,
    setups: plain,
    thorough: true,
  },
  {
    name: 'headers',
    title: '4 kB of request headers, 64 connections',
    unit: 'request',
    load: { ...small, headers: largeHeaders },
    setups: plain,
    withoutLibraries: true,
    thorough: true,
  },
  {
    name: 'idle',
    title: 'memory of each of 10,000 idle connections',
    unit: 'connection',
    idle: 10_000,
    setups: [{ ...plainSetup, connections: 12_000 }],
  },
  {
    name: 'least-conn',
    title: '32 upstream servers, least_conn',
    unit: 'request',
    load: small,
    setups: [{ ...plainSetup, servers: 32, balance: 'least_conn' }],
    thorough: true,
  },
  {
    name: 'workers',
    title: 'two workers, 8 upstream servers, least_conn',
    unit: 'request',
    load: small,
    setups: [1, 2].map((workers) => ({
      ...plainSetup,
      label: `${workers} worker${workers > 1 ? 's' : ''}`,
      workers,
      servers: 8,
      balance: 'least_conn',
    })),
    thorough: true,
  },
  {
    name: 'access-log',
    title: 'what the access log adds',
    unit: 'request',
    load: small,
    setups: [
      { ...plainSetup, label: 'no log' },
      { ...plainSetup, label: 'log', accessLog: true },
    ],
    added: true,
    withoutLibraries: true,
    thorough: true,
  },
  {
    name: 'tls',
    title: 'TLS 1.3, keep-alive, 100-byte responses, 64 connections',
    unit: 'request',
    load: small,
    setups: [{ ...plainSetup, tls: true }],
  },
  {
    name: 'handshakes',
    title: 'a full TLS 1.3 handshake for each request, ECDSA P-256',
    unit: 'request',
    handshakes: { connections: 64, resume: false },
    setups: [{ ...plainSetup, tls: true }],
  },
  {
    name: 'resumed',
    title: 'a resumed TLS 1.3 handshake for each request',
    unit: 'request',
    handshakes: { connections: 64, resume: true },
    setups: [{ ...plainSetup, tls: true }],
    thorough: true,
  },
  {
    name: 'idle-tls',
    title: 'memory of each of 10,000 idle TLS connections',
    unit: 'connection',
    idle: 10_000,
    setups: [{ ...plainSetup, tls: true, connections: 12_000 }],
    thorough: true,
  },
  {
    name: 'websocket',
    title: 'messages over WebSockets and back, 32 bytes, 64 connections',
    unit: 'message',
    messages: { connections: 64 },
    setups: [{ ...plainSetup, websocket: true }],
  },
  {
    name: 'idle-websocket',
    title: 'memory of each of 5,000 idle WebSockets',
    unit: 'connection',
    idle: 5_000,
    setups: [{ ...plainSetup, websocket: true, connections: 12_000 }],
    thorough: true,
  },
];

/** A setting that a run goes through the values of. */
export interface Sweep {
  readonly setting: 'worker_connections' | 'worker_processes';
  readonly values: readonly number[];
}

/** The workload with one setup for each value of the sweep, made from its first. */
export function swept(workload: Workload, sweep: Sweep): Workload {
  const [first] = workload.setups;
  return {
    ...workload,
    added: false,
    setups: sweep.values.map((value) => ({
      ...first,
      label: `${sweep.setting}=${value}`,
      ...(sweep.setting === 'worker_connections' ? { connections: value } : { workers: value }),
    })),
  };
}
