/**
 * `zone name [size]`: in nginx, shares a group's state between workers (ngx_http_upstream_zone_module). Here it always
 * is, so the directive has only to be right: name, size, and one size for one name.
 */
import { type ReadContext, statement } from '../../config/directive.ts';
import { ConfigError, type Statement } from '../../config/statement.ts';
import { parseSize } from '../../config/values.ts';
import { defineModule } from '../../core/module.ts';

/** nginx wants room for eight pages. */
const SMALLEST = 8 * 4096;

function check({ args }: Statement, report: ReadContext): void {
  const [name = '', sizeText] = args;
  if (name === '') report.fail(`invalid zone name "${name}"`);
  if (sizeText === undefined) return;
  const size = parseSize(sizeText) ?? report.fail(`invalid zone size "${sizeText}"`);
  if (size < SMALLEST) report.fail(`zone "${name}" is too small`);
}

const directives = {
  zone: statement(['upstream'], [1, 2], {
    inherited: false,
    syntax: 'name [size]',
    differs: 'Accepted and without effect: the state of every group is shared by all workers.',
    check,
  }),
};

export const zone = defineModule({
  name: 'http_upstream_zone',
  directives,
  http(_settings, scope) {
    const sizes = new Map<string, number>();
    for (const block of scope.children('upstream')) {
      const own = block.settings(directives).zone;
      if (own === undefined) continue;
      const [name = '', sizeText] = own.args;
      const size = sizeText === undefined ? 0 : (parseSize(sizeText) ?? 0);
      const known = sizes.get(name) ?? 0;
      if (size !== 0 && known !== 0 && size !== known) {
        throw new ConfigError(
          `the size ${size} of shared memory zone "${name}" conflicts with already declared size ${known}`,
          { statement: own },
        );
      }
      sizes.set(name, known === 0 ? size : known);
    }
    for (const block of scope.children('upstream')) {
      const own = block.settings(directives).zone;
      if (own !== undefined && sizes.get(own.args[0] ?? '') === 0) {
        throw new ConfigError(`zero size shared memory zone "${own.args[0]}"`);
      }
    }
    return undefined;
  },
});
