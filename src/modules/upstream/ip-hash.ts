/** `ip_hash`: the same server for the same client network (ngx_http_upstream_ip_hash_module). */
import { statements } from '../../config/directive.ts';
import type { Exchange } from '../../core/exchange.ts';
import { defineModule } from '../../core/module.ts';
import { upstreamGroups } from '../../upstream/groups.ts';

const directives = {
  ip_hash: statements(['upstream'], [0, 0], { inherited: false, syntax: '' }),
};

function clientAddress(exchange: Exchange): string {
  return exchange.remoteAddress;
}

export const ipHash = defineModule({
  name: 'http_upstream_ip_hash',
  directives,
  http(_settings, scope, link) {
    const groups = upstreamGroups<Exchange>(link);
    for (const block of scope.children('upstream')) {
      for (const statement of block.settings(directives).ip_hash) {
        groups.setMethod(block, statement, {
          method: { name: 'ip_hash' },
          key: clientAddress,
          backup: false,
        });
      }
    }
    return undefined;
  },
});
