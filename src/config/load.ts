import { type ConfigurationSource, readConfiguration } from './parser.ts';
import type { Registry } from './registry.ts';
import { buildScopes, type Scope } from './scope.ts';
import { ConfigError, type Configuration, type Warning } from './statement.ts';

/** A configuration that was read and found good, as far as its directives can tell one by one. */
export interface LoadedConfiguration {
  /** What crosses to the workers. */
  readonly configuration: Configuration;
  /** The main scope. */
  readonly scope: Scope;
}

/**
 * Reads and checks a configuration in one go, with its errors in nginx's order: nginx checks each statement as it
 * reads it, so an unknown directive comes before a brace that is missing further down.
 *
 * @param warn hears of what is questionable but usable, also when an error follows
 * @throws ConfigError for the first error
 */
export function loadConfiguration(
  source: ConfigurationSource,
  registry: Registry,
  warn?: (warning: Warning) => void,
): LoadedConfiguration {
  let configuration: Configuration;
  try {
    configuration = readConfiguration(source);
  } catch (error) {
    if (error instanceof ConfigError && error.partial !== undefined)
      buildScopes(error.partial, registry, warn);
    throw error;
  }
  return { configuration, scope: buildScopes(configuration, registry, warn) };
}
