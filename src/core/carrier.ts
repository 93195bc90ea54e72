/**
 * What an engine offers to an exchange: the one seam between bytes on a connection and the request's way through
 * the program. An engine implements `Carrier` for each exchange (or once for each connection), and makes one
 * `DownstreamConnection` for each connection it accepts.
 */

import type { TlsConnection } from './tls.ts';

/** Somewhere an answer's body goes: the carrier itself, or a filter in front of it. */
export interface BodySink {
  /**
   * Takes a piece of the body. A Buffer is borrowed until the sink says it is free: after the call returned true it
   * may be reused at once; after false it is in use until the exchange's `onDrain`.
   * @returns false when the sink has as much as it wants: go on after `onDrain`.
   */
  write(chunk: Buffer | string): boolean;
  /** Sends what has been written so far, the head included, without waiting for more. */
  flush(): void;
  /** The body is complete. */
  end(): void;
}

/** Receives the request's body, framing removed. */
export interface BodyReceiver {
  /**
   * A piece of the body.
   * @returns true where the receiver has done with the chunk, whose memory is then used again; false where it keeps it
   */
  data(chunk: Buffer): boolean;
  /** The body is complete. */
  end(): void;
  /**
   * The body will not be completed.
   * @param status the status to answer with: 400 for broken framing, 408 for a body that came too slowly, 413 for a
   *   chunked body beyond `limit`, 500 for one that could not be kept, or 0 when the client has closed its connection
   */
  fail(status: number): void;
}

/** The two directions of a connection after 101 Switching Protocols. */
export interface TunnelReceiver {
  /** Bytes from the client; the chunk is the receiver's to keep. */
  data(chunk: Buffer): void;
  /** The client has ended its direction. */
  end(): void;
  /** What was written has been taken, after `write` returned false. */
  drain(): void;
  /** The connection is gone, whatever the reason. Nothing follows. */
  close(): void;
}

/** The client's side of a tunnel, for writing and for steering. */
export interface Tunnel {
  /** @returns false when the client reads too slowly: go on after `drain`. */
  write(chunk: Buffer): boolean;
  /** Ends the direction towards the client. */
  end(): void;
  pause(): void;
  resume(): void;
  /** Closes the connection at once. */
  destroy(): void;
}

/**
 * An answer's head as the carrier gets it: in nginx's order, but for the framing headers that are not here, which come
 * in front of `fields`.
 */
export interface AnswerHead {
  readonly status: number;
  /** Status and reason: `200 OK`. */
  readonly statusLine: string;
  /** The line of Server, with its end. */
  readonly server: string;
  /** Value of Date. */
  readonly date: string;
  /** The line of Content-Type, with its end; '' for none. */
  readonly contentType: string;
  /** Length of the body in bytes: the value of Content-Length; -1 where it is not known. */
  readonly contentLength: number;
  /** Lines that depend on what is sent, each with its end: Last-Modified, Location. */
  readonly lines: string;
  /** All other lines, each with its end. */
  readonly fields: string;
  /** No body follows, whatever the headers say: HEAD, 204, 304, 1xx. */
  readonly bodyless: boolean;
}

/** An engine's hands for one exchange. */
export interface Carrier extends BodySink {
  /**
   * Takes the answer's head. Its framing (Content-Length, Transfer-Encoding, Connection, Keep-Alive) is the carrier's. It
   * may be held back until the first `write`, `flush` or `end` of this turn.
   */
  sendHead(head: AnswerHead): void;
  /** Sends an interim answer (100 Continue, 103 Early Hints) at once; nothing where the protocol has none. */
  sendInterim(statusLine: string, fields: string): void;
  /** Trailer lines to be sent after a body of unknown length; ignored where the framing has no place for them. */
  setTrailers(lines: string): void;
  /**
   * Begins to deliver the request's body. Called once at most; where it never is, the carrier discards the body.
   * @param limit greatest number of bytes accepted of a chunked body, 0 for no limit
   * @param timeout milliseconds between two reads (`client_body_timeout`)
   */
  readBody(receiver: BodyReceiver, limit: number, timeout: number): void;
  pauseBody(): void;
  resumeBody(): void;
  /**
   * Begins to drop the request's body, instead of `readBody`.
   * @returns false where the framing of what has come so far is broken
   */
  discardBody(): boolean;
  /** Closes the connection without a further byte: status 444, or an answer that broke off after its head. */
  abort(): void;
  /** After a 101 head: hands over the raw connection. The first bytes already received come through `data`. */
  tunnel(receiver: TunnelReceiver): Tunnel;
  /** Makes this answer the last one on its connection. */
  closeAfter(): void;
  /** True where all that was written has been taken by the system: buffers lent to `write` are free. */
  readonly drained: boolean;
  /** Bytes sent for this exchange, head and framing included: `$bytes_sent`. */
  readonly bytesSent: number;
  /** Of these, the head's. */
  readonly headBytes: number;
}

/** One accepted connection, as variables, logs and modules see it. */
export interface DownstreamConnection {
  /** Serial number, as in `*7` of the error log and `$connection`. */
  readonly number: number;
  /** Address of the client in text; `unix:` for a Unix socket. */
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Address the connection was accepted on, in text. */
  readonly localAddress: string;
  readonly localPort: number;
  /** `$server_addr`-like text of the Unix socket path, or ''. */
  readonly unixPath: string;
  /** Requests begun on this connection, the present one included. */
  requests: number;
  /** When it was accepted, in milliseconds since the epoch. */
  readonly acceptedAt: number;
  /** `https` where TLS ends here. */
  readonly scheme: 'http' | 'https';
  /** It was accepted where `listen ... ssl` expects TLS. */
  readonly expectsTls: boolean;
  /** What is known of TLS; undefined where the client speaks plain HTTP. */
  readonly tls: TlsConnection | undefined;
  /** `debug_connection` names the client: everything about this connection is logged. See `isDebugged` in log.ts. */
  readonly debug: boolean;
  /** True when the client has gone: nothing written will arrive. */
  readonly closed: boolean;
}
