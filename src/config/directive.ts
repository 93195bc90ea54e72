/*
 * The vocabulary in which modules declare their directives as data: what a directive is, a builder for each kind
 * of value, with nginx's error messages, and the readers of single arguments for those that take parameters.
 *
 * @example
 * ```ts
 * const directives = {
 *   proxy_buffering: flag(['http', 'server', 'location'], true),
 *   proxy_read_timeout: milliseconds(['http', 'server', 'location'], 60_000),
 * };
 * // In a scope: scope.settings(directives).proxy_read_timeout is a number.
 * ```
 */
export type { Directive, Directives, Documentation, ReadContext, Settings } from './declaration.ts';
export * from './setters.ts';
export * from './values.ts';
