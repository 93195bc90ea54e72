/**
 * The end of a request whose answer has gone out: what is still under way for it, and what is done after it. An engine
 * asks `settleExchange` before it lets go of an exchange and goes on with the connection.
 */
import { dropBodyFilters } from './body-filter.ts';
import type { Carrier, Tunnel, TunnelReceiver } from './carrier.ts';
import type { Exchange } from './exchange.ts';
import { Phase } from './phases.ts';
import { abandonDependents, type Relations, relationsOf, tellSettled } from './relations.ts';

/** Whether `settleExchange` has anything to find out. Nearly all requests are over with their answer. */
export function mayLinger(exchange: Exchange): boolean {
  return exchange.relations !== undefined || exchange.location.epilogue !== undefined;
}

/**
 * Begins what is to be done after the answer, and finds out whether anything is still under way.
 *
 * @param goOn called once when nothing is, where false is returned; a later call puts another in its place
 * @returns true where the exchange can be released now
 */
export function settleExchange(exchange: Exchange, goOn: () => void): boolean {
  const relations = relationsOf(exchange);
  if (relations.parent !== undefined) return true;
  // Nobody gets what was to become part of the answer.
  if (relations.epilogue === 'due') abandonDependents(relations, !exchange.complete);
  if (relations.epilogue === 'due') beginEpilogue(exchange, relations);
  if (relations.dependents.length === 0 && (relations.epilogue as string) !== 'running') return true;
  relations.onSettled = goOn;
  return false;
}

function beginEpilogue(exchange: Exchange, relations: Relations): void {
  // A head that was never complete is no request.
  if (exchange.location.epilogue === undefined || (exchange.phase === Phase.postRead && !exchange.headSent)) {
    relations.epilogue = 'done';
    return;
  }
  relations.epilogue = 'running';
  const { complete } = exchange;
  exchange.carrier = new EpilogueCarrier(exchange.carrier, () => {
    exchange.ended = true;
    exchange.complete = complete;
    exchange.onAbort = undefined;
    // The place it has led to may have an epilogue too; redirects are counted.
    if (exchange.location.epilogue !== undefined && exchange.uriChangesLeft > 0) runEpilogue(exchange);
    else {
      relations.epilogue = 'done';
      tellSettled(relations);
    }
  });
  runEpilogue(exchange);
}

function runEpilogue(exchange: Exchange): void {
  dropBodyFilters(exchange);
  exchange.epilogues++;
  exchange.ended = false;
  exchange.headSent = false;
  exchange.onDrain = undefined;
  exchange.onAbort = undefined;
  exchange.location.epilogue!(exchange);
}

/** Carries what is done after the answer: its own answer goes nowhere, and it has no further question. */
class EpilogueCarrier implements Carrier {
  private readonly carrier: Carrier;
  private readonly over: () => void;
  readonly drained = true;

  /** @param over called whenever an answer has ended */
  constructor(carrier: Carrier, over: () => void) {
    this.carrier = carrier;
    this.over = over;
  }

  get bytesSent(): number {
    return this.carrier.bytesSent;
  }

  get headBytes(): number {
    return this.carrier.headBytes;
  }

  sendHead(): void {}

  write(): boolean {
    return true;
  }

  flush(): void {}

  end(): void {
    this.over();
  }

  abort(): void {
    this.over();
  }

  sendInterim(): void {}

  setTrailers(): void {}

  closeAfter(): void {}

  readBody(receiver: { end(): void }): void {
    receiver.end();
  }

  pauseBody(): void {}

  resumeBody(): void {}

  discardBody(): boolean {
    return true;
  }

  tunnel(receiver: TunnelReceiver): Tunnel {
    queueMicrotask(() => receiver.close());
    return { write: () => true, end() {}, pause() {}, resume() {}, destroy() {} };
  }
}
