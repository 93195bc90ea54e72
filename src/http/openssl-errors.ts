/** What OpenSSL says is wrong, as nginx prints it. */

/** One error in Node's words: `40A7...:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../deps/...:354:`. */
const LINE = /error:([0-9A-F]{8}):([^:]*):[^:]*:([^:]*)(?::[^:]*:\d+:(.*))?$/;

/**
 * OpenSSL's errors in one line: `error:0A00010B:SSL routines::wrong version number`, and what else is known of each behind
 * another colon: `SSL alert number 70`.
 *
 * @param error of one of Node's TLS sockets; Node's own words are left as they are
 */
export function describeOpensslError(error: Error): string {
  const lines: string[] = [];
  for (const line of error.message.split('\n')) {
    const match = LINE.exec(line);
    if (match === null) continue;
    const [, number, library, reason, data] = match;
    lines.push(`error:${number}:${library}::${reason}${data ? `:${data}` : ''}`);
  }
  return lines.length > 0 ? lines.join(' ') : error.message.trim();
}
