const NAME_START = 0;
const NAME = 1;
const LITERAL = 2;
const LITERAL_END = 3;
const PORT = 4;

/** Bytes of a registered name (RFC 3986 3.2.2): 1 always, 2 not inside an IP literal. */
const HOST_BYTES = new Uint8Array(256);
for (const byte of Buffer.from(
  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_~!$&'()*+,;=",
)) {
  HOST_BYTES[byte] = 1;
}
HOST_BYTES[0x25] = 2;

// One client says the same host with every request, and most servers have one: the last valid value is remembered.
let lastValue = '';
let lastHost = '';
let lastPort = 0;

/**
 * Checks a Host value or the authority of a request target (RFC 9110 7.2), as nginx does: a name or an IP literal
 * in brackets, no two dots in a row, a port of at most 65535. Writes the host in lower case, without port and
 * without a trailing dot, and the port, 0 if there is none.
 *
 * @returns false if it is not valid; `into` is then untouched
 */
export function validateHost(value: string, into: { host: string; port: number }): boolean {
  if (value === lastValue && value !== '') {
    into.host = lastHost;
    into.port = lastPort;
    return true;
  }
  const length = value.length;
  let hostEnd = length;
  let lastDot = -2;
  let port = 0;
  let upperCase = false;
  let state = NAME_START;
  for (let i = 0; i < length; i++) {
    const code = value.charCodeAt(i);
    if (state === PORT) {
      if (code < 48 || code > 57) return false;
      port = port * 10 + (code - 48);
      if (port > 65535) return false;
      continue;
    }
    if (state === LITERAL_END) {
      if (code !== 58) return false;
      state = PORT;
      continue;
    }
    if (state === NAME_START) {
      if (code === 91) {
        state = LITERAL;
        continue;
      }
      state = NAME;
    }
    if (code === 46) {
      if (lastDot === i - 1) return false;
      lastDot = i;
    } else if (code === 58) {
      if (state === NAME) {
        hostEnd = i;
        state = PORT;
      }
    } else if (code === 93 && state === LITERAL) {
      hostEnd = i + 1;
      state = LITERAL_END;
    } else {
      const kind = code < 256 ? HOST_BYTES[code] : 0;
      if (kind === 0 || (kind === 2 && state === LITERAL)) return false;
      if (code >= 65 && code <= 90) upperCase = true;
    }
  }
  if (state === LITERAL) return false;
  if (lastDot === hostEnd - 1) hostEnd--;
  if (hostEnd <= 0) return false;
  const host = hostEnd === length ? value : value.slice(0, hostEnd);
  lastHost = upperCase ? host.toLowerCase() : host;
  lastPort = port;
  lastValue = value;
  into.host = lastHost;
  into.port = port;
  return true;
}
