/**
 * What a module that asks upstream servers sees of `upstream/`: its settings, a group of servers, the attempts of one
 * exchange, and one request on one connection. `receiver.ts` is the other direction.
 *
 * ```ts
 * const attempts = group.begin(settings, exchange);
 * let request = attempts.next(receiver);     // undefined: no server can be asked, say attempts.refusal, answer 502
 * request?.start();                          // may call receiver.connected or receiver.fail before it returns
 * // receiver.connected:  request.write(head); ...; request.endRequest();
 * // receiver.end:        attempts.finish('ok');
 * // receiver.fail:       attempts.finish('failed'); while attempts.tries > 0 begin again with attempts.next(receiver)
 * // the client has gone: attempts.close();  // abandons the request, gives everything back; harmless at any time
 * ```
 */
import type { Statement } from '../config/statement.ts';
import type { AttemptOutcome } from './balance/types.ts';
import type { UpstreamReceiver } from './receiver.ts';
import type { UpstreamTls } from './tls.ts';

/** How a location asks upstream servers; made at link time, one object for each location. */
export interface UpstreamSettings {
  /**
   * Tells the locations apart for `keepalive N local` (and nginx's default, which is that): a connection one of them
   * has used is then not used by another. The same location has the same tag after a reload.
   */
  readonly tag: string;
  /** `proxy_connect_timeout`, ms; also for the TLS handshake. */
  readonly connectTimeout: number;
  /** `proxy_send_timeout`, ms between two successful writes. */
  readonly sendTimeout: number;
  /** `proxy_read_timeout`, ms between two successful reads. */
  readonly readTimeout: number;
  /** `proxy_buffer_size`: most bytes of a response's head. */
  readonly bufferSize: number;
  /** Most bytes of trailers to keep (`proxy_pass_trailers on`: `bufferSize`); 0 skips them. */
  readonly trailerLimit: number;
  /** `proxy_socket_keepalive`. */
  readonly socketKeepalive: boolean;
  /** `https://`: how to speak TLS (`createUpstreamTls` of tls.ts); undefined for plain HTTP. */
  readonly tls: UpstreamTls | undefined;
}

/** A group of upstream servers: an `upstream` block, or what a URL in `proxy_pass` names. */
export interface UpstreamGroup<Subject> {
  /** The name of the block, or the host as written in the URL. */
  readonly name: string;
  /** `keepalive_pipeline`: requests may share connections, see `UpstreamAttempts.sharing`. */
  readonly sharing: boolean;
  /**
   * Begins to serve one exchange. Nothing is counted until `next`.
   * @param subject what the key of `hash`, the address of `ip_hash` are taken from: the exchange
   */
  begin(settings: UpstreamSettings, subject: Subject): UpstreamAttempts;
}

/** The groups of one configuration, for those who ask them: `upstreamGroups(link)` of groups.ts. */
export interface UpstreamGroups<Subject> {
  /**
   * The group a URL without variables names, made where it is new. An `upstream` block further down the file counts
   * too. It can be used once all has been linked, which is when its name is resolved.
   * @param host as `ParsedAddress.host` has it
   * @param port the URL's, or the scheme's default; 0 for a Unix socket
   * @param hasPort whether the URL has one
   * @throws ConfigError `upstream "x" may not have port 80`; when linking ends: `host not found in upstream "x"`
   */
  use(host: string, port: number, hasPort: boolean, statement: Statement): UpstreamGroup<Subject>;
  /**
   * For a URL made while a request is served: a group of the configuration, or one of a single address where the host
   * is an IP address or `unix:/path`.
   * @param host as `ParsedAddress.host` has it
   * @param port the URL's, or the scheme's default; 0 for a Unix socket
   * @param hasPort whether the URL has one
   * @returns undefined where the name would have to be resolved: 502, `no resolver defined to resolve x`
   */
  find(host: string, port: number, hasPort: boolean): UpstreamGroup<Subject> | undefined;
}

/**
 * The attempts of one exchange to get an answer, one after another. Owns what each has counted in the peer table, and
 * gives it back exactly once.
 */
