/** Header lines of an answer, written and read by name, and what an answer loses when a filter changes its body. */
import { parseHttpDate } from '../http/dates.ts';
import type { ResponseHead } from './exchange.ts';

/**
 * Adds a header line, as `add_header` does: Last-Modified and ETag replace what is there, all others are added.
 * An empty value adds nothing, and takes Last-Modified or ETag away.
 */
export function setResponseHeader(response: ResponseHead, name: string, value: string): void {
  switch (name.toLowerCase()) {
    case 'last-modified':
      response.lastModifiedText = value;
      response.lastModified = value === '' ? -1 : (parseHttpDate(value) ?? -1);
      return;
    case 'etag':
      response.etag = value;
      return;
    default:
      if (value !== '') response.fields += `${name}: ${value}\r\n`;
  }
}

/**
 * Finds a field in `Name: value\r\n` lines.
 * @param name in lower case
 * @param from the start of a line
 * @returns the offset of its line, -1 where there is none
 */
export function findField(lines: string, name: string, from = 0): number {
  const { length } = name;
  for (let start = from; start < lines.length; ) {
    if (lines.charCodeAt(start + length) === COLON) {
      let index = 0;
      while (index < length) {
        const code = lines.charCodeAt(start + index);
        if ((code >= 65 && code <= 90 ? code | 0x20 : code) !== name.charCodeAt(index)) break;
        index++;
      }
      if (index === length) return start;
    }
    const end = lines.indexOf('\r\n', start);
    if (end < 0) return -1;
    start = end + 2;
  }
  return -1;
}

/**
 * The value of the first field of that name in `Name: value\r\n` lines; undefined where there is none.
 * @param name in lower case
 */
export function fieldValue(lines: string, name: string): string | undefined {
  const start = findField(lines, name);
  return start < 0 ? undefined : valueAt(lines, start, name.length);
}

/**
 * The values of all fields of that name, in order.
 * @param name in lower case
 */
export function fieldValues(lines: string, name: string): string[] {
  const values: string[] = [];
  for (let at = findField(lines, name); at >= 0; at = findField(lines, name, lineEnd(lines, at))) {
    values.push(valueAt(lines, at, name.length));
  }
  return values;
}

/**
 * `Name: value\r\n` lines without those of one name.
 * @param name in lower case
 */
export function withoutField(lines: string, name: string, from = 0): string {
  let left = lines;
  for (let at = findField(left, name, from); at >= 0; at = findField(left, name, at)) {
    left = left.slice(0, at) + left.slice(lineEnd(left, at));
  }
  return left;
}

/**
 * `Name: value\r\n` lines in which a field has one value: the first of its lines gets it, the others go; where there is
 * none it is added.
 */
export function withField(lines: string, name: string, value: string): string {
  const lower = name.toLowerCase();
  const at = findField(lines, lower);
  const line = `${name}: ${value}\r\n`;
  if (at < 0) return lines + line;
  const changed = lines.slice(0, at) + line + lines.slice(lineEnd(lines, at));
  return withoutField(changed, lower, at + line.length);
}

const COLON = 58;
const SPACE = 32;

function lineEnd(lines: string, start: number): number {
  const end = lines.indexOf('\r\n', start);
  return end < 0 ? lines.length : end + 2;
}

function valueAt(lines: string, start: number, nameLength: number): string {
  let value = start + nameLength + 1;
  while (lines.charCodeAt(value) === SPACE) value++;
  const end = lines.indexOf('\r\n', value);
  return end < 0 ? lines.slice(value) : lines.slice(value, end);
}

/** The length of the body is no longer known: nginx's ngx_http_clear_content_length. */
export function clearContentLength(response: ResponseHead): void {
  response.contentLength = -1;
}

/** Parts of the body cannot be had, whoever has offered them: nginx's ngx_http_clear_accept_ranges. */
export function clearAcceptRanges(response: ResponseHead): void {
  response.acceptRanges = false;
  if (response.fields !== '') response.fields = withoutField(response.fields, 'accept-ranges');
}

/** nginx's ngx_http_clear_last_modified. */
export function clearLastModified(response: ResponseHead): void {
  response.lastModified = -1;
  response.lastModifiedText = '';
}

/** nginx's ngx_http_clear_etag. */
export function clearEtag(response: ResponseHead): void {
  response.etag = '';
}

/**
 * The body is no longer byte for byte the one the ETag names: makes it a weak one (RFC 9110 8.8.1), and drops what is no
 * ETag at all. nginx's ngx_http_weak_etag.
 */
export function weakenEtag(response: ResponseHead): void {
  const { etag } = response;
  if (etag === '' || etag.startsWith('W/')) return;
  response.etag = etag.charCodeAt(0) === 34 ? `W/${etag}` : '';
}

/** The body gets another length: what `gzip`, `gunzip` and the like have to say to the head. */
export function lengthChanges(response: ResponseHead): void {
  clearContentLength(response);
  clearAcceptRanges(response);
  weakenEtag(response);
}
