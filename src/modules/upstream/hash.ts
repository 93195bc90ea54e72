/** `hash key [consistent]`: the same server for the same key (ngx_http_upstream_hash_module). */
import { type ReadContext, statements } from '../../config/directive.ts';
import type { Statement } from '../../config/statement.ts';
import type { Exchange } from '../../core/exchange.ts';
import { defineModule } from '../../core/module.ts';
import { upstreamGroups } from '../../upstream/groups.ts';

function check(statement: Statement, report: ReadContext): void {
  const [, parameter] = statement.args;
  if (parameter !== undefined && parameter !== 'consistent') report.fail(`invalid parameter "${parameter}"`);
}

const directives = {
  hash: statements(['upstream'], [1, 2], { inherited: false, syntax: 'key [consistent]', check }),
};

export const hash = defineModule({
  name: 'http_upstream_hash',
  directives,
  http(_settings, scope, link) {
    const groups = upstreamGroups<Exchange>(link);
    for (const block of scope.children('upstream')) {
      for (const statement of block.settings(directives).hash) {
        const [source = '', parameter] = statement.args;
        const { evaluate } = link.template(statement, source);
        const method = { name: 'hash', consistent: parameter === 'consistent' } as const;
        groups.setMethod(block, statement, { method, key: evaluate, backup: false });
      }
    }
    return undefined;
  },
});
