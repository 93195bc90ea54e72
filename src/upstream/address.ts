/**
 * Addresses of upstream servers, in the forms `server` and `proxy_pass` take: `host`, `host:port`, `[::1]:8080`,
 * `unix:/path`, each with what follows it where that may be a URI.
 */
import { isIP, isIPv4, isIPv6 } from 'node:net';

/** One address to connect to. */
export interface PeerAddress {
  /** As in `$upstream_addr`: `127.0.0.1:8080`, `[::1]:8080`, `unix:/run/app.sock`. */
  readonly text: string;
  /** IP address without brackets; '' for a Unix socket. */
  readonly host: string;
  readonly port: number;
  /** Path of a Unix socket as a byte string; '' for none. */
  readonly path: string;
}

/** What an address is made of, before any name is resolved. */
export interface ParsedAddress {
  /** The name, the IP address (IPv6 with its brackets), or `unix:/path`. */
  readonly host: string;
  /** The port, or the default one. */
  readonly port: number;
  /** Whether the text has a port. */
  readonly hasPort: boolean;
  /** What follows: '' or text that begins with `/` or `?`; behind the path of a Unix socket, anything. */
  readonly uri: string;
  /** The address, where the host is none that has to be resolved. */
  readonly address: PeerAddress | undefined;
}

/** sun_path of a Unix socket has 108 bytes, with the zero at its end. */
const LONGEST_PATH = 107;

/**
 * Takes an address apart, by nginx's rules.
 *
 * @param text without a scheme
 * @param defaultPort where the text has none; 0 where there is no default
 * @param uriAllowed whether a URI may follow
 * @returns the parts, or nginx's words for what is wrong: `invalid port`, `no host`, `invalid host`...
 */
export function parseAddress(text: string, defaultPort: number, uriAllowed: boolean): ParsedAddress | string {
  if (text.slice(0, 5).toLowerCase() === 'unix:') return parseUnix(text.slice(5), uriAllowed);
  if (text.startsWith('[')) return parseIPv6Address(text, defaultPort, uriAllowed);

  const slash = text.indexOf('/');
  const question = text.indexOf('?');
  let end = slash < 0 || (question >= 0 && question < slash) ? question : slash;
  if (end >= 0 && !uriAllowed) return 'invalid host';
  if (end < 0) end = text.length;
  const colon = text.indexOf(':');
  const hasPort = colon >= 0 && colon < end;
  const port = hasPort ? parsePort(text.slice(colon + 1, end)) : defaultPort;
  if (port === undefined) return 'invalid port';
  const host = text.slice(0, hasPort ? colon : end);
  if (host === '') return 'no host';
  const address = isIPv4(host) ? addressOf(host, port) : undefined;
  return { host, port, hasPort, uri: text.slice(end), address };
}

function parseUnix(rest: string, uriAllowed: boolean): ParsedAddress | string {
  const colon = uriAllowed ? rest.indexOf(':') : -1;
  const path = colon < 0 ? rest : rest.slice(0, colon);
  if (path === '') return 'no path in the unix domain socket';
  if (path.length > LONGEST_PATH) return 'too long path in the unix domain socket';
  return {
    host: `unix:${path}`,
    port: 0,
    hasPort: false,
    uri: colon < 0 ? '' : rest.slice(colon + 1),
    address: unixAddress(path),
  };
}

function parseIPv6Address(text: string, defaultPort: number, uriAllowed: boolean): ParsedAddress | string {
  const bracket = text.indexOf(']');
  if (bracket < 0) return 'invalid host';
  let end = text.indexOf('/', bracket);
  if (end >= 0 && !uriAllowed) return 'invalid host';
  if (end < 0) end = text.length;
  const hasPort = bracket + 1 < end;
  if (hasPort && text[bracket + 1] !== ':') return 'invalid host';
  const port = hasPort ? parsePort(text.slice(bracket + 2, end)) : defaultPort;
  if (port === undefined) return 'invalid port';
  const host = text.slice(1, bracket);
  if (host === '') return 'no host';
  if (!isIPv6(host) || host.includes('%')) return 'invalid IPv6 address';
  return { host: `[${host}]`, port, hasPort, uri: text.slice(end), address: addressOf(host, port) };
}

function parsePort(text: string): number | undefined {
  if (text.length === 0 || text.length > 10) return undefined;
  let port = 0;
  for (let index = 0; index < text.length; index++) {
    const digit = text.charCodeAt(index) - 48;
    if (digit < 0 || digit > 9) return undefined;
    port = port * 10 + digit;
  }
  return port >= 1 && port <= 65_535 ? port : undefined;
}

/** @param host an IP address without brackets */
export function addressOf(host: string, port: number): PeerAddress {
  return { text: host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`, host, port, path: '' };
}

/** @param path a byte string */
export function unixAddress(path: string): PeerAddress {
  return { text: `unix:${path}`, host: '', port: 0, path };
}

/** The address a connection is made from. */
export interface LocalAddress {
  readonly host: string;
  /** 0: the system's choice. */
  readonly port: number;
}

/**
 * Reads the value of `proxy_bind`: an IP address, or `address:port`.
 * @returns undefined where it is none
 */
export function parseLocalAddress(text: string): LocalAddress | undefined {
  if (isIP(text) !== 0) return { host: text, port: 0 };
  const bracketed = text.startsWith('[');
  const colon = text.lastIndexOf(':');
  const host = bracketed ? text.slice(1, text.indexOf(']')) : text.slice(0, Math.max(colon, 0));
  if (bracketed ? !isIPv6(host) : !isIPv4(host)) return undefined;
  if (bracketed && text.endsWith(']')) return { host, port: 0 };
  if (bracketed && text[colon - 1] !== ']') return undefined;
  const port = parsePort(text.slice(colon + 1));
  return port === undefined ? undefined : { host, port };
}
