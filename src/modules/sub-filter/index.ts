/** `sub_filter`: strings in an answer's body are replaced by others. */

import type { ReadContext } from '../../config/directive.ts';
import { flag, mimeTypes, statements } from '../../config/setters.ts';
import { ConfigError, type Statement } from '../../config/statement.ts';
import { addBodyFilter, BodyFilter } from '../../core/body-filter.ts';
import type { Exchange } from '../../core/exchange.ts';
import { hasMediaType } from '../../core/mime-types.ts';
import { defineModule } from '../../core/module.ts';
import { clearContentLength, clearEtag, clearLastModified, weakenEtag } from '../../core/response-headers.ts';
import type { Template } from '../../core/template.ts';
import { compilePatterns, type Patterns, StreamSearch } from './search.ts';

const CONTEXTS = ['http', 'server', 'location'];
const MOST = 255;
const NOTHING = Buffer.alloc(0);

/** What is looked for, and what takes its place. */
interface Replacement {
  readonly pattern: Template;
  readonly value: Template;
}

function checkPattern({ args }: Statement, report: ReadContext): void {
  if (args[0] === '') report.fail('empty search pattern');
}

class SubFilter extends BodyFilter {
  private readonly search: StreamSearch;
  private readonly values: readonly Template[];
  /** What takes the place of each pattern, evaluated when it is found first. */
  private readonly evaluated: (Buffer | undefined)[] = [];
  private readonly once: boolean;
  private applied = 0;
  /** The end of what has come, which may be the beginning of a match. A copy. */
  private kept: Buffer = NOTHING;

  constructor(exchange: Exchange, patterns: Patterns, values: readonly Template[], once: boolean) {
    super(exchange);
    this.search = new StreamSearch(patterns, once);
    this.values = values;
    this.once = once;
  }

  override write(chunk: Buffer | string): boolean {
    const { kept } = this;
    if (this.finished && kept.length === 0) return this.next.write(chunk);
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk, 'latin1') : chunk;
    return this.replace(kept.length === 0 ? bytes : Buffer.concat([kept, bytes]));
  }

  override end(): void {
    if (this.kept.length > 0) this.next.write(this.kept);
    this.kept = NOTHING;
    this.next.end();
  }

  /** There is nothing left to look for. */
  private get finished(): boolean {
    return this.once && this.applied === this.values.length;
  }

  private replace(data: Buffer): boolean {
    const { search } = this;
    let pieces: Buffer[] | undefined;
    let position = 0;
    while (!this.finished) {
      const found = search.next(data, position);
      if (found < 0) break;
      pieces ??= [];
      if (search.matchStart > position) pieces.push(data.subarray(position, search.matchStart));
      pieces.push(this.replacement(found));
      position = search.matchEnd;
      this.applied++;
    }
    const end = this.finished ? data.length : search.matchStart;
    this.kept = end === data.length ? NOTHING : Buffer.from(data.subarray(end));
    if (pieces === undefined) {
      return end === 0 || this.next.write(end === data.length ? data : data.subarray(0, end));
    }
    if (end > position) pieces.push(data.subarray(position, end));
    const replaced = Buffer.concat(pieces);
    return replaced.length === 0 || this.next.write(replaced);
  }

  private replacement(found: number): Buffer {
    let bytes = this.evaluated[found];
    if (bytes === undefined) {
      bytes = Buffer.from(this.values[found].evaluate(this.exchange), 'latin1');
      this.evaluated[found] = bytes;
    }
    return bytes;
  }
}

/** Evaluates what is looked for where variables are in it; what comes out empty is not looked for. */
function evaluatePatterns(
  replacements: readonly Replacement[],
  exchange: Exchange,
): { readonly patterns: Patterns; readonly values: readonly Template[] } | undefined {
  const texts: string[] = [];
  const values: Template[] = [];
  for (const { pattern, value } of replacements) {
    const text = pattern.evaluate(exchange);
    if (text === '') continue;
    texts.push(text);
    values.push(value);
  }
  return texts.length === 0 ? undefined : { patterns: compilePatterns(texts), values };
}

export const subFilter = defineModule({
  name: 'http_sub_filter',
  directives: {
    sub_filter: statements(CONTEXTS, [2, 2], { syntax: 'string replacement', check: checkPattern }),
    sub_filter_types: mimeTypes(CONTEXTS, ['text/html']),
    sub_filter_once: flag(CONTEXTS, true),
    sub_filter_last_modified: flag(CONTEXTS, false),
  },
  location(settings, _scope, link) {
    const {
      sub_filter: given,
      sub_filter_types: types,
      sub_filter_once: once,
      sub_filter_last_modified: keepsDate,
    } = settings;
    if (given.length === 0) return undefined;
    if (given.length > MOST) {
      throw new ConfigError(`number of search patterns exceeds ${MOST}`, { statement: given[MOST] });
    }
    const replacements = given.map((statement): Replacement => {
      const [pattern, value] = statement.args;
      return { pattern: link.template(statement, pattern), value: link.template(statement, value) };
    });
    const isConstant = replacements.every(({ pattern }) => pattern.constant !== undefined);
    const compiled = isConstant
      ? {
          patterns: compilePatterns(replacements.map(({ pattern }) => pattern.constant!)),
          values: replacements.map(({ value }) => value),
        }
      : undefined;
    return {
      filtersSubrequests: true,
      headerFilter(exchange) {
        const { response } = exchange;
        if (response.contentLength === 0 || !hasMediaType(types, response.contentType)) return;
        const search = compiled ?? evaluatePatterns(replacements, exchange);
        if (search === undefined) return;
        addBodyFilter(exchange, new SubFilter(exchange, search.patterns, search.values, once));
        clearContentLength(response);
        if (keepsDate) weakenEtag(response);
        else {
          clearLastModified(response);
          clearEtag(response);
        }
      },
    };
  },
});
