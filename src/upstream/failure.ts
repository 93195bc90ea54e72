/** What went wrong on an upstream connection, in nginx's words. */
import { describeOpensslError } from '../http/openssl-errors.ts';
import { describeError } from '../log/system-errors.ts';
import type { PeerAddress } from './address.ts';
import type { UpstreamFailure } from './receiver.ts';

type FailureLevel = UpstreamFailure['level'];

/** Errors of the network, which are the server's or the way's there; all others are ours, and more serious. */
const ORDINARY = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'ENOTCONN',
  'ETIMEDOUT',
  'EPIPE',
  'ENETDOWN',
  'ENETUNREACH',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'EAGAIN',
]);

/** Errors that connect(2) has at once; the others come later, and nginx then has no address to name. */
const IMMEDIATE = new Set(['ENETUNREACH', 'EADDRNOTAVAIL', 'EACCES', 'EPERM', 'EINVAL', 'EAFNOSUPPORT']);

/** The text and level for a connection that could not be made; without `while ...`. */
export function describeConnectError(
  error: NodeJS.ErrnoException,
  address: PeerAddress,
): { message: string; level: FailureLevel } {
  const code = error.code ?? '';
  const named = address.path !== '' || IMMEDIATE.has(code);
  const call = named ? `connect() to ${address.text} failed` : 'connect() failed';
  return {
    message: `${call} (${describeError(error)})`,
    level: ORDINARY.has(code) ? 'error' : 'crit',
  };
}

/** The text and level for an error of a standing connection; without `while ...`. */
export function describeTransferError(error: NodeJS.ErrnoException): {
  message: string;
  level: FailureLevel;
} {
  const code = error.code ?? '';
  if (code.startsWith('ERR_SSL'))
    return { message: `SSL_read() failed (SSL: ${describeOpensslError(error)})`, level: 'error' };
  const call =
    error.syscall === 'write' || error.syscall === 'writev' || code === 'EPIPE' ? 'writev()' : 'recv()';
  return {
    message: `${call} failed (${describeError(error)})`,
    level: ORDINARY.has(code) ? 'error' : 'crit',
  };
}

/** The text and level for a TLS handshake that failed; without `while ...`. */
export function describeHandshakeError(error: NodeJS.ErrnoException): {
  message: string;
  level: FailureLevel;
} {
  const code = error.code ?? '';
  if (ORDINARY.has(code)) {
    // Node makes an ECONNRESET without a system call of a connection that was simply closed.
    const reason = error.syscall === undefined ? '' : ` (${describeError(error)})`;
    return { message: `peer closed connection in SSL handshake${reason}`, level: 'error' };
  }
  return { message: `SSL_do_handshake() failed (SSL: ${describeOpensslError(error)})`, level: 'error' };
}
