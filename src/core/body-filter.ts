/**
 * The filters an answer's body goes through between whoever makes it and the carrier. A header filter that wants to
 * see the body adds one with `addBodyFilter`; an answer nobody filters has none, and goes to the carrier directly.
 *
 * Header filters run in the order of `modules/index.ts`, which is nginx's, and so the chain comes to stand in nginx's
 * order too: who sees the head first sees the body first. Ranges are the exception: they are cut from the body as it
 * was made, although their head is written last (`addOutermostBodyFilter`).
 *
 * | header filter        | body filter, outermost first | does                                               |
 * |----------------------|------------------------------|----------------------------------------------------|
 * | (range, see below)   | range                        | cuts out the ranges the client wants               |
 * | not_modified         |                              | 304, 412                                           |
 * | headers              | headers                      | add_header, expires; at the end, add_trailer       |
 * | userid               |                              | gives the client a cookie                          |
 * | gunzip               | gunzip                       | decompresses for a client that does not            |
 * | addition             | addition                     | puts other answers before and behind               |
 * | sub                  | sub                          | replaces strings                                   |
 * | charset              | charset                      | names the charset, or recodes                      |
 * | ssi                  | ssi                          | server side includes                               |
 * | postpone             | postpone                     | puts the bodies of subrequests in their places     |
 * | gzip                 | gzip                         | compresses                                         |
 * | range                |                              | 206, 416                                           |
 * | limit_rate           | limit_rate                   | holds back what goes too fast                      |
 * | (`core/send.ts`)     | (the carrier)                | composes the head; frames and sends                |
 *
 * The body goes inwards, by `write`, `flush` and `end`. Room for more of it is told outwards: the engine calls
 * `carrierHasRoom` when the carrier takes more after it had returned false, which goes from filter to filter, each
 * first sending what it holds, and at last to `exchange.onDrain`.
 */
import type { BodySink } from './carrier.ts';
import type { Exchange } from './exchange.ts';

/**
 * One filter of one answer. The least a filter has to do is `write`; it passes on to `next` what becomes of a piece.
 *
 * - A Buffer it is given is lent: after `write` has returned true its owner uses it anew, after false it is in use
 *   until the filter says `tellRoom`. Passed on as it is, or in slices, it is lent onwards: `write` then returns false
 *   if any of the writes to `next` did.
 * - What it has made itself may be passed on in several pieces, whatever `next.write` returns, as long as that is
 *   bounded by what it was given; false is returned outwards.
 * - Nothing is written to it after `end`, or after it has called `fail`. It may be told of room at any time before the
 *   exchange is released, and never after.
 * - It takes what costs (a zlib handle, a timer) at the first `write`, and lets go of it in `exchange.onRelease`,
 *   which is called on every path. Whatever comes back later is dropped.
 */
export abstract class BodyFilter implements BodySink {
  protected readonly exchange: Exchange;
  /** What is inside of it: another filter, or the carrier. */
  next: BodySink;
  /** The filter that writes to this one; undefined where whoever makes the answer does. */
  outer: BodyFilter | undefined = undefined;

  constructor(exchange: Exchange) {
    this.exchange = exchange;
    this.next = exchange.carrier;
  }

  abstract write(chunk: Buffer | string): boolean;

  flush(): void {
    this.next.flush();
  }

  end(): void {
    this.next.end();
  }

  /** `next` takes more after it had returned false. A filter that holds something back sends it first. */
  onRoom(): void {
    this.tellRoom();
  }

  /** Tells whoever writes to this filter that it takes more, and that what it was lent is free. */
  protected tellRoom(): void {
    const { outer } = this;
    if (outer !== undefined) outer.onRoom();
    else this.exchange.onDrain?.();
  }

  /**
   * The rest of the body cannot be made: the client is told so by the end of its connection, as nginx does when a
   * filter fails. The reason belongs in the error log first. What is written from now on goes nowhere.
   * @returns false, for `write` to return
   */
  protected fail(): false {
    const { exchange, outer } = this;
    if (exchange.released) return false;
    exchange.output = NOWHERE;
    exchange.innermostFilter = undefined;
    if (outer !== undefined) outer.next = NOWHERE;
    this.next = NOWHERE;
    exchange.ended = true;
    exchange.complete = false;
    exchange.onDrain = undefined;
    exchange.onAbort = undefined;
    exchange.carrier.abort();
    return false;
  }
}

/** Where a body goes that nobody will get. */
const NOWHERE: BodySink = {
  write: () => false,
  flush() {},
  end() {},
};

/** Adds a filter at the inner end of the chain; called by header filters, in their order. */
export function addBodyFilter(exchange: Exchange, filter: BodyFilter): void {
  const outer = exchange.innermostFilter;
  if (outer === undefined) exchange.output = filter;
  else outer.next = filter;
  filter.outer = outer;
  filter.next = exchange.carrier;
  exchange.innermostFilter = filter;
}

/** Puts a filter in front of all others (ranges); called by a header filter. */
export function addOutermostBodyFilter(exchange: Exchange, filter: BodyFilter): void {
  const inner = exchange.output;
  if (inner === exchange.carrier) {
    addBodyFilter(exchange, filter);
    return;
  }
  filter.next = inner;
  (inner as BodyFilter).outer = filter;
  exchange.output = filter;
}

/** No body follows the head: there is nothing to filter, and nothing a filter would have to say at its end. */
export function dropBodyFilters(exchange: Exchange): void {
  exchange.output = exchange.carrier;
  exchange.innermostFilter = undefined;
}

/** For engines: the carrier takes more after its `write` had returned false. */
export function carrierHasRoom(exchange: Exchange): void {
  if (exchange.innermostFilter === undefined) exchange.onDrain?.();
  else if (!exchange.released) exchange.innermostFilter.onRoom();
}
