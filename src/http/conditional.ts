/** Conditional requests (RFC 9110, 13), as nginx judges them. */
import { parseHttpDate } from './dates.ts';
import { type HeaderBlock, headerMasks } from './header-block.ts';
import { KnownHeader } from './header-names.ts';

/** `if_modified_since`: the date must be the very one, or not before it, or the field is ignored. */
export type IfModifiedSince = 'off' | 'exact' | 'before';

/** What the answer says of itself. */
export interface Validators {
  /** In seconds since the epoch; -1 for none. */
  readonly lastModified: number;
  /** '' for none. */
  readonly etag: string;
}

const CONDITIONS = headerMasks([
  KnownHeader.ifUnmodifiedSince,
  KnownHeader.ifMatch,
  KnownHeader.ifModifiedSince,
  KnownHeader.ifNoneMatch,
]);

/** Whether a request has any condition at all but If-Range. */
export function isConditional(headers: HeaderBlock): boolean {
  return headers.hasAny(CONDITIONS);
}

/**
 * Judges the conditions of a request whose answer would be a 200.
 * @returns `send` the answer; `failed`: 412; `not modified`: 304
 */
export function judgeConditions(
  headers: HeaderBlock,
  validators: Validators,
  ifModifiedSince: IfModifiedSince,
): 'send' | 'failed' | 'not modified' {
  const { lastModified, etag } = validators;
  const unmodifiedSince = headers.knownValue(KnownHeader.ifUnmodifiedSince);
  if (unmodifiedSince !== undefined && !isUnmodifiedSince(unmodifiedSince, lastModified)) return 'failed';
  const match = headers.knownValue(KnownHeader.ifMatch);
  if (match !== undefined && !matchesEntityTag(match, etag, 'strong')) return 'failed';

  const modifiedSince = headers.knownValue(KnownHeader.ifModifiedSince);
  const noneMatch = headers.knownValue(KnownHeader.ifNoneMatch);
  if (modifiedSince === undefined && noneMatch === undefined) return 'send';
  if (modifiedSince !== undefined && isModifiedSince(modifiedSince, lastModified, ifModifiedSince))
    return 'send';
  if (noneMatch !== undefined && !matchesEntityTag(noneMatch, etag, 'weak')) return 'send';
  return 'not modified';
}

function isUnmodifiedSince(date: string, lastModified: number): boolean {
  const seconds = parseHttpDate(date);
  return lastModified !== -1 && seconds !== undefined && seconds >= lastModified;
}

function isModifiedSince(date: string, lastModified: number, mode: IfModifiedSince): boolean {
  if (lastModified === -1 || mode === 'off') return true;
  const seconds = parseHttpDate(date);
  if (seconds === lastModified) return false;
  return mode === 'exact' || seconds === undefined || seconds < lastModified;
}

/**
 * If-Range (RFC 9110, 13.1.5): whether ranges may be sent, because what the client has is a part of this answer.
 */
export function matchesIfRange(value: string, { lastModified, etag }: Validators): boolean {
  if (value.length >= 2 && value.endsWith('"')) return value === etag;
  return lastModified !== -1 && parseHttpDate(value) === lastModified;
}

const COMMA = 44;
const SPACE = 32;
const TAB = 9;

/**
 * Whether a list of entity tags (If-Match, If-None-Match) names one, or is `*`. Under `weak` comparison (RFC 9110,
 * 8.8.3.2) a leading `W/` makes no difference on either side.
 *
 * @param etag of the answer; '' for none, which only `*` matches
 */
export function matchesEntityTag(list: string, etag: string, comparison: 'strong' | 'weak'): boolean {
  if (list === '*') return true;
  if (etag === '') return false;
  const weak = comparison === 'weak';
  const opaque = weak && etag.length > 2 && etag.startsWith('W/') ? etag.slice(2) : etag;
  let position = 0;
  while (position < list.length) {
    if (weak && list.length - position > 2 && list.startsWith('W/', position)) position += 2;
    if (list.startsWith(opaque, position)) {
      const end = skipBlanks(list, position + opaque.length);
      if (end === list.length || list.charCodeAt(end) === COMMA) return true;
    }
    // A comma inside a tag cuts it too, as in nginx; a tag that has one still matches as a whole.
    const comma = list.indexOf(',', position);
    if (comma < 0) return false;
    position = comma;
    while (list.charCodeAt(position) === COMMA) position = skipBlanks(list, position + 1);
  }
  return false;
}

function skipBlanks(text: string, position: number): number {
  let code = text.charCodeAt(position);
  while (code === SPACE || code === TAB) code = text.charCodeAt(++position);
  return position;
}
