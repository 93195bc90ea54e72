/** Finds what a listener's configuration asks for and this engine cannot do: limits.ts has the list. */
import { X509Certificate } from 'node:crypto';
import type { Scope } from '../../config/scope.ts';
import { ConfigError, type Statement, type Warning } from '../../config/statement.ts';
import type { Listener, Server } from '../../core/site.ts';
import {
  CERTIFICATE_LIMITS,
  DIRECTIVE_LIMITS,
  type DirectiveLimit,
  LISTEN_LIMITS,
  TLS_LIMITS,
  TLS_STATEMENT_LIMITS,
  TLS_VARIABLE_LIMITS,
  VARIABLE_LIMITS,
} from './limits.ts';
import { credentialsOf, findUnfit } from './tls.ts';

/** What is to be looked for in the statements of a listener. */
interface Search {
  readonly at: string;
  readonly directives: ReadonlyMap<string, readonly DirectiveLimit[]>;
  readonly variables: ReadonlyMap<string, string>;
}

const PLAIN = { directives: byName(DIRECTIVE_LIMITS), variables: VARIABLE_LIMITS };
const TLS = {
  directives: byName([...DIRECTIVE_LIMITS, ...TLS_STATEMENT_LIMITS]),
  variables: new Map([...VARIABLE_LIMITS, ...TLS_VARIABLE_LIMITS]),
};

function byName(limits: readonly DirectiveLimit[]): ReadonlyMap<string, readonly DirectiveLimit[]> {
  return Map.groupBy(limits, ({ directive }) => directive);
}

/**
 * Checks that a listener asks for nothing that this engine cannot do.
 * @param warn hears of what hardly anybody can tell
 * @throws ConfigError that names the directive and the listener
 */
export function checkLimits(listener: Listener, warn: (warning: Warning) => void): void {
  const at = listener.address.text;
  const isTls = listener.servers.ssl;
  const search: Search = { at, ...(isTls ? TLS : PLAIN) };
  checkListen(listener);
  for (const { scope } of listener.all) {
    checkScope(scope, search);
    for (let outer = scope.parent; outer !== undefined; outer = outer.parent) {
      // Tables, such as a `map`, may be another listener's.
      for (const { statement } of outer.entries)
        if (statement.block === undefined) checkStatement(statement, search);
    }
  }
  if (isTls) checkTls(listener, warn);
}

function checkScope(scope: Scope, search: Search): void {
  for (const { statement, scope: block } of scope.entries) {
    checkStatement(statement, search);
    if (block !== undefined) checkScope(block, search);
  }
}

function refuse(statement: Statement | undefined, what: string, at: string, why: string): never {
  throw new ConfigError(`${what} is not possible with the engine "uws" of ${at}: ${why}`, { statement });
}

function quote({ name, args }: Statement): string {
  return `"${[name, ...args].join(' ')}"`;
}

function checkListen(listener: Listener): void {
  for (const { parameter, refuses, why } of LISTEN_LIMITS) {
    if (!refuses(listener)) continue;
    const { scope } = listener.servers.default;
    const statement = scope.statements('listen')[0] ?? scope.statement!;
    refuse(statement, `"listen" with ${parameter}`.replaceAll('`', ''), listener.address.text, why);
  }
}

function checkStatement(statement: Statement, { at, directives, variables }: Search): void {
  const { name, args } = statement;
  for (const limit of directives.get(name) ?? []) {
    if (limit.refuses(args)) refuse(statement, quote(statement), at, limit.why);
  }
  // A format belongs to no listener: it may be another one's.
  if (name === 'log_format') return;
  for (const word of args) {
    if (!word.includes('$')) continue;
    for (const [, variable = ''] of word.matchAll(/\$\{?(\w+)/g)) {
      const why = variables.get(variable);
      if (why !== undefined) refuse(statement, `"$${variable}"`, at, why);
    }
  }
}

// ---- TLS ----

/** The statements of a directive that hold for a server: those of the nearest scope that has any. */
function nearest({ scope }: Server, name: string): readonly Statement[] {
  for (let outer: Scope | undefined = scope; outer !== undefined; outer = outer.parent) {
    const found = outer.statements(name);
    if (found.length > 0) return found;
  }
  return [];
}

function checkTls(listener: Listener, warn: (warning: Warning) => void): void {
  const at = listener.address.text;
  const warned = new Set<Statement>();
  for (const server of listener.all) {
    for (const limit of TLS_LIMITS) {
      for (const statement of nearest(server, limit.directive)) {
        if (!limit.refuses(statement.args)) continue;
        if (!limit.warns) refuse(statement, quote(statement), at, limit.why);
        if (warned.has(statement)) continue;
        warned.add(statement);
        warn({
          statement,
          message: `${quote(statement)} means nothing to the engine "uws" of ${at}: ${limit.why}`,
        });
      }
    }
    checkCertificates(server, listener);
  }
}

function checkCertificates(server: Server, { servers, address }: Listener): void {
  const [certificate] = nearest(server, 'ssl_certificate');
  const pairs = server.tls?.contexts?.options.pairs ?? [];
  const kinds = new Set(
    pairs.map((pair) => new X509Certificate(pair.certificate).publicKey.asymmetricKeyType),
  );
  if (kinds.size > 1) {
    refuse(certificate, 'another "ssl_certificate"', address.text, CERTIFICATE_LIMITS.kinds);
  }
  const credentials = credentialsOf(server, servers);
  if (credentials !== undefined) {
    const unfit = findUnfit(credentials);
    if (unfit === 'certificate') {
      refuse(
        certificate,
        `"ssl_certificate ${certificate?.args[0]}"`,
        address.text,
        CERTIFICATE_LIMITS.certificate,
      );
    } else if (unfit === 'ciphers') {
      const what = `"ssl_ciphers ${credentials.ciphers}"`;
      refuse(nearest(server, 'ssl_ciphers')[0], what, address.text, CERTIFICATE_LIMITS.ciphers);
    }
  }
  if (credentials?.identity === credentialsOf(servers.default, servers)?.identity) return;
  for (const { name, regex, statement } of server.names) {
    if (regex === undefined && !name.endsWith('*')) continue;
    refuse(
      statement,
      `"server_name ${regex === undefined ? '' : '~'}${name}"`,
      address.text,
      CERTIFICATE_LIMITS.names,
    );
  }
}
