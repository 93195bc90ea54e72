/** `least_conn`: the server with the fewest active connections for its weight (ngx_http_upstream_least_conn_module). */
import { statements } from '../../config/directive.ts';
import type { Exchange } from '../../core/exchange.ts';
import { defineModule } from '../../core/module.ts';
import { upstreamGroups } from '../../upstream/groups.ts';

const directives = {
  least_conn: statements(['upstream'], [0, 0], { inherited: false, syntax: '' }),
};

export const leastConn = defineModule({
  name: 'http_upstream_least_conn',
  directives,
  http(_settings, scope, link) {
    const groups = upstreamGroups<Exchange>(link);
    for (const block of scope.children('upstream')) {
      for (const statement of block.settings(directives).least_conn) {
        groups.setMethod(block, statement, { method: { name: 'least_conn' }, key: undefined, backup: true });
      }
    }
    return undefined;
  },
});
