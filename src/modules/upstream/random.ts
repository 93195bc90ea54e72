/** `random [two [least_conn]]`: a server by chance, or the better of two (ngx_http_upstream_random_module). */
import { type ReadContext, statements } from '../../config/directive.ts';
import type { Statement } from '../../config/statement.ts';
import type { Exchange } from '../../core/exchange.ts';
import { defineModule } from '../../core/module.ts';
import { upstreamGroups } from '../../upstream/groups.ts';

function check(statement: Statement, report: ReadContext): void {
  const [first, second] = statement.args;
  if (first !== undefined && first !== 'two') report.fail(`invalid parameter "${first}"`);
  if (second !== undefined && second !== 'least_conn') report.fail(`invalid parameter "${second}"`);
}

const directives = {
  random: statements(['upstream'], [0, 2], { inherited: false, syntax: '[two [least_conn]]', check }),
};

export const random = defineModule({
  name: 'http_upstream_random',
  directives,
  http(_settings, scope, link) {
    const groups = upstreamGroups<Exchange>(link);
    for (const block of scope.children('upstream')) {
      for (const statement of block.settings(directives).random) {
        const method = { name: 'random', two: statement.args.length > 0 } as const;
        groups.setMethod(block, statement, { method, key: undefined, backup: false });
      }
    }
    return undefined;
  },
});
