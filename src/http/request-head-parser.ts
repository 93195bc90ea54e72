import {
  describeInvalidLine,
  FIELD_INVALID,
  FIELD_NEED_MORE,
  FIELDS_END,
  FieldLineScanner,
} from './field-lines.ts';
import { HeaderBlock, HeaderBlockBuilder, scanFields } from './header-block.ts';
import { KnownHeader, type KnownHeaderId, knownHeaderId } from './header-names.ts';
import { validateHost } from './host.ts';
import { latin1Text, writeLatin1 } from './latin1.ts';
import { methodText } from './methods.ts';
import {
  type ProtocolError,
  READING_REQUEST_HEADERS,
  READING_REQUEST_LINE,
  requestError,
} from './protocol-error.ts';
import { isUniqueRequestHeader, repeatedHeaderError } from './request-check.ts';
import {
  COMPLETE,
  FAILED,
  NEED_MORE,
  type ParseOutcome,
  RequestHead,
  type RequestHeadLimits,
} from './request-head.ts';
import {
  LINE_COMPLETE,
  LINE_INVALID_09_METHOD,
  LINE_INVALID_METHOD,
  LINE_INVALID_VERSION,
  LINE_NEED_MORE,
  RequestLineScanner,
} from './request-line.ts';
import { normalizeUri } from './uri.ts';
import { readWholeHead } from './whole-request-head.ts';

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

/**
 * Reads the heads of the requests on one client connection from the pieces in which they arrive.
 *
 * There are two ways through it. A head that is there as a whole, in the usual form, is recognised in one pass over its
 * bytes (`whole-request-head.ts`). Anything else (pieces, unusual forms, errors) is copied into a store and read by state
 * machines, each byte once; only they decide what is an error. Both give the same answer where both give one.
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
    return this.#parse(chunk, start, end, undefined);
  }

  /** Reads a head that has come as text, a byte string: as `parse` does. @param room where its bytes are put; large enough */
  parseText(text: string, room: Buffer): ParseOutcome {
    return this.#parse(room, 0, writeLatin1(room, text), text);
  }

  #parse(chunk: Buffer, start: number, end: number, text: string | undefined): ParseOutcome {
    this.error = null;
    if (!this.#busy) {
      this.head = new RequestHead();
      const headEnd = readWholeHead(chunk, start, end, this.limits, this.onHost, text, this.head);
      if (headEnd >= 0) {
        this.consumed = headEnd;
        return COMPLETE;
      }
      this.head = new RequestHead();
      this.#active = this.limits;
      this.#bufferEnd = this.limits.clientHeaderBufferSize;
      this.#busy = true;
    }
    return this.#readPieces(chunk, start, end);
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

function firstLine(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === CR || code === LF) return text.slice(0, i);
  }
  return text;
}
