/**
 * `user`: who the process is. It holds for the whole process, because threads share their credentials, and for good:
 * once root's rights are gone nothing can bring them back.
 */
import { readFileSync } from 'node:fs';
import { ConfigError, type Statement } from '../config/statement.ts';
import type { ListenAddress } from '../core/listen.ts';
import { groupId, userId } from './accounts.ts';

/** Whom to become. */
export interface Identity {
  readonly user: string;
  readonly group: string;
  readonly userId: number;
  readonly groupId: number;
}

/**
 * Reads the `user` directive.
 * @param statement undefined where there is none: the process stays who it is
 * @param present who the process has become before; undefined at the start
 * @param warn hears that it is of no use without root's rights
 * @throws ConfigError for an unknown user or group, or where the process is somebody else already
 */
export function readIdentity(
  statement: Statement | undefined,
  present: Identity | undefined,
  warn: (message: string, statement: Statement) => void,
): Identity | undefined {
  if (present !== undefined) {
    const [user, group = user] = statement?.args ?? [];
    if (user === present.user && group === present.group) return present;
    throw new ConfigError(
      `the process is running as "${present.user}" and cannot become anybody else: to change "user", restart it`,
      { statement },
    );
  }
  if (statement === undefined) return undefined;
  if (process.geteuid?.() !== 0) {
    warn(
      'the "user" directive makes sense only if the master process runs with super-user privileges, ignored',
      statement,
    );
    return undefined;
  }
  const [user = '', group = user] = statement.args;
  const uid = userId(user);
  if (uid === undefined) throw new ConfigError(`getpwnam("${user}") failed`, { statement });
  const gid = groupId(group);
  if (gid === undefined) throw new ConfigError(`getgrnam("${group}") failed`, { statement });
  return { user, group, userId: uid, groupId: gid };
}

/** Becomes somebody, with all of the process's threads. */
export function become({ user, userId, groupId }: Identity): void {
  if (userId === 0) return;
  // Missing in the type file.
  (process as unknown as { initgroups(user: string, group: number): void }).initgroups(user, groupId);
  process.setgid!(groupId);
  process.setuid!(userId);
}

/** The first port that everybody may listen on. */
function firstFreePort(): number {
  try {
    return Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'latin1'));
  } catch {
    return 1024;
  }
}

/**
 * Whether opening an address may take root's rights. Such addresses are opened before they are given up; all others
 * after that, because sockets that share an address must be of one user: a worker that is replaced could not listen
 * beside sockets of root's.
 */
export function needsPrivileges(address: ListenAddress): boolean {
  return address.family === 'unix' || address.port < firstFreePort();
}
