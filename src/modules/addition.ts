/**
 * `add_before_body` and `add_after_body`: puts the answers of other URIs before and behind an answer's body
 * (ngx_http_addition_module).
 */
import { mimeTypes, text } from '../config/setters.ts';
import type { Exchange } from '../core/exchange.ts';
import { hasMediaType } from '../core/mime-types.ts';
import { defineModule } from '../core/module.ts';
import { relationsOf } from '../core/relations.ts';
import { lengthChanges } from '../core/response-headers.ts';
import { startSubrequest } from '../core/subrequest.ts';
import { includingScopes } from '../core/subrequest-output.ts';

const CONTEXTS = ['http', 'server', 'location'];

function include(exchange: Exchange, uri: string): void {
  if (uri !== '') startSubrequest(exchange, uri, '', { kind: 'inline' });
}

export const addition = defineModule({
  name: 'http_addition_filter',
  directives: {
    add_before_body: text(CONTEXTS, '', { syntax: 'uri', defaultText: '' }),
    add_after_body: text(CONTEXTS, '', { syntax: 'uri', defaultText: '' }),
    addition_types: mimeTypes(CONTEXTS, ['text/html']),
  },
  location({ add_before_body: before, add_after_body: after, addition_types: types }, scope) {
    if (before === '' && after === '') return undefined;
    includingScopes.add(scope);
    return {
      headerFilter(exchange) {
        const { response } = exchange;
        if (response.status !== 200 || !hasMediaType(types, response.contentType)) return;
        relationsOf(exchange).inclusion = {
          before: () => include(exchange, before),
          after: () => include(exchange, after),
        };
        lengthChanges(response);
      },
    };
  },
});
