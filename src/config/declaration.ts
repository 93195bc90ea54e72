import type { ConfigError, Statement } from './statement.ts';

/*
 * What a directive is. Modules import it through directive.ts, with the builders.
 */

/** What a directive's `read` may know and do besides looking at its statement. */
export interface ReadContext {
  /** The context the statement stands in, such as `location`. */
  readonly context: string;
  /** The statements of the blocks around it, innermost first; empty in the main context. */
  readonly enclosing: readonly Statement[];
  /**
   * The last statement of that name that came before this one in the same scope: for directives that exclude
   * each other, such as `root` and `alias`.
   */
  before(name: string): Statement | undefined;
  /**
   * Stops with an error placed at this statement. (For the compiler to see that nothing comes after it, the
   * parameter needs its type written out, `report: ReadContext`; or write `return report.fail(...)`.)
   *
   * @param message the whole message, such as `invalid parameter "x"`
   * @param hint what would help, such as `did you mean "any"?`
   */
  fail(message: string, hint?: string): never;
  /** Stops with an error that begins with the directive: `failDirective('is duplicate')` gives `"x" directive is duplicate`. */
  failDirective(text: string): never;
  /** The error `fail` would throw, placed at another statement: a child of a data block. */
  errorAt(statement: Statement, message: string, hint?: string): ConfigError;
  /** Warns, placed at this statement or at a child of it, and goes on. */
  warn(message: string, statement?: Statement): void;
}

/** What the table of directives says of one. */
export interface Documentation {
  /** As nginx's documentation writes it, such as `time` or `on | off`: the arguments without the name. */
  readonly syntax?: string;
  /** The default as it would be written in a file; builders derive it where they can. Absent: none. */
  readonly defaultText?: string;
  /** What is different from nginx, in a sentence. */
  readonly differs?: string;
}

/** One directive: where it may stand, what it takes, and how its value comes about. */
export interface Directive<Value> extends Documentation {
  /** Names of contexts, given by modules: `main`, `http`, `server`, `location`, `if in location`, `upstream`... */
  readonly contexts: readonly string[];
  /** The fewest and the most arguments after the name; `Infinity` for no limit. */
  readonly arity: readonly [minimum: number, maximum: number];
  /**
   * Whether it opens a block. `directives`: the children are directives of the context `opens`; `data`: they are
   * raw statements for `read`, none of which may have a block. Absent: it ends with `;`.
   */
  readonly block?: 'directives' | 'data';
  /** The context of the body of a block of directives; by the context it stands in where that makes a difference. */
  readonly opens?: string | Readonly<Record<string, string>>;
  /**
   * Turns a statement into the directive's value in its scope. The number of arguments has been checked. Only
   * the statement may be needed: templates with variables are compiled later, from the raw text.
   *
   * @param previous what earlier statements in the same scope gave; undefined when this is the first
   * @throws ConfigError, with `report.fail` and its kin
   */
  read(statement: Statement, previous: Value | undefined, report: ReadContext): Value;
  /** The value where no scope sets it. */
  readonly default: Value;
  /** False: an inner scope starts from the default, whatever the outer one says. */
  readonly inherited: boolean;
  /** For a directive that is accepted and means nothing here: why. */
  readonly accepted?: string;
}

/** The directives of a module, by name. */
export type Directives = Readonly<Record<string, Directive<unknown>>>;

/** The values of a module's directives in one scope, by the directives' names as they are. */
export type Settings<Declared extends Directives> = {
  readonly [Name in keyof Declared]: Declared[Name] extends Directive<infer Value> ? Value : never;
};
