/** The locations of a server, and which of them a URI belongs to: nginx's ngx_http_core_find_location. */
import type { Scope } from '../config/scope.ts';
import { ConfigError, type Statement } from '../config/statement.ts';
import { debugging } from '../log/debugging.ts';
import type { Exchange } from './exchange.ts';
import { debug } from './log.ts';
import type { Regex } from './regex.ts';
import type { Location } from './site.ts';

/**
 * How a location's name is compared with the URI: `=` is the URI, `^~` and '' begin it (`^~` keeps regular
 * expressions from being asked), `~` and `~*` match it, `@` never.
 */
export type LocationModifier = '=' | '^~' | '~' | '~*' | '' | '@';

/** What a `location` statement says of itself. */
export interface LocationIdentity {
  readonly modifier: LocationModifier;
  /** The prefix, the pattern, or the name with its `@`. */
  readonly name: string;
  /** The compiled pattern of `~` and `~*`. */
  readonly regex: Regex | undefined;
}

/** One location for {@link buildLocationTable}. */
export interface LocationEntry extends LocationIdentity {
  readonly location: Location;
  readonly statement: Statement;
}

/** Compiles patterns: what is needed of `Link`. */
interface RegexCompiler {
  regex(statement: Statement, pattern: string, caseless: boolean): Regex;
}

/** All that one name stands for. */
interface Prefix {
  readonly name: string;
  exact: LocationEntry | undefined;
  inclusive: LocationEntry | undefined;
  /** Position of the longest other name that begins this one and is inclusive; -1 without one. */
  parent: number;
}

/** The locations side by side in one server, or in one location. Immutable. */
export interface LocationTable {
  /** Ordered by name, byte by byte. */
  readonly prefixes: readonly Prefix[];
  /** In the order of the file. */
  readonly regexes: readonly { readonly regex: Regex; readonly location: Location }[];
}

/**
 * Reads the arguments of a `location` block.
 * @throws ConfigError `invalid location modifier "x"`, those of regular expressions, and for a location inside another:
 *   `location "x" is outside location "y"`, `location "x" cannot be inside the exact location "y"`,
 *   `location "x" cannot be inside the named location "y"`, `named location "x" can be on the server level only`
 */
export function readLocation(scope: Scope, compiler: RegexCompiler): LocationIdentity {
  const statement = scope.statement!;
  const { modifier, name } = parseLocationArguments(statement);
  const isRegex = modifier === '~' || modifier === '~*';
  const regex = isRegex ? compiler.regex(statement, name, modifier === '~*') : undefined;
  const outer = scope.parent?.context === 'location' ? scope.parent.statement : undefined;
  if (outer !== undefined) checkNesting(statement, modifier, name, outer);
  return { modifier, name, regex };
}

/**
 * Modifier and name of a `location` statement, which may be written together: `location ~\.php$`.
 * @throws ConfigError `invalid location modifier "x"`
 */
export function parseLocationArguments(statement: Statement): { modifier: LocationModifier; name: string } {
  const [first = '', second] = statement.args;
  if (second !== undefined) {
    if (first !== '=' && first !== '^~' && first !== '~' && first !== '~*') {
      throw new ConfigError(`invalid location modifier "${first}"`, { statement });
    }
    return { modifier: first, name: second };
  }
  if (first.startsWith('=')) return { modifier: '=', name: first.slice(1) };
  if (first.startsWith('^~')) return { modifier: '^~', name: first.slice(2) };
  if (first.startsWith('~*')) return { modifier: '~*', name: first.slice(2) };
  if (first.startsWith('~')) return { modifier: '~', name: first.slice(1) };
  return { modifier: first.startsWith('@') ? '@' : '', name: first };
}

function checkNesting(
  statement: Statement,
  modifier: LocationModifier,
  name: string,
  outer: Statement,
): void {
  const enclosing = parseLocationArguments(outer);
  const fail = (message: string): never => {
    throw new ConfigError(message, { statement });
  };
  if (enclosing.modifier === '=') {
    fail(`location "${name}" cannot be inside the exact location "${enclosing.name}"`);
  }
  if (enclosing.modifier === '@') {
    fail(`location "${name}" cannot be inside the named location "${enclosing.name}"`);
  }
  if (modifier === '@') fail(`named location "${name}" can be on the server level only`);
  if (modifier !== '~' && modifier !== '~*' && !name.startsWith(enclosing.name)) {
    fail(`location "${name}" is outside location "${enclosing.name}"`);
  }
}

/**
 * Makes the table of the locations of one server or location. Named ones do not belong in it.
 * @param entries in the order of the file
 * @throws ConfigError `duplicate location "x"`
 */
