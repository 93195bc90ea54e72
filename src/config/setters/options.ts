import type { Documentation, ReadContext } from '../declaration.ts';
import { nearestName } from '../nearest-name.ts';

/*
 * What the builders of directives have in common.
 */

/** Contexts in which a directive may stand. */
export type Contexts = readonly string[];

/** The fewest and the most arguments. */
export type Arity = readonly [minimum: number, maximum: number];

/** What every builder takes besides. */
export interface Options extends Documentation {
  /** True unless told. */
  readonly inherited?: boolean;
}

/** Options of a builder whose value can be checked further, as nginx's post handlers do. */
export interface CheckedOptions<Value> extends Options {
  /** Looks at the value read, and may fail or warn. */
  readonly check?: (value: Value, report: ReadContext) => void;
}

/** Stops when the scope has a value already. A value that was set is never undefined: only a default can be. */
export function refuseDuplicate(previous: unknown, report: ReadContext): void {
  if (previous !== undefined) report.failDirective('is duplicate');
}

/** The documentation a builder derives, where the options do not say otherwise. */
export function documented(
  options: Options,
  syntax: string | undefined,
  defaultText: string | undefined,
): Documentation {
  const shownSyntax = options.syntax ?? syntax;
  const shownDefault = options.defaultText ?? defaultText;
  return {
    ...(shownSyntax === undefined ? {} : { syntax: shownSyntax }),
    ...(shownDefault === undefined ? {} : { defaultText: shownDefault }),
    ...(options.differs === undefined ? {} : { differs: options.differs }),
  };
}

/** `did you mean "x"?` for the nearest of the known words, or undefined when none is near. */
export function didYouMean(word: string, known: Iterable<string>): string | undefined {
  const nearest = nearestName(word, known);
  return nearest === undefined ? undefined : `did you mean "${nearest}"?`;
}
