import {
  describeInvalidLine,
  FIELD_INVALID,
  FIELD_LINE,
  FIELD_NEED_MORE,
  FieldLineScanner,
} from './field-lines.ts';
import {
  EMPTY_HEADER_BLOCK,
  HeaderBlock,
  HeaderBlockBuilder,
  NAME_PLAIN,
  NAME_UNDERSCORE,
  scanFields,
} from './header-block.ts';
import { KnownHeader, type KnownHeaderId, knownHeaderId } from './header-names.ts';
import { latin1Text } from './latin1.ts';
import { type ProtocolError, responseError } from './protocol-error.ts';
import { parseContentLength } from './request-check.ts';
import { COMPLETE, FAILED, NEED_MORE, type ParseOutcome } from './request-head.ts';
import { STATUS_COMPLETE, STATUS_INVALID, StatusLineScanner } from './status-line.ts';
import { containsIgnoreCase } from './tokens.ts';

/** The head of one response (RFC 9112 2.1). */
export class ResponseHead {
  /** 10 or 11 for HTTP/1.0 and HTTP/1.1 or later; 9 if there is no valid status line, so that everything is body. */
  version = 9;
  /** Status code; 200 when `version` is 9. */
  status = 200;
  /** From the status code to the end of the line, as received: `404 Not Found`. '' when `version` is 9. */
  statusLine = '';
  headers: HeaderBlock = EMPTY_HEADER_BLOCK;
  /** Bytes of the head. */
  byteLength = 0;
}

/**
 * What the error log says, at level error, about a response whose head has `version` 9. nginx then answers in
 * HTTP/0.9 too: it sends the client the bytes without any head, and closes.
 */
export const NO_VALID_HEADER = 'upstream sent no valid HTTP/1.0 header';

const NO_BYTES: Buffer = Buffer.alloc(0);
const HTTP_1 = Buffer.from('HTTP/1.');

/**
 * Reads response heads on one upstream connection from the pieces in which they arrive, by nginx's rules: names
 * may have any visible byte, bare LFs end lines, repeated status lines are skipped. A head that is there as a whole,
 * in the usual form, is recognised in one pass; all others are copied and read by state machines.
 *
 * An interim head (1xx) is COMPLETE like any other; the next call then reads the next head.
 */
export class ResponseHeadParser {
  /** Most bytes of a head (`proxy_buffer_size`). */
  limit: number;
  /** The head being read or last read: a fresh object each. */
  head: ResponseHead = new ResponseHead();
  /** Why, after FAILED. */
  error: ProtocolError | null = null;
  /** After COMPLETE: offset in the chunk of the first byte after the head. */
  consumed = 0;
  /** Body bytes from chunks before the last one: only when `head.version` is 9. */
  bodyPrefix: Buffer | null = null;
  #bytes: Buffer = NO_BYTES;
  #length = 0;
  #scanned = 0;
  #busy = false;
  #inFields = false;
  #builder: HeaderBlockBuilder | null = null;
  readonly #line = new StatusLineScanner();
  readonly #fields = new FieldLineScanner(true);

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Whether bytes of an incomplete head are held. */
  get started(): boolean {
    return this.#busy;
  }

  /** Forgets an incomplete head. */
  reset(): void {
    this.#bytes = NO_BYTES;
    this.#length = 0;
    this.#scanned = 0;
    this.#busy = false;
    this.#inFields = false;
    this.#builder = null;
    this.#line.reset();
    this.#fields.reset();
  }

