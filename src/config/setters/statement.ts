import type { Directive, ReadContext } from '../declaration.ts';
import type { Statement } from '../statement.ts';
import {
  type Arity,
  type CheckedOptions,
  type Contexts,
  documented,
  type Options,
  refuseDuplicate,
} from './options.ts';

/*
 * Directives whose value is the statement itself, blocks, and directives read by a function of the module's own.
 */
/** The statement itself, for directives that are compiled later; undefined where none is given. */
export function statement(
  contexts: Contexts,
  arity: Arity,
  options: CheckedOptions<Statement> = {},
): Directive<Statement | undefined> {
  return {
    contexts,
    arity,
    default: undefined,
    inherited: options.inherited ?? true,
    ...documented(options, undefined, undefined),
    read(statement, previous, report) {
      refuseDuplicate(previous, report);
      options.check?.(statement, report);
      return statement;
    },
  };
}

/**
 * All the statements of that name in the nearest scope that has any, in order: an inner list replaces the outer
 * one.
 */
export function statements(
  contexts: Contexts,
  arity: Arity,
  options: CheckedOptions<Statement> = {},
): Directive<readonly Statement[]> {
  return {
    contexts,
    arity,
    default: [],
    inherited: options.inherited ?? true,
    ...documented(options, undefined, undefined),
    read(statement, previous, report) {
      options.check?.(statement, report);
      return [...(previous ?? []), statement];
    },
  };
}

/** Options of {@link block}. */
export interface BlockOptions extends CheckedOptions<Statement> {
  /** Whether it may stand more than once in a scope; false unless told. */
  readonly repeat?: boolean;
}

/**
 * A block of directives. Its value is the list of its statements in this very scope; what is in them comes from
 * the scope's `children(name)`.
 *
 * @param opens the context of its body; by the context it stands in where that makes a difference
 */
export function block(
  contexts: Contexts,
  opens: string | Readonly<Record<string, string>>,
  arity: Arity,
  options: BlockOptions = {},
): Directive<readonly Statement[]> {
  return {
    contexts,
    arity,
    block: 'directives',
    opens,
    default: [],
    inherited: false,
    ...documented(options, undefined, undefined),
    read(statement, previous, report) {
      if (options.repeat !== true) refuseDuplicate(previous, report);
      options.check?.(statement, report);
      return [...(previous ?? []), statement];
    },
  };
}

/**
 * A block of data, such as `map`, whose children are no directives. Its value is the list of its statements; by
 * default it may be repeated and is not inherited.
 */
export function dataBlock(
  contexts: Contexts,
  arity: Arity,
  options: BlockOptions = {},
): Directive<readonly Statement[]> {
  return {
    contexts,
    arity,
    block: 'data',
    default: [],
    inherited: options.inherited ?? false,
    ...documented(options, undefined, undefined),
    read(statement, previous, report) {
      if (options.repeat === false) refuseDuplicate(previous, report);
      options.check?.(statement, report);
      return [...(previous ?? []), statement];
    },
  };
}

/** Options of {@link accepted}. */
export interface AcceptedOptions extends Options {
  /** Checks the arguments as this directive would: `size([], 0)`, `flag([], true)`. */
  readonly as?: Directive<unknown>;
  /** Whether it may stand more than once in a scope; false unless told. */
  readonly repeat?: boolean;
}

/**
 * A directive of nginx's that has nothing to tune here: it may stand where it stands in nginx, its arguments are
 * checked, and its value is not used.
 *
 * @param why what the table of directives says: a sentence
 */
export function accepted(
  contexts: Contexts,
  arity: Arity,
  why: string,
  options: AcceptedOptions = {},
): Directive<true | undefined> {
  const { as } = options;
  return {
    contexts,
    arity,
    default: undefined,
    inherited: options.inherited ?? true,
    accepted: why,
    ...documented(options, as?.syntax, as?.defaultText),
    read(statement, previous, report) {
      if (options.repeat !== true) refuseDuplicate(previous, report);
      as?.read(statement, undefined, report);
      return true;
    },
  };
}

/** A directive read by the module's own function; repeated statements reach it with the value so far. */
export function custom<Value, Default = Value>(
  contexts: Contexts,
  arity: Arity,
  defaultValue: Default,
  read: (statement: Statement, previous: Value | undefined, report: ReadContext) => Value,
  options: Options = {},
): Directive<Value | Default> {
  return {
    contexts,
    arity,
    default: defaultValue,
    inherited: options.inherited ?? true,
    ...documented(options, undefined, undefined),
    // What came before was made by `read`, so it is a Value, never the default.
    read: (statement, previous, report) => read(statement, previous as Value | undefined, report),
  };
}