export function buildLocationTable(entries: readonly LocationEntry[]): LocationTable {
  const byName = new Map<string, Prefix>();
  const regexes: { regex: Regex; location: Location }[] = [];
  for (const entry of entries) {
    const { location, modifier, name, regex, statement } = entry;
    if (regex !== undefined) {
      regexes.push({ regex, location });
      continue;
    }
    let prefix = byName.get(name);
    if (prefix === undefined) {
      prefix = { name, exact: undefined, inclusive: undefined, parent: -1 };
      byName.set(name, prefix);
    }
    const place = modifier === '=' ? 'exact' : 'inclusive';
    if (prefix[place] !== undefined) throw new ConfigError(`duplicate location "${name}"`, { statement });
    prefix[place] = entry;
  }
  // Names are byte strings: comparing code units compares bytes.
  const prefixes = [...byName.values()].sort((left, right) => (left.name < right.name ? -1 : 1));
  const open: number[] = [];
  for (let index = 0; index < prefixes.length; index++) {
    const prefix = prefixes[index];
    while (open.length > 0 && !prefix.name.startsWith(prefixes[open.at(-1)!].name)) open.pop();
    prefix.parent = open.at(-1) ?? -1;
    if (prefix.inclusive !== undefined) open.push(index);
  }
  return { prefixes, regexes };
}

/**
 * Chooses the location for `exchange.uri`, and sets `exchange.captures` and named captures where a regular expression
 * decides. Ask {@link isSlashRedirect} what the choice means.
 *
 * The rule: a name that is the URI by `=` ends the search. Else the longest name that begins the URI is remembered, and
 * what is inside it is searched in the same way. Unless that name was given with `^~`, regular expressions are tried
 * in the order of the file, those of inner locations first; the first that matches wins, or what is inside it. Else
 * the remembered one is it.
 *
 * @returns undefined where none fits: the server's own settings hold
 */
export function findLocation(exchange: Exchange, table: LocationTable): Location | undefined {
  finished = false;
  return search(exchange, table);
}

/**
 * Whether the location that {@link findLocation} has chosen was chosen because the URI is its name without the slash
 * at the end: such a request is redirected to the name (nginx's auto_redirect). An escaped name is what is to be sent.
 */
export function isSlashRedirect(exchange: Exchange, location: Location): boolean {
  // No other way leads to a prefix longer than the URI.
  return (
    location.autoRedirect &&
    exchange.uri.length + 1 === location.name.length &&
    location.name.startsWith(exchange.uri)
  );
}

/** Nothing found later may take the place of what `search` has returned. Valid until the next search; nothing waits. */
let finished = false;

function search(exchange: Exchange, table: LocationTable): Location | undefined {
  const { prefixes, regexes } = table;
  let found: Location | undefined;
  if (prefixes.length > 0) {
    const entry = longestPrefix(prefixes, exchange.uri);
    if (entry !== undefined) {
      if (debugging.on) debug(exchange, `test location: "${entry.location.name}"`);
      found = entry.location;
      if (finished) return found;
      const { nested } = found;
      if (nested !== undefined) {
        const inner = search(exchange, nested);
        if (inner !== undefined) {
          if (finished) return inner;
          found = inner;
        }
      }
      if (entry.modifier === '^~') return found;
    }
  }
  for (let index = 0; index < regexes.length; index++) {
    const { regex, location } = regexes[index];
    if (debugging.on) debug(exchange, `test location: ~ "${location.name}"`);
    if (!regex.match(exchange, exchange.uri)) continue;
    const inner = location.nested === undefined ? undefined : search(exchange, location.nested);
    finished = true;
    return inner ?? location;
  }
  return found;
}

/** The entry a URI belongs to by its beginning. Sets `finished` where it ends the search. */
function longestPrefix(prefixes: readonly Prefix[], uri: string): LocationEntry | undefined {
  const length = uri.length;
  // Finds the last name that is not after the URI. Both bounds have the first characters in common with the URI
  // that have been compared already, and so has everything between them.
  let low = -1;
  let high = prefixes.length;
  let lowCommon = 0;
  let highCommon = 0;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    const { name } = prefixes[middle];
    const shorter = name.length < length ? name.length : length;
    let common = lowCommon < highCommon ? lowCommon : highCommon;
    while (common < shorter && name.charCodeAt(common) === uri.charCodeAt(common)) common++;
    const isAfter =
      common === shorter ? name.length > length : name.charCodeAt(common) > uri.charCodeAt(common);
    if (isAfter) {
      high = middle;
      highCommon = common;
    } else {
      low = middle;
      lowCommon = common;
    }
  }

  if (low >= 0 && lowCommon === length && prefixes[low].name.length === length) {
    const { exact, inclusive } = prefixes[low];
    if (exact !== undefined) {
      finished = true;
      return exact;
    }
    return inclusive;
  }
  // Names that continue the URI follow it; of those with a byte below the slash there are few or none.
  if (high < prefixes.length && highCommon === length) {
    for (let index = high; index < prefixes.length; index++) {
      const { name, exact, inclusive } = prefixes[index];
      const next = name.charCodeAt(length);
      if (next > 47 || !name.startsWith(uri)) break;
      if (next < 47) continue;
      if (name.length > length + 1) break;
      const redirected = exact?.location.autoRedirect ? exact : inclusive;
      if (redirected?.location.autoRedirect) {
        finished = true;
        return redirected;
      }
      break;
    }
  }
  // The longest name that begins the URI is that last name, or begins it.
  let index = low;
  while (index >= 0) {
    const { name, inclusive, parent } = prefixes[index];
    if (inclusive !== undefined && name.length <= lowCommon) return inclusive;
    index = parent;
  }
  return undefined;
}
