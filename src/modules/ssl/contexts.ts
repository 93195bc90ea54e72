/** What TLS handshakes of one server take: contexts of OpenSSL's, made of its directives, and keys for tickets. */
import { constants, createHash, hkdfSync, randomBytes } from 'node:crypto';
import {
  createSecureContext,
  type SecureContext,
  type SecureContextOptions,
  setDefaultCACertificates,
} from 'node:tls';
import type { Settings } from '../../config/directive.ts';
import { ConfigError } from '../../config/statement.ts';
import {
  readAuthorities,
  readCertificates,
  readPairs,
  readPasswords,
  readRevoked,
} from '../../core/certificates.ts';
import type { Link } from '../../core/link.ts';
import {
  certificatePath,
  noStartLine,
  opensslError,
  readPemFile,
  readPlainFile,
} from '../../core/pem-files.ts';
import type { ProcessSecret } from '../../core/runtime.ts';
import type { TlsContexts } from '../../core/tls.ts';
import { allowedProtocols } from '../../core/tls-directives.ts';
import { pemBlocks } from '../../http/pem.ts';
import { refuseOthers } from '../../http/tls-protocols.ts';
import { applyConfCommands, type Commanded, isUsable } from './conf-commands.ts';
import type { SslDirectives } from './directives.ts';
import { openDefaultSessionStore, openSessionStore } from './session-cache.ts';

/** Its limit for records, and the least that OpenSSL takes. */
const LARGEST_RECORD = 16_384;
const SMALLEST_RECORD = 512;

/**
 * Makes the contexts of a server.
 * @throws ConfigError in nginx's words where files cannot be read or used
 */
export function createContexts(
  settings: Settings<SslDirectives>,
  certificateFiles: readonly string[],
  keyFiles: readonly string[],
  link: Link,
): TlsContexts {
  const verifies = settings.ssl_verify_client !== 'off';
  const commanded: Commanded = {
    protocols: allowedProtocols(settings.ssl_protocols),
    ciphers: settings.ssl_ciphers,
    suites: '',
    curves: settings.ssl_ecdh_curve,
    signatureAlgorithms: '',
    secureOptions:
      constants.SSL_OP_NO_RENEGOTIATION |
      (settings.ssl_prefer_server_ciphers ? constants.SSL_OP_CIPHER_SERVER_PREFERENCE : 0) |
      (settings.ssl_session_tickets ? 0 : constants.SSL_OP_NO_TICKET),
    certificates: undefined,
    keys: undefined,
    dhparam: settings.ssl_dhparam,
  };
  applyConfCommands(settings.ssl_conf_command, commanded);
  const passwords = readPasswords(settings.ssl_password_file, link);
  const pairs = readPairs(
    commanded.certificates ?? certificateFiles,
    commanded.keys ?? keyFiles,
    passwords,
    link,
  );
  const clientAuthorities = verifies ? readAuthorities(settings.ssl_client_certificate, link) : undefined;
  const trusted = readAuthorities(settings.ssl_trusted_certificate, link);
  const revoked = readRevoked(settings.ssl_crl, link);
  const dhparam = readDhparam(commanded.dhparam, link);

  // A client's certificate is checked once, when its session begins. Whether its chain was too long would not be known
  // of a session that is resumed from a ticket, so that here sessions are remembered, and only those without one.
  const wantsTickets = (commanded.secureOptions & constants.SSL_OP_NO_TICKET) === 0;
  const tickets = wantsTickets && !verifies;
  if (!tickets) commanded.secureOptions |= constants.SSL_OP_NO_TICKET;
  const lifetime = settings.ssl_session_timeout;
  const sessions =
    openSessionStore(settings.ssl_session_cache, lifetime, link) ??
    (verifies && wantsTickets ? openDefaultSessionStore(lifetime, link) : undefined);

  const verification = verifies
    ? createHash('sha256')
        .update(JSON.stringify([clientAuthorities, trusted, revoked, settings.ssl_verify_depth].map(String)))
        .digest('base64')
    : '';
  const options: SecureContextOptions = {
    ciphers: cipherOption(commanded),
    minVersion: 'TLSv1',
    maxVersion: 'TLSv1.3',
    secureOptions: (commanded.secureOptions | refuseOthers(commanded.protocols)) >>> 0,
    cert: pairs.map(({ certificate }) => certificate),
    key: pairs.map(({ key }) => key),
    crl: revoked === undefined ? undefined : pemBlocks(revoked.toString('latin1'), ['X509 CRL']),
    dhparam,
    ecdhCurve: commanded.curves,
    sigalgs: commanded.signatureAlgorithms === '' ? undefined : commanded.signatureAlgorithms,
    sessionTimeout: lifetime,
    sessionIdContext: sessionIdContext(pairs, verification),
    certificateCompression: settings.ssl_certificate_compression ? ['zlib', 'brotli', 'zstd'] : undefined,
  };
  const authorities = { trusted: certificatesIn(trusted), told: certificatesIn(clientAuthorities) };
  const create: MakeContext = (key, newest) => {
    const context = createContext({ ...options, ticketKeys: key }, authorities, commanded);
    if (tickets) renewTickets(context, key, newest);
    return context;
  };
  const keys = readTicketKeys(settings.ssl_session_ticket_key, link);
  const recordSize = settings.ssl_buffer_size;
  return {
    choose:
      keys.length > 0
        ? fixedKeys(keys, create)
        : rotatingKeys(link.runtime.secret, Math.max(1, lifetime), create),
    tickets,
    sessions,
    remembersClients: !verifies,
    asksForCertificate: verifies,
    verifyDepth: settings.ssl_verify_depth,
    verification,
    recordSize: recordSize >= LARGEST_RECORD ? 0 : Math.max(SMALLEST_RECORD, recordSize),
    options: {
      pairs,
      protocols: commanded.protocols,
      ciphers: commanded.ciphers,
      suites: commanded.suites,
      preferServerCiphers: (commanded.secureOptions & constants.SSL_OP_CIPHER_SERVER_PREFERENCE) !== 0,
      curves: commanded.curves,
      dhparam,
      clientAuthorities,
      trusted,
      revoked,
    },
  };
}

