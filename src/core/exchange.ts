/**
 * One request and its answer, on its way through the program. The state only: what is done to it stands in
 * `run.ts` (phases), `send.ts` (the answer's head), `finalize.ts` (its end), `request-body.ts` (the body).
 */
import { wallMilliseconds } from '../event/clock.ts';
import type { HeaderBlock } from '../http/header-block.ts';
import type { AddressAndPort } from '../http/ip-address.ts';
import type { ByteRange } from '../http/ranges.ts';
import type { RequestFraming } from '../http/request-check.ts';
import type { RequestHead } from '../http/request-head.ts';
import type { BodyFilter } from './body-filter.ts';
import type { BodySink, Carrier, DownstreamConnection } from './carrier.ts';
import type { PhaseHandler } from './phases.ts';
import type { Relations } from './relations.ts';
import type { RequestBody } from './request-body.ts';
import type { Location, Server, Site } from './site.ts';

/** What is sent of a body of which only ranges are wanted. */
export interface BodyParts {
  readonly ranges: readonly ByteRange[];
  /** What is sent before each of them, and after the last: the lines between the parts of a multipart body. */
  readonly before: readonly string[] | undefined;
  readonly after: string;
}

/** The head of the answer, until it is sent. */
export class ResponseHead {
  status = 0;
  /** Status line text without the version, where an upstream chose the words; '' for nginx's. */
  statusLine = '';
  /** Content-Type without charset; '' for none. */
  contentType = '';
  /** Charset appended to Content-Type; '' for none. */
  charset = '';
  /** How an upstream appended it, its `; charset=` included, where it is not to be written anew; '' for our own way. */
  charsetText = '';
  /** Charset an upstream wants the answer to have (X-Accel-Charset); '' for none. */
  overrideCharset = '';
  /** In bytes; -1 where it is not known in advance. */
  contentLength = -1;
  /** Last-Modified in seconds since the epoch; -1 for none. */
  lastModified = -1;
  /** Last-Modified as an upstream wrote it, where `lastModified` is not to be formatted anew. */
  lastModifiedText = '';
  /** Location header; a value that begins with a slash is made absolute where `absolute_redirect` says so. */
  location = '';
  etag = '';
  /** Whoever makes the answer has judged the request's conditions (If-Modified-Since and others): they are not asked again. */
  unconditional = false;
  /** The answer allows byte ranges; a filter that changes the body's bytes takes that back. */
  acceptRanges = false;
  /** Of several ranges none can be sent, as the body comes piece by piece. */
  singleRange = false;
  /** Whoever makes the body can send any part of it, and looks at `parts` after the head has been sent. */
  seekable = false;
  /** The parts of a seekable body that are to be sent instead of all of it. */
  parts: BodyParts | undefined = undefined;
  /** Server and Date as an upstream wrote them (`proxy_pass_header`); '' for our own. */
  server = '';
  date = '';
  /** Further header lines, whole and checked: `Name: value\r\n` each. */
  fields = '';
  /** Trailer lines, whole and checked. */
  trailers = '';
  /** Trailers may follow the body: it is sent in chunks, although its length is known. */
  expectTrailers = false;
  /** What is sent depends on Accept-Encoding: `gzip_vary` says so. */
  varyEncoding = false;
}

export class Exchange {
  /** The engine's; while an epilogue runs, and for a subrequest, one that discards or collects (subrequest.ts). */
  carrier: Carrier;
  readonly connection: DownstreamConnection;

  /** Who the client is by the word of a trusted proxy (`real_ip_header`); undefined: the connection's other end. */
  realClient: AddressAndPort | undefined = undefined;

  /** The head as it was received. */
  readonly head: RequestHead;
  /** The method; an error page turns all but HEAD into GET. */
  method: string;
  readonly headers: HeaderBlock;
  /** From Content-Length, in bytes; -1 where there is none. */
  readonly contentLength: number;
  readonly chunked: boolean;
  /** When the head had been read, in milliseconds since the epoch. */
  readonly startedAt: number;

  uri: string;
  args: string;
  /** The target's path may be forwarded as it came (nginx's `valid_unparsed_uri`). */
  plain: boolean;
  /** `$n` and the text they are cut from: the last regular expression that matched. */
  captures: RegExpExecArray | undefined = undefined;
  /** Remembered and assigned variables, by `Variable.index`. */
  values: (string | undefined)[] = [];

  /** The configuration this request began with, and ends with, whatever is reloaded meanwhile. */
  site: Site;
  server: Server;
  location: Location;
  /** The content handler of the last location or `if` that has been entered and has one. */
  handler: PhaseHandler | undefined = undefined;

