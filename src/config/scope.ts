import type { Directive, Directives, ReadContext, Settings } from './declaration.ts';
import type { RegisteredDirective, Registry } from './registry.ts';
import { ConfigError, type Configuration, type Statement, type Warning } from './statement.ts';

/** One statement of a scope, checked and read. */
export interface Entry {
  readonly name: string;
  readonly statement: Statement;
  /** Name of the module that declared the directive. */
  readonly module: string;
  /** What is inside, for a block of directives. */
  readonly scope: Scope | undefined;
}

const shapes = new WeakMap<Directives, string>();

/**
 * An object with a property for each directive. Requests look at settings all the time, and an object to which dozens of
 * properties are added one by one becomes a hash table in V8; one that comes from JSON has a fixed shape, the same for
 * all scopes.
 */
function emptySettings(directives: Directives): Record<string, unknown> {
  let shape = shapes.get(directives);
  if (shape === undefined) {
    shape = JSON.stringify(Object.fromEntries(Object.keys(directives).map((name) => [name, null])));
    shapes.set(directives, shape);
  }
  return JSON.parse(shape) as Record<string, unknown>;
}

/**
 * One block of directives, or the main context, with everything in it checked and read. Immutable once
 * {@link buildScopes} has returned it.
 */
export class Scope {
  /** The name of the context: `main`, `http`, `location`... */
  readonly context: string;
  readonly parent: Scope | undefined;
  /** The statement that opened the block; undefined for the main context. */
  readonly statement: Statement | undefined;
  /** In the order of the file. */
  readonly entries: readonly Entry[];
  /** By the directive's declaration and not by name, which modules may share. */
  readonly #values: ReadonlyMap<Directive<unknown>, unknown>;
  readonly #cache = new Map<Directives, Settings<Directives>>();

  /** @internal Scopes come from {@link buildScopes}, which goes on adding to `entries` and `values` while it reads. */
  constructor(
    context: string,
    parent: Scope | undefined,
    statement: Statement | undefined,
    entries: readonly Entry[],
    values: ReadonlyMap<Directive<unknown>, unknown>,
  ) {
    this.context = context;
    this.parent = parent;
    this.statement = statement;
    this.entries = entries;
    this.#values = values;
  }

  /**
   * The values that hold here: of the nearest scope, from this one outwards, that sets each; else the default.
   * The same object every time for the same `directives`.
   *
   * @param directives as registered: the very objects, for they are what tells two directives of one name apart
   */
  settings<Declared extends Directives>(directives: Declared): Settings<Declared> {
    let settings = this.#cache.get(directives);
    if (settings === undefined) {
      const collected = emptySettings(directives);
      for (const [name, directive] of Object.entries(directives))
        collected[name] = this.#effective(directive);
      settings = collected;
      this.#cache.set(directives, settings);
    }
    return settings as Settings<Declared>;
  }

