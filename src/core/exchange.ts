/**
 * One request and its answer, on its way through the program. The state only: what is done to it stands in
 * `run.ts` (phases), `send.ts` (the answer's head), `finalize.ts` (its end), `request-body.ts` (the body).
 */
import { wallMilliseconds } from '../event/clock.ts';
import type { HeaderBlock } from '../http/header-block.ts';
import type { AddressAndPort } from '../http/ip-address.ts';
import type { RequestFraming } from '../http/request-check.ts';
import type { RequestHead } from '../http/request-head.ts';
import type { BodySink, Carrier, DownstreamConnection } from './carrier.ts';
import type { RequestBody } from './request-body.ts';
import type { Location, Server, Site } from './site.ts';

/** The head of the answer, until it is sent. */
export class ResponseHead {
  status = 0;
  /** Status line text without the version, where an upstream chose the words; '' for nginx's. */
  statusLine = '';
  /** Content-Type without charset; '' for none. */
  contentType = '';
  /** Charset appended to Content-Type; '' for none. */
  charset = '';
  /** In bytes; -1 where it is not known in advance. */
  contentLength = -1;
  /** Last-Modified in seconds since the epoch; -1 for none. */
  lastModified = -1;
  /** Last-Modified as an upstream wrote it, where `lastModified` is not to be formatted anew. */
  lastModifiedText = '';
  /** Location header; a value that begins with a slash is made absolute where `absolute_redirect` says so. */
  location = '';
  etag = '';
  /** True where the answer allows byte ranges. */
  acceptRanges = false;
  /** Server and Date as an upstream wrote them (`proxy_pass_header`); '' for our own. */
  server = '';
  date = '';
  /** Further header lines, whole and checked: `Name: value\r\n` each. */
  fields = '';
  /** Trailer lines, whole and checked. */
  trailers = '';
}

export class Exchange {
  readonly carrier: Carrier;
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

  /** Where the phase machine stands; run.ts's own. */
  phase = 0;
  handlerIndex = 0;
  /** Internal redirects and URI changes left before the request is given up with 500 (nginx: 10). */
  uriChangesLeft = 11;
  /** A rewrite has changed the URI: the location is to be chosen anew. */
  uriChanged = false;
  /** The URI is still the one the location was chosen by: a `rewrite ... break` clears it (nginx's `valid_location`). */
  validLocation = true;
  internal = false;
  /** The status an error page is sent with although the page itself was found; 0 for the page's own. */
  errorStatus = 0;
  /** An error page is being made: a failure in it gets none of its own (unless `recursive_error_pages`). */
  errorPage = false;
  /** Under `satisfy any`: the status of the handler that refused, until another one is content. */
  accessStatus = 0;
  /** 100 Continue has been sent. */
  continueSent = false;
  /** Bytes a second towards the client as `$limit_rate` or an upstream said; 0 for no limit, -1: `limit_rate` says. */
  limitRate = -1;
  readonly response = new ResponseHead();
  /** Where the body goes: the carrier, or the outermost body filter. */
  output: BodySink;
  headSent = false;
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

  /** A body filter that holds something back hears of room first, and calls `onDrain` itself when it holds nothing. */
  onHeldDrain: (() => void) | undefined = undefined;
  /** The client's side takes more after `output.write` had returned false. */
  onDrain: (() => void) | undefined = undefined;
  /**
   * The client has closed its connection before the answer was complete.
   * Returns true where the handler carries on all the same and will end the exchange itself.
   */
  onAbort: (() => boolean) | undefined = undefined;
  /** Called once when the exchange is released, last added first. */
  cleanups: (() => void)[] | undefined = undefined;

  /** The request's body where it is read whole; see request-body.ts. */
  body: RequestBody | undefined = undefined;
  bodyBytesReceived = 0;

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

  /** The client's address in text; `unix:` for a Unix socket. For all but what concerns the connection itself. */
  get remoteAddress(): string {
    return this.realClient === undefined ? this.connection.remoteAddress : this.realClient.address;
  }

  /** The client's port; 0 where there is none. */
  get remotePort(): number {
    return this.realClient === undefined ? this.connection.remotePort : this.realClient.port;
  }

  /** True where the request is answered with a head only. */
  get headOnly(): boolean {
    return this.method === 'HEAD';
  }

  /** Has the connection or the exchange ended? Then nothing more need be made. */
  get gone(): boolean {
    return this.ended || this.connection.closed;
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
