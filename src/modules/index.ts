/**
 * The one list of modules. Handlers of one phase, and header filters, run in this order; the core's own directives
 * come as modules too, so that there is one registry of everything.
 */
import { accessLog } from '../core/access-log.ts';
import { events } from '../core/events.ts';
import { httpCore } from '../core/http-core.ts';
import { main } from '../core/main.ts';
import type { Module } from '../core/module.ts';
import { accessModule } from './access.ts';
import { headers } from './headers.ts';
import { indexFiles } from './index-files.ts';
import { limitRate } from './limit-rate.ts';
import { mapModule } from './map.ts';
import { proxy } from './proxy/index.ts';
import { realIpModule } from './real-ip.ts';
import { rewrite } from './rewrite.ts';
import { staticFiles } from './static.ts';
import { stubStatus } from './stub-status.ts';
import { upstreamModules } from './upstream/index.ts';

export const modules: readonly Module[] = [
  main,
  events,
  httpCore,
  accessLog,
  mapModule,
  rewrite,
  // The first of the filters is the innermost.
  limitRate,
  realIpModule,
  accessModule,
  headers,
  stubStatus,
  ...upstreamModules,
  proxy,
  indexFiles,
  staticFiles,
];
