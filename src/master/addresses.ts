/**
 * Whether addresses can be listened on. Workers share an address by SO_REUSEPORT, which would also let a second
 * Portico of the same user in, without a word; so the master asks for each address as nginx would, without sharing.
 *
 * It asks by binding a socket that never listens: nobody can connect to it, so no client is accepted by a socket that
 * is about to be closed, and it needs no time of its own. Node.js binds in two places only, before it listens and
 * before it connects; this takes the second, with a port nobody can connect to.
 */
import { lstatSync, unlinkSync } from 'node:fs';
import { connect, createServer, Socket } from 'node:net';
import { pathBytes } from '../config/glob.ts';
import type { ListenAddress } from '../core/listen.ts';
import { socketPath } from '../core/socket-file.ts';
import { describeError, isSystemError } from '../log/system-errors.ts';
import type { MasterLog } from './startup.ts';

/** nginx tries this often, with a pause in between, because the program before may still be on its way out. */
const ATTEMPTS = 5;
const PAUSE = 500;

/** What is asked about an address: the system's error, if there is one. */
type Probe = (address: ListenAddress) => Promise<NodeJS.ErrnoException | undefined>;

/** Binds without listening. Not for Unix sockets. */
const tryBinding: Probe = ({ host, port, family }) =>
  new Promise((resolve) => {
    const socket = new Socket();
    // From `connect` too, that nobody answers: the promise is resolved by then.
    socket.on('error', resolve);
    // It is bound, and now begins to connect.
    socket.once('connectionAttempt', () => {
      resolve(undefined);
      setImmediate(() => socket.destroy());
    });
    const target = family === 'inet6' ? '::1' : '127.0.0.1';
    socket.connect({ host: target, port: 0, localAddress: host, localPort: port });
  });

/** Listens for a moment. */
const tryListening: Probe = (address) =>
  new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', resolve);
    const done = () => server.close(() => resolve(undefined));
    if (address.family === 'unix') server.listen({ path: socketPath(address.path) }, done);
    else {
      const ipv6Only = address.family === 'inet6' && address.ipv6only;
      server.listen({ host: address.host, port: address.port, exclusive: true, ipv6Only }, done);
    }
  });

const tryAddress: Probe = async (address) => {
  const error = await tryBinding(address);
  // A socket that connects cannot be told to leave IPv4 alone: what is in use may be the same port there.
  const isDoubtful = address.host === '::' && address.family === 'inet6' && address.ipv6only;
  return error?.code === 'EADDRINUSE' && isDoubtful ? tryListening(address) : error;
};

/**
 * A Unix socket at the start: its file must not be there, or nobody must listen on it. All else the worker that opens
 * it finds out.
 */
async function tryUnixSocket(
  address: ListenAddress,
  log: MasterLog,
): Promise<NodeJS.ErrnoException | undefined> {
  try {
    if (lstatSync(pathBytes(address.path), { throwIfNoEntry: false }) === undefined) return undefined;
    if (await removeStaleSocket(address.path)) {
      log.write('notice', `deleting socket ${address.path}, which nobody listens on`);
      return undefined;
    }
    return Object.assign(new Error('there is a file of that name'), { code: 'EADDRINUSE' });
  } catch (failure) {
    if (!isSystemError(failure)) throw failure;
    return failure;
  }
}

/** Removes a Unix socket's file that nobody listens on any more. @returns whether it was there */
async function removeStaleSocket(path: string): Promise<boolean> {
  const bytes = pathBytes(path);
  const status = lstatSync(bytes, { throwIfNoEntry: false });
  if (status === undefined || !status.isSocket()) return false;
  const refused = await new Promise<boolean>((resolve) => {
    const socket = connect({ path: socketPath(path) });
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
      const error = await (address.family !== 'unix'
        ? tryAddress(address)
        : testing
          ? tryListening(address)
          : tryUnixSocket(address, log));
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
