/**
 * TLS as uWebSockets.js does it: which certificate belongs to which name, and apps that know them.
 *
 * It keeps names in a tree of labels, in which `*` stands for one label. nginx's `*.example.com` is for any number of
 * labels: so the first time that a name of more labels is asked for, all endings are added with as many `*` as it takes,
 * up to the ten labels that a name in the tree may have. Whole names are found before `*`, and longer endings before
 * shorter ones, in the tree as with nginx. What it cannot express (patterns, and names that end with `*`) is refused by
 * limits.ts where it would make a difference.
 *
 * An app keeps its certificates for good, for a name cannot be taken from it while anybody is connected by it. Others
 * take another app: listener.ts.
 */
import { createHash } from 'node:crypto';
import type { Listener, Server, VirtualServers } from '../../core/site.ts';
import type { CertificatePair, TlsConnection } from '../../core/tls.ts';
import { validateHost } from '../../http/host.ts';
import { HostMap } from '../../http/host-map.ts';
import { loadUws, type UwsApp, type UwsTlsOptions } from './native.ts';
import { SecretFiles } from './secret-files.ts';

/** Most labels of a name in the tree. */
const MOST_LABELS = 10;
/** Names that clients spell in their own way (in capitals, say) and that an app has learned. */
const MOST_SPELLINGS = 256;

/** What a handshake takes. */
export interface Credentials {
  readonly pair: CertificatePair;
  readonly ciphers: string;
  /** The same for the same. */
  readonly identity: string;
}

/** A name as the tree has it, and its certificate; undefined where handshakes are to be rejected. */
interface NamedCredentials {
  readonly pattern: string;
  readonly credentials: Credentials | undefined;
}

/** The certificates of one address. */
export interface TlsPlan {
  /** The same for the same. */
  readonly identity: string;
  /** Of the default server, for all that ask for nobody else; undefined where handshakes are to be rejected. */
  readonly fallback: Credentials | undefined;
  /** Of others. */
  readonly names: readonly NamedCredentials[];
}

const REJECTED = 'rejected';

/** What handshakes for a server take; undefined where they are to be rejected. */
export function credentialsOf({ tls }: Server, servers: VirtualServers): Credentials | undefined {
  const contexts = tls?.contexts ?? servers.default.tls?.contexts;
  if (contexts === undefined || tls?.rejectsHandshake) return undefined;
  const { pairs, ciphers } = contexts.options;
  // Of certificates with the same kind of key the last one counts, as with OpenSSL; others are refused.
  const pair = pairs.at(-1)!;
  const hash = createHash('sha256');
  for (const part of [pair.certificate, pair.key, ciphers]) hash.update(`${part.length} `).update(part);
  return { pair, ciphers, identity: hash.digest('base64') };
}

function identityOf(credentials: Credentials | undefined): string {
  return credentials?.identity ?? REJECTED;
}

/** Which name has which certificate at an address with `listen ... ssl`. */
export function planTls({ servers, all }: Listener): TlsPlan {
  const fallback = credentialsOf(servers.default, servers);
  const named = new Map<string, Credentials | undefined>();
  // An address with one server only has nothing to choose by.
  for (const server of servers.names === undefined ? [] : all) {
    const credentials = credentialsOf(server, servers);
    for (const { name, regex } of server.names) {
      if (regex !== undefined || name === '' || name.endsWith('*')) continue;
      const dotted = name.startsWith('.');
      const whole = dotted ? name.slice(1) : name;
      // The first server with a name has it.
      if (named.has(whole) || (dotted && named.has(`*${name}`))) continue;
      named.set(whole, credentials);
      if (dotted) named.set(`*${name}`, credentials);
    }
  }
  const names = needed(named, identityOf(fallback));
  return {
    identity: JSON.stringify([
      identityOf(fallback),
      ...names.map(({ pattern, credentials }) => [pattern, identityOf(credentials)]),
    ]),
    fallback,
    names,
  };
}

/** The names that do not get the default server's certificate anyway, and those that would get another one's. */
function needed(named: ReadonlyMap<string, Credentials | undefined>, fallback: string): NamedCredentials[] {
  const others = [...named].filter(([, credentials]) => identityOf(credentials) !== fallback);
  const endings = others.filter(([name]) => name.startsWith('*')).map(([name]) => name.slice(1));
  return [...named]
    .filter(
      ([name, credentials]) =>
        identityOf(credentials) !== fallback || endings.some((ending) => name.endsWith(ending)),
    )
    .map(([pattern, credentials]) => ({ pattern, credentials }));
}

