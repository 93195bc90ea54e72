/** Links the upstream family alone, for its tests: `upstream` blocks and the groups they make. */

import { block } from '../../../src/config/directive.ts';
import { parseText } from '../../../src/config/parser.ts';
import { createRegistry } from '../../../src/config/registry.ts';
import { buildScopes } from '../../../src/config/scope.ts';
import { ConfigError, formatWarning, type Statement } from '../../../src/config/statement.ts';
import type { Exchange } from '../../../src/core/exchange.ts';
import type { Link } from '../../../src/core/link.ts';
import { defineModule } from '../../../src/core/module.ts';
import { compileTemplate } from '../../../src/core/template.ts';
import { VariableRegistry } from '../../../src/core/variables.ts';
import { upstreamModules } from '../../../src/modules/upstream/index.ts';
import { type UpstreamGroupRegistry, upstreamGroups } from '../../../src/upstream/groups.ts';
import { createTestRuntime, type TestRuntime } from '../../upstream/client.ts';

const http = defineModule({ name: 'http', directives: { http: block(['main'], 'http', [0, 0]) } });
const modules = [http, ...upstreamModules];

/** What linking has made. */
export interface Linked {
  readonly runtime: TestRuntime;
  readonly groups: UpstreamGroupRegistry<Exchange>;
  readonly warnings: readonly string[];
  readonly variables: VariableRegistry;
}

/** A place for errors, as a directive of a location would be. */
export const HERE: Statement = { name: 'proxy_pass', args: [], file: 'test.conf', line: 99 };

/**
 * Links what stands in `http { }`.
 * @param use what a location would do while it is linked
 * @throws ConfigError
 */
export async function link(
  text: string,
  use: (groups: UpstreamGroupRegistry<Exchange>) => void = () => {},
  runtime = createTestRuntime(),
): Promise<Linked> {
  const warnings: string[] = [];
  const states = new Map<symbol, unknown>();
  const tasks: (() => Promise<void>)[] = [];
  const variables = new VariableRegistry(upstreamModules.map((module) => module.variables ?? {}));
  const part: Partial<Link> = {
    runtime: runtime as unknown as Link['runtime'],
    variables,
    template: (statement, source) => compileTemplate(source, variables, statement),
    defer: (task) => tasks.push(task),
    warn: (statement, message) => warnings.push(formatWarning({ statement, message })),
    state<State>(key: symbol, create: () => State): State {
      if (!states.has(key)) states.set(key, create());
      return states.get(key) as State;
    },
  };
  const linking = part as Link;
  const scope = buildScopes(
    parseText(`http {\n${text}\n}\n`, 'test.conf'),
    createRegistry(modules),
    (warning) => warnings.push(formatWarning(warning)),
  );
  const inner = scope.children('http')[0];
  for (const module of upstreamModules) module.http?.(inner.settings(module.directives), inner, linking);
  const groups = upstreamGroups<Exchange>(linking);
  use(groups);
  for (const task of tasks) await task();
  return { runtime, groups, warnings, variables };
}

/** The error linking ends with, as nginx would print it. */
export async function errorOf(...args: Parameters<typeof link>): Promise<string> {
  try {
    await link(...args);
  } catch (error) {
    if (error instanceof ConfigError) return error.format();
    throw error;
  }
  throw new Error('there was no error');
}
