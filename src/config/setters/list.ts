import type { Directive, ReadContext } from '../declaration.ts';
import { type Arity, type Contexts, didYouMean, documented, type Options } from './options.ts';

/*
 * Directives whose repeated statements add to one value.
 */
/**
 * Any number of words that each set bits of a mask; repeated statements add to it. A word all of whose bits are
 * there already is a warning, as in nginx.
 */
export function bits(
  contexts: Contexts,
  words: Readonly<Record<string, number>>,
  defaultValue: number,
  options: Options = {},
): Directive<number> {
  const known = new Map(Object.entries(words));
  const defaultWords = Object.keys(words).filter((word) => ((words[word] ?? 0) & defaultValue) !== 0);
  return {
    contexts,
    arity: [1, Number.POSITIVE_INFINITY],
    default: defaultValue,
    inherited: options.inherited ?? true,
    ...documented(options, `${Object.keys(words).join(' | ')} ...`, defaultWords.join(' ') || undefined),
    read(statement, previous, report: ReadContext) {
      let mask = previous ?? 0;
      for (const word of statement.args) {
        const bit = known.get(word.toLowerCase());
        if (bit === undefined) report.fail(`invalid value "${word}"`, didYouMean(word, known.keys()));
        if ((mask & bit) !== 0) report.warn(`duplicate value "${word}"`);
        else mask |= bit;
      }
      return mask;
    },
  };
}

/** A list of words; repeated statements append. One word per statement unless `arity` says otherwise. */
export function words<Default extends readonly string[] | undefined>(
  contexts: Contexts,
  defaultValue: Default,
  options: Options & { readonly arity?: Arity } = {},
): Directive<readonly string[] | Default> {
  return {
    contexts,
    arity: options.arity ?? [1, 1],
    default: defaultValue,
    inherited: options.inherited ?? true,
    ...documented(options, 'string', defaultValue?.join(' ') || undefined),
    read(statement, previous) {
      return [...(previous ?? []), ...statement.args];
    },
  };
}

/** Pairs of a key and a value; repeated statements append. */
export function keyval(
  contexts: Contexts,
  defaultValue: readonly KeyValue[] = [],
  options: Options = {},
): Directive<readonly KeyValue[]> {
  return {
    contexts,
    arity: [2, 2],
    default: defaultValue,
    inherited: options.inherited ?? true,
    ...documented(options, 'key value', undefined),
    read(statement, previous) {
      const [key = '', value = ''] = statement.args;
      return [...(previous ?? []), { key, value }];
    },
  };
}

/** One pair of a {@link keyval} directive. */
export interface KeyValue {
  readonly key: string;
  readonly value: string;
}

/** A set of MIME types in lower case, or `*` for every type. */
export type MimeTypes = ReadonlySet<string> | '*';

/**
 * MIME types, or `*`; repeated statements add. The first of the defaults is always in the set.
 * A type that is there already is a warning.
 */
export function mimeTypes(
  contexts: Contexts,
  defaultValue: readonly string[],
  options: Options = {},
): Directive<MimeTypes> {
  return {
    contexts,
    arity: [1, Number.POSITIVE_INFINITY],
    default: new Set(defaultValue),
    inherited: options.inherited ?? true,
    ...documented(options, 'mime-type ...', defaultValue.join(' ') || undefined),
    read(statement, previous, report) {
      if (previous === '*') return previous;
      const types = new Set(previous ?? defaultValue.slice(0, 1));
      for (const word of statement.args) {
        if (word === '*') return '*';
        const type = word.toLowerCase();
        if (types.has(type)) report.warn(`duplicate MIME type "${type}"`);
        types.add(type);
      }
      return types;
    },
  };
}
