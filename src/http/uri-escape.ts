/** For which place of which protocol a text is escaped; each has its own set of bytes. */
export type EscapeKind = 'uri' | 'args' | 'uri-component' | 'html' | 'refresh' | 'memcached';

const UNRESERVED = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~';

/** A table of all bytes, 1 for those to be escaped: controls, space, DEL, bytes above, and the given ones. */
function escapedBytes(others: string): Uint8Array {
  const table = new Uint8Array(256);
  for (let byte = 0; byte < 256; byte++) if (byte <= 0x20 || byte >= 0x7f) table[byte] = 1;
  for (const byte of Buffer.from(others, 'latin1')) table[byte] = 1;
  return table;
}

function componentBytes(): Uint8Array {
  const table = new Uint8Array(256).fill(1);
  for (const byte of Buffer.from(UNRESERVED)) table[byte] = 0;
  return table;
}

function memcachedBytes(): Uint8Array {
  const table = new Uint8Array(256);
  table.fill(1, 0, 0x21);
  table[0x25] = 1;
  return table;
}

// What RFC 3986 does not allow anywhere in a URI.
const NEVER_IN_URIS = '"<>\\^`{|}';

const TABLES: Readonly<Record<EscapeKind, Uint8Array>> = {
  uri: escapedBytes(`${NEVER_IN_URIS}#%?`),
  args: escapedBytes(`${NEVER_IN_URIS}#%&+;?`),
  'uri-component': componentBytes(),
  html: escapedBytes(`${NEVER_IN_URIS}#%'`),
  refresh: escapedBytes(`${NEVER_IN_URIS}'`),
  memcached: memcachedBytes(),
};

const ESCAPES: readonly string[] = Array.from(
  { length: 256 },
  (_, byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
);

/** Percent-escapes the bytes that must not stand for themselves in that place. The same string if there are none. */
export function escapeUri(text: string, kind: EscapeKind): string {
  const table = TABLES[kind];
  let escaped = '';
  let copied = 0;
  for (let i = 0; i < text.length; i++) {
    const byte = text.charCodeAt(i) & 255;
    if (table[byte] === 0) continue;
    escaped += text.slice(copied, i) + ESCAPES[byte];
    copied = i + 1;
  }
  return copied === 0 ? text : escaped + text.slice(copied);
}

/** How much of its text the last `unescapeUri` read. */
let consumed = 0;

/**
 * Decodes percent-escapes. Broken ones lose their '%' (and a first digit without a second), as nginx decodes them.
 *
 * @param kind `uri` ends just after a '?', plain or escaped; `redirect` too, and leaves escaped what would change
 *   the meaning of a Location: controls, space, `!"#$%`, and bytes from DEL up
 */
export function unescapeUri(text: string, kind: 'all' | 'uri' | 'redirect' = 'all'): string {
  consumed = text.length;
  let i = text.indexOf('%');
  if (kind !== 'all') {
    const question = text.indexOf('?');
    if (question >= 0 && (i < 0 || question < i)) {
      consumed = question + 1;
      return text.slice(0, consumed);
    }
  }
  if (i < 0) return text;
  let decoded = text.slice(0, i);
  while (i < text.length) {
    const character = text.charAt(i++);
    if (character === '?' && kind !== 'all') {
      consumed = i;
      return decoded + character;
    }
    if (character !== '%') {
      decoded += character;
      continue;
    }
    if (i === text.length) break;
    const high = hexDigit(text.charCodeAt(i));
    if (high < 0) {
      decoded += text.charAt(i++);
      continue;
    }
    if (i + 1 === text.length) break;
    const low = hexDigit(text.charCodeAt(i + 1));
    if (low >= 0) {
      const byte = high * 16 + low;
      // Only the digits a-f can end an escaped '?', and nginx looks for it only there; %3F and %3f are all there are.
      if (byte === 0x3f && kind !== 'all') {
        consumed = i + 2;
        return `${decoded}?`;
      }
      if (kind === 'redirect' && (byte <= 0x25 || byte >= 0x7f)) decoded += text.slice(i - 1, i + 2);
      else decoded += String.fromCharCode(byte);
    }
    i += 2;
  }
  return decoded;
}

/**
 * Takes escapes out of the path of a Location that need not be there; the query, which begins at a '?', plain or
 * escaped, stays as it is. What nginx does with the replacement of a `rewrite` that redirects.
 */
export function unescapeRedirect(text: string): string {
  const decoded = unescapeUri(text, 'redirect');
  return consumed === text.length ? decoded : decoded + text.slice(consumed);
}

function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  const letter = code | 0x20;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
}

/** Replaces `&`, `<`, `>` and `"` by entities, for text in HTML pages. */
export function escapeHtml(text: string): string {
  let escaped = '';
  let copied = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    let entity: string;
    if (code === 38) entity = '&amp;';
    else if (code === 60) entity = '&lt;';
    else if (code === 62) entity = '&gt;';
    else if (code === 34) entity = '&quot;';
    else continue;
    escaped += text.slice(copied, i) + entity;
    copied = i + 1;
  }
  return copied === 0 ? text : escaped + text.slice(copied);
}

const JSON_LETTERS = new Map([
  [8, '\\b'],
  [9, '\\t'],
  [10, '\\n'],
  [12, '\\f'],
  [13, '\\r'],
  [34, '\\"'],
  [92, '\\\\'],
]);

/** Escapes for a JSON string (without the quotes around it); bytes above 0x7f stay, as nginx leaves them. */
export function escapeJson(text: string): string {
  let escaped = '';
  let copied = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 31 && code !== 34 && code !== 92) continue;
    const replacement = JSON_LETTERS.get(code) ?? `\\u00${code.toString(16).toUpperCase().padStart(2, '0')}`;
    escaped += text.slice(copied, i) + replacement;
    copied = i + 1;
  }
  return copied === 0 ? text : escaped + text.slice(copied);
}
