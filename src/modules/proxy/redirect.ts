/** `proxy_redirect`, and the rewriting it has in common with `proxy_cookie_domain` and `proxy_cookie_path`. */
import type { Statement } from '../../config/statement.ts';
import type { Exchange } from '../../core/exchange.ts';
import type { Link } from '../../core/link.ts';
import { constantTemplate, type Template } from '../../core/template.ts';
import type { Target } from './target.ts';

/** Rewrites a value; undefined where it does not apply. */
export type Rewriting = (exchange: Exchange, value: string) => string | undefined;

/** Replaces what a value begins with. */
export function replacePrefix(pattern: Template, replacement: Template): Rewriting {
  return (exchange, value) => {
    const prefix = pattern.constant ?? pattern.evaluate(exchange);
    if (!value.startsWith(prefix)) return undefined;
    return (replacement.constant ?? replacement.evaluate(exchange)) + value.slice(prefix.length);
  };
}

/** Replaces the whole value where it matches. */
export function replaceMatch(
  statement: Statement,
  pattern: string,
  caseless: boolean,
  replacement: Template,
  link: Link,
): Rewriting {
  const regex = link.regex(statement, pattern, caseless);
  return (exchange, value) =>
    regex.match(exchange, value) ? (replacement.constant ?? replacement.evaluate(exchange)) : undefined;
}

/** `prefix replacement`, `~regex replacement`, `~*regex replacement`. */
export function compilePrefixRewriting(statement: Statement, link: Link): Rewriting {
  const [pattern = '', text = ''] = statement.args;
  if (!pattern.startsWith('~')) {
    return replacePrefix(link.template(statement, pattern), link.template(statement, text));
  }
  const caseless = pattern[1] === '*';
  const regexText = pattern.slice(caseless ? 2 : 1);
  return replaceMatch(statement, regexText, caseless, link.template(statement, text), link);
}

/** Compiles one `proxy_redirect`; `target` is its location's `proxy_pass`, for `default`. */
export function compileRedirect(statement: Statement, target: Target | undefined, link: Link): Rewriting {
  return statement.args.length === 1 ? defaultRedirect(target!) : compilePrefixRewriting(statement, link);
}

/** What `proxy_redirect default` means: the URL of `proxy_pass` becomes the name of the location. */
export function defaultRedirect({ source, fixed, prefix }: Target): Rewriting {
  return fixed!.url.uri === ''
    ? replacePrefix(constantTemplate(`${source}/`), constantTemplate('/'))
    : replacePrefix(constantTemplate(source), constantTemplate(prefix));
}

/** The first rewriting that applies. */
export function rewriteFirst(
  rewritings: readonly Rewriting[],
  exchange: Exchange,
  value: string,
): string | undefined {
  for (let index = 0; index < rewritings.length; index++) {
    const rewritten = rewritings[index]!(exchange, value);
    if (rewritten !== undefined) return rewritten;
  }
  return undefined;
}

/** The value of a Refresh header with its URL rewritten: `5; url=http://...`. */
export function rewriteRefresh(
  rewritings: readonly Rewriting[],
  exchange: Exchange,
  value: string,
): string | undefined {
  const at = value.toLowerCase().indexOf('url=');
  if (at < 0) return undefined;
  const rewritten = rewriteFirst(rewritings, exchange, value.slice(at + 4));
  return rewritten === undefined ? undefined : value.slice(0, at + 4) + rewritten;
}
