/** Users and groups of the system: Node can become one, but not look one up. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Fields of an entry in the system's database, or undefined where there is none of that name. */
function lookUp(database: 'passwd' | 'group', name: string): string[] | undefined {
  const find = (text: string) =>
    text
      .split('\n')
      .map((line) => line.split(':'))
      .find((fields) => fields[0] === name);
  try {
    const found = find(readFileSync(`/etc/${database}`, 'latin1'));
    if (found !== undefined) return found;
  } catch {
    // A system without that file has another source.
  }
  try {
    // Other sources (LDAP, systemd): getent asks what getpwnam asks.
    return find(
      execFileSync('getent', [database, name], { encoding: 'latin1', stdio: ['ignore', 'pipe', 'ignore'] }),
    );
  } catch {
    return undefined;
  }
}

/** The id of a user, or undefined where there is no such user. */
export function userId(name: string): number | undefined {
  const id = lookUp('passwd', name)?.[2];
  return id === undefined ? undefined : Number(id);
}

/** The id of a group, or undefined where there is no such group. */
export function groupId(name: string): number | undefined {
  const id = lookUp('group', name)?.[2];
  return id === undefined ? undefined : Number(id);
}
