/** What the error log says of an error on a client's socket. */
import type { LevelName } from '../../log/levels.ts';
import { describeError, isSystemError } from '../../log/system-errors.ts';

/** `recv() failed (104: Connection reset by peer)`: the call in nginx's terms, the reason in the system's. */
export function describeSocketError(error: Error): string {
  if (!isSystemError(error)) return error.message;
  const call = error.syscall === 'write' || error.syscall === 'writev' ? 'send' : 'recv';
  return `${call}() failed (${describeError(error)})`;
}

/** The level it is logged at: that clients go without a word is nothing to worry about. */
export function socketErrorLevel(error: Error): LevelName {
  return isSystemError(error) && (error.code === 'ECONNRESET' || error.code === 'EPIPE') ? 'info' : 'error';
}
