/** `stub_status`: the numbers of connections and requests, of all workers together. */
import { custom } from '../config/setters.ts';
import type { Exchange } from '../core/exchange.ts';
import { defineModule } from '../core/module.ts';
import { DONE, OK } from '../core/phases.ts';
import { discardRequestBody } from '../core/request-body.ts';
import { sendWhole } from '../core/send.ts';
import type { ConnectionTotals } from '../shared/counters.ts';

function totals(exchange: Exchange): ConnectionTotals {
  return exchange.site.runtime.counters.read();
}

export const stubStatus = defineModule({
  name: 'http_stub_status',
  directives: {
    // The argument is of nginx before 1.7.5, and still taken.
    stub_status: custom(
      ['server', 'location'],
      [0, 1],
      false,
      (_statement, previous, report) => {
        if (previous !== undefined) report.failDirective('is duplicate');
        return true;
      },
      { inherited: false },
    ),
  },
  variables: {
    connections_active: { get: (exchange) => String(totals(exchange).active) },
    connections_reading: { get: (exchange) => String(totals(exchange).reading) },
    connections_writing: { get: (exchange) => String(totals(exchange).writing) },
    connections_waiting: { get: (exchange) => String(totals(exchange).waiting) },
  },
  location(settings) {
    if (!settings.stub_status) return undefined;
    return {
      handler(exchange) {
        if (exchange.method !== 'GET' && exchange.method !== 'HEAD') return 405;
        const refused = discardRequestBody(exchange);
        if (refused !== OK) return refused;
        const { active, accepted, handled, requests, reading, writing, waiting } = totals(exchange);
        sendWhole(
          exchange,
          200,
          'text/plain',
          `Active connections: ${active} \nserver accepts handled requests\n ${accepted} ${handled} ${requests} \n` +
            `Reading: ${reading} Writing: ${writing} Waiting: ${waiting} \n`,
        );
        return DONE;
      },
    };
  },
});
