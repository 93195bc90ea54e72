/** `syslog:server=...` of `error_log` and `access_log`: where messages go, and what stands before each. */
import { isIP } from 'node:net';

/** The server. Its address is found while the configuration is linked, where it was given by name. */
export interface SyslogServer {
  /** As nginx shows it: `127.0.0.1:514`. */
  readonly text: string;
  /** As it is written, for messages about it. */
  readonly written: string;
  /** A name, or an address without brackets. */
  readonly host: string;
  readonly port: number;
  /** The address messages are sent to; '' until it is known. */
  address: string;
}

/** What one `syslog:` says. */
export interface SyslogTarget {
  readonly server: SyslogServer;
  /** Number of RFC 3164, 4.1.1. */
  readonly facility: number;
  /** The same. For messages of the error log their level counts instead. */
  readonly severity: number;
  readonly tag: string;
  readonly noHostname: boolean;
}

/** By number. */
const FACILITIES: readonly string[] = [
  'kern',
  'user',
  'mail',
  'daemon',
  'auth',
  'intern',
  'lpr',
  'news',
  'uucp',
  'clock',
  'authpriv',
  'ftp',
  'ntp',
  'audit',
  'alert',
  'cron',
  'local0',
  'local1',
  'local2',
  'local3',
  'local4',
  'local5',
  'local6',
  'local7',
];

/** By number, under nginx's names. */
const SEVERITIES: readonly string[] = ['emerg', 'alert', 'crit', 'error', 'warn', 'notice', 'info', 'debug'];

const DEFAULT_PORT = 514;
const LOCAL7 = 23;
const INFO = 6;
/** RFC 3164, 4.1.3. */
const LONGEST_TAG = 32;
/** The tag nginx gives: rules of a syslog server that look for it need no change. */
const DEFAULT_TAG = 'nginx';

/** What begins `access_log` and `error_log` arguments of this kind. */
export const SYSLOG_PREFIX = 'syslog:';

/**
 * Reads `syslog:server=address[,facility=name][,severity=name][,tag=text][,nohostname]`.
 * @returns the target, or the text of the error as nginx words it
 */
export function readSyslog(word: string): { target: SyslogTarget } | { error: string } {
  let server: SyslogServer | undefined;
  let facility: number | undefined;
  let severity: number | undefined;
  let tag: string | undefined;
  let noHostname = false;
  for (const part of word.slice(SYSLOG_PREFIX.length).split(',')) {
    const value = part.slice(part.indexOf('=') + 1);
    if (part.startsWith('server=')) {
      if (server !== undefined) return { error: 'duplicate syslog "server"' };
      const read = readServer(value);
      if (typeof read === 'string') return { error: read };
      server = read;
    } else if (part.startsWith('facility=')) {
      if (facility !== undefined) return { error: 'duplicate syslog "facility"' };
      facility = FACILITIES.indexOf(value);
      if (facility < 0) return { error: `unknown syslog facility "${value}"` };
    } else if (part.startsWith('severity=')) {
      if (severity !== undefined) return { error: 'duplicate syslog "severity"' };
      severity = SEVERITIES.indexOf(value);
      if (severity < 0) return { error: `unknown syslog severity "${value}"` };
    } else if (part.startsWith('tag=')) {
      if (tag !== undefined) return { error: 'duplicate syslog "tag"' };
      if (value.length > LONGEST_TAG) return { error: 'syslog tag length exceeds 32' };
      if (/[^0-9A-Za-z_]/.test(value)) {
        return { error: 'syslog "tag" only allows alphanumeric characters and underscore' };
      }
      tag = value;
    } else if (part === 'nohostname') {
      noHostname = true;
    } else {
      return { error: `unknown syslog parameter "${part}"` };
    }
  }
  if (server === undefined) return { error: 'no syslog server specified' };
  return {
    target: {
      server,
      facility: facility ?? LOCAL7,
      severity: severity ?? INFO,
      tag: tag ?? DEFAULT_TAG,
      noHostname,
    },
  };
}

/** @returns the text of the error where it is no address */
function readServer(written: string): SyslogServer | string {
  const wrong = (what: string) => `${what} in syslog server "${written}"`;
  if (written.startsWith('unix:')) {
    return `syslog server "${written}" is not supported: Node.js has no datagrams over Unix sockets, use a UDP port`;
  }
  let host = written;
  let rest = '';
  if (written.startsWith('[')) {
    const end = written.indexOf(']');
    host = written.slice(1, end);
    rest = written.slice(end + 1);
    if (end < 0 || isIP(host) !== 6) return wrong('invalid IPv6 address');
    if (rest !== '' && !rest.startsWith(':')) return wrong('invalid host');
  } else {
    const colon = written.indexOf(':');
    if (colon >= 0) {
      host = written.slice(0, colon);
      rest = written.slice(colon);
    }
  }
  if (host === '') return wrong('no host');
  let port = DEFAULT_PORT;
  if (rest !== '') {
    port = /^:\d{1,5}$/.test(rest) ? Number(rest.slice(1)) : 0;
    if (port < 1 || port > 65_535) return wrong('invalid port');
  }
  const address = isIP(host) === 0 ? '' : host;
  return { text: nameOf(host, port), written, host, port, address };
}

function nameOf(host: string, port: number): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * Finds the address of a server that was given by name; of several the first.
 * @param resolve gives a name's addresses
 * @throws Error `host not found in syslog server "..."`
 */
export async function resolveSyslogServer(
  server: SyslogServer,
  resolve: (host: string) => Promise<readonly string[]>,
): Promise<void> {
  if (server.address !== '') return;
  try {
    const [address = ''] = await resolve(server.host);
    server.address = address;
  } catch (error) {
    throw new Error(`host not found in syslog server "${server.written}"`, { cause: error });
  }
}
