import type { Directive, Documentation, ReadContext } from '../declaration.ts';
import type { Statement } from '../statement.ts';
import {
  parseFlag,
  parseMilliseconds,
  parseNumber,
  parseOffset,
  parseSeconds,
  parseSize,
} from '../values.ts';
import { type CheckedOptions, type Contexts, didYouMean, documented, refuseDuplicate } from './options.ts';

/*
 * Directives with one value, refused when they are given twice in a scope.
 */
/** Options of {@link number}: bounds nginx states in its error message. */
export interface NumberOptions extends CheckedOptions<number> {
  readonly minimum?: number;
  readonly maximum?: number;
}

/** A directive with one argument and one value, refused when it is given twice. */
function single<Value, Default>(
  contexts: Contexts,
  defaultValue: Default,
  options: CheckedOptions<Value>,
  documentation: Documentation,
  readArgument: (argument: string, report: ReadContext, statement: Statement) => Value,
): Directive<Value | Default> {
  return {
    contexts,
    arity: [1, 1],
    default: defaultValue,
    inherited: options.inherited ?? true,
    ...documentation,
    read(statement, previous, report) {
      refuseDuplicate(previous, report);
      const value = readArgument(statement.args[0] ?? '', report, statement);
      options.check?.(value, report);
      return value;
    },
  };
}

/** `on` or `off`. */
export function flag<Default extends boolean | undefined>(
  contexts: Contexts,
  defaultValue: Default,
  options: CheckedOptions<boolean> = {},
): Directive<boolean | Default> {
  const defaultText = defaultValue === undefined ? undefined : defaultValue ? 'on' : 'off';
  return single(
    contexts,
    defaultValue,
    options,
    documented(options, 'on | off', defaultText),
    (word, report, at) => {
      return (
        parseFlag(word) ??
        report.fail(`invalid value "${word}" in "${at.name}" directive, it must be "on" or "off"`)
      );
    },
  );
}

/** A string. */
export function text<Default extends string | undefined>(
  contexts: Contexts,
  defaultValue: Default,
  options: CheckedOptions<string> = {},
): Directive<string | Default> {
  return single(contexts, defaultValue, options, documented(options, 'string', defaultValue), (word) => word);
}

/** A whole number without a sign. */
export function number<Default extends number | undefined>(
  contexts: Contexts,
  defaultValue: Default,
  options: NumberOptions = {},
): Directive<number | Default> {
  const { minimum, maximum } = options;
  const documentation = documented(options, 'number', textOf(defaultValue));
  return single(contexts, defaultValue, options, documentation, (word, report) => {
    const value = parseNumber(word) ?? report.failDirective('invalid number');
    if (maximum !== undefined && (value < (minimum ?? 0) || value > maximum)) {
      report.fail(`value must be between ${minimum ?? 0} and ${maximum}`);
    }
    if (minimum !== undefined && value < minimum) {
      report.fail(`value must be equal to or greater than ${minimum}`);
    }
    return value;
  });
}

/** A size in bytes; `k` and `m` are understood. */
export function size<Default extends number | undefined>(
  contexts: Contexts,
  defaultValue: Default,
  options: CheckedOptions<number> = {},
): Directive<number | Default> {
  const documentation = documented(options, 'size', sizeText(defaultValue));
  return single(contexts, defaultValue, options, documentation, measured(parseSize));
}

/** A size in bytes; `k`, `m` and `g` are understood. */
export function offset<Default extends number | undefined>(
  contexts: Contexts,
  defaultValue: Default,
  options: CheckedOptions<number> = {},
): Directive<number | Default> {
  const documentation = documented(options, 'size', sizeText(defaultValue));
  return single(contexts, defaultValue, options, documentation, measured(parseOffset));
}

/** A time, as a number of milliseconds. */
export function milliseconds<Default extends number | undefined>(
  contexts: Contexts,
  defaultValue: Default,
  options: CheckedOptions<number> = {},
): Directive<number | Default> {
  const documentation = documented(options, 'time', timeText(defaultValue));
  return single(contexts, defaultValue, options, documentation, measured(parseMilliseconds));
}

/** A time, as a number of seconds. */
export function seconds<Default extends number | undefined>(
  contexts: Contexts,
  defaultValue: Default,
  options: CheckedOptions<number> = {},
): Directive<number | Default> {
  const shown = defaultValue === undefined ? undefined : defaultValue * 1000;
  return single(
    contexts,
    defaultValue,
    options,
    documented(options, 'time', timeText(shown)),
    measured(parseSeconds),
  );
}

function measured(
  parse: (word: string) => number | undefined,
): (word: string, report: ReadContext) => number {
  return (word, report) => parse(word) ?? report.failDirective('invalid value');
}

/**
 * One of a few words, in either case, each with its value.
 *
 * @example
 * ```ts
 * choice(['location'], { all: 'all', any: 'any' }, 'all');
 * ```
 */
export function choice<const Value, Default extends Value | undefined>(
  contexts: Contexts,
  words: Readonly<Record<string, Value>>,
  defaultValue: Default,
  options: CheckedOptions<Value> = {},
): Directive<Value | Default> {
  const known = new Map(Object.entries(words));
  const defaultText = Object.keys(words).find((word) => words[word] === defaultValue);
  const documentation = documented(options, Object.keys(words).join(' | '), defaultText);
  return single(contexts, defaultValue, options, documentation, (word, report: ReadContext) => {
    const value = known.get(word.toLowerCase());
    if (value === undefined) report.fail(`invalid value "${word}"`, didYouMean(word, known.keys()));
    return value;
  });
}

/** A number of buffers and the size of each in bytes. */
export interface Buffers {
  readonly number: number;
  readonly size: number;
}

/** Buffers: a number and a size, neither of them 0. */
export function bufs<Default extends Buffers | undefined>(
  contexts: Contexts,
  defaultValue: Default,
  options: CheckedOptions<Buffers> = {},
): Directive<Buffers | Default> {
  const defaultText =
    defaultValue === undefined ? undefined : `${defaultValue.number} ${sizeText(defaultValue.size) ?? ''}`;
  return {
    ...single<Buffers, Default>(
      contexts,
      defaultValue,
      options,
      documented(options, 'number size', defaultText),
      (count, report, statement) => {
        // 0 is as invalid as no number at all.
        const number = parseNumber(count) || report.failDirective('invalid value');
        const size = parseSize(statement.args[1] ?? '') || report.failDirective('invalid value');
        return { number, size };
      },
    ),
    arity: [2, 2],
  };
}

function textOf(value: number | undefined): string | undefined {
  return value === undefined ? undefined : String(value);
}

/** A size as it would be written in a file. */
function sizeText(bytes: number | undefined): string | undefined {
  if (bytes === undefined) return undefined;
  for (const [unit, scale] of [
    ['g', 1 << 30],
    ['m', 1 << 20],
    ['k', 1 << 10],
  ] as const) {
    if (bytes > 0 && bytes % scale === 0) return `${bytes / scale}${unit}`;
  }
  return String(bytes);
}

/** A time as it would be written in a file. */
function timeText(duration: number | undefined): string | undefined {
  if (duration === undefined) return undefined;
  if (duration > 0 && duration % 1000 !== 0) return `${duration}ms`;
  const whole = duration / 1000;
  for (const [unit, scale] of [
    ['d', 86_400],
    ['h', 3600],
  ] as const) {
    if (whole > 0 && whole % scale === 0) return `${whole / scale}${unit}`;
  }
  return `${whole}s`;
}
