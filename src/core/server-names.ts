/** Which of the servers on one address a Host belongs to: nginx's ngx_http_server_names and find_virtual_server. */
import { hostname } from 'node:os';
import { ConfigError, type Statement } from '../config/statement.ts';
import { asciiLowerCase, HostMap } from '../http/host-map.ts';
import type { Exchange } from './exchange.ts';
import type { Regex } from './regex.ts';
import type { Server } from './site.ts';

/** One name of a server. */
export interface ServerName {
  /** In lower case, or the pattern without its `~`; '' is a request without a host. */
  readonly name: string;
  readonly regex: Regex | undefined;
  /** Undefined for the name '' of a server that has no `server_name`. */
  readonly statement: Statement | undefined;
}

/** A name and whose it is. */
export interface ServerNameEntry extends ServerName {
  readonly server: Server;
}

/** What is needed of `Link`. */
interface NameCompiler {
  regex(statement: Statement, pattern: string, caseless: boolean): Regex;
  warn(statement: Statement, message: string): void;
}

/**
 * Reads the `server_name` statements of one server; without any it has the name ''.
 * @throws ConfigError `server name "x" is invalid`, `empty regex in server name "~"`, those of regular expressions
 */
export function readServerNames(
  statements: readonly Statement[],
  compiler: NameCompiler,
): readonly ServerName[] {
  const names: ServerName[] = [];
  for (const statement of statements) {
    for (const word of statement.args) names.push(readName(word, statement, compiler));
  }
  return names.length > 0 ? names : [{ name: '', regex: undefined, statement: undefined }];
}

function readName(word: string, statement: Statement, compiler: NameCompiler): ServerName {
  if ((word.startsWith('*') && (word.length < 3 || word[1] !== '.')) || word === '.') {
    throw new ConfigError(`server name "${word}" is invalid`, { statement });
  }
  if (word.includes('/')) compiler.warn(statement, `server name "${word}" has suspicious symbols`);
  if (word.startsWith('~')) {
    const pattern = word.slice(1);
    if (pattern === '') throw new ConfigError(`empty regex in server name "${word}"`, { statement });
    // The host is in lower case: a pattern with capitals would never match it.
    return { name: pattern, regex: compiler.regex(statement, pattern, /[A-Z]/.test(pattern)), statement };
  }
  const name = word.toLowerCase() === '$hostname' ? hostname() : word;
  return { name: asciiLowerCase(name), regex: undefined, statement };
}

/** `$server_name`: the first name, without the dot it may begin with, a pattern with its `~`. */
export function primaryServerName(names: readonly ServerName[]): string {
  const { name, regex } = names[0];
  if (regex !== undefined) return `~${name}`;
  return name.startsWith('.') ? name.slice(1) : name;
}

/** Whether the last of the patterns has groups: then even the only server of an address is looked up by name. */
export function hasCaptures(names: readonly ServerName[]): boolean {
  return (names.findLast(({ regex }) => regex !== undefined)?.regex?.groups ?? 0) > 0;
}

/** The names of the servers on one address. Immutable. */
export class ServerNames {
  readonly #names = new HostMap<Server>();
  readonly #regexes: { readonly regex: Regex; readonly server: Server }[] = [];

  private constructor() {}

  /**
   * @param entries the names of all servers on the address, in the order of the file
   * @param address as nginx prints it, `0.0.0.0:80`, for messages
   * @param warn hears `conflicting server name "x" on 0.0.0.0:80, ignored`
   * @throws ConfigError `invalid server name or wildcard "x" on 0.0.0.0:80`
   */
  static build(
    entries: readonly ServerNameEntry[],
    address: string,
    warn: (message: string, entry: ServerNameEntry) => void,
  ): ServerNames {
    const names = new ServerNames();
    for (const entry of entries) {
      const { name, regex, server } = entry;
      if (regex !== undefined) {
        names.#regexes.push({ regex, server });
        continue;
      }
      const added = names.#names.add(name, server, true);
      if (added === 'invalid') {
        throw new ConfigError(`invalid server name or wildcard "${name}" on ${address}`);
      }
      if (added === 'conflicting') warn(`conflicting server name "${name}" on ${address}, ignored`, entry);
    }
    return names;
  }

  /**
   * The server a host belongs to: the whole name, else the longest wildcard that begins with `*`, else the longest
   * that ends with it, else the first pattern that matches, whose captures the exchange then has.
   * @param host in lower case without port, '' where the request has none
   * @param exchange undefined: nobody gets captures
   * @returns undefined where it is nobody's: the default server's
   */
  find(host: string, exchange: Exchange | undefined): Server | undefined {
    const named = this.#names.find(host);
    if (named !== undefined || host === '') return named;
    const regexes = this.#regexes;
    for (let index = 0; index < regexes.length; index++) {
      const { regex, server } = regexes[index];
      if (exchange === undefined ? regex.test(host) : regex.match(exchange, host)) return server;
    }
    return undefined;
  }
}
