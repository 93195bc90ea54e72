/**
 * `keepalive` and its companions: idle connections to the servers of a group (ngx_http_upstream_keepalive_module), and
 * `keepalive_pipeline`, which is Portico's own: several requests on one of them at once.
 */
import { custom, milliseconds, number } from '../../config/directive.ts';
import { ConfigError, type Statement } from '../../config/statement.ts';
import { parseNumber } from '../../config/values.ts';
import type { Exchange } from '../../core/exchange.ts';
import { defineModule } from '../../core/module.ts';
import { upstreamGroups } from '../../upstream/groups.ts';
import { DEFAULT_POOL } from '../../upstream/pool.ts';

/** What `keepalive` says. */
interface Kept {
  readonly size: number;
  readonly local: boolean;
}

/** What `keepalive_pipeline` says: the most requests outstanding on one connection. */
interface Pipeline {
  readonly limit: number;
  readonly statement: Statement;
}

const DEFAULT_KEPT: Kept = { size: DEFAULT_POOL.size, local: DEFAULT_POOL.local };

const directives = {
  keepalive: custom<Kept>(
    ['upstream'],
    [1, 2],
    DEFAULT_KEPT,
    (statement, previous, report) => {
      if (previous !== undefined) report.failDirective('is duplicate');
      const [count = '', parameter] = statement.args;
      const size = parseNumber(count) ?? report.fail(`invalid value "${count}" in "keepalive" directive`);
      if (parameter !== undefined && parameter !== 'local') report.fail(`invalid parameter "${parameter}"`);
      return { size, local: parameter === 'local' };
    },
    { inherited: false, syntax: 'connections [local]', defaultText: '32 local' },
  ),
  keepalive_requests: number(['upstream'], DEFAULT_POOL.requests, { inherited: false }),
  keepalive_time: milliseconds(['upstream'], DEFAULT_POOL.time, { inherited: false }),
  keepalive_timeout: milliseconds(['upstream'], DEFAULT_POOL.timeout, { inherited: false }),
  keepalive_pipeline: custom<Pipeline | undefined>(
    ['upstream'],
    [1, 1],
    undefined,
    (statement, previous, report) => {
      if (previous !== undefined) report.failDirective('is duplicate');
      const [text = ''] = statement.args;
      const limit = parseNumber(text) ?? 0;
      if (limit < 1) report.fail(`invalid value "${text}" in "keepalive_pipeline" directive`);
      return { limit, statement };
    },
    {
      inherited: false,
      syntax: 'number',
      differs:
        "Portico's own: see [what differs](differences.md#several-requests-on-one-upstream-connection).",
    },
  ),
};

export const keepalive = defineModule({
  name: 'http_upstream_keepalive',
  directives,
  http(_settings, scope, link) {
    const groups = upstreamGroups<Exchange>(link);
    for (const block of scope.children('upstream')) {
      const settings = block.settings(directives);
      const { keepalive_pipeline: pipeline } = settings;
      if (pipeline !== undefined && settings.keepalive.size === 0) {
        throw new ConfigError('"keepalive_pipeline" needs "keepalive"', { statement: pipeline.statement });
      }
      groups.setPool(block, {
        size: settings.keepalive.size,
        local: settings.keepalive.local,
        requests: settings.keepalive_requests,
        time: settings.keepalive_time,
        timeout: settings.keepalive_timeout,
        pipeline: pipeline?.limit ?? 0,
      });
    }
    return undefined;
  },
});
