/** Texts with variables in SSI commands, and the conditions of `if` and `elif`. */
import { ConfigError } from '../../config/statement.ts';
import type { Exchange } from '../../core/exchange.ts';
import { compileRegex, type Regex } from '../../core/regex.ts';
import { type FindVariable, ssiState, ssiValue } from './state.ts';

/** What is wrong with a command; the message is for the error log. */
export class SsiError extends Error {}

/**
 * Replaces variables, and takes the backslash away before backslashes, quotes and `$`.
 * @throws SsiError in nginx's words
 */
export function evaluateText(exchange: Exchange, text: string, find: FindVariable): string {
  if (!text.includes('$') && !text.includes('\\')) return text;
  let result = '';
  let position = 0;
  while (position < text.length) {
    const character = text[position]!;
    if (character === '$') {
      const { name, end } = readName(text, position + 1);
      result += ssiValue(exchange, name, find) ?? '';
      position = end;
    } else if (character === '\\') {
      const next = text[position + 1];
      if (next === undefined) break;
      result += next === '\\' || next === "'" || next === '"' || next === '$' ? next : `\\${next}`;
      position += 2;
    } else {
      result += character;
      position++;
    }
  }
  return result;
}

function readName(text: string, start: number): { readonly name: string; readonly end: number } {
  const bracketed = text[start] === '{';
  const from = bracketed ? start + 1 : start;
  let end = from;
  while (end < text.length && isNameCharacter(text.charCodeAt(end))) end++;
  const name = text.slice(from, end);
  const atEnd = from >= text.length;
  if (bracketed && !atEnd && text[end] !== '}') {
    throw new SsiError(`the closing bracket in "${name}" variable is missing`);
  }
  if (name === '') throw new SsiError(`invalid variable name in "${text}"`);
  return { name, end: bracketed ? end + 1 : end };
}

function isNameCharacter(code: number): boolean {
  return (
    (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || (code >= 48 && code <= 57) || code === 95
  );
}

/**
 * The URI of an `include`: one that does not begin with a slash is beside the page.
 * @throws SsiError
 */
export function evaluateUri(exchange: Exchange, text: string, find: FindVariable): string {
  const uri = evaluateText(exchange, text, find);
  if (uri.startsWith('/') || (uri === '' && text.includes('$'))) return uri;
  return exchange.uri.slice(0, exchange.uri.lastIndexOf('/') + 1) + uri;
}

/** What a condition begins with: a text, in which letters are then in lower case. */
const LEFT = /^[A-Za-z0-9${}_"']*/;

/**
 * Evaluates `text`, `text = text`, `text != text`, `text = /regex/` or `text != /regex/`.
 * @throws SsiError
 */
export function evaluateCondition(exchange: Exchange, expression: string, find: FindVariable): boolean {
  const [written = ''] = LEFT.exec(expression) ?? [];
  const left = evaluateText(exchange, written.toLowerCase(), find);
  const rest = skipSpaces(expression, written.length);
  if (rest === '') return left !== '';
  const negated = rest.startsWith('!=');
  if (!negated && !rest.startsWith('=')) throw invalidExpression(expression);
  let right = skipSpaces(rest, negated ? 2 : 1);
  if (right.length > 1 && right.startsWith('/')) {
    if (!right.endsWith('/')) throw invalidExpression(expression);
    const pattern = evaluateText(exchange, right.slice(1, -1), find);
    return matches(exchange, pattern, left) !== negated;
  }
  if (right.length > 2 && right.startsWith('\\/')) right = right.slice(1);
  return (left === evaluateText(exchange, right, find)) !== negated;
}

function skipSpaces(text: string, start: number): string {
  let position = start;
  while (text.charCodeAt(position) === 32) position++;
  return text.slice(position);
}

function invalidExpression(expression: string): SsiError {
  return new SsiError(`invalid expression in "${expression}"`);
}

interface PagePattern {
  readonly regex: Regex;
  /** It has no groups: one has been put around it, for what matched. */
  readonly wrapped: boolean;
}

/** Patterns come from pages, the same ones again and again: the last of them are kept compiled. */
const MOST_PATTERNS = 256;
const patterns = new Map<string, PagePattern>();

function patternOf(text: string): PagePattern {
  const known = patterns.get(text);
  if (known !== undefined) return known;
  let regex: Regex;
  try {
    regex = compileRegex(text, { caseless: false });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new SsiError(error.message);
  }
  const wrapped = regex.groups === 0;
  if (wrapped) regex = compileRegex(`(${text})`, { caseless: false });
  if (patterns.size >= MOST_PATTERNS) patterns.clear();
  const pattern = { regex, wrapped };
  patterns.set(text, pattern);
  return pattern;
}

/** Matches, and keeps the groups: by number, and those with names as variables. */
function matches(exchange: Exchange, text: string, subject: string): boolean {
  const { regex, wrapped } = patternOf(text);
  // `$1` of the configuration is another one.
  const { captures } = exchange;
  const matched = regex.match(exchange, subject);
  const found = exchange.captures;
  exchange.captures = captures;
  if (!matched || found === undefined) return false;
  const state = ssiState(exchange);
  state.captures = wrapped ? [found[1]] : Array.from(found);
  for (const { name, group } of regex.names) state.variables.set(name.toLowerCase(), found[group] ?? '');
  return true;
}
