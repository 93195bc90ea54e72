/**
 * What ties an exchange to the requests it has made within the program (subrequests), and a client's request to what
 * it still does after its answer. Most exchanges have none: `exchange.relations` is undefined then.
 *
 * A client's request is over when its answer has gone *and* nothing that hangs on it is under way any more: until then
 * it is not logged, what it holds is not let go of, and its connection waits with the next request (nginx counts
 * references to the main request). `settleExchange` is how an engine asks.
 */
import type { Exchange } from './exchange.ts';
import type { AssembledOutput, OutputPlace } from './subrequest-output.ts';

/** Something under way that belongs to a client's request: a subrequest. */
export interface Dependent {
  /** Nobody waits for its answer: it goes on when the request that made it is complete (`mirror`). */
  readonly background: boolean;
  /** It wants to know when the client goes (`Exchange.onAbort`). What is in the background does not. */
  readonly watched: boolean;
  /**
   * The client's request has been given up. Everything it holds is let go of, unless it insists on going on
   * (`proxy_ignore_client_abort`): then it ends by itself.
   */
  abandon(): void;
}

/** What a header filter that will make subrequests wants to be called for. */
export interface Inclusion {
  /** Before the first byte of the body: starts subrequests that come before it. */
  readonly before?: () => void;
  /** At the end of the body: starts those that come after it. */
  readonly after?: () => void;
}

/** Subrequests of subrequests that one request may make (nginx's NGX_HTTP_MAX_SUBREQUESTS). */
const LEVELS = 51;

export class Relations {
  /** The client's own request. */
  readonly main: Exchange;
  /** Who made this one; undefined for the client's own. */
  readonly parent: Exchange | undefined;
  /** How many levels of subrequests there may be from here; 0: no more. */
  readonly levelsLeft: number;

  /** Only the answer's head is wanted. */
  headOnly = false;
  /** The answer's body is collected; such a request makes no subrequests of its own (nginx). */
  inMemory = false;
  /** Called once before the exchange ends; true where it has made an answer in the place of `status` (0: none). */
  beforeEnd: ((exchange: Exchange, status: number) => boolean) | undefined = undefined;
  /** Some of a body has been written; noted only where `beforeEnd` may want to know. */
  hasOutput = false;
  /** Where a subrequest's body stands in the client's answer; undefined where it does not. */
  place: OutputPlace | undefined = undefined;
  /** Given up before its end: it is not logged. */
  unlogged = false;

  // Of the client's own request:
  /** Subrequests of all levels that are under way. */
  readonly dependents: Dependent[] = [];
  /** Set by header filters: subrequests' bodies are to be put into the body. */
  inclusion: Inclusion | undefined = undefined;
  /** The filter that does so. */
  assembled: AssembledOutput | undefined = undefined;
  /** What comes after the answer (`Location.epilogue`): not begun, under way, done. */
  epilogue: 'due' | 'running' | 'done' = 'due';
  /** Called once when nothing is under way any more. */
  onSettled: (() => void) | undefined = undefined;

  constructor(exchange: Exchange, parent: Exchange | undefined) {
    this.parent = parent;
    const above = parent === undefined ? undefined : relationsOf(parent);
    this.main = above === undefined ? exchange : above.main;
    this.levelsLeft = above === undefined ? LEVELS : above.levelsLeft - 1;
  }
}

/** The relations of an exchange, made where it has none. */
export function relationsOf(exchange: Exchange): Relations {
  exchange.relations ??= new Relations(exchange, undefined);
  return exchange.relations;
}

/** For engines: would anybody want to know at once that the client has gone? */
export function isWatched(exchange: Exchange): boolean {
  const { relations } = exchange;
  if (relations === undefined) return exchange.onAbort !== undefined;
  // What comes after the answer does not concern the client.
  if (relations.epilogue === 'running') return false;
  return exchange.onAbort !== undefined || relations.dependents.some((dependent) => dependent.watched);
}

/**
 * The client's request has been given up, and with it all it has made.
 * @param background also what nobody waits for
 */
export function abandonDependents(relations: Relations, background: boolean): void {
  // They take themselves off the list.
  for (const dependent of relations.dependents.slice()) {
    if (background || !dependent.background) dependent.abandon();
  }
}

/** A dependent is over. What waited for the last of them goes on. */
export function removeDependent(relations: Relations, dependent: Dependent): void {
  const index = relations.dependents.indexOf(dependent);
  if (index < 0) return;
  relations.dependents.splice(index, 1);
  tellSettled(relations);
}

/** Lets go on whoever waits, if nothing is under way any more. */
export function tellSettled(relations: Relations): void {
  if (relations.dependents.length > 0 || relations.epilogue === 'running') return;
  const { onSettled } = relations;
  relations.onSettled = undefined;
  onSettled?.();
}
