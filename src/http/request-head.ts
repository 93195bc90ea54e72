import {
  describeInvalidLine,
  FIELD_INVALID,
  FIELD_NEED_MORE,
  FIELDS_END,
  FieldLineScanner,
} from './field-lines.ts';
import {
  EMPTY_HEADER_BLOCK,
  HeaderBlock,
  HeaderBlockBuilder,
  NAME_PLAIN,
  NAME_UNDERSCORE,
  type ScannedFields,
  scanFields,
} from './header-block.ts';
import { KnownHeader, type KnownHeaderId, knownHeaderId } from './header-names.ts';
import { validateHost } from './host.ts';
import { latin1Text } from './latin1.ts';
import { methodText } from './methods.ts';
import {
  type ProtocolError,
  READING_REQUEST_HEADERS,
  READING_REQUEST_LINE,
  requestError,
} from './protocol-error.ts';
import { isUniqueRequestHeader, repeatedHeaderError, UNIQUE_REQUEST_HEADERS } from './request-check.ts';
import {
  LINE_COMPLETE,
  LINE_INVALID_09_METHOD,
  LINE_INVALID_METHOD,
  LINE_INVALID_VERSION,
  LINE_NEED_MORE,
  RequestLineScanner,
} from './request-line.ts';
import { normalizeUri, type UriPieces } from './uri.ts';

/** What the configuration of a server says about request heads. */
export interface RequestHeadLimits {
  /** client_header_buffer_size, in bytes. */
  readonly clientHeaderBufferSize: number;
  /** large_client_header_buffers, the number. */
  readonly largeBufferCount: number;
  /** large_client_header_buffers, the size in bytes. */
  readonly largeBufferSize: number;
  /** max_headers. */
  readonly maxHeaders: number;
  /** ignore_invalid_headers. */
  readonly ignoreInvalidHeaders: boolean;
  /** underscores_in_headers. */
  readonly underscoresInHeaders: boolean;
  /** merge_slashes; that of the server the connection starts with, as the URI is read before the Host. */
  readonly mergeSlashes: boolean;
}

/** The head of one request (RFC 9112 2.1), as received and taken apart. */
export class RequestHead implements UriPieces {
  /** Method as received; '' before it is known. */
  method = '';
  /**
   * 9, 10, 11 for HTTP/0.9, 1.0, 1.1; 12 for any other HTTP/1.x, which is treated as 1.1. As long as none is known the
   * client is taken for one of HTTP/1.0, which understands an answer's head.
   */
  version = 10;
  /** $request_uri: path and query as received. `/` for `http://host` and CONNECT, `?x` for `http://host?x`. */
  target = '';
  /** `host[:port]` of a target in absolute or authority form, as received; '' in origin form. */
  hostFromTarget = '';
  /** Host of the target, else of the Host field: lower case, without port and trailing dot; '' without either. */
  host = '';
  /** Port that came with `host`, 0 if none did. */
  port = 0;
  /** The header fields; names that `ignore_invalid_headers` drops are not among them. */
  headers: HeaderBlock = EMPTY_HEADER_BLOCK;
  uri = '';
  args = '';
  extension = '';
  quotedUri = false;
  plusInUri = false;
  /** Whether `target` may be sent on as it is; false for `?x`, which has no path. */
  validUnparsedUri = true;
  /** Bytes read for this head, from the first one of the request line ($request_length without the body). */
  byteLength = 0;
  /** Messages for the error log, level info: header lines that were ignored. */
  notices: string[] | null = null;
  /** Text whose first `lineEnd` characters are the request line; `protocolStart` is where `HTTP/` starts or -1. */
  #source = '';
  #lineEnd = 0;
  #protocolStart = -1;

  /** $request: the request line, after an error as much of it as there is. */
  get requestLine(): string {
    return this.#source.slice(0, this.#lineEnd);
  }

  /** $server_protocol as received: `HTTP/1.1`; '' in HTTP/0.9. */
  get protocol(): string {
    return this.#protocolStart < 0 ? '' : this.#source.slice(this.#protocolStart, this.#lineEnd);
  }

  /** For parsers: where the request line is in `source`, which begins with it. */
  setRequestLine(source: string, lineEnd: number, protocolStart: number): void {
    this.#source = source;
    this.#lineEnd = lineEnd;
    this.#protocolStart = protocolStart;
  }
}

