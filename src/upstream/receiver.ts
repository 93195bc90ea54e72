/**
 * The seam between whoever asks an upstream server (the proxy module) and the HTTP/1 client that carries the question
 * (`request.ts`). All calls are synchronous; nothing is called after `end`, `fail` or `UpstreamRequest.abandon` (except in a tunnel, see `end`).
 */
import type { HeaderBlock } from '../http/header-block.ts';
import type { ResponseHead } from '../http/response-head.ts';

/** Why an attempt failed, in the terms of `proxy_next_upstream`. */
export type UpstreamFailureKind =
  /** The connection could not be made, was reset, or was closed too early. */
  | 'error'
  | 'timeout'
  /** The head could not be understood. */
  | 'invalid_header'
  /** Not the server's doing (no connection left, `proxy_bind` impossible): nginx answers 500 and asks no other server. */
  | 'internal';

export interface UpstreamFailure {
  readonly kind: UpstreamFailureKind;
  /**
   * nginx's words for the error log, with `while connecting to upstream` and the like; '' where it has been logged
   * already.
   */
  readonly message: string;
  readonly level: 'error' | 'crit' | 'info' | 'warn';
  /**
   * True where an idle connection from the pool turned out to be closed before anything of the answer came: the
   * attempt does not count, and is made again on another connection.
   */
  readonly stale: boolean;
  /** True where the TLS handshake failed: nginx logs it as `SSL_do_handshake() failed`, and answers 502. */
  readonly handshake: boolean;
  /**
   * True where the request stood behind another one on a connection (`keepalive_pipeline`), and that one's failure has
   * taken it along: nothing of its answer had come, and nothing is held against the server on its account.
   */
  readonly behind: boolean;
}

/** Hears what comes from an upstream server for one request. */
export interface UpstreamReceiver {
  /**
   * The connection stands (new, or idle until now): the request may be sent. A request that shares a connection may be
   * moved to another one before anything of its answer has come: then this is called again, and it is sent again.
   */
  connected(reused: boolean): void;
  /** An interim head: 103 Early Hints. 100 Continue is dropped, as nginx does. */
  interim(head: ResponseHead): void;
  /**
   * The final head. For 101 the connection is a tunnel from here on: bytes come through `data`, raw.
   * @param contentLength what its Content-Length says, in bytes; -1 without one
   */
  head(head: ResponseHead, contentLength: number): void;
  /**
   * A piece of the body, framing removed: buffer[start, end); it is lent, not given.
   * @param last whether the body is known to end with it: `end` follows whatever is returned, and what others count as
   *   under way can be counted as over before anybody sees the answer's end
   * @returns true when it is no longer needed; false when it is in use or no more is wanted: nothing more is read,
   *   and the piece is not touched, until `UpstreamRequest.resume`. `end` may follow all the same, at once, where the
   *   piece was the last one: the piece is then still not touched until `resume`, which may also be left out
   */
  data(buffer: Buffer, start: number, end: number, last: boolean): boolean;
  /**
   * The answer is complete; the connection has gone back to its pool, or is closed. In a tunnel: the server has ended
   * its direction; ours goes on until `UpstreamRequest.abandon`.
   */
  end(trailers: HeaderBlock | undefined): void;
  /** The answer will not be completed. The connection is closed. */
  fail(failure: UpstreamFailure): void;
  /** What was written has been taken, after `write` had returned false. */
  drain(): void;
  /** Something for the error log that does not end the answer; nginx's words, with `while reading upstream` and the like. */
  log(level: 'error' | 'warn' | 'info', message: string): void;
}