export interface UpstreamAttempts {
  /** The question is HEAD: the answer has no body whatever its head says. Set before `next`. */
  headOnly: boolean;
  /** `proxy_bind`: an IP address or `address:port`; '' for the system's choice. Set before `next`. */
  localAddress: string;
  /** `proxy_ssl_name` where `proxy_ssl_server_name` or `proxy_ssl_verify` need it; '' otherwise. Set before `next`. */
  tlsName: string;
  /**
   * The request has no body, an idempotent method, and nothing in its head that is about the connection: where the
   * group says `keepalive_pipeline`, it may share a connection with others of the same turn of the event loop. That
   * holds for the first attempt; what has to be sent again goes alone. Set before `next`.
   */
  sharing: boolean;
  /**
   * How many attempts are left, the one under way not included once it is finished. `proxy_next_upstream_tries` may
   * lower it; a stale connection (`UpstreamFailure.stale`) gives one back, after `finish`: `attempts.tries++`.
   */
  tries: number;
  /** The request under way; undefined before `next` and after `finish`. */
  readonly request: UpstreamRequest | undefined;
  /** Text for the error log when `next` has returned undefined: `no live upstreams while connecting to upstream`. */
  readonly refusal: string;
  /** What `$upstream_addr` and the log say where `next` has returned undefined: the group's name. */
  readonly groupName: string;
  /**
   * Chooses a server, counts it, and takes an idle connection to it from the pool or prepares a new one. Nothing is
   * sent and no receiver is called before `UpstreamRequest.start`. The attempt before must be finished.
   * @returns undefined where no server can be asked: "no live upstreams"
   */
  next(receiver: UpstreamReceiver): UpstreamRequest | undefined;
  /**
   * The answer is as good as complete: uncounts the server (outcome `ok`), so that whoever has seen the answer's end
   * finds it uncounted. `finish` then has nothing left to give back but the request.
   */
  settle(): void;
  /**
   * Ends the attempt under way: abandons its request unless that is complete, uncounts the server, notes the outcome.
   * Where the server is now taken out of service, the receiver is told (`log`, "upstream server temporarily
   * disabled"). Nothing happens where no attempt is under way.
   */
  finish(outcome: AttemptOutcome): void;
  /** `finish('ok')` for every path on which the exchange ends; harmless at any time. */
  close(): void;
}

/**
 * One request on one connection. States: made, started, connected, the question written, the head received, and
 * complete, failed, or abandoned, after which every method is harmless and does nothing.
 */
export interface UpstreamRequest {
  /** The server's address as in `$upstream_addr`: `127.0.0.1:8080`, `unix:/run/app.sock`. */
  readonly address: string;
  /** Whether the connection has served other requests. */
  readonly reused: boolean;
  /**
   * What is being done, as nginx ends its messages: `connecting to upstream`, `SSL handshaking to upstream`,
   * `sending request to upstream`, `reading response header from upstream`, `reading upstream`, `proxying upgraded
   * connection`.
   */
  readonly action: string;
  /** ms from `start` to a standing connection (TLS included), 0 for a reused one; -1 before. `$upstream_connect_time` */
  readonly connectTime: number;
  /** ms from `start` to the final head; -1 before. `$upstream_header_time` */
  readonly headerTime: number;
  /** ms since `start`, until the end of the answer once it has come. `$upstream_response_time` */
  readonly responseTime: number;
  /** Bytes received for this request, head and framing included. `$upstream_bytes_received` */
  readonly bytesReceived: number;
  /** Bytes written for this request. `$upstream_bytes_sent` */
  readonly bytesSent: number;
  /** Bytes written that the system has not taken yet; while there are any, what was written must not change. */
  readonly pending: number;
  /** Bytes of body handed to the receiver. `$upstream_response_length` */
  readonly responseLength: number;
  /** The answer is complete, has failed, or the request was abandoned. */
  readonly over: boolean;
  /** Other requests wait on the connection for the end of this one's answer: it had better be read quickly. */
  readonly crowded: boolean;

  /**
   * Begins: connects, or uses the idle connection. Calls `receiver.connected` when the connection stands, which for an
   * idle one is before `start` returns; a failure may also come before. A request that may share a connection
   * (`UpstreamAttempts.sharing`) gets one at the end of the event loop's turn.
   */
  start(): void;
  /**
   * Sends a piece of the request, framing included: the whole head in one piece, with a small body in the same one.
   * After 101: raw bytes.
   * @param chunk a byte string or a Buffer, which must not be changed afterwards
   * @returns false when the server reads too slowly: go on after `receiver.drain`
   */
  write(chunk: string | Buffer): boolean;
  /**
   * The request has been written whole. Without it the connection is not used again (nginx's `request_body_sent`), and
   * the time the server may take (`readTimeout`) does not begin.
   */
  endRequest(): void;
  /** After 101: ends our direction (half-close). The other one goes on. */
  end(): void;
  /** Stops reading. What is in hand by now may still come. */
  pause(): void;
  /** The piece `data` returned false for is free, and more is wanted; may call `data`, `end` and `fail` at once. */
  resume(): void;
  /**
   * As `resume`, but the piece `data` returned false for is still in use: its memory is the receiver's from now on, and
   * what comes is read into other memory.
   */
  resumeKeeping(): void;
  /** Gives the request up: the connection is closed, the receiver hears nothing more. */
  abandon(): void;
}
