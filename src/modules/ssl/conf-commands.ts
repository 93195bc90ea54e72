/** `ssl_conf_command`: OpenSSL's configuration commands (SSL_CONF_cmd(3)), as far as Node.js lets them through. */
import { constants } from 'node:crypto';
import { createSecureContext, getCiphers, type SecureContextOptions } from 'node:tls';
import type { KeyValue } from '../../config/setters/list.ts';
import { ConfigError } from '../../config/statement.ts';
import { TLS_PROTOCOLS, type TlsProtocol } from '../../http/tls-protocols.ts';

/** What the commands change. */
export interface Commanded {
  protocols: readonly TlsProtocol[];
  /** Cipher list of TLS 1.2 and below. */
  ciphers: string;
  /** Suites of TLS 1.3; '' for OpenSSL's. */
  suites: string;
  curves: string;
  /** '' for OpenSSL's. */
  signatureAlgorithms: string;
  /** Bits of SSL_OP_*. */
  secureOptions: number;
  /** Files that take the place of what the other directives name. */
  certificates: readonly string[] | undefined;
  keys: readonly string[] | undefined;
  dhparam: string;
}

/** OpenSSL's words for its options, with the bit of each, and whether the word turns the bit off. */
const OPTIONS: Readonly<Record<string, readonly [bit: number, inverted: boolean]>> = {
  sessionticket: [constants.SSL_OP_NO_TICKET, true],
  emptyfragments: [constants.SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS, true],
  bugs: [constants.SSL_OP_ALL, false],
  compression: [constants.SSL_OP_NO_COMPRESSION, true],
  serverpreference: [constants.SSL_OP_CIPHER_SERVER_PREFERENCE, false],
  noresumptiononrenegotiation: [constants.SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION, false],
  unsafelegacyrenegotiation: [constants.SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION, false],
  unsafelegacyserverconnect: [constants.SSL_OP_LEGACY_SERVER_CONNECT, false],
  encryptthenmac: [constants.SSL_OP_NO_ENCRYPT_THEN_MAC, true],
  norenegotiation: [constants.SSL_OP_NO_RENEGOTIATION, false],
  allownodhekex: [constants.SSL_OP_ALLOW_NO_DHE_KEX, false],
  prioritizechacha: [constants.SSL_OP_PRIORITIZE_CHACHA, false],
  // SSL_OP_ENABLE_MIDDLEBOX_COMPAT, which is on, and which Node.js has no name for.
  middleboxcompat: [1 << 20, false],
};

/** On unless turned off, and Node.js cannot turn an option off that OpenSSL has on. */
const ALWAYS_ON = (1 << 20) | constants.SSL_OP_NO_COMPRESSION;

/**
 * Applies commands in turn.
 * @throws ConfigError naming the command
 */
