/** How serious a message is, in the words of nginx's error log. */
export type Level = 'emerg' | 'alert' | 'crit' | 'error' | 'warn' | 'notice' | 'info' | 'debug';

/**
 * One statement of a configuration: a name, its arguments and, when it opened a block, what is inside.
 *
 * All text is a byte string (latin1, one character per byte), with quotes and escapes already resolved.
 * Statements are plain objects, so that a tree of them can cross to a worker thread.
 */
export interface Statement {
  readonly name: string;
  /** The words after the name. */
  readonly args: readonly string[];
  /** Full name of the file it was read from; empty for one given with `-g` on the command line. */
  readonly file: string;
  /** Where nginx reports it: the line of the `;` or `{` that ends it; 0 on the command line. */
  readonly line: number;
  /** What is between `{` and `}`; absent when the statement ended with `;`. */
  readonly block?: readonly Statement[];
  /** The line of the `}`, where nginx reports what is only known once a block is complete. */
  readonly endLine?: number;
}

/** A file that was read, as `-T` shows it. */
export interface SourceFile {
  /** The full name under which it was opened. */
  readonly path: string;
  readonly text: string;
}

/**
 * A configuration as it was read, with includes resolved: all that ever crosses to a worker thread.
 * Plain data.
 */
export interface Configuration {
  /** The statements of the main context: those of `-g` first, then those of the file. */
  readonly statements: readonly Statement[];
  /** Every file read, once each, in the order of opening; the main one first unless `-g` includes others. */
  readonly files: readonly SourceFile[];
}

/** Something worth telling that does not stop the configuration from being used. */
export interface Warning {
  readonly message: string;
  readonly statement: Statement;
}

/** What a {@link ConfigError} knows besides its message. */
export interface ConfigErrorDetails {
  /** The one at fault, which gives the place; absent for an error without a place. */
  readonly statement?: Statement;
  /** Instead of the statement's; empty for the command line. */
  readonly file?: string;
  /** Instead of the statement's. */
  readonly line?: number;
  /** `emerg` unless told. */
  readonly level?: Level;
  /** A failed system call's number and text: `{ code: 2, text: 'No such file or directory' }`. */
  readonly errno?: { readonly code: number; readonly text: string };
  /** What would help, such as `did you mean "proxy_pass"?`. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** nginx cuts the text of a configuration error at this many bytes, before it adds the place. */
const longestMessage = 1024;

/**
 * The one kind of error that reading, checking and linking a configuration throws.
 *
 * @example
 * ```ts
 * const statement = { name: 'foo', args: [], file: '/etc/x.conf', line: 12 };
 * new ConfigError('unknown directive "foo"', { statement }).format();
 * // unknown directive "foo" in /etc/x.conf:12
 * ```
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly level: Level;
  readonly statement: Statement | undefined;
  /** Undefined when the error has no place; empty for the command line. */
  readonly file: string | undefined;
  readonly line: number | undefined;
  readonly errno: { readonly code: number; readonly text: string } | undefined;
  readonly hint: string | undefined;
  /**
   * What had been read when a syntax error stopped the reading, with open blocks as far as they went: nginx
   * checks each statement as it reads it, so a fault in here is the one it would have reported.
   */
  partial: Configuration | undefined;

  /** @param message without the place, which comes from the details */
  constructor(message: string, details: ConfigErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.level = details.level ?? 'emerg';
    this.statement = details.statement;
    this.file = details.file ?? details.statement?.file;
    this.line = details.line ?? details.statement?.line;
    this.errno = details.errno;
    this.hint = details.hint;
  }

  /**
   * The error in nginx's wording, without the level: the message, the system's reason, the place, and the hint
   * on a line of its own.
   */
  format(): string {
    const line = formatMessage(this.message, this.errno, this.file, this.line);
    return this.hint === undefined ? line : `${line}\n${this.hint}`;
  }
}

/** An error about a whole block, placed where nginx reports those: at its closing brace. */
export function errorAtEnd(
  statement: Statement,
  message: string,
  details: Omit<ConfigErrorDetails, 'statement'> = {},
): ConfigError {
  return new ConfigError(message, { statement, line: statement.endLine ?? statement.line, ...details });
}

/** A warning in nginx's wording, without the level. */
export function formatWarning(warning: Warning): string {
  return formatMessage(warning.message, undefined, warning.statement.file, warning.statement.line);
}

function formatMessage(
  message: string,
  errno: { readonly code: number; readonly text: string } | undefined,
  file: string | undefined,
  line: number | undefined,
): string {
  const reason = errno === undefined ? '' : ` (${errno.code}: ${errno.text})`;
  const what = `${message}${reason}`.slice(0, longestMessage);
  if (file === undefined) return what;
  return file === '' ? `${what} in command line` : `${what} in ${file}:${line ?? 0}`;
}
