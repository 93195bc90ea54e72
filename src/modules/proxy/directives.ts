/** The directives of the proxy module, as data. */
import {
  accepted,
  bits,
  bufs,
  choice,
  custom,
  flag,
  keyval,
  milliseconds,
  number,
  type ReadContext,
  size,
  statement,
  statements,
  text,
  words,
} from '../../config/directive.ts';
import type { Statement } from '../../config/statement.ts';
import { parseNumber } from '../../config/values.ts';
import { parseLocationArguments } from '../../core/locations.ts';
import { protocolsDirective } from '../../core/tls-directives.ts';
import { parseLocalAddress } from '../../upstream/address.ts';
import { parseTargetUrl } from './url.ts';

const EVERYWHERE = ['http', 'server', 'location'];
const HASHES = 'Tables size themselves.';

/** The bits of `proxy_next_upstream`. */
export const NextUpstream = {
  error: 1,
  timeout: 2,
  invalidHeader: 4,
  nonIdempotent: 8,
  http500: 16,
  http502: 32,
  http503: 64,
  http504: 128,
  http403: 256,
  http404: 512,
  http429: 1024,
  updating: 2048,
  off: 4096,
} as const;

/** The bits of `proxy_ignore_headers` that mean something without a cache. */
export const IgnoreHeaders = { redirect: 1, limitRate: 2, buffering: 4, charset: 8 } as const;

/** A directive that is `off`, or given several times: `proxy_redirect`, `proxy_cookie_path`... */
export interface Rewrites {
  readonly off: boolean;
  readonly statements: readonly Statement[];
}

/** Whether a text has variables in it. */
function hasVariables(value: string): boolean {
  return value.includes('$');
}

const URI_PART_NOT_ALLOWED =
  '"proxy_pass" cannot have URI part in location given by regular expression, ' +
  'or inside named location, or inside "if" statement, or inside "limit_except" block';

function checkTarget(given: Statement, report: ReadContext): void {
  const [url = ''] = given.args;
  if (hasVariables(url)) return;
  const parsed = parseTargetUrl(url);
  if (typeof parsed === 'string') {
    report.fail(
      parsed === 'invalid URL prefix'
        ? parsed
        : `${parsed} in upstream "${url.slice(url.indexOf('//') + 2)}"`,
    );
    return;
  }
  if (parsed.uri === '') return;
  const location = report.enclosing[0];
  const pseudo = report.context !== 'location';
  if (pseudo || location === undefined || /^[~@]/.test(modifierOf(location)))
    report.fail(URI_PART_NOT_ALLOWED);
}

function modifierOf(location: Statement): string {
  return parseLocationArguments(location).modifier;
}

/** `proxy_redirect` and the `proxy_cookie_*`: any number of them, or one `off`. */
function readRewrites(given: Statement, previous: Rewrites | undefined, report: ReadContext): Rewrites {
  if (previous?.off) report.failDirective('is duplicate');
  const { args, name } = given;
  if (args.length === 1) {
    const [word] = args;
    if (word === 'off') {
      if (previous !== undefined) report.failDirective('is duplicate');
      return { off: true, statements: [] };
    }
    if (name !== 'proxy_redirect' || word !== 'default') report.fail(`invalid parameter "${word}"`);
    const pass = report.before('proxy_pass');
    if (pass === undefined) {
      report.fail('"proxy_redirect default" should be placed after the "proxy_pass" directive');
    } else if (hasVariables(pass.args[0]!)) {
      report.fail('"proxy_redirect default" cannot be used with "proxy_pass" directive with variables');
    }
  }
  return { off: false, statements: [...(previous?.statements ?? []), given] };
}

function rewrites(most: number, syntax: string, defaultText: string) {
  return custom<Rewrites, Rewrites | undefined>(EVERYWHERE, [1, most], undefined, readRewrites, {
    syntax,
    defaultText,
  });
}

function readBind(given: Statement, previous: Statement | undefined, report: ReadContext): Statement {
  if (previous !== undefined) report.failDirective('is duplicate');
  const [address = '', parameter] = given.args;
  if (parameter === undefined && address === 'off') return given;
  if (!hasVariables(address) && parseLocalAddress(address) === undefined)
    report.fail(`invalid address "${address}"`);
  if (parameter === 'transparent')
    report.fail('the "transparent" parameter of "proxy_bind" is not supported');
  if (parameter !== undefined) report.fail(`invalid parameter "${parameter}"`);
  return given;
}

function readTempPath(given: Statement, previous: readonly string[] | undefined, report: ReadContext) {
  if (previous !== undefined) report.failDirective('is duplicate');
  for (const level of given.args.slice(1)) {
    const digits = parseNumber(level);
    if (digits === undefined || digits < 1 || digits > 3) report.failDirective('invalid value');
  }
  return given.args;
}

