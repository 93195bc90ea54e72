/**
 * The directives of nginx's HTTP core: the blocks `http`, `server`, `location`, and what holds for every request
 * whatever modules there are. What they mean is in the files of this folder; here stands only what they are.
 */

import type { ReadContext } from '../config/directive.ts';
import {
  bits,
  block,
  bufs,
  choice,
  custom,
  flag,
  milliseconds,
  number,
  offset,
  size,
  statement,
  statements,
  text,
} from '../config/setters.ts';
import type { Statement } from '../config/statement.ts';
import { parseMilliseconds, parseSeconds } from '../config/values.ts';
import { fileDirectives } from './file-directives.ts';
import { gzipAcceptanceDirectives } from './gzip-acceptance.ts';
import { httpVariables } from './http-variables.ts';
import { typesDirective } from './mime-types.ts';
import { defineModule } from './module.ts';
import { tuningDirectives } from './tuning.ts';

const HTTP = ['http'];
const HTTP_SERVER = ['http', 'server'];
const HTTP_SERVER_LOCATION = ['http', 'server', 'location'];
const WITH_IF = ['http', 'server', 'location', 'if in location'];
const SERVER_LOCATION = ['server', 'location'];

/** `keepalive_timeout 75s [60s]`. */
export interface KeepaliveTimeout {
  /** Milliseconds a connection may stay idle; 0 turns keep-alive off. */
  readonly timeout: number;
  /** Seconds for the `Keep-Alive: timeout=` header; 0 for no header. */
  readonly header: number;
}

function readKeepaliveTimeout(
  { args }: Statement,
  previous: KeepaliveTimeout | undefined,
  report: ReadContext,
): KeepaliveTimeout {
  if (previous !== undefined) report.failDirective('is duplicate');
  const timeout = parseMilliseconds(args[0]!) ?? report.fail('invalid value');
  const header = args[1] === undefined ? 0 : (parseSeconds(args[1]) ?? report.fail('invalid value'));
  return { timeout, header };
}

/** Refuses `root` beside `alias`, and the other way round, as nginx does. */
function documentRoot(word: 'root' | 'alias') {
  const other = word === 'root' ? 'alias' : 'root';
  return (given: Statement, report: ReadContext): void => {
    if (report.before(other) !== undefined)
      report.failDirective(`is duplicate, "${other}" directive was specified earlier`);
    if (word === 'alias' && report.enclosing[0]?.args[0]?.startsWith('@')) {
      report.fail('the "alias" directive cannot be used inside the named location');
    }
    if (given.args[0]!.includes('$document_root') || given.args[0]!.includes('${document_root}')) {
      report.fail(`the $document_root variable cannot be used in the "${word}" directive`);
    }
    if (given.args[0]!.includes('$realpath_root') || given.args[0]!.includes('${realpath_root}')) {
      report.fail(`the $realpath_root variable cannot be used in the "${word}" directive`);
    }
  };
}

/** `path [level1 [level2 [level3]]]`: each level names a subdirectory by that many digits of the file's number. */
export function checkTempPath({ args }: Statement, report: ReadContext): void {
  for (const level of args.slice(1)) {
    if (level !== '1' && level !== '2' && level !== '3') report.fail('invalid value');
  }
}

