/**
 * Variables: `$name` in configuration values. A variable is looked up by name once, when the configuration is linked;
 * what a request evaluates is a closure.
 */
import { ConfigError, type Statement } from '../config/statement.ts';
import type { Exchange } from './exchange.ts';

/** Evaluates a variable; undefined where it has no value (nginx's `not_found`: '' in templates, `-` in logs). */
export type VariableGetter = (exchange: Exchange) => string | undefined;

export interface VariableDefinition {
  /**
   * Evaluates the variable.
   * @param suffix for a prefix variable, the rest of its name: `user_agent` of `$http_user_agent`
   */
  readonly get: (exchange: Exchange, suffix: string) => string | undefined;
  /** Where `set $name` may assign it: `$args`, `$limit_rate`. */
  readonly set?: (exchange: Exchange, value: string) => void;
  /** Evaluated once for each request and remembered (nginx's default; without it: NGX_HTTP_VAR_NOCACHEABLE). */
  readonly cached?: boolean;
  /** The name is the beginning of a family of names. */
  readonly prefix?: boolean;
  /** A module's `set` or `map` may replace it (NGX_HTTP_VAR_CHANGEABLE). */
  readonly changeable?: boolean;
  /** It holds what `set` or a named capture put there, and nothing else. The registry's own. */
  readonly assigned?: { unset: UnsetVariable | undefined };
  /** Why it cannot be had here: using it is an error when the configuration is loaded. */
  readonly unsupported?: string;
}

/** The value of a variable that is assigned somewhere, where this request has not come by. */
export type UnsetVariable = (exchange: Exchange, name: string) => string;

export type VariableDefinitions = Readonly<Record<string, VariableDefinition>>;

/** A variable as it stands in one linked configuration. */
export interface Variable {
  readonly name: string;
  /** Where its remembered or assigned value lies in `exchange.values`; -1 where it has none. */
  index: number;
  get: VariableGetter;
  assign: ((exchange: Exchange, value: string) => void) | undefined;
}

/** The variables of one linked configuration: those of the modules, and those the configuration itself makes. */
export class VariableRegistry {
  readonly #definitions = new Map<string, VariableDefinition>();
  readonly #prefixes: [prefix: string, definition: VariableDefinition][] = [];
  readonly #variables = new Map<string, Variable>();
  readonly #pending = new Map<string, Statement | undefined>();
  #indexes = 0;

  constructor(definitions: Iterable<VariableDefinitions>) {
    for (const group of definitions) {
      for (const [name, definition] of Object.entries(group)) {
        if (definition.prefix) this.#prefixes.push([name, definition]);
        else this.#definitions.set(name, definition);
      }
    }
    // `upstream_http_` before `http_`: the longest family that fits is the one meant.
    this.#prefixes.sort((left, right) => right[0].length - left[0].length);
  }

  /** How many values an exchange of this configuration remembers. */
  get size(): number {
    return this.#indexes;
  }

  /**
   * The variable a `$name` stands for. A name nobody has defined yet may still be defined further down the file:
   * `complete` reports those that were not.
   */
  lookup(name: string, statement?: Statement): Variable {
    const lower = validName(name, statement).toLowerCase();
    const known = this.#variables.get(lower);
    if (known !== undefined) {
      if (this.#pending.has(lower) && this.#pending.get(lower) === undefined)
        this.#pending.set(lower, statement);
      return known;
    }
    const variable: Variable = { name: lower, index: -1, get: () => undefined, assign: undefined };
    this.#variables.set(lower, variable);
    const definition = this.#definitions.get(lower);
    if (definition?.unsupported !== undefined) {
      throw new ConfigError(`the "${lower}" variable is not supported: ${definition.unsupported}`, {
        statement,
      });
    }
    if (definition !== undefined) this.#bind(variable, definition, '');
    else {
      const family = this.#family(lower);
      if (family !== undefined) this.#bind(variable, family[1], lower.slice(family[0].length));
      else this.#pending.set(lower, statement);
    }
    return variable;
  }

  /**
   * The value of a name that comes from elsewhere than the configuration (SSI). Makes no variable of it: there is no
   * end of names.
   * @param name in lower case
   * @returns undefined where there is no such variable
   */
  find(name: string): VariableGetter | undefined {
    const variable = this.#variables.get(name);
    if (variable !== undefined) return (exchange) => variable.get(exchange);
    const definition = this.#definitions.get(name);
    if (definition !== undefined) {
      return definition.unsupported === undefined ? (exchange) => definition.get(exchange, '') : undefined;
    }
    const family = this.#family(name);
    if (family === undefined) return undefined;
    const suffix = name.slice(family[0].length);
    return (exchange) => family[1].get(exchange, suffix);
  }

  /** The family a name in lower case belongs to. */
  #family(lower: string): readonly [prefix: string, definition: VariableDefinition] | undefined {
    return this.#prefixes.find(([prefix]) => lower.startsWith(prefix));
  }