/** More bytes are needed. */
export const NEED_MORE = 0;
/** The head is complete. */
export const COMPLETE = 1;
/** The head is invalid; `error` says why. */
export const FAILED = 2;
/** What `parse` of a head parser returns. */
export type ParseOutcome = typeof NEED_MORE | typeof COMPLETE | typeof FAILED;

const READ_LINE = 0;
const READ_FIELDS = 1;

/** Numbers kept per field line on the slow way: name start and end, value start and end, identifier. */
const LINE_STRIDE = 5;

/** nginx cuts a line it quotes at this many bytes. */
const QUOTED_LINE_LIMIT = 1748;

const CR = 13;
const LF = 10;
const SPACE = 32;
const NO_BYTES: Buffer = Buffer.alloc(0);

/** What a byte of a target means to the quick way: 0 nothing, 1 look, 2 not here. */
const TARGET_BYTES = new Uint8Array(256);
for (let byte = 0; byte <= SPACE; byte++) TARGET_BYTES[byte] = 2;
TARGET_BYTES[0x7f] = 2;
for (const byte of Buffer.from('/.?%#+')) TARGET_BYTES[byte] = 1;

const HTTP_1 = Buffer.from(' HTTP/1.');

/**
 * Reads the heads of the requests on one client connection from the pieces in which they arrive.
 *
 * There are two ways through it. A head that is there as a whole, in the usual form, is recognised in one pass
 * over its bytes. Anything else (pieces, unusual forms, errors) is copied into a store and read by state machines,
 * each byte once; only they decide what is an error. Both give the same answer where both give one.
 *
 * The store obeys the limits nginx's buffers impose: it grows to `clientHeaderBufferSize`, then line by line by
 * large buffers, and is released with the end of the head.
 */
export class RequestHeadParser {
  /** Limits the next request begins with: those of the listener's default server, or of the one SNI chose. */
  limits: RequestHeadLimits;
  /**
   * Called when the host of a request is known and valid; returns the limits of its server. May be called again
   * for the same request, so it must only look things up.
   */
  onHost: ((host: string) => RequestHeadLimits) | null = null;
  /** The request being read or last read: a fresh object each. After FAILED it has what was known until then. */
  head: RequestHead = new RequestHead();
  /** Why, after FAILED. */
  error: ProtocolError | null = null;
  /** After COMPLETE: offset in the chunk of the first byte after the head. */
  consumed = 0;

  // The slow way's store: bytes[0, length) have been received, [0, scanned) read. `bufferEnd` is the offset at
  // which nginx's current buffer would be full.
  #bytes: Buffer = NO_BYTES;
  #length = 0;
  #scanned = 0;
  #bufferEnd = 0;
  #largeBuffers = 0;
  #busy = false;
  #phase = READ_LINE;
  #active: RequestHeadLimits;
  readonly #line = new RequestLineScanner();
  readonly #fields = new FieldLineScanner(false);
  #lines: number[] = [];
  #canonical = true;
  #fieldsStart = 0;

  constructor(limits: RequestHeadLimits) {
    this.limits = limits;
    this.#active = limits;
  }

  /** Whether bytes of an incomplete head are held (empty lines in front of a request count). */
  get started(): boolean {
    return this.#busy;
  }

  /** What the connection is doing, for the log: reading the request line or the headers. */
  get action(): string {
    return this.#phase === READ_LINE ? READING_REQUEST_LINE : READING_REQUEST_HEADERS;
  }

  /** Forgets an incomplete head. */
  reset(): void {
    this.#release();
  }

