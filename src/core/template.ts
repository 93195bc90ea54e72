/**
 * Templates: configuration values with variables in them ("complex values"), compiled once into a closure.
 */
import { ConfigError, type Statement } from '../config/statement.ts';
import type { Exchange } from './exchange.ts';
import type { VariableGetter, VariableRegistry } from './variables.ts';

/** A compiled value. */
export interface Template {
  /** The text as it stands in the configuration. */
  readonly source: string;
  /** The value where it is the same for every request; undefined where it has to be evaluated. */
  readonly constant: string | undefined;
  readonly evaluate: (exchange: Exchange) => string;
}

/** One piece of a value: literal text, or the name of a variable, or the number of a capture. */
export type TemplatePart = string | { readonly variable: string } | { readonly capture: number };

/**
 * Cuts a value into literal text, `$name`, `${name}` and `$1` to `$9`.
 * @throws ConfigError `invalid variable name`, `the closing bracket in "x" variable is missing`
 */
export function parseTemplate(source: string, statement?: Statement): TemplatePart[] {
  const parts: TemplatePart[] = [];
  let position = 0;
  while (position < source.length) {
    const dollar = source.indexOf('$', position);
    if (dollar < 0) {
      parts.push(source.slice(position));
      break;
    }
    if (dollar > position) parts.push(source.slice(position, dollar));
    let start = dollar + 1;
    const digit = source.charCodeAt(start) - 48;
    if (digit >= 1 && digit <= 9) {
      parts.push({ capture: digit });
      position = start + 1;
      continue;
    }
    const bracketed = source[start] === '{';
    if (bracketed) start++;
    let end = start;
    while (end < source.length && isNameCharacter(source.charCodeAt(end))) end++;
    if (bracketed && source[end] !== '}') {
      throw new ConfigError(`the closing bracket in "${source.slice(start, end)}" variable is missing`, {
        statement,
      });
    }
    if (end === start) throw new ConfigError('invalid variable name', { statement });
    const name = source.slice(start, end);
    // ${1} is a capture as $1 is.
    const bracketedDigit = bracketed && name.length === 1 ? name.charCodeAt(0) - 48 : -1;
    parts.push(bracketedDigit >= 1 && bracketedDigit <= 9 ? { capture: bracketedDigit } : { variable: name });
    position = bracketed ? end + 1 : end;
  }
  return parts;
}

/**
 * Compiles a value.
 * @param capture makes what `$1` to `$9` evaluate to; rewrite's escape what they stand for
 * @throws ConfigError as `parseTemplate` does; names nobody defines are reported by `VariableRegistry.complete`
 */
export function compileTemplate(
  source: string,
  variables: VariableRegistry,
  statement?: Statement,
  capture: (number: number) => VariableGetter = captureGetter,
): Template {
  if (!source.includes('$')) return constantTemplate(source);
  const pieces = parseTemplate(source, statement).map((part) => {
    if (typeof part === 'string') return part;
    if ('capture' in part) return capture(part.capture);
    const variable = variables.lookup(part.variable, statement);
    // The getter is bound late: a variable may be defined further down the file than it is used.
    return (exchange: Exchange) => variable.get(exchange);
  });
  return { source, constant: undefined, evaluate: joinPieces(pieces) };
}

/** A template that is the same for every request. */
export function constantTemplate(text: string): Template {
  return { source: text, constant: text, evaluate: () => text };
}

/** Evaluates capture `number` of the last regular expression that matched; '' where it took no part. */
export function captureGetter(number: number): VariableGetter {
  return (exchange) => {
    const captures = exchange.captures;
    return captures === undefined ? undefined : captures[number];
  };
}

function joinPieces(pieces: (string | VariableGetter)[]): (exchange: Exchange) => string {
  if (pieces.length === 1) {
    const only = pieces[0] as VariableGetter;
    return (exchange) => only(exchange) ?? '';
  }
  return (exchange) => {
    let value = '';
    for (let index = 0; index < pieces.length; index++) {
      const piece = pieces[index]!;
      value += typeof piece === 'string' ? piece : (piece(exchange) ?? '');
    }
    return value;
  };
}

function isNameCharacter(code: number): boolean {
  return (
    (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || (code >= 48 && code <= 57) || code === 95
  );
}
