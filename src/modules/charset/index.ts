/** `charset`: the charset of answers is named in Content-Type, or they are recoded into it. */
import { dataBlock, flag, mimeTypes, statement } from '../../config/setters.ts';
import { ConfigError, type Statement } from '../../config/statement.ts';
import { addBodyFilter, BodyFilter } from '../../core/body-filter.ts';
import type { Exchange } from '../../core/exchange.ts';
import type { Link } from '../../core/link.ts';
import { log } from '../../core/log.ts';
import { hasMediaType } from '../../core/mime-types.ts';
import { defineModule } from '../../core/module.ts';
import { clearContentLength, fieldValue } from '../../core/response-headers.ts';
import type { VariableGetter } from '../../core/variables.ts';
import { Charsets } from './map.ts';
import type { Recoder } from './recoding.ts';

const CONTEXTS = ['http', 'server', 'location'];
const WITH_IF = [...CONTEXTS, 'if in location'];
const TYPES = [
  'text/html',
  'text/xml',
  'text/plain',
  'text/vnd.wap.wml',
  'application/javascript',
  'application/rss+xml',
];

const CHARSETS = Symbol('charsets');

class CharsetFilter extends BodyFilter {
  private readonly recode: Recoder;

  constructor(exchange: Exchange, recode: Recoder) {
    super(exchange);
    this.recode = recode;
  }

  override write(chunk: Buffer | string): boolean {
    const recoded = this.recode(typeof chunk === 'string' ? Buffer.from(chunk, 'latin1') : chunk);
    // A piece may consist of the beginning of one character.
    return recoded.length === 0 || this.next.write(recoded);
  }
}

/** `charset` or `source_charset`: a name, or one variable with it; undefined for `off`. */
type CharsetGetter = VariableGetter | undefined;

function compileCharset(given: Statement | undefined, link: Link, charsets: Charsets): CharsetGetter {
  if (given === undefined) return undefined;
  const text = given.args[0]!;
  if (text === 'off' && given.name === 'charset') return undefined;
  if (text.startsWith('$')) {
    const variable = link.variables.lookup(text.slice(1), given);
    return (exchange) => variable.get(exchange);
  }
  charsets.add(text);
  return () => text;
}

/** A charset that is the same for every request; undefined where there is none. */
function constantOf(given: Statement | undefined): string | undefined {
  const text = given?.args[0];
  return text === undefined || text.startsWith('$') || (text === 'off' && given?.name === 'charset')
    ? undefined
    : text;
}

export const charset = defineModule({
  name: 'http_charset_filter',
  directives: {
    charset: statement(WITH_IF, [1, 1], { syntax: 'charset | off', defaultText: 'off' }),
    source_charset: statement(WITH_IF, [1, 1], { syntax: 'charset' }),
    override_charset: flag(WITH_IF, false),
    charset_types: mimeTypes(CONTEXTS, TYPES),
    charset_map: dataBlock(['http'], [2, 2], { syntax: 'charset1 charset2 { ... }' }),
  },
  http({ charset_map: maps }, _scope, link) {
    const charsets = link.state(CHARSETS, () => new Charsets());
    for (const map of maps) charsets.addMap(map);
    return undefined;
  },
  location(settings, _scope, link) {
    const charsets = link.state(CHARSETS, () => new Charsets());
    const { override_charset: overrides, charset_types: types } = settings;
    const destination = compileCharset(settings.charset, link, charsets);
    const source = compileCharset(settings.source_charset, link, charsets);
    const from = constantOf(settings.source_charset);
    const to = constantOf(settings.charset);
    if (from !== undefined && to !== undefined && from.toLowerCase() !== to.toLowerCase()) {
      if (charsets.recoding(from, to) === undefined) {
        throw new ConfigError(`no "charset_map" between the charsets "${from}" and "${to}"`);
      }
    }

    /** The charset the answer is to have; undefined where it is left alone. */
    function wanted(exchange: Exchange): string | undefined {
      const { response } = exchange;
      if (response.contentType === '') return undefined;
      const override = response.overrideCharset;
      if (override !== '') {
        if (charsets.has(override)) return override;
        log(exchange, 'error', `unknown charset "${override}" to override`);
        return undefined;
      }
      if (response.charset === '' ? !hasMediaType(types, response.contentType) : !overrides) return undefined;
      return destination?.(exchange);
    }

    return {
      filtersSubrequests: true,
      headerFilter(exchange) {
        const { response, isSubrequest } = exchange;
        if (destination === undefined && response.overrideCharset === '' && !isSubrequest) return;
        // A subrequest's body becomes part of the client's answer.
        const name = isSubrequest ? exchange.main.response.charset || undefined : wanted(exchange);
        if (name === undefined) return;
        const known = response.charset === '' ? source?.(exchange) : response.charset;
        if (known === undefined || known.toLowerCase() === name.toLowerCase()) {
          setCharset(exchange, name);
          return;
        }
        const areNamed = charsets.has(name) && charsets.has(known);
        if (areNamed && (fieldValue(response.fields, 'content-encoding') ?? '') !== '') return;
        const recoding = areNamed ? charsets.recoding(known, name) : undefined;
        if (recoding === undefined) {
          log(exchange, 'error', `no "charset_map" between the charsets "${known}" and "${name}"`);
          return;
        }
        setCharset(exchange, name);
        if (recoding.resizes) clearContentLength(response);
        addBodyFilter(exchange, new CharsetFilter(exchange, recoding.start()));
      },
    };
  },
});

/** A redirect has none: old browsers took it for that of the page they were sent to. */
function setCharset({ response, isSubrequest }: Exchange, name: string): void {
  if (isSubrequest) return;
  response.charsetText = '';
  response.charset = response.status === 301 || response.status === 302 ? '' : name;
}