export function applyConfCommands(commands: readonly KeyValue[], to: Commanded): void {
  let certificates: string[] | undefined;
  let keys: string[] | undefined;
  for (const { key, value } of commands) {
    const fail = (why: string): never => {
      throw new ConfigError(`SSL_CONF_cmd("${key}", "${value}") failed ${why}`);
    };
    const badValue = (before = '') =>
      fail(`(SSL: ${before}error:0A000180:SSL routines::bad value:cmd=${key}, value=${value})`);
    switch (key.toLowerCase()) {
      case 'cipherstring':
        if (!isUsable({ ciphers: value })) badValue(NO_MATCH);
        to.ciphers = value;
        break;
      case 'ciphersuites':
        // Node would take other names for those of older ciphers.
        if (value.split(':').some((name) => !SUITES.has(name.toLowerCase()))) badValue(NO_MATCH);
        to.suites = value;
        break;
      case 'curves':
      case 'groups': {
        const bad = value.split(':').find((name) => !isUsable({ ecdhCurve: name }));
        if (bad !== undefined) {
          badValue(`error:0A080106:SSL routines::passed invalid argument:group '${bad}' cannot be set `);
        }
        to.curves = value;
        break;
      }
      case 'signaturealgorithms':
        if (!isUsable({ sigalgs: value })) badValue();
        to.signatureAlgorithms = value;
        break;
      case 'minprotocol':
      case 'maxprotocol': {
        const place = TLS_PROTOCOLS.indexOf(value as TlsProtocol);
        const isLeast = key.toLowerCase() === 'minprotocol';
        if (value === 'None' || (isLeast && value === 'SSLv3')) break;
        if (place < 0) badValue();
        to.protocols = to.protocols.filter((protocol) =>
          isLeast ? TLS_PROTOCOLS.indexOf(protocol) >= place : TLS_PROTOCOLS.indexOf(protocol) <= place,
        );
        break;
      }
      case 'protocol':
        to.protocols = readProtocols(value, to.protocols) ?? badValue();
        break;
      case 'options':
        for (const word of value.split(','))
          to.secureOptions = applyOption(word.trim(), to.secureOptions, badValue, fail);
        break;
      case 'certificate':
        certificates = [...(certificates ?? []), value];
        break;
      case 'privatekey':
        keys = [...(keys ?? []), value];
        break;
      case 'dhparameters':
        to.dhparam = value;
        break;
      default:
        if (KNOWN.has(key.toLowerCase())) fail('(not supported: Node.js has nothing like it)');
        fail(`(SSL: error:0A000182:SSL routines::unknown cmd name:cmd=${key})`);
    }
  }
  if (certificates !== undefined && keys !== undefined) {
    to.certificates = certificates;
    to.keys = keys;
  } else if (certificates !== undefined || keys !== undefined) {
    throw new ConfigError(
      'the "Certificate" and "PrivateKey" commands of "ssl_conf_command" are supported together only',
    );
  }
}

const NO_MATCH = 'error:0A0000B9:SSL routines::no cipher match ';
/** Suites of TLS 1.3. */
const SUITES = new Set(getCiphers().filter((name) => name.startsWith('tls_')));

/** Whether OpenSSL takes a setting. */
export function isUsable(options: SecureContextOptions): boolean {
  try {
    createSecureContext({ ...options, ca: [] });
    return true;
  } catch {
    return false;
  }
}

/** Commands of OpenSSL's that are not supported here. */
const KNOWN = new Set([
  'recordpadding',
  'numtickets',
  'clientsignaturealgorithms',
  'ecdhparameters',
  'signaturealgorithmscert',
  'serverinfofile',
  'chaincapath',
  'chaincafile',
  'verifycapath',
  'verifycafile',
  'requestcapath',
  'requestcafile',
  'clientcafile',
  'clientcapath',
  'verifymode',
  'chaincastore',
  'verifycastore',
  'requestcastore',
  'txcertificatecompression',
  'rxcertificatecompression',
]);

function applyOption(
  word: string,
  secureOptions: number,
  badValue: () => never,
  fail: (why: string) => never,
): number {
  const turnsOff = word.startsWith('-');
  const [bit, inverted] = OPTIONS[word.replace(/^[-+]/, '').toLowerCase()] ?? badValue();
  if (turnsOff === inverted) return secureOptions | bit;
  if ((bit & ALWAYS_ON) !== 0) fail(`(not supported: Node.js cannot turn off what OpenSSL has on)`);
  return secureOptions & ~bit;
}

/** `Protocol`: `ALL,-TLSv1`. Without a sign a word stands for itself alone, as for OpenSSL. */
function readProtocols(value: string, before: readonly TlsProtocol[]): readonly TlsProtocol[] | undefined {
  let chosen = new Set(before);
  for (const word of value.split(',')) {
    const trimmed = word.trim();
    const name = trimmed.replace(/^[-+]/, '');
    const meant = name === 'ALL' ? TLS_PROTOCOLS : TLS_PROTOCOLS.filter((protocol) => protocol === name);
    if (meant.length === 0 && name !== 'SSLv3' && name !== 'SSLv2') return undefined;
    if (trimmed.startsWith('-')) for (const protocol of meant) chosen.delete(protocol);
    else chosen = new Set([...chosen, ...meant]);
  }
  return TLS_PROTOCOLS.filter((protocol) => chosen.has(protocol));
}
