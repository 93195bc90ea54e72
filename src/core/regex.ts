/**
 * Regular expressions in the configuration: locations, server names, `rewrite`, `if`, `map`.
 *
 * Time. V8's usual engine backtracks, and there are patterns that cost it time exponential in the length of the text,
 * `^(a+)+$`. With its option `--enable-experimental-regexp-engine-on-excessive-backtracks` (see
 * {@link REGEXP_ENGINE_OPTION}) it goes over, after 50,000 steps back, to an engine whose time is linear. That engine
 * knows neither lookarounds nor references, and so no atomic groups; patterns with those stay unprotected. PCRE2, too,
 * gives up on such a match: after 10 million steps.
 */
import { ConfigError, type Statement } from '../config/statement.ts';
import type { Exchange } from './exchange.ts';
import { RegexSyntaxError } from './regex-cursor.ts';
import { translateRegex } from './regex-translation.ts';
import type { Variable, VariableRegistry } from './variables.ts';

/**
 * For `v8.setFlagsFromString` before anything is matched, once, in the main thread; it holds for all threads. Or for the
 * command line of Node.
 */
export const REGEXP_ENGINE_OPTION = '--enable-experimental-regexp-engine-on-excessive-backtracks';

/** What `compileRegex` has to know besides the pattern. */
export interface RegexOptions {
  /** Letters match in either case: `~*`. */
  readonly caseless: boolean;
  /** Where the pattern stands, for errors. */
  readonly statement?: Statement;
  /** Where named groups become variables; without it they are groups like others. */
  readonly variables?: VariableRegistry;
}

/** A compiled pattern. */
export interface Regex {
  /** As it stands in the configuration. */
  readonly pattern: string;
  /** Number of its groups. */
  readonly groups: number;
  /** Its named groups in the order of their names' numbers: `{ name: 'lang', group: 1 }`. */
  readonly names: readonly { readonly name: string; readonly group: number }[];
  /** Whether it matches anywhere in the text. Leaves no trace. */
  test(text: string): boolean;
  /**
   * Whether it matches anywhere in the text. If so, `$1` to `$9` of the exchange and the variables of named groups are
   * this match's; a group that took no part gives ''.
   */
  match(exchange: Exchange, text: string): boolean;
}

/** What a match without groups leaves behind: `$1` has no value. */
const NO_CAPTURES = Object.assign([''], { index: 0, input: '' }) as RegExpExecArray;

/**
 * Compiles a pattern of PCRE2.
 * @param pattern byte string
 * @throws ConfigError in nginx's form, `pcre2_compile() failed: missing closing parenthesis in "(a"`, also for what is
 *   not supported here; `the duplicate "x" variable` for a group named like a built-in variable
 */
export function compileRegex(pattern: string, options: RegexOptions): Regex {
  const { statement, variables } = options;
  const translation = translate(pattern, options.caseless, statement);
  const { groups, groupNumbers, sourceBeforeFinalNewline } = translation;
  const usual = construct(pattern, translation.source, statement);
  let beforeFinalNewline: RegExp | undefined;
  const names = [...translation.names].map(([name, group]) => ({ name, group }));
  const assignments =
    variables === undefined
      ? []
      : names.map(({ name, group }) => assignment(variables, name, group, statement));

  function choose(text: string): RegExp {
    if (sourceBeforeFinalNewline === undefined || text.charCodeAt(text.length - 1) !== 10) return usual;
    beforeFinalNewline ??= new RegExp(sourceBeforeFinalNewline);
    return beforeFinalNewline;
  }

  return {
    pattern,
    groups,
    names,
    test: (text) => choose(text).test(text),
    match(exchange, text) {
      const expression = choose(text);
      if (groups === 0) {
        if (!expression.test(text)) return false;
        exchange.captures = NO_CAPTURES;
        return true;
      }
      let captures = expression.exec(text);
      if (captures === null) return false;
      if (groupNumbers !== undefined) captures = renumber(captures, groupNumbers);
      exchange.captures = captures;
      for (let index = 0; index < assignments.length; index++) {
        const { variable, group } = assignments[index];
        variable.assign!(exchange, captures[group] ?? '');
      }
      return true;
    },
  };
}

function assignment(
  variables: VariableRegistry,
  name: string,
  group: number,
  statement: Statement | undefined,
): { readonly variable: Variable; readonly group: number } {
  return { variable: variables.assignable(name, statement), group };
}

/** The groups as the pattern numbers them; JavaScript's also has those that stand for atomic groups. */
function renumber(captures: RegExpExecArray, groupNumbers: readonly number[]): RegExpExecArray {
  const numbered = groupNumbers.map((number) => captures[number]);
  return Object.assign(numbered, { index: captures.index, input: captures.input }) as RegExpExecArray;
}

function translate(pattern: string, caseless: boolean, statement: Statement | undefined) {
  try {
    return translateRegex(pattern, caseless);
  } catch (error) {
    if (!(error instanceof RegexSyntaxError)) throw error;
    throw compileError(pattern, error.message, error.offset, statement);
  }
}

function construct(pattern: string, source: string, statement: Statement | undefined): RegExp {
  try {
    return new RegExp(source);
  } catch (error) {
    // Too large, or too deep: whatever the translation could not foresee.
    if (!(error instanceof SyntaxError)) throw error;
    throw compileError(pattern, 'regular expression is not supported', pattern.length, statement);
  }
}

function compileError(
  pattern: string,
  message: string,
  offset: number,
  statement: Statement | undefined,
): ConfigError {
  const place = offset < pattern.length ? ` at "${pattern.slice(offset)}"` : '';
  return new ConfigError(`pcre2_compile() failed: ${message} in "${pattern}"${place}`, { statement });
}
