/**
 * Writes one answer to uWebSockets.js, as far as that takes it, and keeps the rest.
 *
 * uWebSockets.js frames answers itself: it adds Date and either Content-Length or Transfer-Encoding to the head it is
 * given, and `Connection: close` where it is told to close. A head cannot leave before the first byte of its body.
 */
import type { AnswerHead } from '../../core/carrier.ts';
import type { Exchange } from '../../core/exchange.ts';
import type { UwsResponse } from './native.ts';

/** No body, whatever the head says of its length. */
const EMPTY = 0;
const KNOWN_LENGTH = 1;
const CHUNKED = 2;

/** Pieces of an answer of unknown length above this are probed with: see `writeChunks`. In bytes. */
const PROBED = 16 * 1024;
/** How much of such a piece is kept back. */
const PROBE = 32;

/** `Date: Sun, 06 Nov 1994 08:49:37 GMT` with its line's end. */
const DATE_LENGTH = 37;
const CHUNKED_LINE = 'Transfer-Encoding: chunked\r\n'.length;
const STATUS_START = 'HTTP/1.1 '.length;

export class AnswerWriter {
  /** The client does not take more at present: `unblock` when it does. */
  blocked = false;
  /** `onWritable` has been set. */
  listens = false;
  /** The end has been asked for. */
  ending = false;
  /** uWebSockets.js has all of it: the response is void. */
  complete = false;
  /** The body has ended before the length that the head has promised. */
  broken = false;
  bytesSent = 0;
  headBytes = 0;
  /** The subprotocol a server has chosen, for `upgrade`. */
  protocol = '';

  private mode = EMPTY;
  /** The head's text, without its last line's end; '' once it has been written. */
  private head = '';
  /** Behind the head's first lines: `Connection` and what follows it. */
  private fields = '';
  private keepAlive = true;
  /** uWebSockets.js closes by itself, for the client has asked for it. */
  closesAnyway = false;
  /** All connections are closed after the last answer: what uWebSockets.js still held of one would be lost. */
  listenerEnds = false;
  private keepAliveSeconds = 0;
  private length = 0;
  /** Bytes of body that uWebSockets.js has. */
  private taken = 0;
  private readonly pending: (Buffer | string)[] = [];
  /** The last write had to wait: the next one is short, and only finds out whether there is room. */
  private probing = false;

  /** Takes the head; it is written with the first byte of the body, or the end. */
  setHead(exchange: Exchange, head: AnswerHead): void {
    const { contentLength, bodyless } = head;
    this.mode = bodyless || contentLength === 0 ? EMPTY : contentLength > 0 ? KNOWN_LENGTH : CHUNKED;
    this.length = contentLength;
    if (this.closesAnyway) exchange.keepAlive = false;
    this.keepAlive = exchange.keepAlive;
    this.keepAliveSeconds = exchange.location.settings.keepalive_timeout.header;
    this.head = `${head.statusLine}\r\n${head.server}${head.contentType}${head.lines}`;
    this.fields = head.fields;
  }

  /** Takes a piece of the body, which is borrowed as long as this is blocked. */
  add(chunk: Buffer | string): void {
    if (this.mode !== EMPTY) this.pending.push(typeof chunk === 'string' ? bytesOf(chunk) : chunk);
  }

  end(): void {
    this.ending = true;
  }

  /** Whether nothing will be left to be written, if all that is there is taken. */
  get isLast(): boolean {
    if (this.ending) return true;
    if (this.mode !== KNOWN_LENGTH) return false;
    let bytes = this.taken;
    for (let index = 0; index < this.pending.length; index++) bytes += this.pending[index]!.length;
    return bytes >= this.length;
  }

  /**
   * Whether uWebSockets.js gets a body at once, to hold what the client does not take, and closes after it. Not where
   * further requests may come: who never reads would have it hold the answers to all of them.
   */
  private get isWhole(): boolean {
    return (
      this.head !== '' && !this.keepAlive && !this.listenerEnds && this.pending[0]!.length === this.length
    );
  }

  /** Whether uWebSockets.js may come to hold something of the answer's last piece. */
  get isHeld(): boolean {
    return this.listens || (this.mode === KNOWN_LENGTH && this.pending.length > 0 && this.isWhole);
  }

  /** There may be room again. */
  unblock(): void {
    this.blocked = false;
  }

  /** Writes what there is: inside `cork`, where it is not blocked. */
  run(response: UwsResponse): void {
    switch (this.mode) {
      case EMPTY:
        if (this.ending) this.writeEmpty(response);
        return;
      case KNOWN_LENGTH:
        this.writeKnown(response);
        return;
      default:
        this.writeChunks(response);
    }
  }

  private writeEmpty(response: UwsResponse): void {
    const { length } = this;
    // Only with a length can it be told to close.
    const close = !this.keepAlive && length >= 0;
    this.writeHead(response, close);
    if (length >= 0) {
      this.addHeadBytes(`Content-Length: ${length}\r\n\r\n`.length);
      response.endWithoutBody(length, close);
    } else {
      this.addHeadBytes(2);
      response.endWithoutBody();
    }
    this.complete = true;
  }

