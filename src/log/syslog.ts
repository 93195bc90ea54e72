/** Messages to a syslog server, over UDP, in the form of RFC 3164. */
import { createSocket, type Socket } from 'node:dgram';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { syslogTime } from '../event/clock.ts';
import type { LevelName } from './levels.ts';
import type { SyslogTarget } from './syslog-target.ts';
import { describeError } from './system-errors.ts';

/** Sends messages to one syslog server. */
export interface SyslogSender {
  /**
   * Sends a message, without ever waiting: what cannot be sent is lost, and told.
   * @param severity RFC 3164, 4.1.1: 0 to 7
   * @param message without a line feed; a byte string, or bytes
   */
  send(severity: number, message: string | Buffer): void;
  /** Closes the socket. Nothing is sent afterwards. */
  close(): void;
}

/** Told of failures, with nginx's text: `send() failed (111: Connection refused) while logging to syslog, server: ...` */
export type SyslogTrouble = (level: LevelName, message: string) => void;

/** Bytes that may wait in memory for a network interface that is too slow. */
const WAITING_LIMIT = 1024 * 1024;

/** Errors of the network between here and the server, which are of level `error`; all others are of level `alert`. */
const NETWORK_ERRORS: ReadonlySet<string | undefined> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOTCONN',
  'ETIMEDOUT',
  'ENETDOWN',
  'ENETUNREACH',
  'EHOSTDOWN',
  'EHOSTUNREACH',
]);

/** As nginx: in lower case, asked for once. */
const HOSTNAME = hostname().toLowerCase();

/** The address is one already: nothing is looked up, so that the socket is ready at once. */
function literal(
  address: string,
  _family: unknown,
  found: (error: NodeJS.ErrnoException | null, address: string, family: number) => void,
): void {
  found(null, address, isIP(address));
}

/** The call nginx would have named. */
function callOf({ syscall }: NodeJS.ErrnoException): string {
  if (syscall === 'connect') return 'connect()';
  return syscall === 'bind' ? 'socket()' : 'send()';
}

/** Without the server's network the socket could not be connected: that is told by an event which is still to come. */
function isConnected(socket: Socket): boolean {
  try {
    socket.remoteAddress();
    return true;
  } catch {
    return false;
  }
}

/**
 * A sender. Its socket is opened by the first message, and anew after a failure; it keeps no event loop alive.
 * @param trouble may itself lead to another message for this sender, which is dropped
 */
export function createSyslogSender(target: SyslogTarget, trouble: SyslogTrouble): SyslogSender {
  const { server } = target;
  const from = target.noHostname ? '' : ` ${HOSTNAME}`;
  const tag = ` ${target.tag}: `;
  let socket: Socket | undefined;
  let telling = false;
  let closed = false;

  function tell(call: string, error: NodeJS.ErrnoException): void {
    if (telling || closed) return;
    telling = true;
    const level = call === 'send()' && NETWORK_ERRORS.has(error.code) ? 'error' : 'alert';
    trouble(
      level,
      `${call} failed (${describeError(error)}) while logging to syslog, server: ${server.text}`,
    );
    telling = false;
  }

  function fail(failed: Socket, call: string, error: NodeJS.ErrnoException): void {
    if (socket !== failed) return;
    socket = undefined;
    failed.close();
    tell(call, error);
  }

  function open(): void {
    const opened = createSocket({
      type: isIP(server.address) === 6 ? 'udp6' : 'udp4',
      lookup: literal,
    });
    socket = opened;
    opened.unref();
    // Also that the last message was not received: the server's system has answered that nobody listens.
    opened.on('error', (error: NodeJS.ErrnoException) => fail(opened, callOf(error), error));
    opened.connect(server.port, server.address);
  }

  return {
    send(severity, message) {
      // Of what is told here nothing comes here: it would go round for ever.
      if (closed || telling || server.address === '') return;
      if (socket === undefined) open();
      const used = socket;
      if (used === undefined || !isConnected(used)) return;
      if (used.getSendQueueSize() > WAITING_LIMIT) {
        tell('send()', Object.assign(new Error('no buffer space'), { code: 'ENOBUFS' }));
        return;
      }
      const head = `<${target.facility * 8 + severity}>${syslogTime()}${from}${tag}`;
      const bytes =
        typeof message === 'string'
          ? Buffer.from(head + message, 'latin1')
          : Buffer.concat([Buffer.from(head, 'latin1'), message]);
      used.send(bytes, (error) => {
        if (error !== null) fail(used, 'send()', error);
      });
    },
    close() {
      closed = true;
      socket?.close();
      socket = undefined;
    },
  };
}
