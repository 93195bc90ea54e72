/**
 * Whether `text`, from `from` up to `to`, has `lowerCaseNeedle` in it, letters in either case. Allocates nothing.
 * This is how nginx looks for `close` and `keep-alive` in Connection.
 */
export function containsIgnoreCase(
  text: string,
  lowerCaseNeedle: string,
  from = 0,
  to = text.length,
): boolean {
  const last = to - lowerCaseNeedle.length;
  for (let start = from; start <= last; start++) {
    let i = 0;
    while (i < lowerCaseNeedle.length && lowerCaseOf(text, start + i) === lowerCaseNeedle.charCodeAt(i)) i++;
    if (i === lowerCaseNeedle.length) return true;
  }
  return false;
}

function lowerCaseOf(text: string, at: number): number {
  const code = text.charCodeAt(at);
  return code >= 65 && code <= 90 ? code | 0x20 : code;
}

/** Whether a comma-separated list (RFC 9110 5.6.1: Connection, TE, Trailer ...) has this token, letters in either case. */
export function hasToken(list: string, lowerCaseToken: string): boolean {
  let start = 0;
  for (;;) {
    const comma = list.indexOf(',', start);
    let from = start;
    let to = comma < 0 ? list.length : comma;
    while (from < to && isBlank(list.charCodeAt(from))) from++;
    while (to > from && isBlank(list.charCodeAt(to - 1))) to--;
    if (to - from === lowerCaseToken.length && containsIgnoreCase(list, lowerCaseToken, from, to))
      return true;
    if (comma < 0) return false;
    start = comma + 1;
  }
}

/** The tokens of a comma-separated list in lower case; empty elements are left out. */
export function listTokens(list: string): string[] {
  const tokens: string[] = [];
  for (const element of list.split(',')) {
    const token = element.trim().toLowerCase();
    if (token !== '') tokens.push(token);
  }
  return tokens;
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9;
}
