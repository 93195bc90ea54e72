/**
 * Subrequests: requests the program makes to itself while it answers one (nginx's ngx_http_subrequest). A subrequest is
 * an exchange with the client's head and connection, another URI, and a carrier of its own, which puts its body where it
 * belongs: into the client's answer, into memory, or nowhere. It begins with the server's rewrite phase, is `internal`,
 * and is not asked for access again.
 *
 * Its variables are those of the request that made it: what one sets, the other sees. So is the request's body, where
 * that has been read. It is logged where `log_subrequest` says so, and released by its carrier, exactly once.
 *
 * Whoever makes a subrequest goes on at once; the subrequest begins when that has come to rest.
 */
import { latin1Text } from '../http/latin1.ts';
import type { RequestFraming } from '../http/request-check.ts';
import { debugging } from '../log/debugging.ts';
import { carrierHasRoom, dropBodyFilters } from './body-filter.ts';
import type { AnswerHead, BodyReceiver, Carrier, Tunnel, TunnelReceiver } from './carrier.ts';
import { Exchange } from './exchange.ts';
import { clientGone } from './finalize.ts';
import { debug, log } from './log.ts';
import { Phase } from './phases.ts';
import { abandonDependents, type Dependent, Relations, relationsOf, removeDependent } from './relations.ts';
import type { RequestBody } from './request-body.ts';
import { release, run } from './run.ts';
import type { AssembledOutput, OutputPlace, PlaceOwner } from './subrequest-output.ts';

/**
 * What becomes of a subrequest's answer:
 * - `inline`: its body is put into the answer of the request that made it, after what that has written so far
 * - `memory`: its body is collected, up to `subrequest_output_buffer_size`
 * - `head`: nothing but its head is wanted, and waited for
 * - `background`: nobody waits; the client's connection does, with its next request
 */
export type SubrequestKind = 'inline' | 'memory' | 'head' | 'background';

/** How a subrequest differs from a plain GET. */
export interface SubrequestOptions {
  readonly kind: SubrequestKind;
  /** GET unless told. */
  readonly method?: string;
  /** True where the request's body, if it has been read, is not the subrequest's. */
  readonly withoutBody?: boolean;
  /** As `Relations.beforeEnd`. */
  readonly beforeEnd?: (subrequest: Exchange, status: number) => boolean;
  /**
   * Called once when the subrequest has ended; not where the client's request has been given up.
   * @param body what was collected, as a byte string; '' for other kinds
   */
  readonly ended?: (subrequest: Exchange, body: string) => void;
}

const NO_BODY: RequestBody = { size: 0, chunks: [], file: undefined, complete: true };

/**
 * Makes a subrequest.
 * @param parent the request, or subrequest, that needs it
 * @returns undefined where it cannot be made; why is in the error log
 */
export function startSubrequest(
  parent: Exchange,
  uri: string,
  args: string,
  options: SubrequestOptions,
): Exchange | undefined {
  const above = relationsOf(parent);
  const { main } = above;
  if (main.ended && !main.complete) return undefined;
  if (above.levelsLeft === 0) {
    log(parent, 'error', `subrequests cycle while processing "${uri}"`);
    return undefined;
  }
  if (above.inMemory) {
    log(parent, 'error', `nested in-memory subrequest "${uri}"`);
    return undefined;
  }
  if (debugging.on) debug(parent, `http subrequest "${uri}?${args}"`);
  const body = options.withoutBody === true || !parent.body?.complete ? NO_BODY : parent.body;
  const framing: RequestFraming = {
    contentLength: body.size > 0 ? body.size : -1,
    chunked: false,
    connection: 'none',
  };
  const carrier = new SubrequestCarrier(main, options);
  const exchange = new Exchange(parent.head, framing, carrier, parent.connection, parent.site, parent.server);
  carrier.exchange = exchange;
  exchange.method = options.method ?? 'GET';
  exchange.uri = uri;
  exchange.args = args;
  exchange.plain = false;
  exchange.internal = true;
  exchange.values = parent.values;
  exchange.realClient = parent.realClient;
  exchange.body = body;
  exchange.continueSent = true;
  exchange.gzipAccepted = false;
  exchange.phase = Phase.serverRewrite;
  const relations = new Relations(exchange, parent);
  relations.headOnly = options.kind === 'head' || options.kind === 'background';
  relations.inMemory = options.kind === 'memory';
  relations.beforeEnd = options.beforeEnd;
  exchange.relations = relations;
  exchange.site.users++;
  relationsOf(main).dependents.push(carrier);
  if (!relations.headOnly) carrier.takePlace(above, relations);
  queueMicrotask(() => carrier.begin());
  return exchange;
}

/** Calls `onTurn` once all that `exchange` has made so far, its subrequests too, is part of the answer. */
export function awaitTurn(exchange: Exchange, onTurn: () => void): void {
  const relations = relationsOf(exchange);
  const assembled = relationsOf(relations.main).assembled;
  const place = relations.place ?? assembled?.root;
  if (assembled === undefined || place === undefined) onTurn();
  else assembled.awaitTurn(place, onTurn);
}

