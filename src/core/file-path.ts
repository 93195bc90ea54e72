/** `root` and `alias`: the file a URI stands for. */
import type { Scope } from '../config/scope.ts';
import type { Statement } from '../config/statement.ts';
import type { Exchange } from './exchange.ts';
import { parseLocationArguments } from './locations.ts';
import { log } from './log.ts';
import { constantTemplate, type Template } from './template.ts';

/** How a location turns URIs into file names. */
export interface DocumentRoot {
  readonly template: Template;
  /** What the template gives, made absolute; undefined where it has to be evaluated. */
  readonly path: string | undefined;
  /** `alias`: replaces the location's name; in a location of a regular expression, the whole URI. */
  readonly alias: 'prefix' | 'whole' | undefined;
  /** The beginning of a URI that `alias` replaces: the name of the location it stands in. */
  readonly replaced: string;
}

const DEFAULT_ROOT = 'html';

/** Compiles the nearest of the `root` and `alias` directives that hold in a scope; there are never both in one. */
export function linkDocumentRoot(
  scope: Scope,
  compile: (statement: Statement, text: string) => Template,
  prefix: string,
): DocumentRoot {
  for (let outer: Scope | undefined = scope; outer !== undefined; outer = outer.parent) {
    const alias = outer.statements('alias')[0];
    if (alias !== undefined) {
      const { modifier, name } = parseLocationArguments(outer.statement!);
      const template = compile(alias, alias.args[0]!);
      const path = template.constant === undefined ? undefined : absolute(template.constant, prefix);
      if (modifier === '~' || modifier === '~*') return { template, path, alias: 'whole', replaced: '' };
      return { template, path, alias: 'prefix', replaced: name };
    }
    const root = outer.statements('root')[0];
    if (root !== undefined) return rootOf(root.args[0]!, (text) => compile(root, text), prefix);
  }
  return rootOf(DEFAULT_ROOT, constantTemplate, prefix);
}

/** nginx drops one slash at the end of `root`, which leaves nothing of `root /`. */
function rootOf(text: string, compile: (text: string) => Template, prefix: string): DocumentRoot {
  const template = compile(text.endsWith('/') ? text.slice(0, -1) : text);
  const { constant } = template;
  const path = text === '/' ? '' : constant === undefined ? undefined : absolute(constant, prefix);
  return { template, path, alias: undefined, replaced: '' };
}

function absolute(path: string, prefix: string): string {
  return path.startsWith('/') ? path : prefix + path;
}

/** `$document_root`: the value of `root` or `alias`, absolute. */
export function documentRoot(exchange: Exchange): string {
  const { path, template } = exchange.location.documentRoot;
  return path ?? absolute(template.evaluate(exchange), exchange.site.runtime.prefix);
}

/**
 * `$request_filename`: the file the exchange's URI stands for, as a byte string.
 * @returns '' where there is none: the URI has been rewritten inside a location with `alias`, and is no longer one that
 *   begins with its name. The error log says so; a handler answers with 500.
 */
export function filePath(exchange: Exchange): string {
  const { alias, replaced } = exchange.location.documentRoot;
  if (alias === undefined) return documentRoot(exchange) + exchange.uri;
  if (!exchange.validLocation) {
    log(
      exchange,
      'alert',
      `"alias" cannot be used in location "${exchange.location.name}" where URI was rewritten`,
    );
    return '';
  }
  if (alias === 'prefix') return documentRoot(exchange) + exchange.uri.slice(replaced.length);
  return exchange.uriUnderAlias ? documentRoot(exchange) + exchange.uri : documentRoot(exchange);
}
