/** `proxy_pass`: which servers are asked, and for which URI. */
import type { Statement } from '../../config/statement.ts';
import type { Exchange } from '../../core/exchange.ts';
import type { Link } from '../../core/link.ts';
import { log } from '../../core/log.ts';
import type { Template } from '../../core/template.ts';
import { escapeUri } from '../../http/uri-escape.ts';
import type { UpstreamGroup, UpstreamGroups } from '../../upstream/client.ts';
import { parseTargetUrl, type TargetUrl } from './url.ts';

/** Where one request goes. */
export interface Destination {
  readonly url: TargetUrl;
  readonly group: UpstreamGroup<Exchange>;
}

/** A compiled `proxy_pass`. */
export interface Target {
  /** The URL as written: what `proxy_redirect default` looks for. */
  readonly source: string;
  /** Where every request goes, where the URL has no variables. */
  readonly fixed: Destination | undefined;
  /** The whole URL, where it has. */
  readonly template: Template | undefined;
  readonly groups: UpstreamGroups<Exchange>;
  /** The prefix of the URI that the URL's own URI takes the place of: the location's name; '' where there is none. */
  readonly prefix: string;
}

/**
 * Compiles a `proxy_pass`, which has been checked when it was read.
 * @param prefix the name of its location; '' for regular expressions, named and pseudo-locations
 */
export function compileTarget(
  statement: Statement,
  prefix: string,
  groups: UpstreamGroups<Exchange>,
  link: Link,
): Target {
  const source = statement.args[0]!;
  if (source.includes('$')) {
    return { source, fixed: undefined, template: link.template(statement, source), groups, prefix };
  }
  const url = parseTargetUrl(source) as TargetUrl;
  const group = groups.use(url.host, url.port, url.hasPort, statement);
  return { source, fixed: { url, group }, template: undefined, groups, prefix };
}

/**
 * Where this request goes.
 * @returns a status where it cannot go anywhere; the reason is in the error log
 */
export function findDestination(target: Target, exchange: Exchange): Destination | number {
  if (target.fixed !== undefined) return target.fixed;
  const text = target.template!.evaluate(exchange);
  const url = parseTargetUrl(text);
  if (typeof url === 'string') {
    const problem =
      url === 'invalid URL prefix' ? `${url} in "${text}"` : `${url} in upstream "${withoutScheme(text)}"`;
    log(exchange, 'error', problem);
    return 500;
  }
  const group = target.groups.find(url.host, url.port, url.hasPort);
  if (group === undefined) {
    log(exchange, 'error', `no resolver defined to resolve ${url.host}`);
    return 502;
  }
  return { url, group };
}

function withoutScheme(url: string): string {
  return url.slice(url.indexOf('//') + 2);
}

/**
 * The URI to ask for: the URL's own in the place of the location's name, and what follows that in the request's URI;
 * the whole URI of a URL with variables; without any, the request's target as it came, or its URI where a rewrite or
 * an internal redirect has changed that. '' is an error of the configuration.
 */
export function upstreamUri(target: Target, { url }: Destination, exchange: Exchange): string {
  const { uri: ownUri } = url;
  if (ownUri === '') {
    if (exchange.plain) return exchange.head.target;
  } else if (target.fixed === undefined) {
    return ownUri.charCodeAt(0) === QUESTION ? `/${ownUri}` : ownUri;
  }
  const { args } = exchange;
  const replaced = exchange.validLocation && ownUri !== '' ? target.prefix.length : 0;
  let path = replaced === 0 ? exchange.uri : exchange.uri.slice(replaced);
  if (exchange.head.quotedUri || exchange.internal) path = escapeUri(path, 'uri');
  if (exchange.validLocation) path = ownUri + path;
  return args === '' ? path : `${path}?${args}`;
}

const QUESTION = 63;