/**
 * Node takes suites of TLS 1.3 in the same list; OpenSSL, and so nginx, ignores them there.
 * @throws ConfigError where nothing is left, which Node would take for a wish for TLS 1.3 only
 */
function cipherOption({ ciphers, suites }: Commanded): string {
  const listed = ciphers
    .split(/[:, ]+/)
    .filter((name) => name !== '' && !name.startsWith('TLS_') && !name.startsWith('!TLS_'));
  if (listed.length === 0) throw cipherError(ciphers, 'error:0A0000B9:SSL routines::no cipher match');
  return suites === '' ? listed.join(':') : `${suites}:${listed.join(':')}`;
}

function cipherError(ciphers: string, what: string): ConfigError {
  return new ConfigError(`SSL_CTX_set_cipher_list("${ciphers}") failed (SSL: ${what})`);
}

/** @throws ConfigError for what only shows when OpenSSL looks at it */
function createContext(
  options: SecureContextOptions,
  authorities: { readonly trusted: readonly string[]; readonly told: readonly string[] },
  { ciphers, curves }: Commanded,
): SecureContext {
  try {
    const { trusted, told } = authorities;
    if (trusted.length > 0) return createTrusting(options, trusted, told);
    // An empty list too, because without one Node takes its own list of authorities, which nginx has not.
    return createSecureContext({ ...options, ca: [...told] });
  } catch (error) {
    const what = opensslError(error);
    if ((error as { code?: string }).code === 'ERR_SSL_NO_CIPHER_MATCH') {
      throw cipherError(ciphers, what);
    }
    const bad = what.includes('ECDH curve')
      ? curves.split(':').find((name) => !isUsable({ ecdhCurve: name }))
      : undefined;
    if (bad !== undefined) {
      throw new ConfigError(
        `SSL_CTX_set1_curves_list("${curves}") failed ` +
          `(SSL: error:0A080106:SSL routines::passed invalid argument:group '${bad}' cannot be set)`,
        { cause: error },
      );
    }
    throw new ConfigError(`TLS cannot be prepared (SSL: ${what})`, { cause: error });
  }
}

/** The part of Node's contexts that its documentation leaves out, the same since its first versions. */
interface NativeContext {
  addCACert?(pem: string): void;
  /** Has the next one called for each ticket. */
  enableTicketKeyCallback?(): void;
  /**
   * The keys for a ticket.
   * @param name of the key that a client's ticket is encrypted with
   * @param encrypts a ticket is being made; name and initialization vector of the result are put into it
   */
  onticketkeycallback?(name: Buffer, vector: Buffer, encrypts: boolean): TicketKeys;
}

/** What OpenSSL is told of a ticket, then keys of the HMAC and of AES, name, and initialization vector. */
type TicketKeys = readonly [outcome: number, hmac: Buffer, aes: Buffer, name: Buffer, vector: Buffer];

/**
 * A context that trusts authorities without telling clients of all of them. What Node's options add to a context is told,
 * but for Node's own list of authorities; so that list is changed while the context is made. Nothing here ever uses it
 * otherwise, so that afterwards it is left empty.
 */
function createTrusting(
  options: SecureContextOptions,
  trusted: readonly string[],
  told: readonly string[],
): SecureContext {
  setDefaultCACertificates([...trusted]);
  try {
    const context = createSecureContext({ ...options, ca: undefined });
    for (const pem of told) (context.context as NativeContext).addCACert!(pem);
    return context;
  } finally {
    setDefaultCACertificates([]);
  }
}

function sessionIdContext(
  pairs: readonly { readonly certificate: Buffer; readonly certificateName: string }[],
  verification: string,
): string {
  const hash = createHash('sha1').update('HTTP');
  for (const { certificate, certificateName } of pairs) {
    hash.update(readCertificates(certificate, certificateName)[0]!.raw);
  }
  return hash.update(verification).digest('base64');
}

// ---- files ----