  /** The values set in this very scope; undefined for all others. For directives with a merging of their own. */
  own<Declared extends Directives>(directives: Declared): Partial<Settings<Declared>> {
    const collected: Record<string, unknown> = {};
    for (const [name, directive] of Object.entries(directives)) {
      if (this.#values.has(directive)) collected[name] = this.#values.get(directive);
    }
    return collected as Partial<Settings<Declared>>;
  }

  /** Whether a statement of that name stands in this very scope. */
  has(name: string): boolean {
    return this.entries.some((entry) => entry.name === name);
  }

  /** The blocks of that name in this scope, in the order of the file. */
  children(name: string): Scope[] {
    const scopes: Scope[] = [];
    for (const entry of this.entries) {
      if (entry.name === name && entry.scope !== undefined) scopes.push(entry.scope);
    }
    return scopes;
  }

  /** The statements of that name in this very scope, in the order of the file. */
  statements(name: string): Statement[] {
    return this.entries.filter((entry) => entry.name === name).map((entry) => entry.statement);
  }

  /** The nearest scope of that context, from this one outwards; undefined when there is none. */
  enclosing(context: string): Scope | undefined {
    let scope: Scope | undefined = this;
    while (scope !== undefined && scope.context !== context) scope = scope.parent;
    return scope;
  }

  #effective(directive: Directive<unknown>): unknown {
    let scope: Scope | undefined = this;
    do {
      if (scope.#values.has(directive)) return scope.#values.get(directive);
      scope = scope.parent;
    } while (scope !== undefined && directive.inherited);
    return directive.default;
  }
}

/**
 * Checks a whole configuration and reads every value in it: names, contexts, blocks, numbers of arguments,
 * duplicates and values, in the order of the file, so that the first error is the one nginx would report.
 *
 * @param configuration as read; only its statements matter
 * @param warn hears of what is questionable but usable
 * @returns the main scope
 * @throws ConfigError for the first error
 */
export function buildScopes(
  configuration: Pick<Configuration, 'statements'>,
  registry: Registry,
  warn: (warning: Warning) => void = () => {},
): Scope {
  return readScope('main', undefined, undefined, configuration.statements, registry, warn);
}

function readScope(
  context: string,
  parent: Scope | undefined,
  block: Statement | undefined,
  statements: readonly Statement[],
  registry: Registry,
  warn: (warning: Warning) => void,
): Scope {
  const entries: Entry[] = [];
  const values = new Map<Directive<unknown>, unknown>();
  const scope = new Scope(context, parent, block, entries, values);
  const enclosing: Statement[] = [];
  for (let outer: Scope | undefined = scope; outer?.statement !== undefined; outer = outer.parent) {
    enclosing.push(outer.statement);
  }

  for (const statement of statements) {
    if (statement.name === 'include') throw misplacedInclude(statement);
    const registered = registry.find(statement, context);
    const { directive, module } = registered;
    checkForm(statement, registered);
    const report = createReport(statement, context, enclosing, entries, warn);
    const previous = values.get(directive);
    values.set(
      directive,
      directive.block === 'data'
        ? readData(statement, directive, previous, report)
        : directive.read(statement, previous, report),
    );
    const inner =
      directive.block === 'directives'
        ? readScope(bodyContext(registered, context), scope, statement, statement.block ?? [], registry, warn)
        : undefined;
    entries.push({ name: statement.name, statement, module, scope: inner });
  }
  return scope;
}

/** Reading has replaced every well-formed `include` by what it includes; this one has not that form. */
function misplacedInclude(statement: Statement): ConfigError {
  return statement.block === undefined
    ? new ConfigError('invalid number of arguments in "include" directive', { statement })
    : new ConfigError('directive "include" is not terminated by ";"', { statement });
}

function checkForm(statement: Statement, { name, directive }: RegisteredDirective): void {
  if (directive.block === undefined && statement.block !== undefined) {
    throw new ConfigError(`directive "${name}" is not terminated by ";"`, { statement });
  }
  if (directive.block !== undefined && statement.block === undefined) {
    throw new ConfigError(`directive "${name}" has no opening "{"`, { statement });
  }
  const [minimum, maximum] = directive.arity;
  if (statement.args.length < minimum || statement.args.length > maximum) {
    throw new ConfigError(`invalid number of arguments in "${name}" directive`, { statement });
  }
}

/** A block in a block of data is an error, after those of the children before it. */
function readData(
  statement: Statement,
  directive: Directive<unknown>,
  previous: unknown,
  report: ReadContext,
): unknown {
  const children = statement.block ?? [];
  const nested = children.findIndex((child) => child.block !== undefined);
  if (nested < 0) return directive.read(statement, previous, report);
  directive.read({ ...statement, block: children.slice(0, nested) }, previous, report);
  throw report.errorAt(children[nested], 'unexpected "{"');
}

function bodyContext({ name, module, directive }: RegisteredDirective, context: string): string {
  const opens = typeof directive.opens === 'string' ? directive.opens : directive.opens?.[context];
  if (opens === undefined) throw new Error(`${module}: "${name}" does not say what it opens in "${context}"`);
  return opens;
}

function createReport(
  statement: Statement,
  context: string,
  enclosing: readonly Statement[],
  entries: readonly Entry[],
  warn: (warning: Warning) => void,
): ReadContext {
  const errorAt = (at: Statement, message: string, hint?: string) =>
    new ConfigError(message, { statement: at, hint });
  return {
    context,
    enclosing,
    before: (name) => entries.findLast((entry) => entry.name === name)?.statement,
    fail(message, hint) {
      throw errorAt(statement, message, hint);
    },
    failDirective(text) {
      throw errorAt(statement, `"${statement.name}" directive ${text}`);
    },
    errorAt,
    warn: (message, at = statement) => warn({ message, statement: at }),
  };
}
