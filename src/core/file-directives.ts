/** The directives of nginx's HTTP core that say how files are opened, read and sent. */
import { existsSync } from 'node:fs';
import {
  accepted,
  bufs,
  choice,
  custom,
  flag,
  number,
  offset,
  parameter,
  parseNumber,
  parseOffset,
  parseSeconds,
  type ReadContext,
  seconds,
  size,
  statement,
} from '../config/directive.ts';
import { ConfigError, type Statement } from '../config/statement.ts';
import type { Template } from './template.ts';

const HTTP_SERVER_LOCATION = ['http', 'server', 'location'];
const WITH_IF = ['http', 'server', 'location', 'if in location'];

const NO_SENDFILE = 'Files are read and written by the event loop; there is no sendfile to turn on.';
const NO_CACHE =
  'Opening a file costs less here than keeping a cache right: each request looks at the file itself.';
const NO_DIRECT = 'Files are read through the cache of the system.';

/**
 * `aio`: whether files are read by the event loop itself, which is quick as long as they are in the memory of the system,
 * or on other threads, so that a slow disk holds nobody else up.
 */
function readAio({ args }: Statement, previous: boolean | undefined, report: ReadContext): boolean {
  if (previous !== undefined) report.failDirective('is duplicate');
  const [word] = args;
  if (word === 'off') return false;
  if (word === 'on' || word === 'threads' || word!.startsWith('threads=')) return true;
  return report.failDirective('invalid value');
}

function checkOpenFileCache({ args }: Statement, report: ReadContext): void {
  let maximum = 0;
  let off = false;
  for (const word of args) {
    const max = parameter(word, 'max');
    const inactive = parameter(word, 'inactive');
    if (max !== undefined && (parseNumber(max) ?? 0) > 0) maximum = parseNumber(max)!;
    else if (word === 'off') off = true;
    else if (inactive === undefined || parseSeconds(inactive) === undefined) {
      report.fail(`invalid "open_file_cache" parameter "${word}"`);
    }
  }
  if (!off && maximum === 0) report.fail('"open_file_cache" must have the "max" parameter');
}

function checkDirectio({ args }: Statement, report: ReadContext): void {
  if (args[0] !== 'off' && parseOffset(args[0]!) === undefined) report.failDirective('invalid value');
}

const SYMLINK_MODES = ['off', 'on', 'if_not_owner'];

function checkDisableSymlinks({ args, name }: Statement, report: ReadContext): void {
  const modes = args.filter((word) => SYMLINK_MODES.includes(word));
  const odd = args.find((word) => !SYMLINK_MODES.includes(word) && !word.startsWith('from='));
  if (odd !== undefined) report.fail(`invalid parameter "${odd}"`);
  if (modes.length === 0) report.fail(`"${name}" must have "off", "on" or "if_not_owner" parameter`);
  if (modes.length > 1) report.fail(`duplicate parameters "${args.join(' ')}"`);
  if (modes[0] === 'off' && args.length > 1) report.fail('"from=" cannot be used with "off" parameter');
}

/** Part of the core's directives. */
export const fileDirectives = {
  aio: custom(HTTP_SERVER_LOCATION, [1, 1], false, readAio, {
    syntax: 'on | off | threads[=pool]',
    defaultText: 'off',
    differs: '`on` and `threads` mean the same: files are read on the threads of libuv.',
  }),
  aio_write: accepted(
    HTTP_SERVER_LOCATION,
    [1, 1],
    'Temporary files are written through the memory of the system.',
    {
      as: flag([], false),
    },
  ),
  sendfile: accepted(WITH_IF, [1, 1], NO_SENDFILE, { as: flag([], false) }),
  /** Also without `sendfile`: bytes of one file that are sent before others get their turn; 0 for no limit. */
  sendfile_max_chunk: size(HTTP_SERVER_LOCATION, 2 * 1024 * 1024),
  output_buffers: accepted(
    HTTP_SERVER_LOCATION,
    [2, 2],
    'Buffers are shared by all files that are being sent.',
    {
      as: bufs([], undefined),
    },
  ),
  read_ahead: accepted(HTTP_SERVER_LOCATION, [1, 1], 'The system reads ahead by itself.', {
    as: size([], 0),
  }),
  directio: accepted(HTTP_SERVER_LOCATION, [1, 1], NO_DIRECT, {
    as: statement([], [1, 1], { syntax: 'size | off', check: checkDirectio }),
  }),
  directio_alignment: accepted(HTTP_SERVER_LOCATION, [1, 1], NO_DIRECT, { as: offset([], 512) }),
  disable_symlinks: statement(HTTP_SERVER_LOCATION, [1, 2], {
    syntax: 'off | on | if_not_owner [from=part]',
    defaultText: 'off',
    check: checkDisableSymlinks,
  }),
  open_file_cache: accepted(HTTP_SERVER_LOCATION, [1, 2], NO_CACHE, {
    as: statement([], [1, 2], {
      syntax: 'off | max=N [inactive=time]',
      defaultText: 'off',
      check: checkOpenFileCache,
    }),
  }),
  open_file_cache_valid: accepted(HTTP_SERVER_LOCATION, [1, 1], NO_CACHE, { as: seconds([], 60) }),
  open_file_cache_min_uses: accepted(HTTP_SERVER_LOCATION, [1, 1], NO_CACHE, { as: number([], 1) }),
  open_file_cache_errors: accepted(HTTP_SERVER_LOCATION, [1, 1], NO_CACHE, { as: flag([], false) }),
  open_file_cache_events: accepted(HTTP_SERVER_LOCATION, [1, 1], NO_CACHE, { as: flag([], false) }),
  log_not_found: flag(HTTP_SERVER_LOCATION, true),
  etag: flag(HTTP_SERVER_LOCATION, true),
  if_modified_since: choice(HTTP_SERVER_LOCATION, { off: 'off', exact: 'exact', before: 'before' }, 'exact'),
  /** Undefined for no limit. */
  max_ranges: number(HTTP_SERVER_LOCATION, undefined),
};

/** Which symbolic links in a file's name are followed: `disable_symlinks`. */
export interface SymlinkPolicy {
  /** Links whose owner is that of what they lead to are followed; else none are. */
  readonly ifOwner: boolean;
  /** `from=`: a beginning of the name in which links are not looked for. */
  readonly from: Template | undefined;
}

/** The directory in which Linux shows a process its open files: what names below it are relative to is certain. */
export const OPEN_FILES = '/proc/self/fd/';

/**
 * Compiles `disable_symlinks`.
 * @throws ConfigError where the system has no safe way to open files without following links
 */
export function linkSymlinkPolicy(
  given: Statement | undefined,
  link: { template(statement: Statement, text: string): Template },
): SymlinkPolicy | undefined {
  if (given === undefined || given.args.includes('off')) return undefined;
  if (!existsSync(OPEN_FILES)) {
    throw new ConfigError(`"disable_symlinks" needs ${OPEN_FILES}, which this system does not have`, {
      statement: given,
    });
  }
  const from = given.args.find((word) => word.startsWith('from='));
  return {
    ifOwner: given.args.includes('if_not_owner'),
    from: from === undefined ? undefined : link.template(given, from.slice('from='.length)),
  };
}
