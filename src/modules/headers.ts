/** `add_header`: header lines the configuration adds to answers. */
import { statements } from '../config/setters.ts';
import type { Statement } from '../config/statement.ts';
import { ConfigError } from '../config/statement.ts';
import type { Exchange } from '../core/exchange.ts';
import type { Link } from '../core/link.ts';
import { defineModule } from '../core/module.ts';
import { setResponseHeader } from '../core/response-headers.ts';
import type { Template } from '../core/template.ts';

const CONTEXTS = ['http', 'server', 'location', 'if in location'];

interface AddedHeader {
  readonly name: string;
  readonly value: Template;
  readonly always: boolean;
}

function compile(statement: Statement, link: Link): AddedHeader {
  const [name, value, always] = statement.args;
  if (always !== undefined && always !== 'always') {
    throw new ConfigError(`invalid parameter "${always}"`, { statement });
  }
  return { name: name!, value: link.template(statement, value!), always: always === 'always' };
}

/** The statuses that get headers without `always`. */
function isSafe(status: number): boolean {
  return (
    status === 200 ||
    status === 201 ||
    status === 204 ||
    status === 206 ||
    status === 301 ||
    status === 302 ||
    status === 303 ||
    status === 304 ||
    status === 307 ||
    status === 308
  );
}

function addHeaders(exchange: Exchange, headers: readonly AddedHeader[]): void {
  const safe = isSafe(exchange.response.status);
  for (const { name, value, always } of headers) {
    if (!safe && !always) continue;
    setResponseHeader(exchange.response, name, value.evaluate(exchange));
  }
}

export const headers = defineModule({
  name: 'http_headers',
  directives: {
    add_header: statements(CONTEXTS, [2, 3], { syntax: 'name value [always]' }),
  },
  location(settings, _scope, link) {
    if (settings.add_header.length === 0) return undefined;
    const added = settings.add_header.map((statement) => compile(statement, link));
    return { headerFilter: (exchange) => addHeaders(exchange, added) };
  },
});
