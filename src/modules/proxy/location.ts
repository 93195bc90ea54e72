/** What the settings of one location come to: everything about proxying that is decided at link time. */
import type { Settings } from '../../config/directive.ts';
import type { Scope } from '../../config/scope.ts';
import { ConfigError, errorAtEnd, type Statement } from '../../config/statement.ts';
import type { Exchange } from '../../core/exchange.ts';
import type { Link } from '../../core/link.ts';
import { parseLocationArguments } from '../../core/locations.ts';
import type { TempPath } from '../../core/temp-file.ts';
import type { Template } from '../../core/template.ts';
import type { UpstreamSettings } from '../../upstream/client.ts';
import { type UpstreamGroups, upstreamGroups } from '../../upstream/groups.ts';
import {
  type CookieRewriting,
  compileCookieDomain,
  compileCookieFlags,
  compileCookiePath,
} from './cookies.ts';
import { NextUpstream, type ProxyDirectives, proxyDirectives, type Rewrites } from './directives.ts';
import { compileRedirect, defaultRedirect, type Rewriting } from './redirect.ts';
import { compileRequest, type RequestTemplate } from './request.ts';
import { compileResponse, type ResponseTemplate } from './response.ts';
import { compileTarget, type Target } from './target.ts';
import { prepareTls } from './tls-settings.ts';

type ProxySettings = Settings<ProxyDirectives>;

/** A location that has a `proxy_pass`, or inherits one as `if` and `limit_except` do. */
export interface ProxyLocation {
  readonly target: Target;
  readonly settings: ProxySettings;
  readonly request: RequestTemplate;
  /**
   * Whether questions may share connections (`keepalive_pipeline`): an answer must be able to wait for its client here,
   * and a question whose connection has failed must go to another one.
   */
  readonly mayShare: boolean;
  readonly response: ResponseTemplate;
  /** `proxy_set_body`. */
  readonly body: Template | undefined;
  /** `proxy_bind`; undefined for the system's choice. */
  readonly localAddress: Template | undefined;
  /** `proxy_ssl_name`; undefined for the host of the URL. */
  readonly tlsName: Template | undefined;
  /** TLS wants a name: it is sent, or verified. */
  readonly needsTlsName: boolean;
  /** For `http://`. */
  readonly plain: UpstreamSettings;
  /** For `https://`; the same as `plain` where no URL of this location can be that. */
  readonly secure: UpstreamSettings;
  /** Most bytes of an answer held in memory for a slow client. */
  readonly memoryLimit: number;
  /** `proxy_max_temp_file_size`, bytes. */
  readonly fileLimit: number;
  readonly tempPath: TempPath;
}

const STATE = Symbol('proxied locations');

/** What one linking of the proxy module remembers. */
interface ProxyState {
  readonly redirects: Map<Scope, readonly Rewriting[] | undefined>;
  readonly targets: Map<Scope, Target>;
  readonly tags: Map<string, number>;
}

function stateOf(link: Link): ProxyState {
  return link.state(STATE, () => ({ redirects: new Map(), targets: new Map(), tags: new Map() }));
}

/**
 * Links a scope's proxying; undefined where it has none.
 * @throws ConfigError in nginx's words
 */
export function linkProxy(settings: ProxySettings, scope: Scope, link: Link): ProxyLocation | undefined {
  checkBuffers(settings, scope);
  const owner = proxyPassOwner(scope);
  if (owner === undefined) return undefined;
  const groups = upstreamGroups<Exchange>(link);
  const target = targetOf(owner, groups, link);
  const { proxy_set_body: body, proxy_ssl_name: tlsName, proxy_bind: bind } = settings;
  const plain: UpstreamSettings = {
    tag: tagOf(scope, link),
    connectTimeout: settings.proxy_connect_timeout,
    sendTimeout: settings.proxy_send_timeout,
    readTimeout: settings.proxy_read_timeout,
    bufferSize: settings.proxy_buffer_size,
    trailerLimit: settings.proxy_pass_trailers ? settings.proxy_buffer_size : 0,
    socketKeepalive: settings.proxy_socket_keepalive,
    tls: undefined,
  };
  const mayBeSecure = target.fixed === undefined || target.fixed.url.secure;
  const { proxy_buffers: buffers, proxy_temp_path: tempPath } = settings;
  return {
    target,
    settings,
    request: compileRequest(settings, link),
    mayShare: mayShare(settings),
    response: compileResponse({
      hide: settings.proxy_hide_header ?? [],
      pass: settings.proxy_pass_header ?? [],
      redirects: redirectsOf(scope, groups, link) ?? [],
      cookies: compileCookies(settings, link),
      ignored: settings.proxy_ignore_headers,
    }),
    body: body === undefined ? undefined : link.template(body, body.args[0]!),
    localAddress: bind === undefined || isOff(bind) ? undefined : link.template(bind, bind.args[0]!),
    tlsName: tlsName === undefined ? undefined : link.template(tlsName, tlsName.args[0]!),
    needsTlsName: settings.proxy_ssl_server_name || settings.proxy_ssl_verify,
    plain,
    secure: mayBeSecure ? { ...plain, tls: prepareTls(settings, link) } : plain,
    memoryLimit: buffers.number * buffers.size,
    fileLimit: settings.proxy_max_temp_file_size ?? DEFAULT_FILE_LIMIT,
    tempPath: { directory: link.path(tempPath[0]!), levels: tempPath.slice(1).map(Number) },
  };
}

function mayShare(settings: ProxySettings): boolean {
  const { error, off } = NextUpstream;
  return (
    settings.proxy_buffering &&
    settings.proxy_http_version === 11 &&
    settings.proxy_set_body === undefined &&
    (settings.proxy_next_upstream & (error | off)) === error
  );
}

