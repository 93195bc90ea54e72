/** Conditional requests: an answer the client has already is a 304, one whose condition does not hold a 412. */
import type { Exchange } from '../core/exchange.ts';
import { defineModule } from '../core/module.ts';
import { clearAcceptRanges, withoutField } from '../core/response-headers.ts';
import { isConditional, judgeConditions } from '../http/conditional.ts';

function judge(exchange: Exchange): void {
  const { response, headers } = exchange;
  if (response.status !== 200 || !isConditional(headers) || response.unconditional) return;
  // The conditions are about the answer that the client gets.
  if (exchange.isSubrequest) return;
  switch (judgeConditions(headers, response, exchange.location.settings.if_modified_since)) {
    case 'failed':
      // Nothing of the answer is left, and the error page is an answer of its own.
      response.fields = '';
      response.location = '';
      response.trailers = '';
      response.server = '';
      response.date = '';
      exchange.refusal = 412;
      break;
    case 'not modified':
      response.status = 304;
      response.statusLine = '';
      response.contentType = '';
      response.charset = '';
      response.contentLength = -1;
      clearAcceptRanges(response);
      if (response.fields !== '') response.fields = withoutField(response.fields, 'content-encoding');
      break;
    default:
  }
}

/** nginx's ngx_http_not_modified_filter_module. Its directive, `if_modified_since`, is the core's. */
export const notModified = defineModule({
  name: 'http_not_modified_filter',
  directives: {},
  location: () => ({ headerFilter: judge }),
});