function optionsOf(credentials: Credentials | undefined, files: SecretFiles): UwsTlsOptions {
  // Without a certificate every handshake fails.
  if (credentials === undefined) return {};
  const { pair, ciphers } = credentials;
  return {
    cert_file_name: files.path(pair.certificate),
    key_file_name: files.path(pair.key),
    ssl_ciphers: ciphers,
    ssl_prefer_low_memory_usage: true,
  };
}

function withFiles<Result>(use: (files: SecretFiles) => Result): Result {
  const files = new SecretFiles();
  try {
    return use(files);
  } finally {
    files.close();
  }
}

/**
 * Makes an app that ends TLS.
 * @param route adds the handlers to the app, once for each certificate: requests go by the one of their handshake
 * @throws Error where uWebSockets.js cannot use a certificate, or the system has no place to hand it over in
 */
export function openTlsApp(plan: TlsPlan, route: (app: UwsApp) => void): UwsApp {
  return withFiles((files) => {
    const app = loadUws().SSLApp(optionsOf(plan.fallback, files));
    try {
      route(app);
      for (const { pattern, credentials } of plan.names) addName({ app, route, files }, pattern, credentials);
      if (plan.names.length > 0) learnNames(app, plan, route);
      return app;
    } catch (error) {
      app.close();
      throw error;
    }
  });
}

interface Addition {
  readonly app: UwsApp;
  readonly route: (app: UwsApp) => void;
  readonly files: SecretFiles;
}

function addName({ app, route, files }: Addition, name: string, credentials: Credentials | undefined): void {
  app.addServerName(name, optionsOf(credentials, files));
  app.domain(name);
  route(app);
}

function countLabels(name: string): number {
  let labels = 1;
  for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) labels++;
  return labels;
}

const host = { host: '', port: 0 };

/**
 * Adds what the tree does not know by itself when a client asks for it: endings with more labels before them, and other
 * spellings. It takes capitals for other letters, and knows no name with a dot at its end.
 */
function learnNames(app: UwsApp, { names, fallback }: TlsPlan, route: (app: UwsApp) => void): void {
  const known = new HostMap<NamedCredentials>();
  for (const named of names) known.add(named.pattern, named, true);
  const endings = names.filter(({ pattern }) => pattern.startsWith('*'));
  const levels = new Set<number>();
  let spellings = 0;

  function learn(name: string): void {
    if (!validateHost(name, host)) return;
    const found = known.find(host.host);
    if (found === undefined || identityOf(found.credentials) === identityOf(fallback)) return;
    const labels = countLabels(name);
    if (host.host !== name) {
      if (spellings === MOST_SPELLINGS) return;
      spellings++;
      withFiles((files) => addName({ app, route, files }, name, found.credentials));
    } else if (labels <= MOST_LABELS && !levels.has(labels)) {
      withFiles((files) => {
        for (const { pattern, credentials } of endings) {
          const more = labels - countLabels(pattern);
          if (more > 0) addName({ app, route, files }, '*.'.repeat(more) + pattern, credentials);
        }
      });
      levels.add(labels);
    }
  }

  app.missingServerName((name) => {
    try {
      learn(name);
    } catch {
      // No descriptor is free, say: this client gets the default server's certificate.
    }
  });
}

/** Those that are known to be fit, so that a reload need not try them again: apps are never quite given back. */
const fit = new Set<string>();

/**
 * Whether uWebSockets.js can use them.
 * @returns which of the two it is that it cannot use
 */
export function findUnfit(credentials: Credentials): 'certificate' | 'ciphers' | undefined {
  if (fit.has(credentials.identity)) return undefined;
  return withFiles((files) => {
    const options = optionsOf(credentials, files);
    if (canOpen(options)) {
      fit.add(credentials.identity);
      return undefined;
    }
    return canOpen({ ...options, ssl_ciphers: undefined }) ? 'ciphers' : 'certificate';
  });
}

function canOpen(options: UwsTlsOptions): boolean {
  try {
    loadUws().SSLApp(options).close();
    return true;
  } catch {
    return false;
  }
}

/** What is known of TLS on any connection: next to nothing. */
export function describeTls(servers: VirtualServers): TlsConnection {
  return { ...UNKNOWN, servers };
}

const UNKNOWN: Omit<TlsConnection, 'servers'> = {
  protocol: '',
  cipher: '',
  ciphers: '',
  curves: '',
  signatureAlgorithms: '',
  curve: '',
  serverName: '',
  alpnProtocol: '',
  sessionId: '',
  sessionReused: false,
  clientCertificate: undefined,
  clientCertificateError: undefined,
  // Nobody's certificate is verified here, so that the server is chosen by the request alone.
  chosen: undefined,
  verification: '',
};
