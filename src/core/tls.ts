/**
 * TLS as the core and the modules see it, whichever engine ends it: what a server says of it (`ServerTls`, made by the
 * ssl module), what is known of one connection (`TlsConnection`, made by the engine), and what that means for a request.
 */
import type { X509Certificate } from 'node:crypto';
import type { SecureContext } from 'node:tls';
import type { CertificateError } from '../http/certificate-errors.ts';
import { READING_REQUEST_HEADERS } from '../http/protocol-error.ts';
import type { TlsProtocol } from '../http/tls-protocols.ts';
import type { Exchange } from './exchange.ts';
import { finalize } from './finalize.ts';
import { log } from './log.ts';
import type { Server, VirtualServers } from './site.ts';

/** The values of `ssl_verify_client`. */
export type ClientVerification = 'off' | 'on' | 'optional' | 'optional_no_ca';

/** A certificate with its chain, and its key: PEM, the key not encrypted. */
export interface CertificatePair {
  readonly certificate: Buffer;
  readonly key: Buffer;
  /** Where they were read, as the configuration names them, absolute; `data:...` for those in the configuration. */
  readonly certificateName: string;
  readonly keyName: string;
}

/** Remembers sessions for clients that come back without a ticket. All workers together. */
export interface SessionStore {
  /** @param session as OpenSSL serializes it */
  add(id: Uint8Array, session: Uint8Array): void;
  /** The session of that id; undefined where there is none, or it is too old. */
  find(id: Uint8Array): Buffer | undefined;
}

/** Certificates and everything else that a handshake takes, of one server. */
export interface TlsContexts {
  /**
   * The context for a handshake that begins now.
   * @param ticketKey the name of the key that the client's ticket is encrypted with, 16 bytes as latin1; undefined where
   *   it has none
   */
  choose(ticketKey: string | undefined): SecureContext;
  /** Sessions are given to clients as tickets. */
  readonly tickets: boolean;
  /** Where sessions without tickets are remembered; undefined: nowhere. */
  readonly sessions: SessionStore | undefined;
  /** Sessions with a client's certificate in them may be remembered. */
  readonly remembersClients: boolean;
  /** A certificate is asked of clients. */
  readonly asksForCertificate: boolean;
  /** `ssl_verify_depth`. */
  readonly verifyDepth: number;
  /** The same where certificates of clients are checked in the same way; '' where none is asked for. */
  readonly verification: string;
  /** `ssl_buffer_size`: the greatest record, in bytes; 0 for TLS's own limit of 16 kB. */
  readonly recordSize: number;
  /** What an engine that makes its own contexts makes them from. */
  readonly options: TlsOptions;
}

/** The directives, read and checked. */
export interface TlsOptions {
  readonly pairs: readonly CertificatePair[];
  readonly protocols: readonly TlsProtocol[];
  /** Cipher list of TLS 1.2 and below, and suites of TLS 1.3 ('' for OpenSSL's). */
  readonly ciphers: string;
  readonly suites: string;
  readonly preferServerCiphers: boolean;
  /** `ssl_ecdh_curve`; `auto` for OpenSSL's. */
  readonly curves: string;
  /** PEM; undefined for none. */
  readonly dhparam: Buffer | undefined;
  /** Whose certificates clients are told to show one of, and further ones that are trusted. PEM. */
  readonly clientAuthorities: Buffer | undefined;
  readonly trusted: Buffer | undefined;
  readonly revoked: Buffer | undefined;
}

/** What one server says of TLS. */
export interface ServerTls {
  /** Undefined where the server has no certificate: then the default server's contexts are used. */
  readonly contexts: TlsContexts | undefined;
  /** `ssl_reject_handshake`. */
  readonly rejectsHandshake: boolean;
  readonly verify: ClientVerification;
}

