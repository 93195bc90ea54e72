/** The URL of `proxy_pass`, taken apart by nginx's rules. */
import { parseAddress } from '../../upstream/address.ts';

/** A URL that has no variables left in it. */
export interface TargetUrl {
  /** With `://`, as written. */
  readonly scheme: string;
  readonly secure: boolean;
  /** What names the servers: a host, an IP address (IPv6 in brackets), or `unix:/path`. */
  readonly host: string;
  /** The port written, or the scheme's. */
  readonly port: number;
  /** Whether there is one written. */
  readonly hasPort: boolean;
  /** What follows the server: '' where nothing does. */
  readonly uri: string;
  /** `$proxy_host`: the host, with its port where that is not the scheme's; `localhost` for a Unix socket. */
  readonly hostHeader: string;
  /** `$proxy_port`: '' for a Unix socket. */
  readonly portText: string;
}

/**
 * Takes a URL apart.
 * @returns the parts, or nginx's words for what is wrong: `invalid URL prefix`, or of the address: `invalid port`,
 *   `no host`...
 */
export function parseTargetUrl(url: string): TargetUrl | string {
  const secure = startsWithIgnoringCase(url, 'https://');
  if (!secure && !startsWithIgnoringCase(url, 'http://')) return 'invalid URL prefix';
  const scheme = url.slice(0, secure ? 8 : 7);
  const defaultPort = secure ? 443 : 80;
  const parsed = parseAddress(url.slice(scheme.length), defaultPort, true);
  if (typeof parsed === 'string') return parsed;
  const { host, port, hasPort, uri } = parsed;
  const isSocket = host.startsWith('unix:');
  return {
    scheme,
    secure,
    host,
    port,
    hasPort,
    uri,
    hostHeader: isSocket ? 'localhost' : port === defaultPort ? host : `${host}:${port}`,
    portText: isSocket ? '' : String(port),
  };
}

function startsWithIgnoringCase(text: string, lowerCasePrefix: string): boolean {
  return (
    text.startsWith(lowerCasePrefix) ||
    text.slice(0, lowerCasePrefix.length).toLowerCase() === lowerCasePrefix
  );
}