  /** Where the phase machine stands; run.ts's own. */
  phase = 0;
  handlerIndex = 0;
  /** Internal redirects and URI changes left before the request is given up with 500 (nginx: 10). */
  uriChangesLeft = 11;
  /** A rewrite has changed the URI: the location is to be chosen anew. */
  uriChanged = false;
  /** The URI is still the one the location was chosen by: a `rewrite ... break` clears it (nginx's `valid_location`). */
  validLocation = true;
  /** `try_files` has found the URI below an `alias` that else stands for the whole of it. */
  uriUnderAlias = false;
  internal = false;
  /** The status an error page is sent with although the page itself was found; 0 for the page's own. */
  errorStatus = 0;
  /** An error page is being made: a failure in it gets none of its own (unless `recursive_error_pages`). */
  errorPage = false;
  /** Under `satisfy any`: the status of the handler that refused, until another one is content. */
  accessStatus = 0;
  /** The server it is meant for asks for client certificates in another way than the handshake did; why that is so. */
  misdirected: 'by name' | 'by reload' | undefined = undefined;
  /** 100 Continue has been sent. */
  continueSent = false;
  /** Bytes a second towards the client as `$limit_rate` or an upstream said; 0 for no limit, -1: `limit_rate` says. */
  limitRate = -1;
  readonly response = new ResponseHead();
  /** Whether the client gets what is compressed; undefined as long as nobody has asked (gzip-acceptance.ts). */
  gzipAccepted: boolean | undefined = undefined;
  /** Where the body goes: the carrier, or the outermost of the body filters; see body-filter.ts. */
  output: BodySink;
  headSent = false;
  /** Set by a header filter that does not let the answer pass: the status that takes its place (304 is none). */
  refusal = 0;
  /** No body follows the head: HEAD, 204, 304. */
  bodyless = false;
  /** The answer has been given whole to the carrier, or given up. */
  ended = false;
  /** The answer has been given whole to the carrier: `$request_completion`. */
  complete = false;
  /** The request had been received before the answer to the one before it was sent: `$pipe`. */
  pipelined = false;
  /** The engine has let go of the exchange; it is logged and its resources are free. */
  released = false;
  /** May the connection be used again, as far as request and configuration say; the carrier has the last word. */
  keepAlive = true;

  /** The body filter in front of the carrier, which hears of room first; undefined where there is none. */
  innermostFilter: BodyFilter | undefined = undefined;
  /** `output` takes more after its `write` had returned false. */
  onDrain: (() => void) | undefined = undefined;
  /**
   * The client has closed its connection before the answer was complete.
   * Returns true where the handler carries on all the same and will end the exchange itself.
   */
  onAbort: (() => boolean) | undefined = undefined;
  /** Epilogues begun; see `overSince`. */
  epilogues = 0;
  /** Called once when the exchange is released, last added first. */
  cleanups: (() => void)[] | undefined = undefined;

  /** The request's body where it is read whole; see request-body.ts. */
  body: RequestBody | undefined = undefined;
  /** A handler had no use for it. */
  bodyDropped = false;
  bodyBytesReceived = 0;

  /** To subrequests, and to what comes after the answer; undefined where there are none (relations.ts). */
  relations: Relations | undefined = undefined;

  /** State of the modules, by key: one Map only where a module needs it. */
  #state: Map<symbol, unknown> | undefined = undefined;

  /** For the error log: `upstream: "http://127.0.0.1:8080/"`; '' while no upstream is being asked. */
  upstreamUrl = '';
  /** What the proxy knows of the upstreams it asked, for `$upstream_*`. */
  upstream: UpstreamRecord | undefined = undefined;

  constructor(
    head: RequestHead,
    framing: RequestFraming,
    carrier: Carrier,
    connection: DownstreamConnection,
    site: Site,
    server: Server,
  ) {
    this.carrier = carrier;
    this.output = carrier;
    this.connection = connection;
    this.head = head;
    this.method = head.method;
    this.headers = head.headers;
    this.contentLength = framing.contentLength;
    this.chunked = framing.chunked;
    this.startedAt = wallMilliseconds();
    this.uri = head.uri;
    this.args = head.args;
    this.plain = head.validUnparsedUri;
    this.site = site;
    this.server = server;
    this.location = server.location;
  }

  /** Goes on in a location that has been chosen, or in its `limit_except`. */
  enter(location: Location): void {
    const { limitExcept } = location;
    this.location =
      limitExcept === undefined || limitExcept.methods.has(this.method) ? location : limitExcept.location;
    this.handler = this.location.handler;
  }

  /** The client's address in text; `unix:` for a Unix socket. For all but what concerns the connection itself. */
  get remoteAddress(): string {
    return this.realClient === undefined ? this.connection.remoteAddress : this.realClient.address;
  }

  /** The client's port; 0 where there is none. */
  get remotePort(): number {
    return this.realClient === undefined ? this.connection.remotePort : this.realClient.port;
  }

  /** The client's own request: this one, unless it is a subrequest. */
  get main(): Exchange {
    return this.relations === undefined ? this : this.relations.main;
  }

  /** The program has made it, for another request. */
  get isSubrequest(): boolean {
    return this.relations !== undefined && this.relations.parent !== undefined;
  }

  /** Has the connection or the exchange ended? Then nothing more need be made. */
  get gone(): boolean {
    return this.ended || this.connection.closed;
  }

  /**
   * For what goes on by itself: has the answer it was begun for ended, though an epilogue may have begun one of its own?
   * @param epilogues what `epilogues` was when it was begun
   */
  overSince(epilogues: number): boolean {
    return this.ended || this.epilogues !== epilogues;
  }

  /** A module's own state for this exchange, by a symbol of the module. */
  state<State>(key: symbol): State | undefined {
    return this.#state?.get(key) as State | undefined;
  }

  setState(key: symbol, state: unknown): void {
    this.#state ??= new Map();
    this.#state.set(key, state);
  }

  /** Registers something to be done once when the exchange is released, on every path. */
  onRelease(cleanup: () => void): void {
    if (this.cleanups === undefined) this.cleanups = [cleanup];
    else this.cleanups.push(cleanup);
  }
}

/** What became of one attempt to get the answer from one upstream server. */
export interface UpstreamAttempt {
  /** `$upstream_addr` of this attempt. */
  address: string;
  /** 0 where no head was received. */
  status: number;
  /** Milliseconds, -1 where it did not come to that. */
  connectTime: number;
  headerTime: number;
  responseTime: number;
  bytesReceived: number;
  bytesSent: number;
  responseLength: number;
}

/** The attempts of one exchange, in order, and the last answer's header fields (`$upstream_http_*`). */
export interface UpstreamRecord {
  readonly attempts: UpstreamAttempt[];
  headers: HeaderBlock | undefined;
  trailers: HeaderBlock | undefined;
}
