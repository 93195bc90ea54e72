import { latin1Text } from './latin1.ts';
import { unescapeUri } from './uri-escape.ts';

const HASH = 35;
const PERCENT = 37;
const PLUS = 43;
const DOT = 46;
const SLASH = 47;
const QUESTION = 63;

/** The parts of a request target that locations, variables and handlers look at. */
export interface UriPieces {
  /** $uri: percent-decoded, without `.`, `..`, repeated slashes, query and fragment. */
  uri: string;
  /** $args, as received. */
  args: string;
  /** What follows the last '.' of the last path segment, '' without one (MIME types). */
  extension: string;
  /** Whether the path had percent-escapes: rewritten URIs must then be escaped again. */
  quotedUri: boolean;
  /** Whether the path had a '+', plain or escaped. */
  plusInUri: boolean;
}

/** Marks the bytes that need a look: 1 in paths, 2 never allowed. */
const PATH_BYTES = new Uint8Array(256);
for (let byte = 0; byte <= 0x20; byte++) PATH_BYTES[byte] = 2;
PATH_BYTES[0x7f] = 2;
for (const byte of [HASH, PERCENT, PLUS, DOT, SLASH, QUESTION]) PATH_BYTES[byte] = 1;

/**
 * Splits a request target in origin form (RFC 9112 3.2.1; `?args` alone stands for an empty path) and normalises
 * its path: decodes percent-escapes once, resolves `.` and `..` segments, drops a fragment and, as `merge_slashes`
 * says, repeated slashes. A plain path is not copied.
 *
 * @returns false if it is not valid: no '/' in front, a space or control character, a broken escape, %00, or a
 *   `..` that climbs above the root. `into` is then unspecified
 */
export function normalizeUri(target: string, mergeSlashes: boolean, into: UriPieces): boolean {
  into.args = '';
  into.extension = '';
  into.quotedUri = false;
  into.plusInUri = false;
  const length = target.length;
  let complex = false;
  let pathEnd = -1;
  let extensionStart = 0;
  const first = target.charCodeAt(0);
  if (first === QUESTION) complex = true;
  else if (first !== SLASH) return false;
  let i = 0;
  for (; i < length; i++) {
    const code = target.charCodeAt(i);
    const kind = code < 256 ? PATH_BYTES[code] : 2;
    if (kind === 0) continue;
    if (kind === 2) return false;
    if (code === SLASH) {
      const next = target.charCodeAt(i + 1);
      if (next === SLASH || next === DOT) complex = true;
      extensionStart = 0;
    } else if (code === DOT) {
      extensionStart = i + 1;
    } else if (code === PLUS) {
      into.plusInUri = true;
    } else if (code === QUESTION) {
      pathEnd = i;
      break;
    } else {
      if (code === PERCENT) into.quotedUri = true;
      complex = true;
    }
  }
  for (; i < length; i++) {
    const code = target.charCodeAt(i);
    if (code === HASH) complex = true;
    else if (code > 255 || PATH_BYTES[code] === 2) return false;
  }
  if (complex) return normalizeComplexUri(target, mergeSlashes, into);
  if (pathEnd < 0) {
    into.uri = target;
    if (extensionStart > 0) into.extension = target.slice(extensionStart);
    return true;
  }
  into.uri = target.slice(0, pathEnd);
  into.args = target.slice(pathEnd + 1);
  if (extensionStart > 0) into.extension = target.slice(extensionStart, pathEnd);
  return true;
}

const IN_SEGMENT = 0;
const AFTER_SLASH = 1;
const AFTER_DOT = 2;
const AFTER_DOT_DOT = 3;

// Normalised paths are never longer than what they come from, plus one for an empty path. One per thread will do:
// nothing here waits.
let scratch = Buffer.alloc(8192);

