/** The `events` block: how connections are accepted. */

import type { ReadContext } from '../config/declaration.ts';
import { accepted, block, custom, flag, milliseconds, number } from '../config/setters.ts';
import type { Statement } from '../config/statement.ts';
import { parseNumber } from '../config/values.ts';
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

function readUse({ args }: Statement, previous: 'node' | undefined, report: ReadContext): 'node' {
  if (previous !== undefined) report.failDirective('is duplicate');
  const method = args[0]!;
  if (method === 'node' || METHODS.includes(method)) return 'node';
  if (method === 'uws')
    report.fail('"use uws" is not supported yet: this version has the engine "node" only');
  return report.fail(`invalid event type "${method}"`);
}

export const eventsDirectives = {
  events: block(['main'], 'events', [0, 0]),
  worker_connections: custom(EVENTS, [1, 1], 512, readWorkerConnections, {
    syntax: 'number',
    defaultText: '512',
  }),
  use: custom(EVENTS, [1, 1], 'node' as const, readUse, {
    syntax: 'method',
    differs: '`node` is the engine; the names of nginx mean it too.',
  }),
  debug_connection: custom(
    EVENTS,
    [1, 1],
    undefined,
    (_statement, _previous, report) => {
      report.warn('"debug_connection" is ignored, there is no debugging log of single connections');
      return undefined;
    },
    { syntax: 'address | CIDR | unix:', differs: 'Ignored, with a warning.' },
  ),
  multi_accept: accepted(EVENTS, [1, 1], 'All waiting connections are always accepted.', {
    as: flag([], false),
  }),
  accept_mutex: accepted(EVENTS, [1, 1], 'Each worker has a socket of its own to accept from.', {
    as: flag([], false),
  }),
  accept_mutex_delay: accepted(EVENTS, [1, 1], 'There is no accept mutex.', { as: milliseconds([], 500) }),
  worker_aio_requests: accepted(EVENTS, [1, 1], 'Files are read on the threads of libuv.', {
    as: number([], 32),
  }),
};

export type EventsDirectives = typeof eventsDirectives;

/** nginx's event modules. */
export const events = defineModule({ name: 'events', directives: eventsDirectives });