/** The client's request is given up, with all it has made, as one of its subrequests cannot go on. */
function giveUp(main: Exchange, status: number): void {
  if (main.ended && !main.complete) return;
  const { onAbort } = main;
  if (!main.headSent) main.response.status = status;
  main.ended = true;
  main.complete = false;
  main.onDrain = undefined;
  main.onAbort = undefined;
  onAbort?.();
  dropBodyFilters(main);
  abandonDependents(relationsOf(main), true);
  main.carrier.abort();
}

/** The carrier of one subrequest, and the one who releases it. */
class SubrequestCarrier implements Carrier, Dependent, PlaceOwner {
  exchange!: Exchange;
  readonly headBytes = 0;
  readonly background: boolean;
  private readonly main: Exchange;
  private readonly options: SubrequestOptions;
  private assembled: AssembledOutput | undefined = undefined;
  private place: OutputPlace | undefined = undefined;
  private contentLength = -1;
  private collected = '';
  private abandoned = false;
  private finished = false;

  constructor(main: Exchange, options: SubrequestOptions) {
    this.main = main;
    this.options = options;
    this.background = options.kind === 'background';
  }

  /** Takes the next place in the answer. Without one (nobody has made room for it) the body goes nowhere. */
  takePlace(above: Relations, own: Relations): void {
    const { assembled } = relationsOf(this.main);
    if (assembled === undefined) return;
    this.assembled = assembled;
    this.place = assembled.addPlace(above.place ?? assembled.root, this);
    own.place = this.place;
  }

  begin(): void {
    if (!this.finished && !this.exchange.ended) run(this.exchange);
  }

  // ---- the answer ----

  sendHead({ contentLength }: AnswerHead): void {
    this.contentLength = contentLength;
  }

  write(chunk: Buffer | string): boolean {
    if (this.finished || this.abandoned) return true;
    if (this.options.kind === 'memory') {
      this.collect(chunk);
      return true;
    }
    return this.place === undefined || this.assembled!.writeAt(this.place, chunk);
  }

  private collect(chunk: Buffer | string): void {
    const { exchange, contentLength } = this;
    const size = exchange.location.settings.subrequest_output_buffer_size;
    if (contentLength > size) {
      log(exchange, 'error', `too big subrequest response: ${contentLength}`);
      this.abort();
    } else if (this.collected.length + chunk.length > size) {
      log(exchange, 'error', 'too big subrequest response');
      this.abort();
    } else this.collected += typeof chunk === 'string' ? chunk : latin1Text(chunk, 0, chunk.length);
  }

  flush(): void {
    if (this.place !== undefined && !this.finished && !this.abandoned) this.assembled!.flushAt(this.place);
  }

  end(): void {
    if (this.finished) return;
    if (this.place === undefined || this.abandoned) this.finish(true);
    else this.assembled!.endAt(this.place);
  }

  abort(): void {
    if (this.finished) return;
    this.exchange.ended = true;
    // A mirror that fails harms nobody.
    if (this.background || this.abandoned) this.finish(true);
    else giveUp(this.main, this.exchange.response.status);
  }

  setTrailers(): void {}

  closeAfter(): void {}

  sendInterim(): void {}

  tunnel(receiver: TunnelReceiver): Tunnel {
    log(this.exchange, 'error', 'connection upgrade in subrequest');
    queueMicrotask(() => {
      receiver.close();
      this.abort();
    });
    return { write: () => true, end() {}, pause() {}, resume() {}, destroy() {} };
  }

  get drained(): boolean {
    return this.place?.blocked !== true;
  }

  get bytesSent(): number {
    return this.main.carrier.bytesSent;
  }

  // ---- the question: its body has been read already, or is none ----

  readBody(receiver: BodyReceiver): void {
    receiver.end();
  }

  pauseBody(): void {}

  resumeBody(): void {}

  discardBody(): boolean {
    return true;
  }

  // ---- its place in the answer ----

  placeHasRoom(): void {
    if (!this.finished) carrierHasRoom(this.exchange);
  }

  placeIsOver(): void {
    this.finish(true);
  }

  // ---- its end ----

  get watched(): boolean {
    return !this.background && this.exchange.onAbort !== undefined;
  }

  abandon(): void {
    if (this.finished) return;
    if (clientGone(this.exchange)) {
      // `proxy_ignore_client_abort`: it will end by itself.
      this.abandoned = true;
      return;
    }
    this.finish(false);
  }

  /** @param regular false where the client's request was given up: it is not logged, and nobody hears of it */
  private finish(regular: boolean): void {
    if (this.finished) return;
    this.finished = true;
    const { exchange, main, options } = this;
    if (!regular) exchange.relations!.unlogged = true;
    release(exchange);
    removeDependent(relationsOf(main), this);
    if (regular && !this.abandoned && !(main.ended && !main.complete)) {
      options.ended?.(exchange, this.collected);
    }
  }
}