function normalizeComplexUri(target: string, mergeSlashes: boolean, into: UriPieces): boolean {
  const length = target.length;
  if (scratch.length < length + 1) scratch = Buffer.alloc(length + 1024);
  const out = scratch;
  let written = 0;
  let extensionStart = -1;
  let state = IN_SEGMENT;
  let i = 0;
  let stop = 0;
  if (target.charCodeAt(0) === QUESTION) out[written++] = SLASH;

  while (i < length) {
    let code = target.charCodeAt(i++);
    if (code === PERCENT) {
      const high = hexValue(target.charCodeAt(i));
      const low = hexValue(target.charCodeAt(i + 1));
      if (high < 0 || low < 0) return false;
      i += 2;
      code = high * 16 + low;
      into.quotedUri = true;
      if (code === 0) return false;
      // An escaped '%', '#' or '?' is a byte of its segment and has no other meaning.
      if (code === PERCENT || code === HASH || code === QUESTION) {
        out[written++] = code;
        state = IN_SEGMENT;
        continue;
      }
    } else if (code === QUESTION || code === HASH) {
      stop = code;
      break;
    }
    // From here on an escaped '/' or '.' acts like a plain one: what a file system or an upstream would see.
    if (code === SLASH) {
      if (state === IN_SEGMENT) {
        extensionStart = -1;
        out[written++] = SLASH;
      } else if (state === AFTER_SLASH) {
        if (!mergeSlashes) out[written++] = SLASH;
      } else if (state === AFTER_DOT) {
        written--;
      } else {
        written = parentSegment(out, written);
        if (written < 0) return false;
      }
      state = AFTER_SLASH;
      continue;
    }
    if (code === DOT) {
      if (state === IN_SEGMENT) extensionStart = written + 1;
      else if (state === AFTER_DOT_DOT) state = IN_SEGMENT;
      else state++;
    } else {
      if (code === PLUS) into.plusInUri = true;
      state = IN_SEGMENT;
    }
    out[written++] = code;
  }

  if (state === AFTER_DOT) {
    written--;
  } else if (state === AFTER_DOT_DOT) {
    written = parentSegment(out, written);
    if (written < 0) return false;
  }
  into.uri = latin1Text(out, 0, written);
  if (extensionStart >= 0) into.extension = latin1Text(out, extensionStart, written);
  if (stop === QUESTION) {
    const fragment = target.indexOf('#', i);
    into.args = fragment < 0 ? target.slice(i) : target.slice(i, fragment);
  }
  return true;
}

/** Length of the path after its last segment and the `/..` that follows are gone; -1 if that climbs above the root. */
function parentSegment(path: Uint8Array, length: number): number {
  let i = length - 4;
  while (i >= 0 && path[i] !== SLASH) i--;
  return i < 0 ? -1 : i + 1;
}

function hexValue(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  const letter = code | 0x20;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
}

/** Value of $arg_NAME: the first argument with that name, letters in either case; undefined without one. */
export function argument(args: string, lowerCaseName: string): string | undefined {
  if (args === '' || lowerCaseName === '') return undefined;
  const lowerCase = args.toLowerCase();
  let at = lowerCase.indexOf(lowerCaseName);
  for (; at >= 0; at = lowerCase.indexOf(lowerCaseName, at + 1)) {
    const valueStart = at + lowerCaseName.length + 1;
    if ((at === 0 || args[at - 1] === '&') && args[valueStart - 1] === '=') {
      const end = args.indexOf('&', valueStart);
      return end < 0 ? args.slice(valueStart) : args.slice(valueStart, end);
    }
  }
  return undefined;
}

/**
 * Splits and decodes a URI that did not come from the client but is to name a resource (X-Accel-Redirect,
 * included fragments, WebDAV destinations).
 *
 * @returns undefined if it is unsafe: empty, only a query, with a NUL, or with a `..` segment, escaped or not
 */
export function parseUnsafeUri(text: string): { uri: string; args: string } | undefined {
  const question = text.indexOf('?');
  const path = question < 0 ? text : text.slice(0, question);
  const args = question < 0 ? '' : text.slice(question + 1);
  if (path === '' || isUnsafePath(path)) return undefined;
  if (!path.includes('%')) return { uri: path, args };
  const uri = unescapeUri(path);
  return isUnsafePath(uri) ? undefined : { uri, args };
}

function isUnsafePath(path: string): boolean {
  return (
    path.includes('\0') ||
    path === '..' ||
    path.startsWith('../') ||
    path.includes('/../') ||
    path.endsWith('/..')
  );
}
