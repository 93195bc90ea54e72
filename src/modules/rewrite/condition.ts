/** The condition of an `if`. */
import type { Stats } from 'node:fs';
import { ConfigError, type Statement } from '../../config/statement.ts';
import type { Exchange } from '../../core/exchange.ts';
import { findFile } from '../../core/open-file.ts';
import { compileValue, type StepContext, trace, traces } from './steps.ts';

/** Whether the block of an `if` is gone into. */
type Condition = (exchange: Exchange) => boolean;

/**
 * Compiles the condition of an `if`.
 * @throws ConfigError `invalid condition "x"`, `unexpected "x" in condition`, those of regular expressions and templates
 */
export function compileCondition(statement: Statement, context: StepContext): Condition {
  const words = withoutBrackets(statement);
  const subject = words[0] ?? '';
  const invalid = (word: string): never => {
    throw new ConfigError(`invalid condition "${word}"`, { statement });
  };
  if (subject.length > 1 && subject.startsWith('$')) {
    if (words.length !== 1 && words.length !== 3) invalid(subject);
    const variable = context.link.variables.lookup(subject.slice(1), statement);
    const value = (exchange: Exchange): string => variable.get(exchange) ?? '';
    return words.length === 1
      ? (exchange) => isTrue(value(exchange))
      : compileComparison(statement, value, words[1]!, words[2]!, context);
  }
  const negated = subject.startsWith('!');
  if (!/^!?-.$/s.test(subject) || words.length !== 2) return invalid(subject);
  const test = FILE_TESTS[subject.at(-1)!] ?? invalid(subject);
  const path = compileValue(statement, words[1]!, context.link);
  return (exchange) => fileTest(exchange, path.constant ?? path.evaluate(exchange), test) !== negated;
}

/** The words between the brackets, which may stand alone or be part of a word. */
function withoutBrackets(statement: Statement): string[] {
  const words = [...statement.args];
  const [first] = words;
  const last = words.at(-1)!;
  if (!first.startsWith('(')) throw new ConfigError(`invalid condition "${first}"`, { statement });
  if (first === '(') words.shift();
  else words[0] = first.slice(1);
  if (words.length === 0 || !last.endsWith(')')) {
    throw new ConfigError(`invalid condition "${words.at(-1) ?? ''}"`, { statement });
  }
  if (last === ')') words.pop();
  else words.push(words.pop()!.slice(0, -1));
  return words;
}

function isTrue(value: string): boolean {
  return value !== '' && value !== '0';
}

function compileComparison(
  statement: Statement,
  subject: (exchange: Exchange) => string,
  operator: string,
  operand: string,
  context: StepContext,
): Condition {
  switch (operator) {
    case '=':
    case '!=': {
      const wanted = operator === '=';
      const value = compileValue(statement, operand, context.link);
      return (exchange) => (subject(exchange) === (value.constant ?? value.evaluate(exchange))) === wanted;
    }
    case '~':
    case '~*':
    case '!~':
    case '!~*': {
      const regex = context.link.regex(statement, operand, operator.endsWith('*'));
      const wanted = !operator.startsWith('!');
      return (exchange) => {
        const text = subject(exchange);
        const matches = regex.match(exchange, text);
        if (!matches) exchange.captures = undefined;
        if (traces(exchange, context)) {
          trace(exchange, `"${operand}" ${matches ? 'matches' : 'does not match'} "${text}"`);
        }
        return matches === wanted;
      };
    }
    default:
      throw new ConfigError(`unexpected "${operator}" in condition`, { statement });
  }
}

type FileTest = (stats: Stats) => boolean;

/** The bit that lets its owner execute a file, or search a directory: nginx looks at no other. */
const EXECUTABLE = 0o100;

const FILE_TESTS: Readonly<Record<string, FileTest | undefined>> = {
  f: (stats) => stats.isFile(),
  d: (stats) => stats.isDirectory(),
  e: (stats) => stats.isFile() || stats.isDirectory(),
  x: (stats) => (stats.mode & EXECUTABLE) !== 0,
};

/** Relative names start where the process does, as in nginx. */
function fileTest(exchange: Exchange, name: string, test: FileTest): boolean {
  // What follows a NUL is not part of a file's name.
  const nul = name.indexOf('\0');
  const found = findFile(exchange, nul < 0 ? name : name.slice(0, nul));
  return found !== undefined && test(found);
}
