/** What the SSI of one client's request share: the page, and the subrequests it includes. */
import type { Exchange } from '../../core/exchange.ts';
import type { VariableGetter } from '../../core/variables.ts';

/** Text that `include` can show instead of an empty answer. */
export interface SsiBlock {
  readonly name: string;
  /** Not evaluated yet: commands are in it as they were written. */
  text: string;
}

interface SsiState {
  /** Set by `set`, `include set=` and named groups; names in lower case. */
  readonly variables: Map<string, string>;
  readonly blocks: SsiBlock[];
  /** Groups of the last regular expression that matched, the whole first. */
  captures: readonly (string | undefined)[];
}

const STATE = Symbol('ssi');

/** The state of the client's request that `exchange` is, or belongs to. */
export function ssiState(exchange: Exchange): SsiState {
  const { main } = exchange;
  let state = main.state<SsiState>(STATE);
  if (state === undefined) {
    state = { variables: new Map(), blocks: [], captures: [] };
    main.setState(STATE, state);
  }
  return state;
}

/** Finds a variable of the configuration by its name in lower case; undefined where there is none. */
export type FindVariable = (name: string) => VariableGetter | undefined;

/**
 * The value of a variable: SSI's own, `1` to `9` of the last match, or one of the configuration.
 * @returns undefined where it has none
 */
export function ssiValue(exchange: Exchange, name: string, find: FindVariable): string | undefined {
  const { captures, variables } = ssiState(exchange);
  const lower = name.toLowerCase();
  if (lower.length === 1) {
    const number = lower.charCodeAt(0) - 48;
    if (number >= 0 && number < captures.length && number <= 9) return captures[number] ?? '';
  }
  return variables.get(lower) ?? find(lower)?.(exchange);
}