export const coreDirectives = {
  http: block(['main'], 'http', [0, 0]),
  server: block(HTTP, 'server', [0, 0], { repeat: true }),
  location: block(SERVER_LOCATION, 'location', [1, 2], { repeat: true }),
  limit_except: block(['location'], 'limit_except', [1, Number.POSITIVE_INFINITY]),

  listen: statements(['server'], [1, Number.POSITIVE_INFINITY], { inherited: false }),
  server_name: statements(['server'], [1, Number.POSITIVE_INFINITY], { inherited: false }),

  // Reading the request's head.
  client_header_timeout: milliseconds(HTTP_SERVER, 60_000),
  client_header_buffer_size: size(HTTP_SERVER, 1024),
  large_client_header_buffers: bufs(HTTP_SERVER, { number: 4, size: 8192 }),
  max_headers: number(HTTP_SERVER, 1000),
  ignore_invalid_headers: flag(HTTP_SERVER, true),
  underscores_in_headers: flag(HTTP_SERVER, false),
  merge_slashes: flag(HTTP_SERVER, true),

  // Reading its body.
  client_max_body_size: offset(HTTP_SERVER_LOCATION, 1024 * 1024),
  client_body_buffer_size: size(HTTP_SERVER_LOCATION, 16 * 1024),
  client_body_timeout: milliseconds(HTTP_SERVER_LOCATION, 60_000),
  client_body_temp_path: statement(HTTP_SERVER_LOCATION, [1, 4], {
    syntax: 'path [level1 [level2 [level3]]]',
    check: checkTempPath,
  }),
  client_body_in_file_only: choice(HTTP_SERVER_LOCATION, { on: 'on', off: 'off', clean: 'clean' }, 'off'),
  client_body_early_read: statement(HTTP_SERVER, [1, Number.POSITIVE_INFINITY], { syntax: 'string ...' }),

  // The connection.
  keepalive_timeout: custom(
    HTTP_SERVER_LOCATION,
    [1, 2],
    { timeout: 75_000, header: 0 } satisfies KeepaliveTimeout,
    readKeepaliveTimeout,
    { syntax: 'time [time]', defaultText: '75s' },
  ),
  keepalive_min_timeout: milliseconds(HTTP_SERVER_LOCATION, 0),
  keepalive_requests: number(HTTP_SERVER_LOCATION, 1000),
  keepalive_time: milliseconds(HTTP_SERVER_LOCATION, 3_600_000),
  keepalive_disable: bits(HTTP_SERVER_LOCATION, { none: 1, msie6: 2, safari: 4 }, 2),
  send_timeout: milliseconds(HTTP_SERVER_LOCATION, 60_000),
  lingering_close: choice(HTTP_SERVER_LOCATION, { off: 'off', on: 'on', always: 'always' }, 'on'),
  lingering_time: milliseconds(HTTP_SERVER_LOCATION, 30_000),
  lingering_timeout: milliseconds(HTTP_SERVER_LOCATION, 5_000),
  reset_timedout_connection: flag(HTTP_SERVER_LOCATION, false),
  tcp_nodelay: flag(HTTP_SERVER_LOCATION, true),

  // Choosing and refusing.
  satisfy: choice(HTTP_SERVER_LOCATION, { all: 'all', any: 'any' }, 'all'),
  auth_delay: milliseconds(HTTP_SERVER_LOCATION, 0),
  internal: custom(['location'], [0, 0], false, () => true, { inherited: false }),

  // Files.
  root: statement(WITH_IF, [1, 1], { check: documentRoot('root') }),
  alias: statement(['location'], [1, 1], { check: documentRoot('alias') }),
  types: typesDirective,
  default_type: text(HTTP_SERVER_LOCATION, 'text/plain'),
  ...fileDirectives,

  // Answers.
  server_tokens: choice(HTTP_SERVER_LOCATION, { off: 'off', on: 'on', build: 'build' }, 'on'),
  absolute_redirect: flag(HTTP_SERVER_LOCATION, true),
  server_name_in_redirect: flag(HTTP_SERVER_LOCATION, false),
  port_in_redirect: flag(HTTP_SERVER_LOCATION, true),
  chunked_transfer_encoding: flag(HTTP_SERVER_LOCATION, true),
  msie_padding: flag(HTTP_SERVER_LOCATION, true),
  msie_refresh: flag(HTTP_SERVER_LOCATION, false),
  ...gzipAcceptanceDirectives,
  error_page: statements(WITH_IF, [2, Number.POSITIVE_INFINITY]),
  recursive_error_pages: flag(HTTP_SERVER_LOCATION, false),

  // Subrequests.
  log_subrequest: flag(HTTP_SERVER_LOCATION, false),
  subrequest_output_buffer_size: size(HTTP_SERVER_LOCATION, 4096),
  ...tuningDirectives,
};

export type CoreDirectives = typeof coreDirectives;

export const httpCore = defineModule({
  name: 'http_core',
  directives: coreDirectives,
  variables: httpVariables,
});
