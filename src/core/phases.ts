/**
 * The phases of a request, in nginx's order, and the machine that walks an exchange through them.
 *
 * | phase         | handlers belong to | runs                                                    |
 * |---------------|--------------------|---------------------------------------------------------|
 * | postRead      | http               | once, when the head has been read                       |
 * | serverRewrite | server             | once for every choice of server and internal redirect   |
 * | (find config) |                    | chooses the location for the current URI                |
 * | rewrite       | location           | may change the URI, which sends it back to find config  |
 * | preaccess     | location           | limits                                                  |
 * | access        | location           | `satisfy all` or `satisfy any`                          |
 * | precontent    | location           | try_files, mirror                                       |
 * | content       | location           | makes the answer                                        |
 * | log           | location           | after the answer, whatever became of it                 |
 */
import type { Exchange } from './exchange.ts';
import type { ServerTls } from './tls.ts';

/** Where an exchange stands. */
export const Phase = {
  postRead: 0,
  serverRewrite: 1,
  findConfig: 2,
  rewrite: 3,
  postRewrite: 4,
  preaccess: 5,
  access: 6,
  postAccess: 7,
  precontent: 8,
  content: 9,
} as const;

/** The handler has no objection or nothing to say: go to the next handler of the phase. */
export const DECLINED = -5;
/** The handler is content. Ends the phase in `access` under `satisfy any`, and in `rewrite`-like phases goes on. */
export const OK = 0;
/** The handler has taken the exchange over and will end it, or carry it on, itself. */
export const DONE = -4;

/** DECLINED, OK, DONE, or an HTTP status the exchange is to be finished with. */
export type PhaseResult = number;

/** One handler of one phase. Returns a promise only where it has to wait. */
export type PhaseHandler = (exchange: Exchange) => PhaseResult | Promise<PhaseResult>;

/** What a module adds to a location; a phase left out costs nothing. */
export interface LocationHandlers {
  readonly rewrite?: PhaseHandler;
  readonly preaccess?: PhaseHandler;
  readonly access?: PhaseHandler;
  readonly precontent?: PhaseHandler;
  /** The location's own content handler (`proxy_pass`, `stub_status`): there is one at most, the last declared wins. */
  readonly handler?: PhaseHandler;
  /** A handler of the content phase, tried in module order where the location has no handler of its own. */
  readonly content?: PhaseHandler;
  /** The handler serves all that begins with the location's name: the name without its closing slash is redirected. */
  readonly autoRedirect?: boolean;
  readonly log?: (exchange: Exchange) => void;
  /** Sees the answer's head before it is sent; may change it, add a body filter, or set `exchange.refusal`. */
  readonly headerFilter?: (exchange: Exchange) => void;
  /** The header filter is for subrequests too, whose heads nobody sees: it adds a body filter. */
  readonly filtersSubrequests?: boolean;
  /**
   * What is done when the answer has gone out, or the client has (`post_action`): an internal redirect, whose answer
   * goes nowhere. The request is over when that has ended.
   */
  readonly epilogue?: (exchange: Exchange) => void;
}

/** What a module adds to a server. */
export interface ServerHandlers {
  readonly serverRewrite?: PhaseHandler;
  /** What the server says of TLS. */
  readonly tls?: ServerTls;
}

/** What a module adds to the whole of `http`. */
export interface HttpHandlers {
  readonly postRead?: PhaseHandler;
}
