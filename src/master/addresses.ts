/**
 * Whether addresses can be listened on. Workers share an address by SO_REUSEPORT, which would also let a second
 * Portico in; so the master asks for each address as nginx would, without sharing, and lets it go again.
 */
import { lstatSync, unlinkSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { pathBytes } from '../config/glob.ts';
import type { ListenAddress } from '../core/listen.ts';
import { describeError, isSystemError } from '../log/system-errors.ts';
import type { MasterLog } from './startup.ts';

/** nginx tries this often, with a pause in between, because the program before may still be on its way out. */
const ATTEMPTS = 5;
const PAUSE = 500;

/** Listens for a moment. @returns the system's error, if there is one */
function tryListening(address: ListenAddress): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', resolve);
    const done = () => server.close(() => resolve(undefined));
    if (address.family === 'unix') server.listen({ path: address.path }, done);
    else {
      const ipv6Only = address.family === 'inet6' && address.ipv6only;
      server.listen({ host: address.host, port: address.port, exclusive: true, ipv6Only }, done);
    }
  });
}

/** Removes a Unix socket's file that nobody listens on any more. @returns whether it was there */
async function removeStaleSocket(path: string): Promise<boolean> {
  const bytes = pathBytes(path);
  const status = lstatSync(bytes, { throwIfNoEntry: false });
  if (status === undefined || !status.isSocket()) return false;
  const refused = await new Promise<boolean>((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });
  if (refused) unlinkSync(bytes);
  return refused;
}

/**
 * Makes sure that addresses are free, and says what is wrong in nginx's words.
 * @param testing `-t`: an address in use is no error, for it is the running server's
 * @returns whether all are
 */
export async function checkAddresses(
  addresses: readonly ListenAddress[],
  log: MasterLog,
  testing: boolean,
): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    let inUse = false;
    for (const address of addresses) {
      let error = await tryListening(address);
      if (error?.code === 'EADDRINUSE' && address.family === 'unix' && !testing) {
        try {
          if (await removeStaleSocket(address.path)) {
            log.write('notice', `deleting socket ${address.path}, which nobody listens on`);
            error = await tryListening(address);
          }
        } catch (failure) {
          if (!isSystemError(failure)) throw failure;
          error = failure;
        }
      }
      if (error === undefined || (testing && error.code === 'EADDRINUSE')) continue;
      log.write('emerg', `bind() to ${address.text} failed (${describeError(error)})`);
      if (error.code !== 'EADDRINUSE') return false;
      inUse = true;
    }
    if (!inUse) return true;
    if (attempt === ATTEMPTS) {
      log.write('emerg', 'still could not bind()');
      return false;
    }
    log.write('notice', 'try again to bind() after 500ms');
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}
