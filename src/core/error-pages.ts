/** `error_page`: what to answer with instead of the built-in page of a status. */
import { ConfigError, type Statement } from '../config/statement.ts';
import { parseNumber } from '../config/values.ts';
import { compileTemplate, type Template } from './template.ts';
import type { VariableRegistry } from './variables.ts';

export interface ErrorPage {
  /** A path, a named location with its `@`, or a URL. */
  readonly target: Template;
  /** The status to send instead: `=200`; 0 for the page's own (`=`); -1 for the error's. */
  readonly responseStatus: number;
}

/** The pages of one location by status. */
export type ErrorPages = ReadonlyMap<number, ErrorPage>;

/**
 * Compiles the `error_page` statements of one scope; the first that names a status counts.
 * @throws ConfigError in nginx's words
 */
export function compileErrorPages(
  statements: readonly Statement[],
  variables: VariableRegistry,
): ErrorPages | undefined {
  if (statements.length === 0) return undefined;
  const pages = new Map<number, ErrorPage>();
  for (const statement of statements) {
    const codes = statement.args.slice(0, -1);
    const targetText = statement.args.at(-1)!;
    let responseStatus = -1;
    const last = codes.at(-1)!;
    if (last.startsWith('=')) {
      codes.pop();
      if (codes.length === 0) throw new ConfigError(`invalid value "${last}"`, { statement });
      if (last === '=') responseStatus = 0;
      else {
        const code = parseNumber(last.slice(1));
        if (code === undefined) throw new ConfigError(`invalid value "${last}"`, { statement });
        responseStatus = code;
      }
    }
    const target = compileTemplate(targetText, variables, statement);
    for (const text of codes) {
      const code = parseNumber(text);
      if (code === undefined || code === 499) throw new ConfigError(`invalid value "${text}"`, { statement });
      if (code < 300 || code > 599) {
        throw new ConfigError(`value "${text}" must be between 300 and 599`, { statement });
      }
      if (!pages.has(code)) {
        const kept =
          responseStatus < 0 && (code === 494 || code === 495 || code === 496 || code === 497)
            ? 400
            : responseStatus;
        pages.set(code, { target, responseStatus: kept });
      }
    }
  }
  return pages;
}