  /**
   * Reads chunk[start, end). After NEED_MORE all of it has been copied; the chunk is never kept. After COMPLETE the
   * head ended at `consumed`. After either COMPLETE or FAILED the next call begins a new head.
   */
  parse(chunk: Buffer, start: number, end: number): ParseOutcome {
    this.error = null;
    this.bodyPrefix = null;
    if (!this.#busy) {
      this.head = new ResponseHead();
      if (this.#recognize(chunk, start, end)) return COMPLETE;
      this.#busy = true;
    }
    const previous = this.#length;
    const taken = Math.min(end - start, this.limit - previous);
    this.#append(chunk, start, start + taken);
    let outcome = this.#inFields ? this.#readFields() : this.#readLine();
    if (outcome === NEED_MORE) {
      if (this.#length < this.limit) return NEED_MORE;
      this.error = responseError('upstream sent too big header');
      outcome = FAILED;
    }
    if (outcome === COMPLETE) {
      // All that was held is body when there is no status line: what this chunk brought stays in the chunk.
      const headEnd = this.head.version === 9 ? 0 : this.#scanned;
      this.consumed = start + Math.max(0, headEnd - previous);
      if (headEnd < previous) this.bodyPrefix = this.#bytes.subarray(headEnd, previous);
    }
    this.reset();
    return outcome;
  }

  /** Whether chunk[start, end) begins with a whole head in the usual form; fills `head`. */
  #recognize(chunk: Buffer, start: number, end: number): boolean {
    // `HTTP/1.1 200` and at least a CRLF.
    if (end - start < 14) return false;
    for (let i = 0; i < 7; i++) if (chunk[start + i] !== HTTP_1[i]) return false;
    const minor = chunk[start + 7];
    if ((minor !== 0x31 && minor !== 0x30) || chunk[start + 8] !== 0x20) return false;
    let status = 0;
    let p = start + 9;
    for (; p < start + 12; p++) {
      const digit = chunk[p] - 0x30;
      if (digit < 0 || digit > 9) return false;
      status = status * 10 + digit;
    }
    if (chunk[p] === 0x20) {
      while (p < end && chunk[p] !== 13 && chunk[p] !== 10) p++;
    }
    if (p + 1 >= end || chunk[p] !== 13 || chunk[p + 1] !== 10) return false;
    if (status === 103 && minor === 0x30) return false;
    const fields = scanFields(chunk, p + 2, end, start, NAME_PLAIN | NAME_UNDERSCORE);
    if (fields === undefined || fields.end - start > this.limit) return false;
    const source = latin1Text(chunk, start, fields.end);
    const { head } = this;
    head.version = minor === 0x31 ? 11 : 10;
    head.status = status;
    head.statusLine = source.slice(9, p - start);
    head.headers = new HeaderBlock(
      source,
      fields.index,
      fields.low,
      fields.high,
      fields.repeatedLow,
      fields.repeatedHigh,
    );
    head.byteLength = source.length;
    this.consumed = fields.end;
    return true;
  }

  #append(chunk: Buffer, start: number, end: number): void {
    const needed = this.#length + (end - start);
    if (needed > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(
        Math.min(Math.max(needed, this.#bytes.length * 2, 256), this.limit),
      );
      this.#bytes.copy(grown, 0, 0, this.#length);
      this.#bytes = grown;
    }
    chunk.copy(this.#bytes, this.#length, start, end);
    this.#length = needed;
  }

  #readLine(): ParseOutcome {
    const line = this.#line;
    const outcome = line.scan(this.#bytes, this.#scanned, this.#length);
    const { head } = this;
    if (outcome === STATUS_INVALID) return COMPLETE;
    if (outcome !== STATUS_COMPLETE) {
      this.#scanned = this.#length;
      return NEED_MORE;
    }
    this.#scanned = line.position;
    head.version = line.major > 1 || line.minor > 0 ? 11 : 10;
    head.status = line.status;
    head.statusLine = latin1Text(this.#bytes, line.statusStart, line.lineEnd);
    if (head.version === 10 && head.status === 103) {
      this.error = responseError('upstream sent HTTP/1.0 response with early hints');
      return FAILED;
    }
    this.#inFields = true;
    this.#builder = new HeaderBlockBuilder();
    return this.#readFields();
  }

  #readFields(): ParseOutcome {
    const fields = this.#fields;
    const bytes = this.#bytes;
    const builder = this.#builder as HeaderBlockBuilder;
    for (;;) {
      const outcome = fields.scan(bytes, this.#scanned, this.#length, true);
      if (outcome === FIELD_NEED_MORE) {
        this.#scanned = this.#length;
        return NEED_MORE;
      }
      if (outcome === FIELD_INVALID) {
        this.error = responseError(`upstream sent invalid header: "${describeInvalidLine(bytes, fields)}"`);
        return FAILED;
      }
      this.#scanned = fields.position;
      if (outcome === FIELD_LINE) {
        builder.addChecked(
          latin1Text(bytes, fields.nameStart, fields.nameEnd),
          latin1Text(bytes, fields.valueStart, fields.valueEnd),
          knownHeaderId(bytes, fields.nameStart, fields.nameEnd),
        );
        continue;
      }
      this.head.headers = builder.build();
      this.head.byteLength = this.#scanned;
      return COMPLETE;
    }
  }
}

/** How the body of a response is delimited. */
export interface ResponseFraming {
  /** Content-Length in bytes, -1 without one: then chunked, or until the connection closes. */
  contentLength: number;
  /** Whether the body comes in chunks. */
  chunked: boolean;
  /** Whether the connection cannot be used again: HTTP/1.0 or earlier, or Connection says close. */
  connectionClose: boolean;
}

/**
 * Judges what the header fields of a response say about its body, as nginx's upstream module does. That a response
 * to HEAD and one with status 1xx, 204 or 304 has no body is for the caller to know.
 *
 * @param into receives the framing; unspecified after an error
 * @returns the error, a 502, undefined if the response is fine
 */
export function checkResponseHead(head: ResponseHead, into: ResponseFraming): ProtocolError | undefined {
  const { headers } = head;
  into.contentLength = -1;
  into.chunked = false;
  into.connectionClose = head.version < 11;

  for (
    let i = headers.known(KnownHeader.connection);
    i >= 0;
    i = headers.known(KnownHeader.connection, i + 1)
  ) {
    if (containsIgnoreCase(headers.source, 'close', headers.valueStart(i), headers.lineEnd(i) - 2)) {
      into.connectionClose = true;
    }
  }
  // What an early hint says about a body means nothing.
  if (head.status === 103) return undefined;

  const lengthIndex = headers.known(KnownHeader.contentLength);
  const encodingIndex = headers.known(KnownHeader.transferEncoding);
  if (lengthIndex < 0 && encodingIndex < 0) return undefined;
  if (headers.isRepeated(KnownHeader.contentLength)) return repeated(headers, KnownHeader.contentLength);
  if (headers.isRepeated(KnownHeader.transferEncoding))
    return repeated(headers, KnownHeader.transferEncoding);
  if (lengthIndex >= 0 && encodingIndex >= 0) {
    return responseError('upstream sent "Content-Length" and "Transfer-Encoding" headers at the same time');
  }
  if (lengthIndex >= 0) {
    into.contentLength = parseContentLength(headers.value(lengthIndex));
    if (into.contentLength >= 0) return undefined;
    return responseError(
      `upstream sent invalid "Content-Length" header: "${fieldText(headers, lengthIndex)}"`,
    );
  }
  const encoding = headers.value(encodingIndex);
  if (encoding.length !== 7 || encoding.toLowerCase() !== 'chunked') {
    return responseError(`upstream sent unknown "Transfer-Encoding": "${encoding}"`);
  }
  into.chunked = true;
  return undefined;
}

function repeated(headers: HeaderBlock, id: KnownHeaderId): ProtocolError {
  const first = headers.known(id);
  const second = headers.known(id, first + 1);
  return responseError(
    `upstream sent duplicate header line: "${fieldText(headers, second)}", previous value: "${fieldText(headers, first)}"`,
  );
}

function fieldText(headers: HeaderBlock, i: number): string {
  return headers.source.slice(headers.lineStart(i), headers.lineEnd(i) - 2);
}
