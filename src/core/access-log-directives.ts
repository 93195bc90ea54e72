/** The directives of the access log: what their statements say, before anything is known of formats and variables. */
import type { ReadContext } from '../config/declaration.ts';
import { custom } from '../config/setters.ts';
import type { Statement } from '../config/statement.ts';
import { parameter, parseMilliseconds, parseNumber, parseSeconds, parseSize } from '../config/values.ts';
import { readSyslog, SYSLOG_PREFIX, type SyslogTarget } from '../log/syslog-target.ts';
import type { LogFileCacheOptions } from './log-file-cache.ts';
import { COMBINED, type ParsedLogFormat, parseLogFormat } from './log-format.ts';

const HTTP_SERVER_LOCATION = ['http', 'server', 'location'];
const EVERYWHERE = [...HTTP_SERVER_LOCATION, 'if in location', 'limit_except'];

/** nginx's, where it is built without another: relative to the prefix. */
export const DEFAULT_PATH = 'logs/access.log';

/** `gzip` without a level, and without a `buffer=` before it. */
const FASTEST = 1;
const GZIP_BUFFER = 64 * 1024;

/** What one `access_log` statement says. */
export interface ParsedAccessLog {
  readonly statement: Statement;
  /** As written; `off` for `access_log off`. */
  readonly path: string;
  readonly format: string;
  /** Bytes; 0 without `buffer=`. */
  readonly buffer: number;
  /** Milliseconds; 0 without `flush=`. */
  readonly flush: number;
  /** Level of compression; 0 without `gzip`. */
  readonly gzip: number;
  /** `syslog:`; undefined where it is a file. */
  readonly syslog: SyslogTarget | undefined;
  /** `if=`; '' where there is none. */
  readonly condition: string;
}

function readLogFormats(
  statement: Statement,
  previous: readonly ParsedLogFormat[] | undefined,
  report: ReadContext,
): readonly ParsedLogFormat[] {
  const [name] = statement.args;
  if (name === 'combined' || previous?.some((format) => format.name === name)) {
    report.fail(`duplicate "log_format" name "${name}"`);
  }
  return [...(previous ?? []), parseLogFormat(statement)];
}

function readAccessLogs(
  statement: Statement,
  previous: readonly ParsedAccessLog[] | undefined,
  report: ReadContext,
): readonly ParsedAccessLog[] {
  return [...(previous ?? []), parseAccessLog(statement, report)];
}

function parseAccessLog(statement: Statement, report: ReadContext): ParsedAccessLog {
  const [path, format = 'combined', ...parameters] = statement.args;
  if (path === 'off' && statement.args.length > 1) report.fail(`invalid parameter "${format}"`);
  const syslog = path.startsWith(SYSLOG_PREFIX) ? parseSyslog(path, report) : undefined;
  let buffer = 0;
  let flush = 0;
  let gzip = 0;
  let condition = '';
  for (const word of parameters) {
    const size = parameter(word, 'buffer');
    const time = parameter(word, 'flush');
    const wanted = parameter(word, 'if');
    if (size !== undefined) buffer = parseSize(size) || report.fail(`invalid buffer size "${size}"`);
    else if (time !== undefined)
      flush = parseMilliseconds(time) || report.fail(`invalid flush time "${time}"`);
    else if (wanted !== undefined) condition = wanted;
    else if (word === 'gzip' || word.startsWith('gzip=')) {
      buffer ||= GZIP_BUFFER;
      gzip = word === 'gzip' ? FASTEST : parseLevel(word.slice('gzip='.length), report);
    } else report.fail(`invalid parameter "${word}"`);
  }
  if (flush > 0 && buffer === 0) report.fail(`no buffer is defined for access_log "${path}"`);
  if (buffer > 0 && syslog !== undefined) report.fail('logs to syslog cannot be buffered');
  if (buffer > 0 && path.includes('$')) report.fail('buffered logs cannot have variables in name');
  return { statement, path, format, buffer, flush, gzip, condition, syslog };
}

function parseSyslog(path: string, report: ReadContext): SyslogTarget {
  const read = readSyslog(path);
  return 'error' in read ? report.fail(read.error) : read.target;
}

function parseLevel(text: string, report: ReadContext): number {
  return /^0*[1-9]$/.test(text) ? Number(text) : report.fail(`invalid compression level "${text}"`);
}

function readCacheOptions(
  { args }: Statement,
  previous: LogFileCacheOptions | undefined | 'off',
  report: ReadContext,
): LogFileCacheOptions | 'off' {
  if (previous !== undefined) report.failDirective('is duplicate');
  let max = 0;
  let inactive = 10;
  let minimumUses = 1;
  let valid = 60;
  let off = false;
  for (const word of args) {
    const fail = (): never => report.fail(`invalid "open_log_file_cache" parameter "${word}"`);
    const equals = word.indexOf('=');
    const value = word.slice(equals + 1);
    switch (word.slice(0, equals + 1)) {
      case '':
        if (word !== 'off') fail();
        off = true;
        break;
      case 'max=':
        max = parseNumber(value) ?? fail();
        break;
      case 'inactive=':
        inactive = parseSeconds(value) ?? fail();
        break;
      case 'min_uses=':
        minimumUses = parseNumber(value) ?? fail();
        break;
      case 'valid=':
        valid = parseSeconds(value) ?? fail();
        break;
      default:
        fail();
    }
  }
  if (off) return 'off';
  if (max === 0) report.fail('"open_log_file_cache" must have "max" parameter');
  return { max, inactive, minimumUses, valid };
}

/** `log_format`, `access_log` and `open_log_file_cache`. */
export const accessLogDirectives = {
  log_format: custom(
    ['http'],
    [2, Number.POSITIVE_INFINITY],
    [] as readonly ParsedLogFormat[],
    readLogFormats,
    {
      syntax: 'name [escape=default|json|none] string ...',
      defaultText: `combined '${COMBINED}'`,
    },
  ),
  access_log: custom(
    EVERYWHERE,
    [1, Number.POSITIVE_INFINITY],
    [] as readonly ParsedAccessLog[],
    readAccessLogs,
    {
      syntax:
        'path | syslog:server=address[,parameter=value] ' +
        '[format [buffer=size] [gzip[=level]] [flush=time] [if=condition]] | off',
      defaultText: `${DEFAULT_PATH} combined`,
      differs: 'Syslog over UDP only. A full disk or a slow FIFO delays lines before it loses them.',
    },
  ),
  open_log_file_cache: custom(
    HTTP_SERVER_LOCATION,
    [1, 4],
    'off' as LogFileCacheOptions | 'off',
    readCacheOptions,
    { syntax: 'max=N [inactive=time] [min_uses=N] [valid=time] | off', defaultText: 'off' },
  ),
};
