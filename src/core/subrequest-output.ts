/**
 * The bodies of an answer and of the subrequests it is made of, put together in their order (nginx's postpone filter).
 *
 * Every request whose body is part of the client's answer has a place; the places form a tree, as the requests do. Bytes
 * go out from one place at a time, the active one. What another place is given waits in it, up to 64 kB, so that small
 * bodies are complete before their turn has come; then its writer is told to wait. (A proxied answer is then read ahead
 * as `proxy_buffers` and its temporary file allow, as in nginx.)
 *
 * ```
 *   page: "a" [one] "b" [two] "c"       the active place   what waits in the page's place
 *   "a" is written                      page               -
 *   [one] is started                    one                -
 *   "b" is written, [two] started       one                "b", two, "c" as far as the page has come
 *   one ends                            page, then two     "b" goes out; then "c" waits for the end of two
 * ```
 */
import type { Scope } from '../config/scope.ts';
import { BodyFilter } from './body-filter.ts';
import type { Exchange } from './exchange.ts';
import type { Inclusion, Relations } from './relations.ts';

/** Bytes that may wait in a place before its writer has to. */
const WAITING_LIMIT = 65_536;

/** The scopes whose answers subrequests' bodies may be put into: their modules note them here while they are linked. */
export const includingScopes = new WeakSet<Scope>();

/** Whoever writes to a place. */
export interface PlaceOwner {
  /** The place takes more after `write` had returned false, and what was lent to it is free. */
  placeHasRoom(): void;
  /** All that came before has gone out, and the owner has ended. Never called for the client's own request. */
  placeIsOver(): void;
}

/** Where one request's body stands in the answer. */
export class OutputPlace {
  readonly owner: PlaceOwner;
  readonly parent: OutputPlace | undefined;
  /** What comes after what has gone out, in order. */
  readonly waiting: (Buffer | string | OutputPlace)[] = [];
  /** Bytes of it. */
  size = 0;
  /** The owner has been told to wait. */
  blocked = false;
  flushes = false;
  ended = false;
  /** Called once when everything before has gone out: the owner wants to go on only then (SSI's `wait`). */
  onTurn: (() => void) | undefined = undefined;

  constructor(owner: PlaceOwner, parent: OutputPlace | undefined) {
    this.owner = owner;
    this.parent = parent;
  }
}

/**
 * The body filter of the client's own request that puts the bodies together; its own body has the first place. It stands
 * where nginx has its postpone filter: what is outside of it (SSI, sub_filter, ...) sees only the request's own body,
 * what is inside (gzip, limit_rate) sees the whole.
 */
export class AssembledOutput extends BodyFilter implements PlaceOwner {
  readonly root: OutputPlace;
  private active: OutputPlace;
  /** `next` has as much as it takes. */
  private full = false;
  private advancing = false;
  private over = false;
  private begun = false;
  private readonly inclusion: Inclusion;

  constructor(exchange: Exchange, inclusion: Inclusion) {
    super(exchange);
    this.root = new OutputPlace(this, undefined);
    this.active = this.root;
    this.inclusion = inclusion;
  }

  // ---- the body of the request itself ----

  override write(chunk: Buffer | string): boolean {
    this.begin();
    return this.writeAt(this.root, chunk);
  }

  override flush(): void {
    this.flushAt(this.root);
  }

  override end(): void {
    this.begin();
    this.inclusion.after?.();
    this.endAt(this.root);
  }

  private begin(): void {
    if (this.begun) return;
    this.begun = true;
    this.inclusion.before?.();
  }

  // ---- any place ----

  /** Takes a piece of the body of a place. @returns as `BodySink.write` */
  writeAt(place: OutputPlace, chunk: Buffer | string): boolean {
    if (this.lost) return true;
    if (!this.full && this.active === place && place.waiting.length === 0) {
      this.full = !this.next.write(chunk);
      if (this.full) place.blocked = true;
      return !this.full;
    }
    place.size += chunk.length;
    if (place.size <= WAITING_LIMIT && !place.blocked) {
      place.waiting.push(typeof chunk === 'string' ? chunk : Buffer.from(chunk));
      return true;
    }
    place.waiting.push(chunk);
    place.blocked = true;
    return false;
  }

  flushAt(place: OutputPlace): void {
    if (this.active === place && place.waiting.length === 0) this.next.flush();
    else place.flushes = true;
  }

  endAt(place: OutputPlace): void {
    place.ended = true;
    this.advance();
  }

  /** Makes a place for a subrequest after all that has been written at `parent`. */
  addPlace(parent: OutputPlace, owner: PlaceOwner): OutputPlace {
    const place = new OutputPlace(owner, parent);
    parent.waiting.push(place);
    this.advance();
    return place;
  }

  /** Calls `onTurn` as soon as everything before what comes next at `place` has gone out; at once where it has. */
  awaitTurn(place: OutputPlace, onTurn: () => void): void {
    place.onTurn = onTurn;
    this.advance();
  }

  override onRoom(): void {
    this.full = false;
    this.advance();
  }

  placeHasRoom(): void {
    this.tellRoom();
  }

  placeIsOver(): void {}

  /** The answer has been given up: nothing goes out any more. */
  private get lost(): boolean {
    const { exchange } = this;
    return exchange.ended && !exchange.complete;
  }

  /** Sends what waits, as far as its turn has come and there is room. */
  private advance(): void {
    if (this.advancing) return;
    this.advancing = true;
    while (!this.over && this.step()) {
      // On to the next piece.
    }
    this.advancing = false;
  }

  /** @returns whether there may be more to do */
  private step(): boolean {
    if (this.lost) return false;
    const place = this.active;
    const first = place.waiting[0];
    if (first instanceof OutputPlace) {
      place.waiting.shift();
      this.active = first;
      return true;
    }
    if (this.full) return false;
    if (first !== undefined) {
      place.waiting.shift();
      place.size -= first.length;
      this.full = !this.next.write(first);
      return true;
    }
    if (place.flushes) {
      place.flushes = false;
      this.next.flush();
    }
    if (place.onTurn !== undefined) {
      const { onTurn } = place;
      place.onTurn = undefined;
      onTurn();
      return true;
    }
    if (place.ended) {
      if (place.parent === undefined) {
        this.over = true;
        this.next.end();
        return false;
      }
      this.active = place.parent;
      place.owner.placeIsOver();
      return true;
    }
    if (!place.blocked) return false;
    place.blocked = false;
    place.owner.placeHasRoom();
    return true;
  }
}

/** The outermost filter of a subrequest somebody has a body for, should it have none (`Relations.beforeEnd`). */
export class OutputWatch extends BodyFilter {
  private readonly relations: Relations;

  constructor(exchange: Exchange, relations: Relations) {
    super(exchange);
    this.relations = relations;
  }

  override write(chunk: Buffer | string): boolean {
    if (chunk.length > 0) this.relations.hasOutput = true;
    return this.next.write(chunk);
  }
}
