/** `add_header`, `add_trailer`, `expires`: lines the configuration adds to an answer's head and behind its body. */

import type { Scope } from '../../config/scope.ts';
import { choice, statement, statements } from '../../config/setters.ts';
import type { Statement } from '../../config/statement.ts';
import { ConfigError } from '../../config/statement.ts';
import { addBodyFilter, BodyFilter } from '../../core/body-filter.ts';
import type { Exchange } from '../../core/exchange.ts';
import type { Link } from '../../core/link.ts';
import { defineModule } from '../../core/module.ts';
import { setResponseHeader } from '../../core/response-headers.ts';
import type { Template } from '../../core/template.ts';
import { checkExpires, compileExpires } from './expires.ts';

const CONTEXTS = ['http', 'server', 'location', 'if in location'];
const INHERITANCE = { off: 'off', on: 'on', merge: 'merge' } as const;

interface AddedLine {
  readonly name: string;
  readonly value: Template;
  readonly always: boolean;
}

function compile(statement: Statement, link: Link): AddedLine {
  const [name, value, always] = statement.args;
  if (always !== undefined && always !== 'always') {
    throw new ConfigError(`invalid parameter "${always}"`, { statement });
  }
  return { name: name!, value: link.template(statement, value!), always: always === 'always' };
}

/** The statuses that get lines without `always`. */
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

function addHeaders(exchange: Exchange, headers: readonly AddedLine[]): void {
  const { response } = exchange;
  const safe = isSafe(response.status);
  for (let index = 0; index < headers.length; index++) {
    const { name, value, always } = headers[index];
    if (safe || always) setResponseHeader(response, name, value.evaluate(exchange));
  }
}

/** Evaluates trailers when the body is complete. */
class TrailerWriter extends BodyFilter {
  private readonly trailers: readonly AddedLine[];

  constructor(exchange: Exchange, trailers: readonly AddedLine[]) {
    super(exchange);
    this.trailers = trailers;
  }

  override write(chunk: Buffer | string): boolean {
    return this.next.write(chunk);
  }

  override end(): void {
    const { exchange } = this;
    const { response } = exchange;
    const safe = isSafe(response.status);
    for (const { name, value, always } of this.trailers) {
      if (!safe && !always) continue;
      const text = value.evaluate(exchange);
      if (text !== '') response.trailers += `${name}: ${text}\r\n`;
    }
    exchange.carrier.setTrailers(response.trailers);
    this.next.end();
  }
}

function expectTrailers(exchange: Exchange, trailers: readonly AddedLine[]): void {
  const { response } = exchange;
  if (!isSafe(response.status) && !trailers.some(({ always }) => always)) return;
  response.expectTrailers = true;
  addBodyFilter(exchange, new TrailerWriter(exchange, trailers));
}

const directives = {
  expires: statement(CONTEXTS, [1, 2], {
    syntax: '[modified] time | epoch | max | off',
    defaultText: 'off',
    check: checkExpires,
  }),
  add_header: statements(CONTEXTS, [2, 3], { syntax: 'name value [always]' }),
  add_header_inherit: choice(CONTEXTS, INHERITANCE, 'on'),
  add_trailer: statements(CONTEXTS, [2, 3], { syntax: 'name value [always]' }),
  add_trailer_inherit: choice(CONTEXTS, INHERITANCE, 'on'),
};

/** The lines of a scope and, as `add_header_inherit` or `add_trailer_inherit` there says, of those around it. */
function linesOf(scope: Scope, name: 'add_header' | 'add_trailer'): readonly Statement[] {
  const own = scope.own(directives)[name];
  const inheritance = scope.settings(directives)[`${name}_inherit`];
  if (scope.parent === undefined || inheritance === 'off') return own ?? [];
  if (own === undefined) return linesOf(scope.parent, name);
  return inheritance === 'merge' ? [...own, ...linesOf(scope.parent, name)] : own;
}

export const headers = defineModule({
  name: 'http_headers',
  directives,
  location(settings, scope, link) {
    const added = linesOf(scope, 'add_header').map((line) => compile(line, link));
    const trailers = linesOf(scope, 'add_trailer').map((line) => compile(line, link));
    const setExpires = settings.expires === undefined ? undefined : compileExpires(settings.expires, link);
    if (added.length === 0 && trailers.length === 0 && setExpires === undefined) return undefined;
    return {
      headerFilter(exchange) {
        if (setExpires !== undefined && isSafe(exchange.response.status)) setExpires(exchange);
        if (added.length > 0) addHeaders(exchange, added);
        if (trailers.length > 0) expectTrailers(exchange, trailers);
      },
    };
  },
});
