/** What is known of TLS on one of Node's TLS sockets, once its handshake is done. */
import { X509Certificate } from 'node:crypto';
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';
import type { Server, VirtualServers } from '../../core/site.ts';
import type { TlsConnection, TlsContexts } from '../../core/tls.ts';
import { countIntermediates } from '../../http/certificate-chain.ts';
import { type CertificateError, certificateError } from '../../http/certificate-errors.ts';
import { readSession, type SessionFacts } from '../../http/tls-session.ts';
import type { ClientHello } from './client-hello.ts';
import { cipherSuiteNames, groupName, groupNames, signatureAlgorithmNumbers } from './tls-names.ts';

/** Node tells of the check of a client's certificate only through its own servers. */
interface NativeTls {
  verifyError?(): (Error & { code?: string }) | null | undefined;
}

/** What SNI has chosen for a handshake. */
interface Choice {
  readonly servers: VirtualServers;
  readonly chosen: { readonly server: Server; readonly name: string } | undefined;
  readonly contexts: TlsContexts;
}

export class NodeTlsConnection implements TlsConnection {
  // Remembered, because log lines are written when the socket may be gone.
  readonly protocol: string;
  readonly cipher: string;
  readonly alpnProtocol: string;
  readonly sessionReused: boolean;
  readonly clientCertificate: X509Certificate | undefined = undefined;
  readonly clientCertificateError: CertificateError | undefined = undefined;
  readonly chosen: Choice['chosen'];
  readonly servers: VirtualServers;
  readonly verification: string;
  private readonly socket: TLSSocket;
  private readonly hello: ClientHello;
  private session: SessionFacts | undefined = undefined;

  constructor(socket: TLSSocket, hello: ClientHello, { chosen, servers, contexts }: Choice) {
    this.socket = socket;
    this.hello = hello;
    this.chosen = chosen;
    this.servers = servers;
    this.verification = contexts.verification;
    this.protocol = socket.getProtocol() ?? '';
    this.cipher = socket.getCipher().name;
    this.alpnProtocol = socket.alpnProtocol || '';
    this.sessionReused = socket.isSessionReused();
    if (!contexts.asksForCertificate) return;
    const chain = socket.getPeerCertificate(true) as DetailedPeerCertificate | null | undefined;
    // An empty object where the client has shown none.
    if (chain?.raw === undefined) return;
    this.clientCertificate = new X509Certificate(chain.raw);
    this.clientCertificateError = checkCertificate(socket, chain, contexts.verifyDepth);
  }

  get serverName(): string {
    return this.hello.serverName;
  }

  get ciphers(): string {
    return cipherSuiteNames(this.hello.cipherSuites);
  }

  get curves(): string {
    return groupNames(this.hello.groups);
  }

  get signatureAlgorithms(): string {
    return signatureAlgorithmNumbers(this.hello.signatureAlgorithms);
  }

  get sessionId(): string {
    return this.sessionFacts()?.id ?? '';
  }

  get curve(): string {
    return groupName(this.sessionFacts()?.group ?? 0);
  }

  /** In TLS 1.3 a session gets its id only after the handshake. */
  private sessionFacts(): SessionFacts | undefined {
    if (this.session === undefined || this.session.id === '') {
      const session = this.socket.getSession() as Buffer | null | undefined;
      if (session) this.session = readSession(session);
    }
    return this.session;
  }
}

function checkCertificate(
  socket: TLSSocket,
  chain: DetailedPeerCertificate,
  depth: number,
): CertificateError | undefined {
  const native = (socket as unknown as { readonly _handle: NativeTls | null })._handle;
  // Without a word from OpenSSL nobody is let in.
  if (typeof native?.verifyError !== 'function') return certificateError('UNSPECIFIED');
  const problem = native.verifyError();
  if (problem !== null && problem !== undefined) return certificateError(problem.code ?? 'UNSPECIFIED');
  // OpenSSL would have looked no further for who has issued them.
  return countIntermediates(chain) > depth
    ? certificateError('UNABLE_TO_GET_ISSUER_CERT_LOCALLY')
    : undefined;
}
