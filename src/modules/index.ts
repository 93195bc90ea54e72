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
import { addition } from './addition.ts';
import { authRequest } from './auth-request.ts';
import { autoindex } from './autoindex/index.ts';
import { charset } from './charset/index.ts';
import { emptyGif } from './empty-gif.ts';
import { geoModule } from './geo/index.ts';
import { gunzip } from './gunzip.ts';
import { gzip } from './gzip/index.ts';
import { gzipStatic } from './gzip-static.ts';
import { headers } from './headers/index.ts';
import { indexFiles } from './index-files.ts';
import { limitRate } from './limit-rate.ts';
import { mapModule } from './map.ts';
import { mirror } from './mirror.ts';
import { notModified } from './not-modified.ts';
import { postAction } from './post-action.ts';
import { postpone } from './postpone.ts';
import { proxy } from './proxy/index.ts';
import { rangeFilter } from './range.ts';
import { realIpModule } from './real-ip.ts';
import { rewrite } from './rewrite/index.ts';
import { splitClients } from './split-clients.ts';
import { ssi } from './ssi/index.ts';
import { ssl } from './ssl/index.ts';
import { staticFiles } from './static.ts';
import { stubStatus } from './stub-status.ts';
import { subFilter } from './sub-filter/index.ts';
import { tryFilesModule } from './try-files.ts';
import { upstreamModules } from './upstream/index.ts';
import { userid } from './userid.ts';

export const modules: readonly Module[] = [
  main,
  events,
  httpCore,
  accessLog,
  geoModule,
  mapModule,
  splitClients,
  rewrite,
  realIpModule,
  accessModule,
  authRequest,
  tryFilesModule,
  mirror,
  postAction,
  ssl,
  stubStatus,
  ...upstreamModules,
  proxy,
  emptyGif,
  indexFiles,
  autoindex,
  gzipStatic,
  staticFiles,
  // Header filters, and with them body filters, in nginx's order, which core/body-filter.ts explains.
  notModified,
  headers,
  userid,
  gunzip,
  addition,
  subFilter,
  charset,
  ssi,
  postpone,
  gzip,
  rangeFilter,
  limitRate,
];
