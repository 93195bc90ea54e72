/** Server side includes: `ssi` and its companions (ngx_http_ssi_module). */
import { accepted, flag, mimeTypes, size } from '../../config/setters.ts';
import { addBodyFilter } from '../../core/body-filter.ts';
import type { Exchange } from '../../core/exchange.ts';
import { hasMediaType } from '../../core/mime-types.ts';
import { defineModule } from '../../core/module.ts';
import { relationsOf } from '../../core/relations.ts';
import {
  clearAcceptRanges,
  clearContentLength,
  clearEtag,
  clearLastModified,
  weakenEtag,
} from '../../core/response-headers.ts';
import { includingScopes } from '../../core/subrequest-output.ts';
import type { VariableGetter } from '../../core/variables.ts';
import { SsiFilter, timeFormatOf } from './filter.ts';
import { strftime } from './strftime.ts';

const CONTEXTS = ['http', 'server', 'location'];
const WITH_IF = [...CONTEXTS, 'if in location'];
const DEFAULT_TIME_FORMAT = '%A, %d-%b-%Y %H:%M:%S %Z';
/** Longer dates are none (nginx's buffer). */
const DATE_LIMIT = 2048;

function date(exchange: Exchange, utc: boolean): string | undefined {
  const text = strftime(timeFormatOf(exchange) ?? DEFAULT_TIME_FORMAT, Date.now(), utc);
  return text.length < DATE_LIMIT ? text : undefined;
}

export const ssi = defineModule({
  name: 'http_ssi_filter',
  directives: {
    ssi: flag(WITH_IF, false),
    ssi_silent_errors: flag(CONTEXTS, false),
    ssi_ignore_recycled_buffers: accepted(CONTEXTS, [1, 1], 'There are no recycled buffers.', {
      as: flag([], false),
    }),
    ssi_min_file_chunk: accepted(CONTEXTS, [1, 1], 'Pages go through memory; there is no sendfile.', {
      as: size([], 1024),
    }),
    ssi_value_length: size(CONTEXTS, 255),
    ssi_types: mimeTypes(CONTEXTS, ['text/html']),
    ssi_last_modified: flag(CONTEXTS, false),
  },
  variables: {
    date_local: { get: (exchange) => date(exchange, false) },
    date_gmt: { get: (exchange) => date(exchange, true) },
  },
  location(settings, scope, link) {
    if (!settings.ssi) return undefined;
    includingScopes.add(scope);
    const { ssi_types: types, ssi_last_modified: keepsDate } = settings;
    const page = {
      silentErrors: settings.ssi_silent_errors,
      valueLength: settings.ssi_value_length,
      find: (name: string): VariableGetter | undefined => link.variables.find(name),
    };
    return {
      filtersSubrequests: true,
      headerFilter(exchange) {
        const { response } = exchange;
        if (response.contentLength === 0 || !hasMediaType(types, response.contentType)) return;
        addBodyFilter(exchange, new SsiFilter(exchange, page));
        if (exchange.isSubrequest) return;
        relationsOf(exchange).inclusion ??= {};
        clearContentLength(response);
        clearAcceptRanges(response);
        if (keepsDate) weakenEtag(response);
        else {
          clearLastModified(response);
          clearEtag(response);
        }
      },
    };
  },
});
