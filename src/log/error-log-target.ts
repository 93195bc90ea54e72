import { isDebugPart, isLogLevel, LEVELS } from './levels.ts';
import { readSyslog, SYSLOG_PREFIX, type SyslogTarget } from './syslog-target.ts';

/** What one `error_log` directive says. */
export type ErrorLogTarget = FileTarget | SyslogErrorTarget;

interface Taken {
  /** The least severe level it takes, a number of LEVELS. */
  readonly level: number;
  /** JSON instead of nginx's lines: Portico's own parameter. */
  readonly json: boolean;
}

interface FileTarget extends Taken {
  readonly kind: 'file' | 'stderr';
  /** As it is written in the configuration, so possibly relative; '' for stderr. */
  readonly path: string;
}

interface SyslogErrorTarget extends Taken {
  readonly kind: 'syslog';
  readonly syslog: SyslogTarget;
}

/**
 * Reads the arguments of `error_log file [level] [json]`.
 * @param words the arguments without the name of the directive; at least one
 * @returns the target, or the text of the error as nginx words it
 */
export function readErrorLog(words: readonly string[]): { target: ErrorLogTarget } | { error: string } {
  const [path = '', ...parameters] = words;
  if (path.startsWith('memory:'))
    return { error: `logging to "${path}" is not supported: no memory log in Portico` };

  let level = 0;
  let json = false;
  let parts = false;
  for (const word of parameters) {
    if (word === 'json') {
      if (json) return { error: `duplicate parameter "${word}"` };
      json = true;
    } else if (isLogLevel(word)) {
      if (level !== 0) return { error: `duplicate log level "${word}"` };
      level = LEVELS[word];
    } else if (isDebugPart(word)) {
      // Parts of the debugging log may be listed, but not beside a level.
      if (level !== 0 && !parts) return { error: `invalid log level "${word}"` };
      level = LEVELS.debug;
      parts = true;
    } else {
      return { error: `invalid log level "${word}"` };
    }
  }
  if (level === 0) level = LEVELS.error;
  if (path.startsWith(SYSLOG_PREFIX)) {
    const read = readSyslog(path);
    if ('error' in read) return read;
    return { target: { kind: 'syslog', syslog: read.target, level, json } };
  }
  if (path === 'stderr') return { target: { kind: 'stderr', path: '', level, json } };
  return { target: { kind: 'file', path, level, json } };
}
