/**
 * The place in the chain of filters where subrequests' bodies are put into the answer (ngx_http_postpone_filter_module):
 * behind the filters that look at each body by itself, before those that see the whole.
 */
import { addBodyFilter } from '../core/body-filter.ts';
import { defineModule } from '../core/module.ts';
import { AssembledOutput, includingScopes } from '../core/subrequest-output.ts';

export const postpone = defineModule({
  name: 'http_postpone_filter',
  directives: {},
  location(_settings, scope) {
    if (!includingScopes.has(scope)) return undefined;
    return {
      headerFilter(exchange) {
        const { relations } = exchange;
        if (relations === undefined || relations.inclusion === undefined) return;
        relations.assembled = new AssembledOutput(exchange, relations.inclusion);
        relations.inclusion = undefined;
        addBodyFilter(exchange, relations.assembled);
      },
    };
  },
});
