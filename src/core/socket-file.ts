/** The file that a Unix socket is known by. */
import { unlinkSync } from 'node:fs';
import { pathBytes } from '../config/glob.ts';
import { describeError, isSystemError } from '../log/system-errors.ts';

/**
 * The name of a Unix socket's file for what takes no bytes: Node.js's sockets and uWebSockets.js's.
 * @param path as a byte string, of UTF-8: `listen` sees to that
 */
export function socketPath(path: string): string {
  return Buffer.from(path, 'latin1').toString();
}

/**
 * Removes the file of a Unix socket that is about to be closed. Not afterwards: somebody who has found it without a
 * listener may have put another in its place by then.
 * @param path as a byte string
 * @returns nginx's message where it stays, which is no reason not to go on
 */
export function removeSocketFile(path: string): string | undefined {
  try {
    unlinkSync(pathBytes(path));
    return undefined;
  } catch (error) {
    return `unlink() ${path} failed (${isSystemError(error) ? describeError(error) : String(error)})`;
  }
}
