import type { HeaderBlock } from './header-block.ts';
import { KnownHeader } from './header-names.ts';

/**
 * Value of $cookie_NAME: the first cookie with that name (letters in either case, as nginx compares) in any Cookie
 * field. Undefined without one. Quotes are part of the value.
 */
export function cookieValue(headers: HeaderBlock, name: string): string | undefined {
  if (name === '') return undefined;
  const lowerCaseName = name.toLowerCase();
  for (let i = headers.known(KnownHeader.cookie); i >= 0; i = headers.known(KnownHeader.cookie, i + 1)) {
    const value = inCookieLine(headers.value(i), lowerCaseName);
    if (value !== undefined) return value;
  }
  return undefined;
}

function inCookieLine(line: string, lowerCaseName: string): string | undefined {
  const length = line.length;
  let start = 0;
  while (start < length) {
    let at = start + lowerCaseName.length;
    if (at > length || line.slice(start, at).toLowerCase() !== lowerCaseName) {
      at = start;
    } else {
      while (at < length && line.charCodeAt(at) === 32) at++;
      if (at < length && line.charCodeAt(at) === 61) {
        at++;
        while (at < length && line.charCodeAt(at) === 32) at++;
        const end = line.indexOf(';', at);
        return end < 0 ? line.slice(at) : line.slice(at, end);
      }
      // As in nginx, whatever stands where '=' should is passed over: after `name;` the next cookie is not seen.
      at++;
    }
    const end = line.indexOf(';', at);
    if (end < 0) return undefined;
    start = end + 1;
    while (start < length && line.charCodeAt(start) === 32) start++;
  }
  return undefined;
}
