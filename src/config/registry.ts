import type { Directive, Directives, Documentation } from './declaration.ts';
import { nearestName } from './nearest-name.ts';
import { ConfigError, type Statement } from './statement.ts';

/** What the registry needs of a module. */
export interface DirectiveModule {
  readonly name: string;
  readonly directives: Directives;
}

/** A directive and the module that declared it. */
export interface RegisteredDirective {
  readonly name: string;
  readonly module: string;
  readonly directive: Directive<unknown>;
}

/** One row of the table of directives. */
export interface DirectiveListing extends Documentation {
  readonly name: string;
  readonly module: string;
  readonly contexts: readonly string[];
  readonly arity: readonly [minimum: number, maximum: number];
  readonly block: 'directives' | 'data' | undefined;
  readonly inherited: boolean;
  /** Why it is accepted without a meaning here; undefined for all that do something. */
  readonly accepted: string | undefined;
}

/** Every directive there is. */
export interface Registry {
  /**
   * The directive of that name for that context.
   * @throws ConfigError `"x" directive is not allowed here`; `unknown directive "x"`, with the nearest name as hint
   */
  find(statement: Statement, context: string): RegisteredDirective;
  /** Every directive, by name and then module: for the documentation. */
  list(): readonly DirectiveListing[];
}

/** `include` is part of the language, so it is known, and allowed, everywhere. */
const languageNames = ['include'];

const byteOrderMark = '\xef\xbb\xbf';

/**
 * Collects the directives of all modules. Several may declare the same name, for different contexts.
 *
 * @throws Error when two claim a name in the same context: a mistake in the program, not in a configuration
 */
export function createRegistry(modules: readonly DirectiveModule[]): Registry {
  const byName = new Map<string, Map<string, RegisteredDirective>>();
  const all: RegisteredDirective[] = [];

  for (const module of modules) {
    for (const [name, directive] of Object.entries(module.directives)) {
      const registered = { name, module: module.name, directive };
      const byContext = byName.get(name) ?? new Map<string, RegisteredDirective>();
      for (const context of directive.contexts) {
        const other = byContext.get(context);
        if (other !== undefined) {
          throw new Error(
            `"${name}" is declared for "${context}" by both ${other.module} and ${module.name}`,
          );
        }
        byContext.set(context, registered);
      }
      byName.set(name, byContext);
      all.push(registered);
    }
  }

  function unknown(statement: Statement, context: string): ConfigError {
    const { name } = statement;
    const allowedHere = [...byName].filter(([, byContext]) => byContext.has(context)).map(([known]) => known);
    const nearest = nearestName(name, [...allowedHere, ...languageNames]) ?? nearestName(name, byName.keys());
    const hint = name.startsWith(byteOrderMark)
      ? 'the file begins with a byte order mark: save it as UTF-8 without one'
      : nearest === undefined
        ? undefined
        : `did you mean "${nearest}"?`;
    return new ConfigError(`unknown directive "${name}"`, { statement, hint });
  }

  return {
    find(statement, context) {
      const byContext = byName.get(statement.name);
      if (byContext === undefined) throw unknown(statement, context);
      const found = byContext.get(context);
      if (found === undefined) {
        throw new ConfigError(`"${statement.name}" directive is not allowed here`, { statement });
      }
      return found;
    },

    list() {
      return all
        .map(({ name, module, directive }) => ({
          name,
          module,
          contexts: directive.contexts,
          arity: directive.arity,
          block: directive.block,
          inherited: directive.inherited,
          accepted: directive.accepted,
          syntax: directive.syntax,
          defaultText: directive.defaultText,
          differs: directive.differs,
        }))
        .sort((one, other) => compareText(one.name, other.name) || compareText(one.module, other.module));
    },
  };
}

function compareText(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
