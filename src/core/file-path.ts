/** `root` and `alias`: the file a URI stands for. */
import type { Scope } from '../config/scope.ts';
import type { Statement } from '../config/statement.ts';
import type { Exchange } from './exchange.ts';
import type { Template } from './template.ts';

/** How a location turns URIs into file names. */
export interface DocumentRoot {
  readonly template: Template;
  /** `alias`: replaces the location's name; for a regular expression, the whole URI. */
  readonly alias: 'prefix' | 'whole' | undefined;
}

/** Which of `root` and `alias` holds: the nearest; both are not found in one scope. */
export function documentRootStatement(
  scope: Scope,
): { readonly statement: Statement; readonly alias: boolean } | undefined {
  for (let outer: Scope | undefined = scope; outer !== undefined; outer = outer.parent) {
    const alias = outer.statements('alias')[0];
    if (alias !== undefined) return { statement: alias, alias: true };
    const root = outer.statements('root')[0];
    if (root !== undefined) return { statement: root, alias: false };
  }
  return undefined;
}

/** `$document_root`: the value of `root` or `alias`, absolute. */
export function documentRoot(exchange: Exchange): string {
  const { template } = exchange.location.documentRoot;
  const value = template.constant ?? template.evaluate(exchange);
  return value.startsWith('/') ? value : exchange.site.runtime.prefix + value;
}

/** `$request_filename`: the file the exchange's URI stands for. */
export function filePath(exchange: Exchange): string {
  const root = documentRoot(exchange);
  const { alias } = exchange.location.documentRoot;
  if (alias === undefined) return root + exchange.uri;
  if (alias === 'whole') return root;
  return root + exchange.uri.slice(exchange.location.name.length);
}