/** Each of them once, as PEM. */
function certificatesIn(pem: Buffer | undefined): readonly string[] {
  if (pem === undefined) return [];
  return [...new Set(readCertificates(pem, '').map((certificate) => certificate.toString()))];
}

function readDhparam(name: string, link: Link): Buffer | undefined {
  if (name === '') return undefined;
  const path = certificatePath(name, link);
  const pem = readPemFile(path, `BIO_new_file("${path}") failed`, link);
  if (pemBlocks(pem.toString('latin1'), ['DH PARAMETERS', 'X9.42 DH PARAMETERS']).length === 0) {
    throw new ConfigError(`PEM_read_bio_DHparams("${path}") failed ${noStartLine('DH PARAMETERS')}`);
  }
  return pem;
}

// ---- keys of tickets ----

/** Node's keys are of 48 bytes: name, key of the HMAC, key of AES, 16 bytes each. */
function readTicketKeys(names: readonly string[] | undefined, link: Link): readonly Buffer[] {
  return (names ?? []).map((name) => {
    const path = certificatePath(name, link);
    const file = readPlainFile(path, undefined, link);
    // nginx has the key of AES first.
    if (file.length === 48)
      return Buffer.concat([file.subarray(0, 16), file.subarray(32), file.subarray(16, 32)]);
    if (file.length !== 80) throw new ConfigError(`"${path}" must be 48 or 80 bytes`);
    // Node has no AES-256 for tickets; with the same file all of our own understand each other.
    const derived = hkdfSync('sha256', file.subarray(16), file.subarray(0, 16), 'portico ticket key', 32);
    return Buffer.concat([file.subarray(0, 16), Buffer.from(derived)]);
  });
}

/** Makes the context for tickets that are encrypted with a key. @param newest gives the key for new tickets */
type MakeContext = (key: Buffer, newest: () => Buffer) => SecureContext;

// OpenSSL's SSL_CTX_set_tlsext_ticket_key_cb.
const UNKNOWN_KEY = 0;
const USE = 1;
const USE_AND_RENEW = 2;
const NOTHING = Buffer.alloc(16);

/**
 * Has a client that comes with a ticket given a new one, for clients use a ticket of TLS 1.3 only once (RFC 8446
 * C.4). Node by itself never does that; where its contexts are not as this expects, it stays so.
 */
function renewTickets({ context }: SecureContext, own: Buffer, newest: () => Buffer): void {
  const native = context as NativeContext;
  if (typeof native.enableTicketKeyCallback !== 'function') return;
  const name = own.subarray(0, 16);
  native.onticketkeycallback = (asked, _vector, encrypts) => {
    if (!encrypts) {
      if (!asked.equals(name)) return [UNKNOWN_KEY, NOTHING, NOTHING, NOTHING, NOTHING];
      return [USE_AND_RENEW, own.subarray(16, 32), own.subarray(32), NOTHING, NOTHING];
    }
    const key = newest();
    return [USE, key.subarray(16, 32), key.subarray(32), key.subarray(0, 16), randomBytes(16)];
  };
  native.enableTicketKeyCallback();
}

/** `ssl_session_ticket_key`: the first encrypts, the others can only decrypt what they once encrypted. */
function fixedKeys(keys: readonly Buffer[], create: MakeContext): TlsContexts['choose'] {
  const contexts = new Map<string, SecureContext>();
  for (const key of keys) {
    const name = key.toString('latin1', 0, 16);
    if (!contexts.has(name))
      contexts.set(
        name,
        create(key, () => keys[0]!),
      );
  }
  const first = contexts.get(keys[0]!.toString('latin1', 0, 16))!;
  return (name) => (name === undefined ? first : (contexts.get(name) ?? first));
}

/**
 * Keys that every worker derives from the process's secret and the time: each encrypts for one lifetime of sessions, and
 * decrypts for another one.
 * @param lifetime in seconds
 */
function rotatingKeys(secret: ProcessSecret, lifetime: number, create: MakeContext): TlsContexts['choose'] {
  const keyOf = (period: number) =>
    Buffer.from(hkdfSync('sha256', secret.bytes, '', `ticket ${lifetime} ${period}`, 48));
  const periodNow = () => Math.floor((Date.now() - secret.madeAt) / (lifetime * 1000));
  const make = (period: number) => {
    const key = keyOf(period);
    return { period, key, name: key.toString('latin1', 0, 16), context: create(key, newest) };
  };
  const newest = (): Buffer => current.key;
  let current = make(periodNow());
  let previous: typeof current | undefined;
  return (name) => {
    const period = periodNow();
    if (period !== current.period) {
      previous = period === current.period + 1 ? current : undefined;
      current = make(period);
    }
    if (name === undefined || name === current.name) return current.context;
    // A worker that is new, or has had no client for a while, has not got the context of the time before.
    if (previous?.period !== period - 1) {
      const key = keyOf(period - 1);
      if (key.toString('latin1', 0, 16) !== name) return current.context;
      previous = { period: period - 1, key, name, context: create(key, newest) };
    }
    return previous.name === name ? previous.context : current.context;
  };
}