  /**
   * Reads chunk[start, end). After NEED_MORE all of it has been copied; the chunk is never kept. After COMPLETE the
   * head ended at `consumed`; what follows is body, or the next request. After either COMPLETE or FAILED the next
   * call begins a new head.
   */
  parse(chunk: Buffer, start: number, end: number): ParseOutcome {
    this.error = null;
    if (!this.#busy) {
      this.head = new RequestHead();
      if (this.#recognize(chunk, start, end)) return COMPLETE;
      this.head = new RequestHead();
      this.#active = this.limits;
      this.#bufferEnd = this.limits.clientHeaderBufferSize;
      this.#busy = true;
    }
    return this.#readPieces(chunk, start, end);
  }

  // ---- the quick way ----

  /** Whether chunk[start, end) begins with a whole head in the usual form; fills `head`. */
  #recognize(chunk: Buffer, start: number, end: number): boolean {
    let p = start;
    while (p < end && isMethodByte(chunk[p])) p++;
    if (p === start || p + 1 >= end || chunk[p] !== SPACE || chunk[p + 1] !== 0x2f) return false;
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
    if (p + 11 > end) return false;
    for (let i = 0; i < 8; i++) if (chunk[p + i] !== HTTP_1[i]) return false;
    const minor = chunk[p + 8];
    if ((minor !== 0x31 && minor !== 0x30) || chunk[p + 9] !== CR || chunk[p + 10] !== LF) return false;
    const fieldsStart = p + 11;

    const fields = scanFields(chunk, fieldsStart, end, start, NAME_PLAIN | NAME_UNDERSCORE);
    if (fields === undefined) return false;

    // CONNECT has another form of target; the slow way refuses this one.
    const method = methodText(chunk, start, methodEnd);
    if (method === 'CONNECT') return false;
    const source = latin1Text(chunk, start, fields.end);
    const { head } = this;
    const headers = new HeaderBlock(
      source,
      fields.index,
      fields.low,
      fields.high,
      fields.repeatedLow,
      fields.repeatedHigh,
    );
    if (headers.repeatsAny(UNIQUE_REQUEST_HEADERS)) return false;
    const hostIndex = headers.known(KnownHeader.host);
    if (hostIndex >= 0 && !validateHost(headers.value(hostIndex), head)) return false;
    if (!this.#withinLimits(head.host, hostIndex, headers, fields, fieldsStart - start)) return false;

    head.method = method;
    head.version = minor === 0x31 ? 11 : 10;
    head.target = source.slice(targetStart - start, targetEnd - start);
    if (!plain) {
      if (!normalizeUri(head.target, this.limits.mergeSlashes, head)) return false;
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
    this.consumed = fields.end;
    return true;
  }

  /** Whether a whole head would have fitted into the buffers, and its names are allowed, under both servers' limits. */
  #withinLimits(
    host: string,
    hostIndex: number,
    headers: HeaderBlock,
    fields: ScannedFields,
    fieldsStart: number,
  ): boolean {
    const first = this.limits;
    const final = host !== '' && this.onHost !== null ? this.onHost(host) : first;
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

  // ---- the slow way ----

  #readPieces(chunk: Buffer, start: number, end: number): ParseOutcome {
    let position = start;
    for (;;) {
      const taken = Math.min(end - position, this.#bufferEnd - this.#length);
      this.#append(chunk, position, position + taken);
      position += taken;
      const outcome = this.#phase === READ_LINE ? this.#readLine() : this.#readFields();
      if (outcome === COMPLETE) {
        this.consumed = position - (this.#length - this.#scanned);
        this.#release();
        return COMPLETE;
      }
      if (outcome === FAILED || !this.#makeRoom()) {
        this.#release();
        return FAILED;
      }
      if (position === end) return NEED_MORE;
    }
  }

  #append(chunk: Buffer, start: number, end: number): void {
    const needed = this.#length + (end - start);
    if (needed > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(
        Math.min(Math.max(needed, this.#bytes.length * 2, 256), this.#bufferEnd),
      );
      this.#bytes.copy(grown, 0, 0, this.#length);
      this.#bytes = grown;
    }
    chunk.copy(this.#bytes, this.#length, start, end);
    this.#length = needed;
  }

  /** When nginx's current buffer is full and the head goes on: takes the next large one. False (error set) if none is left. */
  #makeRoom(): boolean {
    if (this.#scanned < this.#bufferEnd) return true;
    const inLine = this.#phase === READ_LINE;
    if (inLine && this.#line.atStart) {
      // Nothing but empty lines: they need not be kept.
      this.#length = 0;
      this.#scanned = 0;
      return true;
    }
    const limits = this.#active;
    const betweenLines = !inLine && this.#fields.betweenLines;
    const lineStart = inLine ? this.#line.lineStart : this.#fields.nameStart;
    const full =
      (!betweenLines && this.#bufferEnd - lineStart >= limits.largeBufferSize) ||
      this.#largeBuffers >= limits.largeBufferCount;
    if (!full) {
      this.#largeBuffers++;
      this.#bufferEnd = (betweenLines ? this.#scanned : lineStart) + limits.largeBufferSize;
      return true;
    }
    if (inLine) {
      const text = latin1Text(this.#bytes, lineStart, this.#length);
      this.head.setRequestLine(text, text.length, -1);
      this.#fail(414, 'client sent too long URI', READING_REQUEST_LINE, false);
    } else if (lineStart < 0) {
      this.#fail(494, 'client sent too large request', READING_REQUEST_HEADERS, true);
    } else {
      const quoted = latin1Text(
        this.#bytes,
        lineStart,
        Math.min(this.#length, lineStart + QUOTED_LINE_LIMIT),
      );
      this.#fail(494, `client sent too long header line: "${quoted}..."`, READING_REQUEST_HEADERS, true);
    }
    return false;
  }

  #readLine(): ParseOutcome {
    const line = this.#line;
    let outcome = line.scan(this.#bytes, this.#scanned, this.#length);
    if (outcome === LINE_NEED_MORE) {
      this.#scanned = this.#length;
      return NEED_MORE;
    }
    const { head } = this;
    if (outcome === LINE_COMPLETE) {
      head.method = methodText(this.#bytes, line.lineStart, line.methodEnd);
      if (line.protocolStart < 0 && head.method !== 'GET') outcome = LINE_INVALID_09_METHOD;
    }
    if (outcome !== LINE_COMPLETE) {
      const text = firstLine(latin1Text(this.#bytes, line.lineStart, this.#length));
      head.setRequestLine(text, text.length, -1);
      if (outcome === LINE_INVALID_METHOD) return this.#failLine(400, 'client sent invalid method');
      // The answer to HEAD has no body, whatever is wrong with the rest of the line.
      head.method = methodText(this.#bytes, line.lineStart, line.methodEnd);
      if (outcome === LINE_INVALID_VERSION) return this.#failLine(505, 'client sent invalid version');
      if (outcome === LINE_INVALID_09_METHOD) {
        head.version = 9;
        return this.#failLine(400, 'client sent invalid method in HTTP/0.9 request');
      }
      return this.#failLine(400, 'client sent invalid request');
    }

    this.#scanned = line.position;
    this.#fieldsStart = line.position;
    head.byteLength = line.position - line.lineStart;
    head.version = line.protocolStart < 0 ? 9 : line.minor < 2 ? 10 + line.minor : 12;
    const text = latin1Text(this.#bytes, line.lineStart, line.lineEnd);
    head.setRequestLine(text, text.length, line.protocolStart < 0 ? -1 : line.protocolStart - line.lineStart);
    head.target =
      line.targetStart < 0
        ? '/'
        : text.slice(line.targetStart - line.lineStart, line.targetEnd - line.lineStart);
    head.validUnparsedUri = head.target.charCodeAt(0) === 0x2f;
    if (!normalizeUri(head.target, this.#active.mergeSlashes, head)) {
      head.uri = '';
      head.target = '';
      return this.#failLine(400, 'client sent invalid request');
    }
    if (line.hostStart >= 0) {
      head.hostFromTarget = text.slice(line.hostStart - line.lineStart, line.hostEnd - line.lineStart);
      if (!validateHost(head.hostFromTarget, head)) {
        return this.#failLine(400, 'client sent invalid host in request line');
      }
      this.#chooseServer();
    }
    if (head.version === 9) return COMPLETE;
    this.#phase = READ_FIELDS;
    return this.#readFields();
  }

  #readFields(): ParseOutcome {
    const fields = this.#fields;
    for (;;) {
      const outcome = fields.scan(
        this.#bytes,
        this.#scanned,
        this.#length,
        this.#active.underscoresInHeaders,
      );
      if (outcome === FIELD_NEED_MORE) {
        this.#scanned = this.#length;
        return NEED_MORE;
      }
      if (outcome === FIELD_INVALID) {
        const line = describeInvalidLine(this.#bytes, fields);
        return this.#fail(400, `client sent invalid header line: "${line}"`, READING_REQUEST_HEADERS, false);
      }
      this.#scanned = fields.position;
      this.head.byteLength = this.#scanned - this.#line.lineStart;
      if (outcome === FIELDS_END) {
        this.#finishFields();
        return COMPLETE;
      }
      if (!this.#takeField()) {
        this.#keepFields();
        return FAILED;
      }
    }
  }

  /** Judges the field line that was just read. False (error set) if it is one too many, repeated, or a bad Host. */
  #takeField(): boolean {
    const { nameStart, nameEnd, valueStart, valueEnd, invalidName, position } = this.#fields;
    const { head } = this;
    const bytes = this.#bytes;
    if (invalidName && this.#active.ignoreInvalidHeaders) {
      const text = latin1Text(bytes, nameStart, Math.min(valueEnd, nameStart + QUOTED_LINE_LIMIT));
      head.notices ??= [];
      head.notices.push(`client sent invalid header line: "${text}"`);
      this.#canonical = false;
      return true;
    }
    const lines = this.#lines;
    if (lines.length / LINE_STRIDE >= this.#active.maxHeaders) {
      this.#fail(494, 'client sent too many header lines', READING_REQUEST_HEADERS, true);
      return false;
    }
    const id = knownHeaderId(bytes, nameStart, nameEnd);
    if (id !== 0 && isUniqueRequestHeader(id)) {
      for (let i = 0; i < lines.length; i += LINE_STRIDE) {
        if (lines[i + 4] !== id) continue;
        const previous = this.#fieldText(lines[i], lines[i + 1], lines[i + 2], lines[i + 3]);
        this.error = repeatedHeaderError(
          id,
          this.#fieldText(nameStart, nameEnd, valueStart, valueEnd),
          previous,
        );
        return false;
      }
    }
    lines.push(nameStart, nameEnd, valueStart, valueEnd, id);
    // `Name: value` CRLF and nothing else: then the bytes can be forwarded as they are.
    if (
      valueStart !== nameEnd + 2 ||
      position !== valueEnd + 2 ||
      bytes[nameEnd] !== 0x3a ||
      bytes[nameEnd + 1] !== SPACE ||
      bytes[valueEnd] !== CR
    ) {
      this.#canonical = false;
    }
    if (id !== KnownHeader.host) return true;
    const fromTarget = head.host !== '';
    const target = fromTarget ? { host: '', port: 0 } : head;
    if (!validateHost(latin1Text(bytes, valueStart, valueEnd), target)) {
      this.error = requestError(400, 'client sent invalid host header');
      return false;
    }
    if (!fromTarget) this.#chooseServer();
    return true;
  }

  #chooseServer(): void {
    if (this.onHost !== null) this.#active = this.onHost(this.head.host);
  }

  #fieldText(nameStart = 0, nameEnd = 0, valueStart = 0, valueEnd = 0): string {
    const bytes = this.#bytes;
    return `${latin1Text(bytes, nameStart, nameEnd)}: ${latin1Text(bytes, valueStart, valueEnd)}`;
  }

  #finishFields(): void {
    const lines = this.#lines;
    const bytes = this.#bytes;
    if (this.#canonical) {
      const fields = scanFields(bytes, this.#fieldsStart, this.#length, this.#fieldsStart, ~0);
      // The empty line may be a bare LF, which the quick scan does not take.
      if (fields !== undefined && fields.end === this.#scanned) {
        this.head.headers = new HeaderBlock(
          latin1Text(bytes, this.#fieldsStart, this.#scanned),
          fields.index,
          fields.low,
          fields.high,
          fields.repeatedLow,
          fields.repeatedHigh,
        );
        return;
      }
    }
    const builder = new HeaderBlockBuilder();
    for (let i = 0; i < lines.length; i += LINE_STRIDE) {
      builder.addChecked(
        latin1Text(bytes, lines[i], lines[i + 1]),
        latin1Text(bytes, lines[i + 2], lines[i + 3]),
        lines[i + 4] as KnownHeaderId,
      );
    }
    this.head.headers = builder.build();
  }

  #failLine(status: number, message: string): ParseOutcome {
    return this.#fail(status, message, READING_REQUEST_LINE, false);
  }

  #fail(status: number, message: string, action: string, lingeringClose: boolean): ParseOutcome {
    this.error = { status, level: 'info', message, action, lingeringClose };
    if (action === READING_REQUEST_HEADERS) this.#keepFields();
    return FAILED;
  }

  /** The fields before the one that is wrong: the log and the error page look at them. */
  #keepFields(): void {
    this.#canonical = false;
    this.#finishFields();
  }

  #release(): void {
    this.#bytes = NO_BYTES;
    this.#length = 0;
    this.#scanned = 0;
    this.#largeBuffers = 0;
    this.#busy = false;
    this.#phase = READ_LINE;
    this.#line.reset();
    this.#fields.reset();
    this.#lines = [];
    this.#canonical = true;
  }
}

function isMethodByte(byte: number): boolean {
  return (byte >= 65 && byte <= 90) || byte === 95 || byte === 45;
}

function firstLine(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === CR || code === LF) return text.slice(0, i);
  }
  return text;
}
