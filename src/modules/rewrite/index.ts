/**
 * The rewrite module: `rewrite`, `if`, `set`, `return`, `break`. A scope's statements become a list of steps, run in
 * the order of the file; an `if` holds the steps of its block.
 */
import { block, flag, statements } from '../../config/directive.ts';
import type { Scope } from '../../config/scope.ts';
import { ConfigError, type Statement } from '../../config/statement.ts';
import type { Exchange } from '../../core/exchange.ts';
import type { Link } from '../../core/link.ts';
import { log } from '../../core/log.ts';
import { defineModule } from '../../core/module.ts';
import { DECLINED, type PhaseHandler } from '../../core/phases.ts';
import type { Location } from '../../core/site.ts';
import { compileReturn } from './answer.ts';
import { compileCondition } from './condition.ts';
import { compileValue, continueSteps, runSteps, type Step, type StepContext } from './steps.ts';
import { compileRewrite } from './substitution.ts';

const CONTEXTS = ['server', 'location', 'if in server', 'if in location'];
const SETTING_CONTEXTS = ['http', ...CONTEXTS];
const NAME = 'http_rewrite';

const directives = {
  rewrite: statements(CONTEXTS, [2, 3], { syntax: 'regex replacement [flag]', inherited: false }),
  if: block(
    ['server', 'location'],
    { server: 'if in server', location: 'if in location' },
    [1, Number.POSITIVE_INFINITY],
    { repeat: true, syntax: '(condition) { ... }' },
  ),
  set: statements(CONTEXTS, [2, 2], { syntax: '$variable value', inherited: false }),
  return: statements(CONTEXTS, [1, 2], { syntax: 'code [text] | code URL | URL', inherited: false }),
  break: statements(CONTEXTS, [0, 0], { syntax: '', inherited: false }),
  rewrite_log: flag(SETTING_CONTEXTS, false),
  uninitialized_variable_warn: flag(SETTING_CONTEXTS, true),
};

/** The steps of a scope's rewrite statements; undefined where it has none. */
function compileSteps(scope: Scope, context: StepContext): Step[] | undefined {
  const steps: Step[] = [];
  for (const { name, statement, scope: inner, module } of scope.entries) {
    if (module !== NAME) continue;
    if (name === 'rewrite') steps.push(compileRewrite(statement, context));
    else if (name === 'set') steps.push(compileSet(statement, context));
    else if (name === 'return') steps.push(compileReturn(statement, context));
    else if (name === 'break') steps.push(breakOff);
    else if (name === 'if') steps.push(compileIf(statement, inner!, context));
  }
  return steps.length === 0 ? undefined : steps;
}

function compileHandler(scope: Scope, link: Link): PhaseHandler | undefined {
  const steps = compileSteps(scope, { link, trace: scope.settings(directives).rewrite_log });
  return steps === undefined ? undefined : (exchange) => runSteps(exchange, steps) ?? DECLINED;
}

/** `break`: no further step, and a URI that has been rewritten is not looked up. */
function breakOff(exchange: Exchange): typeof DECLINED {
  if (exchange.uriChanged) {
    exchange.validLocation = false;
    exchange.uriChanged = false;
  }
  return DECLINED;
}

function compileSet(statement: Statement, { link }: StepContext): Step {
  const [target = '', text = ''] = statement.args;
  if (!target.startsWith('$')) throw new ConfigError(`invalid variable name "${target}"`, { statement });
  const variable = link.variables.assignable(target.slice(1), statement, neverSet);
  const value = compileValue(statement, text, link);
  return (exchange) => {
    variable.assign!(exchange, value.constant ?? value.evaluate(exchange));
    return undefined;
  };
}

/** A variable of a `set` that this request has not come by. */
function neverSet(exchange: Exchange, name: string): string {
  if (exchange.location.scope.settings(directives).uninitialized_variable_warn) {
    const when = exchange.released ? ' while logging request' : '';
    log(exchange, 'warn', `using uninitialized "${name}" variable${when}`);
  }
  return '';
}

function compileIf(statement: Statement, scope: Scope, context: StepContext): Step {
  const condition = compileCondition(statement, context);
  const location: Location | undefined =
    scope.context === 'if in location' ? context.link.location(scope) : undefined;
  const steps = compileSteps(scope, context) ?? [];
  return (exchange) => {
    if (!condition(exchange)) return undefined;
    if (location !== undefined) {
      exchange.location = location;
      // One that has no handler leaves that of the block before it.
      if (location.handler !== undefined) exchange.handler = location.handler;
    }
    return continueSteps(exchange, steps);
  };
}

/** nginx's ngx_http_rewrite_module. */
export const rewrite = defineModule({
  name: NAME,
  directives,
  server: (_settings, scope, link) => ({ serverRewrite: compileHandler(scope, link) }),
  location(_settings, scope, link) {
    // The steps of an `if` belong to the block it stands in; those of a server run before a location is chosen.
    return scope.context === 'location' ? { rewrite: compileHandler(scope, link) } : undefined;
  },
});