/** What is known of TLS on one connection. Names are nginx's and OpenSSL's; '' stands for what is not there. */
export interface TlsConnection {
  /** `TLSv1.3` */
  readonly protocol: string;
  /** OpenSSL's name: `ECDHE-RSA-AES128-GCM-SHA256`, `TLS_AES_256_GCM_SHA384`. */
  readonly cipher: string;
  /** What the client has offered: names, or `0x` and the number of those without, joined by colons. */
  readonly ciphers: string;
  readonly curves: string;
  readonly signatureAlgorithms: string;
  /** The curve of the key exchange. */
  readonly curve: string;
  /** The name the client has asked for (SNI), as it was sent. */
  readonly serverName: string;
  /** ALPN. */
  readonly alpnProtocol: string;
  /** Hexadecimal. */
  readonly sessionId: string;
  readonly sessionReused: boolean;
  /** The client's certificate; undefined where it has shown none. */
  readonly clientCertificate: X509Certificate | undefined;
  /** What is wrong with it; undefined where nothing is, or there is none. */
  readonly clientCertificateError: CertificateError | undefined;
  /** The server that SNI has chosen, and the name by which, in lower case; undefined where it has chosen none. */
  readonly chosen: { readonly server: Server; readonly name: string } | undefined;
  /** The servers it could choose from, and how its certificate has been checked (`TlsContexts.verification`). */
  readonly servers: VirtualServers;
  readonly verification: string;
}

/**
 * The server a request is meant for: nginx's ngx_http_set_virtual_server.
 * @param servers those of the address as they are now
 * @returns undefined for the default server
 */
export function chooseServer(
  servers: VirtualServers,
  host: string,
  exchange: Exchange,
  tls: TlsConnection | undefined,
): Server | undefined {
  const { names, default: first } = servers;
  if (tls === undefined) return names?.find(host, exchange);
  const { chosen } = tls;
  // A reload has put other servers in the place of those that the handshake chose from.
  const isCurrent = tls.servers === servers;
  if (chosen === undefined) {
    const server = names?.find(host, exchange) ?? first;
    if (!isCurrent && !isVerifiedFor(server, servers, tls)) exchange.misdirected = 'by reload';
    return server;
  }
  const own = isCurrent ? chosen.server : (names?.find(chosen.name, undefined) ?? first);
  if (!isCurrent && !isVerifiedFor(own, servers, tls)) exchange.misdirected = 'by reload';
  if (host === '') return own;
  // Looked up although it is known: the name may be a pattern's, which takes its captures.
  const server = names?.find(host, exchange) ?? first;
  if (host === chosen.name) return own;
  if (server.tls === undefined || server.tls.verify === 'off') return server;
  exchange.misdirected = 'by name';
  return own;
}

/** Whether certificates of clients are still checked as they were when the connection began. */
function isVerifiedFor({ tls }: Server, servers: VirtualServers, connection: TlsConnection): boolean {
  if (tls === undefined || tls.verify === 'off') return true;
  const contexts = tls.contexts ?? servers.default.tls?.contexts;
  return contexts?.verification === connection.verification;
}

/** Errors that `optional_no_ca` lets pass: nobody here knows who has issued the certificate. */
const WITHOUT_AUTHORITY = new Set([18, 19, 20, 21, 27]);

/**
 * Whether a request on an address with `listen ... ssl` may go its way; if not it has been answered: nginx's
 * ngx_http_process_request.
 */
export function admitsRequest(exchange: Exchange): boolean {
  const { connection, server } = exchange;
  const { tls } = connection;
  if (exchange.misdirected !== undefined) {
    // No request on this connection will be answered as long as the configuration is what it is.
    if (exchange.misdirected === 'by reload') exchange.keepAlive = false;
    report(
      exchange,
      'client attempted to request the server name different from the one that was negotiated',
    );
    finalize(exchange, 421);
    return false;
  }
  if (tls === undefined) {
    report(exchange, 'client sent plain HTTP request to HTTPS port');
    finalize(exchange, 497);
    return false;
  }
  const verify = server.tls?.verify ?? 'off';
  if (verify === 'off') return true;
  const { clientCertificateError: error } = tls;
  if (error !== undefined && (verify !== 'optional_no_ca' || !WITHOUT_AUTHORITY.has(error.code))) {
    report(exchange, `client SSL certificate verify error: (${error.code}:${error.text})`);
    finalize(exchange, 495);
    return false;
  }
  if (verify === 'on' && tls.clientCertificate === undefined) {
    report(exchange, 'client sent no required SSL certificate');
    finalize(exchange, 496);
    return false;
  }
  return true;
}

/** To the log, as what has come up while the head was being read. */
function report(exchange: Exchange, message: string): void {
  log(exchange, 'info', `${message} while ${READING_REQUEST_HEADERS}`);
}
