/**
 * A module is the unit of change: one file (or folder) that declares its directives, its variables and what it does
 * in which phase. `modules/index.ts` lists them in the order in which their handlers run within a phase.
 */
import type { Directives, Settings } from '../config/directive.ts';
import type { Scope } from '../config/scope.ts';
import type { Link } from './link.ts';
import type { HttpHandlers, LocationHandlers, ServerHandlers } from './phases.ts';
import type { VariableDefinitions } from './variables.ts';

export interface Module<Declared extends Directives = Directives> {
  /** nginx's name of the module without `ngx_` and `_module`: `http_proxy`. */
  readonly name: string;
  readonly directives: Declared;
  /** Variables by name; a name that ends in `_` and has `prefix: true` stands for a family, such as `http_`. */
  readonly variables?: VariableDefinitions;
  /** Called once for the `http` block, before any server is linked: the place for blocks such as `upstream`, `map`. */
  http?(settings: Settings<Declared>, scope: Scope, link: Link): HttpHandlers | undefined;
  /** Called once for each `server` block, before its locations. */
  server?(settings: Settings<Declared>, scope: Scope, link: Link): ServerHandlers | undefined;
  /**
   * Called for each location, for each `if` and `limit_except` inside one, and for each server itself (whose
   * settings apply to requests that no location matches). Returns what the module does there, if anything.
   */
  location?(settings: Settings<Declared>, scope: Scope, link: Link): LocationHandlers | undefined;
}

/**
 * Declares a module. Exists for the inference: `settings` in the hooks has one typed property for each directive.
 *
 * @example
 * ```ts
 * export const emptyAnswer = defineModule({
 *   name: 'http_empty_answer',
 *   directives: { empty_answer: flag(['location'], false) },
 *   location: (settings) => (settings.empty_answer ? { handler: () => 204 } : undefined),
 * });
 * ```
 */
export function defineModule<const Declared extends Directives>(module: Module<Declared>): Module<Declared> {
  return module;
}