  private writeKnown(response: UwsResponse): void {
    const { pending, length } = this;
    while (pending.length > 0) {
      let chunk = pending[0]!;
      const room = length - this.taken;
      // More than was promised: no client could tell it from the next answer.
      if (chunk.length > room) chunk = part(chunk, 0, room);
      if (this.head !== '') {
        const whole = this.isWhole;
        this.writeHead(response, whole);
        this.addHeadBytes(`Content-Length: ${length}\r\n\r\n`.length);
        if (whole) {
          response.end(chunk, true);
          this.bytesSent += length;
          this.complete = true;
          return;
        }
      }
      const before = this.taken;
      const [taken, complete] = response.tryEnd(chunk, length);
      if (complete) {
        this.bytesSent += chunk.length;
        this.complete = true;
        return;
      }
      if (!taken) {
        this.taken = response.getWriteOffset();
        this.bytesSent += this.taken - before;
        pending[0] = part(chunk, this.taken - before, chunk.length);
        this.blocked = true;
        return;
      }
      this.taken += chunk.length;
      this.bytesSent += chunk.length;
      pending.shift();
    }
    if (this.ending) this.broken = true;
  }

  /**
   * `write` says whether the client takes more, and takes the piece in any case. There is no other way to find out
   * whether what is held for it has gone: so the last bytes of a large piece are kept back, to be written one by one
   * until one of them need not wait.
   */
  private writeChunks(response: UwsResponse): void {
    const { pending } = this;
    while (pending.length > 0) {
      let chunk = pending[0]!;
      const kept = this.probing && chunk.length > 1 ? chunk.length - 1 : chunk.length > PROBED ? PROBE : 0;
      if (kept > 0) {
        pending[0] = part(chunk, chunk.length - kept, chunk.length);
        chunk = part(chunk, 0, chunk.length - kept);
      } else pending.shift();
      if (this.head !== '') {
        this.writeHead(response, false);
        this.addHeadBytes(CHUNKED_LINE + 2);
      }
      this.bytesSent += chunk.length + chunk.length.toString(16).length + 4;
      if (!response.write(chunk)) {
        this.blocked = true;
        this.probing = true;
        return;
      }
      this.probing = false;
    }
    if (!this.ending) return;
    if (this.head !== '') {
      // Nothing at all.
      const close = !this.keepAlive;
      this.writeHead(response, close);
      this.addHeadBytes('Content-Length: 0\r\n\r\n'.length);
      response.end('', close);
    } else {
      response.end();
      this.bytesSent += '0\r\n\r\n'.length;
    }
    this.complete = true;
  }

  /** @param closing uWebSockets.js is going to be told to close, and says so itself */
  private writeHead(response: UwsResponse, closing: boolean): void {
    let { head } = this;
    this.head = '';
    if (this.keepAlive) {
      head += 'Connection: keep-alive\r\n';
      if (this.keepAliveSeconds > 0) head += `Keep-Alive: timeout=${this.keepAliveSeconds}\r\n`;
    } else if (!closing || this.closesAnyway) head += 'Connection: close\r\n';
    else this.bytesSent += 'Connection: close\r\n'.length;
    head += this.fields;
    response.writeStatus(bytesOf(head.slice(0, -2)));
    this.bytesSent += STATUS_START + head.length + DATE_LENGTH;
  }

  private addHeadBytes(framing: number): void {
    this.bytesSent += framing;
    this.headBytes = this.bytesSent;
  }

  /** Writes the head of an answer that switches to a WebSocket, but for what `upgrade` adds. */
  writeSwitch(response: UwsResponse): void {
    const { head, fields } = this;
    this.head = '';
    let text = head;
    for (let start = 0; start < fields.length; ) {
      const end = fields.indexOf('\r\n', start) + 2;
      const line = fields.slice(start, end);
      const name = line.slice(0, line.indexOf(':')).toLowerCase();
      if (name === 'sec-websocket-protocol') this.protocol = line.slice(name.length + 1).trim();
      else if (!WRITTEN_BY_UPGRADE.has(name)) text += line;
      start = end;
    }
    response.writeStatus(bytesOf(text.slice(0, -2)));
    this.headBytes = STATUS_START + text.length + DATE_LENGTH;
    this.bytesSent = this.headBytes;
  }
}

const WRITTEN_BY_UPGRADE: ReadonlySet<string> = new Set([
  'connection',
  'upgrade',
  'sec-websocket-accept',
  // None is negotiated: the server was not told of any.
  'sec-websocket-extensions',
]);

/** For uWebSockets.js: strings are written as UTF-8, so only ASCII may be one. */
function bytesOf(text: string): Buffer | string {
  return Buffer.byteLength(text) === text.length ? text : Buffer.from(text, 'latin1');
}

function part(chunk: Buffer | string, start: number, end: number): Buffer | string {
  return typeof chunk === 'string' ? chunk.slice(start, end) : chunk.subarray(start, end);
}
