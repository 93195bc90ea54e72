/** The `events` block: how connections are accepted. */

import type { ReadContext } from '../config/declaration.ts';
import { accepted, block, custom, flag, milliseconds, number } from '../config/setters.ts';
import { ConfigError, type Statement } from '../config/statement.ts';
import { parseNumber } from '../config/values.ts';
import {
  type AddressMatcher,
  type AddressPattern,
  compileAddresses,
  meaninglessBits,
  parseCidr,
} from '../http/cidr.ts';
import { type EngineName, isEngineName } from './engine-name.ts';
import { defineModule } from './module.ts';

const EVENTS = ['events'];

/** nginx's event methods: whichever is named, the system's best is used. */
const METHODS = [
  'epoll',
  'poll',
  'select',
  'kqueue',
  '/dev/poll',
  'devpoll',
  'eventport',
  'rtsig',
  'io_uring',
];

function readWorkerConnections(
  { args }: Statement,
  previous: number | undefined,
  report: ReadContext,
): number {
  if (previous !== undefined) report.failDirective('is duplicate');
  return parseNumber(args[0]!) ?? report.fail(`invalid number "${args[0]}"`);
}

function readUse({ args }: Statement, previous: EngineName | undefined, report: ReadContext): EngineName {
  if (previous !== undefined) report.failDirective('is duplicate');
  const method = args[0]!;
  if (isEngineName(method)) return method;
  if (METHODS.includes(method)) return 'node';
  return report.fail(`invalid event type "${method}"`);
}

/** One `debug_connection`. */
export interface DebugConnection {
  readonly statement: Statement;
  /** Undefined for a host name, whose addresses are found while the configuration is linked. */
  readonly pattern: AddressPattern | undefined;
}

function readDebugConnections(
  statement: Statement,
  previous: readonly DebugConnection[] | undefined,
  report: ReadContext,
): readonly DebugConnection[] {
  const text = statement.args[0]!;
  const pattern = text === 'unix:' ? text : parseCidr(text);
  if (typeof pattern === 'object' && pattern.hasMeaninglessBits) report.warn(meaninglessBits(text));
  return [...(previous ?? []), { statement, pattern }];
}

/**
 * Links `debug_connection`.
 * @param resolve gives a name's addresses
 * @returns tells which addresses are meant; undefined where there is no such directive
 * @throws ConfigError `host not found in debug_connection "..."`
 */
export async function linkDebugConnections(
  list: readonly DebugConnection[],
  resolve: (host: string) => Promise<readonly string[]>,
): Promise<AddressMatcher | undefined> {
  if (list.length === 0) return undefined;
  const patterns: AddressPattern[] = [];
  for (const { statement, pattern } of list) {
    if (pattern !== undefined) {
      patterns.push(pattern);
      continue;
    }
    const host = statement.args[0]!;
    let addresses: readonly string[];
    try {
      addresses = await resolve(host);
    } catch (error) {
      throw new ConfigError(`host not found in debug_connection "${host}"`, { statement, cause: error });
    }
    patterns.push(...addresses.map((address) => parseCidr(address)!));
  }
  return compileAddresses(patterns, 'IPv4 if any');
}

export const eventsDirectives = {
  events: block(['main'], 'events', [0, 0]),
  worker_connections: custom(EVENTS, [1, 1], 512, readWorkerConnections, {
    syntax: 'number',
    defaultText: '512',
  }),
  use: custom(EVENTS, [1, 1], 'node' as EngineName, readUse, {
    syntax: 'method',
    differs: 'Which engine serves: `node` or `uws`. The names of nginx mean `node`.',
  }),
  debug_connection: custom(EVENTS, [1, 1], [] as readonly DebugConnection[], readDebugConnections, {
    syntax: 'address | CIDR | name | unix:',
  }),
  multi_accept: accepted(EVENTS, [1, 1], 'All waiting connections are always accepted.', {
    as: flag([], false),
  }),
  accept_mutex: accepted(EVENTS, [1, 1], 'Each worker has a socket of its own to accept from.', {
    as: flag([], false),
  }),
  accept_mutex_delay: accepted(EVENTS, [1, 1], 'There is no accept mutex.', { as: milliseconds([], 500) }),
  epoll_events: accepted(
    EVENTS,
    [1, 1],
    'The event loop of Node.js decides how many events it takes at a time.',
    {
      as: number([], 512),
    },
  ),
  worker_aio_requests: accepted(EVENTS, [1, 1], 'Files are read on the threads of libuv.', {
    as: number([], 32),
  }),
};

/** nginx's event modules. */
export const events = defineModule({ name: 'events', directives: eventsDirectives });