const DEFAULT_FILE_LIMIT = 1024 * 1024 * 1024;

function isOff(statement: Statement): boolean {
  return statement.args.length === 1 && statement.args[0] === 'off';
}

/** The scope whose `proxy_pass` holds: its own, or that of the location an `if` or `limit_except` stands in. */
function proxyPassOwner(scope: Scope): Scope | undefined {
  let owner: Scope | undefined = scope;
  while (owner !== undefined) {
    if (owner.has('proxy_pass')) return owner;
    if (owner.context === 'location' || owner.context === 'server') return undefined;
    owner = owner.parent;
  }
  return undefined;
}

/** The target of the scope a `proxy_pass` stands in; compiled once, whoever inherits it. */
function targetOf(owner: Scope, groups: UpstreamGroups<Exchange>, link: Link): Target {
  const { targets } = stateOf(link);
  let target = targets.get(owner);
  if (target === undefined) {
    const [statement] = owner.statements('proxy_pass');
    target = compileTarget(statement!, prefixOf(owner), groups, link);
    targets.set(owner, target);
  }
  return target;
}

/** The name of a location by prefix; '' for any other scope. */
function prefixOf(scope: Scope): string {
  if (scope.context !== 'location') return '';
  const { modifier, name } = parseLocationArguments(scope.statement!);
  return modifier === '~' || modifier === '~*' || modifier === '@' ? '' : name;
}

/**
 * The `proxy_redirect` that holds in a scope: its own; else that of the scope around it, even where that is the default
 * of another `proxy_pass`; else the default of its own. Undefined where nothing says anything.
 */
function redirectsOf(
  scope: Scope,
  groups: UpstreamGroups<Exchange>,
  link: Link,
): readonly Rewriting[] | undefined {
  const { redirects } = stateOf(link);
  if (redirects.has(scope)) return redirects.get(scope);
  const own = scope.own(proxyDirectives).proxy_redirect as Rewrites | undefined;
  const hasTarget = scope.has('proxy_pass');
  let found: readonly Rewriting[] | undefined;
  if (own !== undefined) {
    const target = hasTarget ? targetOf(scope, groups, link) : undefined;
    found = own.statements.map((statement) => compileRedirect(statement, target, link));
  } else {
    found = scope.parent === undefined ? undefined : redirectsOf(scope.parent, groups, link);
    if (found === undefined && hasTarget) {
      const target = targetOf(scope, groups, link);
      if (target.fixed !== undefined) found = [defaultRedirect(target)];
    }
  }
  redirects.set(scope, found);
  return found;
}

function compileCookies(settings: ProxySettings, link: Link): CookieRewriting | undefined {
  const domains = settings.proxy_cookie_domain?.statements ?? [];
  const paths = settings.proxy_cookie_path?.statements ?? [];
  const flags = settings.proxy_cookie_flags?.statements ?? [];
  if (domains.length + paths.length + flags.length === 0) return undefined;
  return {
    domains: domains.map((statement) => compileCookieDomain(statement, link)),
    paths: paths.map((statement) => compileCookiePath(statement, link)),
    flags: flags.map((statement) => compileCookieFlags(statement, link)),
  };
}

/**
 * A name for a location that is the same after a reload that leaves it alone: the blocks around it, and what tells its
 * server from others.
 */
function tagOf(scope: Scope, link: Link): string {
  let tag = '';
  for (let outer: Scope | undefined = scope; outer?.statement !== undefined; outer = outer.parent) {
    const { name, args } = outer.statement;
    const own =
      outer.context === 'server' ? [...outer.statements('listen'), ...outer.statements('server_name')] : [];
    tag = `${name} ${args.join(' ')}${own.map((statement) => ` ${statement.args.join(' ')}`).join('')}{${tag}`;
  }
  const { tags } = stateOf(link);
  const before = tags.get(tag) ?? 0;
  tags.set(tag, before + 1);
  return before === 0 ? tag : `${tag}#${before}`;
}

/** The sizes of buffers have to go together; nginx checks it in every scope, whether anything is proxied or not. */
function checkBuffers(settings: ProxySettings, scope: Scope): void {
  const { proxy_buffers: buffers, proxy_buffer_size: first } = settings;
  const largest = Math.max(first, buffers.size);
  const busy = settings.proxy_busy_buffers_size ?? 2 * largest;
  const fileLimit = settings.proxy_max_temp_file_size ?? DEFAULT_FILE_LIMIT;
  const writeSize = settings.proxy_temp_file_write_size ?? 2 * largest;
  let problem = '';
  if (buffers.number < 2) problem = 'there must be at least 2 "proxy_buffers"';
  else if (busy < largest) {
    problem = `"proxy_busy_buffers_size" must be equal to or greater than ${THE_MAXIMUM}`;
  } else if (busy > (buffers.number - 1) * buffers.size) {
    problem = '"proxy_busy_buffers_size" must be less than the size of all "proxy_buffers" minus one buffer';
  } else if (writeSize < largest) {
    problem = `"proxy_temp_file_write_size" must be equal to or greater than ${THE_MAXIMUM}`;
  } else if (fileLimit !== 0 && fileLimit < largest) {
    problem =
      '"proxy_max_temp_file_size" must be equal to zero to disable temporary files usage ' +
      `or must be equal to or greater than ${THE_MAXIMUM}`;
  }
  if (problem === '') return;
  const http = scope.enclosing('http')?.statement;
  throw http === undefined ? new ConfigError(problem) : errorAtEnd(http, problem);
}

const THE_MAXIMUM = 'the maximum of the value of "proxy_buffer_size" and one of the "proxy_buffers"';
