/**
 * The quick way to read a request's head: one that has come as a whole, in the usual form, is recognised in one pass over
 * its bytes. What is wrong with any other is not said here.
 */
import { HeaderBlock, NAME_PLAIN, NAME_UNDERSCORE, type ScannedFields, scanFields } from './header-block.ts';
import { KnownHeader } from './header-names.ts';
import { validateHost } from './host.ts';
import { latin1Text } from './latin1.ts';
import { methodText } from './methods.ts';
import { UNIQUE_REQUEST_HEADERS } from './request-check.ts';
import type { RequestHead, RequestHeadLimits } from './request-head.ts';
import { normalizeUri } from './uri.ts';

const CR = 13;
const LF = 10;
const SPACE = 32;

/** What a byte of a target means here: 0 nothing, 1 look, 2 it ends. */
const TARGET_BYTES = new Uint8Array(256);
for (let byte = 0; byte <= SPACE; byte++) TARGET_BYTES[byte] = 2;
TARGET_BYTES[0x7f] = 2;
for (const byte of Buffer.from('/.?%#+')) TARGET_BYTES[byte] = 1;

const HTTP_1 = Buffer.from(' HTTP/1.');

/**
 * Reads a head in the usual form that is in chunk[start, end) as a whole.
 * @param limits of the server the connection starts with
 * @param onHost gives the limits of the server a host is meant for
 * @param text what is in chunk[start, end), if it is there as text already
 * @param head filled in; where -1 is returned, what is in it is worth nothing
 * @returns where the head ends; -1 where it is no such head, and it takes another to say what it is
 */
export function readWholeHead(
  chunk: Buffer,
  start: number,
  end: number,
  limits: RequestHeadLimits,
  onHost: ((host: string) => RequestHeadLimits) | null,
  text: string | undefined,
  head: RequestHead,
): number {
  let p = start;
  while (p < end && isMethodByte(chunk[p])) p++;
  if (p === start || p + 1 >= end || chunk[p] !== SPACE || chunk[p + 1] !== 0x2f) return -1;
  const methodEnd = p;
  const targetStart = ++p;

  let extensionStart = 0;
  let pathEnd = 0;
  let plus = false;
  let plain = true;
  for (; p < end; p++) {
    const kind = TARGET_BYTES[chunk[p]];
    if (kind === 0) continue;
    if (kind === 2) break;
    const byte = chunk[p];
    if (byte === 0x2f) {
      extensionStart = 0;
      const next = chunk[p + 1];
      if (next === 0x2f || next === 0x2e) plain = false;
    } else if (byte === 0x2e) {
      extensionStart = p + 1;
    } else if (byte === 0x2b) {
      plus = true;
    } else if (byte === 0x3f) {
      pathEnd = p;
      break;
    } else {
      plain = false;
    }
  }
  if (pathEnd > 0) {
    for (; p < end; p++) {
      const byte = chunk[p];
      if (byte === 0x23) plain = false;
      else if (TARGET_BYTES[byte] === 2) break;
    }
  }
  const targetEnd = p;
  // ` HTTP/1.x` and CRLF.
  if (p + 11 > end) return -1;
  for (let i = 0; i < 8; i++) if (chunk[p + i] !== HTTP_1[i]) return -1;
  const minor = chunk[p + 8];
  if ((minor !== 0x31 && minor !== 0x30) || chunk[p + 9] !== CR || chunk[p + 10] !== LF) return -1;
  const fieldsStart = p + 11;

  const fields = scanFields(chunk, fieldsStart, end, start, NAME_PLAIN | NAME_UNDERSCORE);
  if (fields === undefined) return -1;

  // CONNECT has another form of target; the slow way refuses this one.
  const method = methodText(chunk, start, methodEnd);
  if (method === 'CONNECT') return -1;
  const source =
    text !== undefined && text.length === fields.end - start ? text : latin1Text(chunk, start, fields.end);
  const headers = new HeaderBlock(
    source,
    fields.index,
    fields.low,
    fields.high,
    fields.repeatedLow,
    fields.repeatedHigh,
  );
  if (headers.repeatsAny(UNIQUE_REQUEST_HEADERS)) return -1;
  const hostIndex = headers.known(KnownHeader.host);
  if (hostIndex >= 0 && !validateHost(headers.value(hostIndex), head)) return -1;
  const final = head.host !== '' && onHost !== null ? onHost(head.host) : limits;
  if (!fitsLimits(limits, final, hostIndex, headers, fields, fieldsStart - start)) return -1;

  head.method = method;
  head.version = minor === 0x31 ? 11 : 10;
  head.target = source.slice(targetStart - start, targetEnd - start);
  if (!plain) {
    if (!normalizeUri(head.target, limits.mergeSlashes, head)) return -1;
  } else {
    head.plusInUri = plus;
    if (pathEnd === 0) {
      head.uri = head.target;
    } else {
      head.uri = source.slice(targetStart - start, pathEnd - start);
      head.args = source.slice(pathEnd + 1 - start, targetEnd - start);
    }
    if (extensionStart > 0) {
      head.extension = source.slice(extensionStart - start, (pathEnd || targetEnd) - start);
    }
  }
  head.headers = headers;
  head.byteLength = source.length;
  head.setRequestLine(source, fieldsStart - 2 - start, targetEnd + 1 - start);
  return fields.end;
}

/** Whether a whole head would have fitted into the buffers, and its names are allowed, under both servers' limits. */
function fitsLimits(
  first: RequestHeadLimits,
  final: RequestHeadLimits,
  hostIndex: number,
  headers: HeaderBlock,
  fields: ScannedFields,
  fieldsStart: number,
): boolean {
  if ((fields.classes & NAME_UNDERSCORE) !== 0) {
    if (!first.underscoresInHeaders || !final.underscoresInHeaders) return false;
  }
  const { count } = headers;
  if (count > first.maxHeaders || count > final.maxHeaders) return false;
  if (headers.source.length <= first.clientHeaderBufferSize) return true;

  let bufferEnd = first.clientHeaderBufferSize;
  let largeBuffers = 0;
  // Line -1 is the request line, line `count` the empty one.
  for (let i = -1; i <= count; i++) {
    const lineStart = i < 0 ? 0 : headers.lineStart(i);
    const lineEnd = i < 0 ? fieldsStart : i < count ? headers.lineEnd(i) : headers.end + 2;
    const limits = i > hostIndex && hostIndex >= 0 ? final : first;
    while (lineEnd > bufferEnd) {
      if (bufferEnd > lineStart && bufferEnd - lineStart >= limits.largeBufferSize) return false;
      if (largeBuffers >= limits.largeBufferCount) return false;
      largeBuffers++;
      bufferEnd = lineStart + limits.largeBufferSize;
    }
  }
  return true;
}

function isMethodByte(byte: number): boolean {
  return (byte >= 65 && byte <= 90) || byte === 95 || byte === 45;
}