  /**
   * Defines a variable that the configuration makes: `set`, `map`, a named capture.
   * @throws ConfigError where the name belongs to a variable that may not be replaced: `the duplicate "x" variable`
   */
  define(name: string, definition: VariableDefinition, statement?: Statement): Variable {
    const lower = validName(name, statement).toLowerCase();
    const existing = this.#definitions.get(lower);
    if (existing !== undefined && !existing.changeable) {
      throw new ConfigError(`the duplicate "${lower}" variable`, { statement });
    }
    this.#definitions.set(lower, definition);
    const variable = this.#variables.get(lower) ?? {
      name: lower,
      index: -1,
      get: () => undefined,
      assign: undefined,
    };
    this.#variables.set(lower, variable);
    this.#pending.delete(lower);
    const assigned = variable.assign !== undefined;
    this.#bind(variable, definition, '');
    if (assigned && variable.assign === undefined) this.#makeAssignable(variable);
    return variable;
  }

  /**
   * A variable the configuration assigns (`set $x`, named captures): a built-in that allows it, or a new one.
   * @param unset its value where nothing has been assigned yet; without it there is none (nginx's `not_found`)
   * @throws ConfigError where the name is a built-in that cannot be assigned: `the duplicate "x" variable`
   */
  assignable(name: string, statement?: Statement, unset?: UnsetVariable): Variable {
    const lower = validName(name, statement).toLowerCase();
    const existing = this.#definitions.get(lower);
    if (existing === undefined) {
      // What is `set` with a name such as $http_x goes before the request's field; a capture takes its place.
      if (unset === undefined || this.#family(lower) === undefined) {
        const definition = { get: () => undefined, changeable: true, assigned: { unset } };
        return this.define(lower, definition, statement);
      }
    } else if (existing.set === undefined && !existing.changeable) {
      throw new ConfigError(`the duplicate "${lower}" variable`, { statement });
    }
    // A capture that takes no part is no variable nobody has set.
    if (unset === undefined && existing?.assigned !== undefined) existing.assigned.unset = undefined;
    const variable = this.lookup(lower, statement);
    if (variable.assign === undefined) this.#makeAssignable(variable);
    return variable;
  }

  /** @throws ConfigError `unknown "x" variable` for the first name used and never defined. */
  complete(): void {
    for (const [name, statement] of this.#pending)
      throw new ConfigError(`unknown "${name}" variable`, { statement });
  }

  /** A variable that is computed, by a `map`, and assigned as well: what was assigned goes before what is computed. */
  #makeAssignable(variable: Variable): void {
    const index = variable.index < 0 ? this.#indexes++ : variable.index;
    variable.index = index;
    const compute = variable.get;
    variable.get = (exchange) => exchange.values[index] ?? compute(exchange);
    variable.assign = (exchange, value) => {
      exchange.values[index] = value;
    };
  }

  #bind(variable: Variable, definition: VariableDefinition, suffix: string): void {
    const { get, set, assigned } = definition;
    if (assigned !== undefined) {
      const index = variable.index < 0 ? this.#indexes++ : variable.index;
      variable.index = index;
      variable.get = (exchange) => {
        const value = exchange.values[index];
        if (value !== undefined || assigned.unset === undefined) return value;
        exchange.values[index] = assigned.unset(exchange, variable.name);
        return exchange.values[index];
      };
      variable.assign = (exchange, value) => {
        exchange.values[index] = value;
      };
      return;
    }
    if (definition.cached) {
      const index = variable.index < 0 ? this.#indexes++ : variable.index;
      variable.index = index;
      variable.get = (exchange) => {
        const remembered = exchange.values[index];
        if (remembered !== undefined) return remembered;
        const value = get(exchange, suffix);
        exchange.values[index] = value;
        return value;
      };
    } else {
      variable.get = definition.prefix ? (exchange) => get(exchange, suffix) : (get as VariableGetter);
    }
    variable.assign = set;
  }
}

function validName(name: string, statement: Statement | undefined): string {
  if (name === '') throw new ConfigError('invalid variable name "$"', { statement });
  return name;
}