export const proxyDirectives = {
  // Where to.
  proxy_pass: statement(['location', 'if in location', 'limit_except'], [1, 1], {
    check: checkTarget,
    inherited: false,
    syntax: 'URL',
  }),
  proxy_bind: custom<Statement, Statement | undefined>(EVERYWHERE, [1, 2], undefined, readBind, {
    syntax: 'address | off',
    differs: '`transparent` is not supported.',
  }),
  proxy_socket_keepalive: flag(EVERYWHERE, false),
  proxy_connect_timeout: milliseconds(EVERYWHERE, 60_000),
  proxy_send_timeout: milliseconds(EVERYWHERE, 60_000),
  proxy_read_timeout: milliseconds(EVERYWHERE, 60_000),
  proxy_send_lowat: accepted(EVERYWHERE, [1, 1], 'Only FreeBSD has it.', { as: size([], 0) }),

  // The request.
  proxy_http_version: choice(EVERYWHERE, { '1.0': 10, '1.1': 11 }, 11),
  proxy_method: statement(EVERYWHERE, [1, 1], { syntax: 'method' }),
  proxy_set_header: statements(EVERYWHERE, [2, 2], {
    syntax: 'field value',
    defaultText: 'Host $proxy_host; Connection ""',
  }),
  proxy_set_body: statement(EVERYWHERE, [1, 1], { syntax: 'value' }),
  proxy_pass_request_headers: flag(EVERYWHERE, true),
  proxy_pass_request_body: flag(EVERYWHERE, true),
  proxy_request_buffering: flag(EVERYWHERE, true),
  proxy_headers_hash_max_size: accepted(EVERYWHERE, [1, 1], HASHES, { as: number([], 512) }),
  proxy_headers_hash_bucket_size: accepted(EVERYWHERE, [1, 1], HASHES, { as: number([], 64) }),

  // Another server.
  proxy_next_upstream: bits(
    EVERYWHERE,
    {
      error: NextUpstream.error,
      timeout: NextUpstream.timeout,
      invalid_header: NextUpstream.invalidHeader,
      non_idempotent: NextUpstream.nonIdempotent,
      http_500: NextUpstream.http500,
      http_502: NextUpstream.http502,
      http_503: NextUpstream.http503,
      http_504: NextUpstream.http504,
      http_403: NextUpstream.http403,
      http_404: NextUpstream.http404,
      http_429: NextUpstream.http429,
      updating: NextUpstream.updating,
      off: NextUpstream.off,
    },
    NextUpstream.error | NextUpstream.timeout,
  ),
  proxy_next_upstream_tries: number(EVERYWHERE, 0),
  proxy_next_upstream_timeout: milliseconds(EVERYWHERE, 0),
  proxy_ignore_client_abort: flag(EVERYWHERE, false),
  proxy_intercept_errors: flag(EVERYWHERE, false),

  // The answer's head.
  proxy_pass_header: words(EVERYWHERE, undefined, { syntax: 'field' }),
  proxy_hide_header: words(EVERYWHERE, undefined, { syntax: 'field' }),
  proxy_ignore_headers: bits(
    EVERYWHERE,
    {
      'x-accel-redirect': IgnoreHeaders.redirect,
      'x-accel-expires': 16,
      'x-accel-limit-rate': IgnoreHeaders.limitRate,
      'x-accel-buffering': IgnoreHeaders.buffering,
      'x-accel-charset': IgnoreHeaders.charset,
      expires: 32,
      'cache-control': 64,
      'set-cookie': 128,
      vary: 256,
    },
    0,
    { syntax: 'field ...' },
  ),
  proxy_redirect: rewrites(2, 'default | off | redirect replacement', 'default'),
  proxy_cookie_domain: rewrites(2, 'off | domain replacement', 'off'),
  proxy_cookie_path: rewrites(2, 'off | path replacement', 'off'),
  proxy_cookie_flags: rewrites(4, 'off | cookie [flag ...]', 'off'),

  // Its body.
  proxy_buffering: flag(EVERYWHERE, true),
  proxy_buffer_size: size(EVERYWHERE, 4096),
  proxy_buffers: bufs(EVERYWHERE, { number: 8, size: 4096 }),
  proxy_busy_buffers_size: size(EVERYWHERE, undefined),
  proxy_temp_path: custom<readonly string[]>(EVERYWHERE, [1, 4], ['proxy_temp', '1', '2'], readTempPath, {
    syntax: 'path [level1 [level2 [level3]]]',
    defaultText: 'proxy_temp 1 2',
  }),
  proxy_temp_file_write_size: size(EVERYWHERE, undefined),
  proxy_max_temp_file_size: size(EVERYWHERE, undefined, { defaultText: '1024m' }),
  proxy_pass_trailers: flag(EVERYWHERE, false),

  // TLS.
  proxy_ssl_session_reuse: flag(EVERYWHERE, true),
  proxy_ssl_protocols: protocolsDirective(EVERYWHERE),
  proxy_ssl_ciphers: text(EVERYWHERE, 'DEFAULT', { syntax: 'ciphers' }),
  proxy_ssl_name: statement(EVERYWHERE, [1, 1], { syntax: 'name', defaultText: '$proxy_host' }),
  proxy_ssl_server_name: flag(EVERYWHERE, false),
  proxy_ssl_verify: flag(EVERYWHERE, false),
  proxy_ssl_verify_depth: number(EVERYWHERE, 1),
  proxy_ssl_trusted_certificate: text(EVERYWHERE, '', { syntax: 'file' }),
  proxy_ssl_crl: text(EVERYWHERE, '', { syntax: 'file' }),
  proxy_ssl_certificate: statement(EVERYWHERE, [1, 1], {
    syntax: 'file',
    differs: 'The name of the file cannot have variables.',
    check: refuseVariables,
  }),
  proxy_ssl_certificate_key: statement(EVERYWHERE, [1, 1], {
    syntax: 'file',
    differs: 'The name of the file cannot have variables.',
    check: refuseVariables,
  }),
  proxy_ssl_password_file: statement(EVERYWHERE, [1, 1], { syntax: 'file' }),
  proxy_ssl_conf_command: keyval(EVERYWHERE, [], {
    syntax: 'name value',
    differs: 'CipherString, Ciphersuites, MinProtocol and MaxProtocol; any other is an error.',
  }),
};

function refuseVariables(given: Statement, report: ReadContext): void {
  if (hasVariables(given.args[0]!)) report.failDirective('does not support variables');
}

export type ProxyDirectives = typeof proxyDirectives;
