/** The head of one request, and what servers say about heads. How it is read is in `request-head-parser.ts`. */
import { EMPTY_HEADER_BLOCK, type HeaderBlock } from './header-block.ts';
import type { UriPieces } from './uri.ts';

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
