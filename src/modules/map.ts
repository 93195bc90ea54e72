/** The map module: variables whose value depends on that of another, by a table. */
import type { Directive, ReadContext } from '../config/directive.ts';
import { accepted, number } from '../config/setters.ts';
import { ConfigError, type Statement } from '../config/statement.ts';
import type { Exchange } from '../core/exchange.ts';
import type { Link } from '../core/link.ts';
import { log } from '../core/log.ts';
import { defineModule } from '../core/module.ts';
import { constantTemplate, type Template } from '../core/template.ts';
import type { VariableGetter } from '../core/variables.ts';
import { asciiLowerCase, HostMap } from '../http/host-map.ts';

/** A `map` block as it was read. What variables are in it is found out when it is linked. */
interface MapDeclaration {
  readonly statement: Statement;
  /** `hostnames`: a dot at the end of the source does not count. */
  readonly hostnames: boolean;
  /** `volatile`: evaluated anew every time. */
  readonly volatile: boolean;
  /** Each value once, with the first statement that has it. */
  readonly values: readonly { readonly text: string; readonly statement: Statement }[];
  /** The keys that are no regular expressions, with positions in `values`. */
  readonly names: HostMap<number>;
  readonly regexes: readonly MapRegex[];
  /** Position of the value of `default`; -1 without one. */
  readonly fallback: number;
}

interface MapRegex {
  readonly statement: Statement;
  readonly pattern: string;
  readonly caseless: boolean;
  /** Position in `values`. */
  readonly value: number;
}

/**
 * Reads a `map` block.
 * @throws ConfigError `invalid number of the map parameters`, `duplicate default map parameter`,
 *   `invalid hostname or wildcard "x"`, `conflicting parameter "x"`
 */
function readMap(statement: Statement): MapDeclaration {
  const values: { text: string; statement: Statement }[] = [];
  const positions = new Map<string, number>();
  const names = new HostMap<number>();
  const regexes: MapRegex[] = [];
  let hostnames = false;
  let volatile = false;
  let fallback = -1;

  for (const child of statement.block ?? []) {
    const { name, args } = child;
    if (args.length === 0 && name === 'hostnames') hostnames = true;
    else if (args.length === 0 && name === 'volatile') volatile = true;
    else if (args.length !== 1) {
      throw new ConfigError('invalid number of the map parameters', { statement: child });
    } else {
      const text = args[0];
      let value = positions.get(text);
      if (value === undefined) {
        value = values.push({ text, statement: child }) - 1;
        positions.set(text, value);
      }
      if (name === 'default') {
        if (fallback >= 0) throw new ConfigError('duplicate default map parameter', { statement: child });
        fallback = value;
      } else if (name.startsWith('~')) {
        const caseless = name.startsWith('~*');
        regexes.push({ statement: child, pattern: name.slice(caseless ? 2 : 1), caseless, value });
      } else {
        // A backslash keeps the words above, and `~`, from meaning anything.
        addName(names, name.startsWith('\\') ? name.slice(1) : name, value, hostnames, child);
      }
    }
  }
  return { statement, hostnames, volatile, values, names, regexes, fallback };
}

function addName(
  names: HostMap<number>,
  name: string,
  value: number,
  hostnames: boolean,
  statement: Statement,
): void {
  switch (names.add(name, value, hostnames)) {
    case 'invalid':
      throw new ConfigError(`invalid hostname or wildcard "${name}"`, { statement });
    case 'conflicting':
      throw new ConfigError(`conflicting parameter "${asciiLowerCase(name)}"`, { statement });
  }
}

const EMPTY = constantTemplate('');

/** Makes the variable of a map. */
function linkMap(declaration: MapDeclaration, link: Link): void {
  const { statement, volatile } = declaration;
  const [sourceText, target] = statement.args;
  const source = link.template(statement, sourceText);
  if (!target.startsWith('$') || target.length === 1) {
    throw new ConfigError(`invalid variable name "${target}"`, { statement });
  }
  const name = target.slice(1);
  const get = compileMap(declaration, source, name, link);
  link.variables.define(name, { get, cached: !volatile, changeable: true }, statement);
}

/** How many maps may be in the middle of being evaluated, one for the other, before they are taken for a cycle. */
const DEEPEST = 100;
let depth = 0;

function compileMap(declaration: MapDeclaration, source: Template, name: string, link: Link): VariableGetter {
  const { hostnames, names } = declaration;
  const values = declaration.values.map(({ text, statement }) => link.template(statement, text));
  const fallback = values[declaration.fallback] ?? EMPTY;
  const regexes = declaration.regexes.map(({ statement, pattern, caseless, value }) => ({
    regex: link.regex(statement, pattern, caseless),
    value: values[value],
  }));

  function choose(exchange: Exchange, text: string): Template {
    const position = names.find(text);
    if (position !== undefined) return values[position];
    // An empty text is only ever found by name, as in nginx.
    if (text !== '') {
      for (let index = 0; index < regexes.length; index++) {
        if (regexes[index].regex.match(exchange, text)) return regexes[index].value;
      }
    }
    return fallback;
  }

  return (exchange) => {
    if (depth === DEEPEST) {
      log(exchange, 'error', `cycle while evaluating variable "${name}"`);
      return undefined;
    }
    depth++;
    try {
      const text = source.constant ?? source.evaluate(exchange);
      const value = choose(exchange, hostnames && text.endsWith('.') ? text.slice(0, -1) : text);
      return value.constant ?? value.evaluate(exchange);
    } finally {
      depth--;
    }
  };
}

const HASHES = 'Tables size themselves.';

/** nginx takes the sizes that hold at the first map; a later statement comes too late, and it says so in these words. */
function notAfterMap(_value: number, report: ReadContext): void {
  if (report.before('map') !== undefined) report.failDirective('is duplicate');
}

const mapDirective: Directive<readonly MapDeclaration[]> = {
  contexts: ['http'],
  arity: [2, 2],
  block: 'data',
  default: [],
  inherited: false,
  syntax: 'string $variable { ... }',
  read: (statement, previous) => [...(previous ?? []), readMap(statement)],
};

/** nginx's ngx_http_map_module. */
export const mapModule = defineModule({
  name: 'http_map',
  directives: {
    map: mapDirective,
    map_hash_max_size: accepted(['http'], [1, 1], HASHES, { as: number([], 2048, { check: notAfterMap }) }),
    map_hash_bucket_size: accepted(['http'], [1, 1], HASHES, { as: number([], 64, { check: notAfterMap }) }),
  },
  http(settings, _scope, link) {
    for (const declaration of settings.map) linkMap(declaration, link);
    return undefined;
  },
});
