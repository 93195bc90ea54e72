/**
 * The rewrite module: `if`, `set`, `return`, `break`. A scope's statements become a list of steps, run in the order
 * of the file; an `if` holds the steps of its block.
 */
import { accessSync, constants, type Stats, statSync } from 'node:fs';
import type { Scope } from '../config/scope.ts';
import { block, custom, statements } from '../config/setters.ts';
import { ConfigError, type Statement } from '../config/statement.ts';
import { parseNumber } from '../config/values.ts';
import type { Exchange } from '../core/exchange.ts';
import type { Link } from '../core/link.ts';
import { contentTypeOf } from '../core/mime-types.ts';
import { defineModule } from '../core/module.ts';
import { DECLINED, DONE, OK, type PhaseHandler, type PhaseResult } from '../core/phases.ts';
import { discardRequestBody } from '../core/request-body.ts';
import { sendWhole } from '../core/send.ts';
import type { Location } from '../core/site.ts';
import { constantTemplate, type Template } from '../core/template.ts';

/** One step; a number ends the run with it, undefined goes on. */
type Step = (exchange: Exchange) => PhaseResult | undefined;
type Condition = (exchange: Exchange) => boolean;

const CONTEXTS = ['server', 'location', 'if in server', 'if in location'];

/** The steps of a scope's rewrite statements; undefined where it has none. */
function compileSteps(scope: Scope, link: Link): Step[] | undefined {
  const steps: Step[] = [];
  for (const { name, statement, scope: inner, module } of scope.entries) {
    if (module !== 'http_rewrite') continue;
    if (name === 'set') steps.push(compileSet(statement, link));
    else if (name === 'return') steps.push(compileReturn(statement, link));
    else if (name === 'break') steps.push(() => breakOff);
    else if (name === 'if') steps.push(compileIf(statement, inner!, link));
  }
  return steps.length === 0 ? undefined : steps;
}

/** What `break` ends the run with: no further rewrite step, and the request goes on. */
const breakOff = DECLINED;

function runSteps(exchange: Exchange, steps: readonly Step[]): PhaseResult | undefined {
  for (let index = 0; index < steps.length; index++) {
    const result = steps[index]!(exchange);
    if (result !== undefined) return result;
  }
  return undefined;
}

function handlerOf(steps: readonly Step[] | undefined): PhaseHandler | undefined {
  return steps === undefined ? undefined : (exchange) => runSteps(exchange, steps) ?? DECLINED;
}

// ---- set, return ----

function compileSet(statement: Statement, link: Link): Step {
  const [target, text] = statement.args;
  if (!target!.startsWith('$') || target!.length === 1) {
    throw new ConfigError(`invalid variable name "${target}"`, { statement });
  }
  const variable = link.variables.assignable(target!.slice(1), statement);
  const value = link.template(statement, text!);
  return (exchange) => {
    variable.assign!(exchange, value.constant ?? value.evaluate(exchange));
    return undefined;
  };
}

const EMPTY = constantTemplate('');

function compileReturn(statement: Statement, link: Link): Step {
  const [first, second] = statement.args;
  const code = parseNumber(first!);
  if (code === undefined) {
    const isUrl =
      first!.startsWith('http://') || first!.startsWith('https://') || first!.startsWith('$scheme');
    if (second !== undefined || !isUrl)
      throw new ConfigError(`invalid return code "${first}"`, { statement });
    return redirect(302, link.template(statement, first!));
  }
  if (code > 999) throw new ConfigError(`invalid return code "${first}"`, { statement });
  if (code >= 400 && (second === undefined || second === '')) return () => code;
  const text = second === undefined ? EMPTY : link.template(statement, second);
  if (code === 301 || code === 302 || code === 303 || code === 307 || code === 308)
    return redirect(code, text);
  // A status of 0 leaves the answer to whoever comes last, which is nobody.
  return (exchange) => {
    const refused = discardRequestBody(exchange);
    if (refused !== OK) return refused;
    sendWhole(exchange, code, contentTypeOf(exchange), text.constant ?? text.evaluate(exchange));
    return DONE;
  };
}

function redirect(status: number, target: Template): Step {
  return (exchange) => {
    const refused = discardRequestBody(exchange);
    if (refused !== OK) return refused;
    exchange.response.location = target.constant ?? target.evaluate(exchange);
    return status;
  };
}

// ---- if ----

function compileIf(statement: Statement, scope: Scope, link: Link): Step {
  const condition = compileCondition(statement, link);
  const steps = compileSteps(scope, link) ?? [];
  const location: Location | undefined =
    scope.context === 'if in location' ? link.location(scope) : undefined;
  return (exchange) => {
    if (!condition(exchange)) return undefined;
    if (location !== undefined) exchange.location = location;
    return runSteps(exchange, steps);
  };
}

function compileCondition(statement: Statement, link: Link): Condition {
  const words = [...statement.args];
  const invalid = (word: string): never => {
    throw new ConfigError(`invalid condition "${word}"`, { statement });
  };
  const first = words[0]!;
  if (!first.startsWith('(')) invalid(first);
  if (first.length === 1) words.shift();
  else words[0] = first.slice(1);
  const last = words.at(-1) ?? '';
  if (!last.endsWith(')')) invalid(last);
  if (last.length === 1) words.pop();
  else words[words.length - 1] = last.slice(0, -1);

  const subject = words[0] ?? '';
  if (subject.length > 1 && subject.startsWith('$')) {
    if (words.length !== 1 && words.length !== 3) invalid(subject);
    const variable = link.variables.lookup(subject.slice(1), statement);
    if (words.length === 1) {
      return (exchange) => {
        const value = variable.get(exchange) ?? '';
        return value !== '' && value !== '0';
      };
    }
    return compileComparison(
      statement,
      (exchange) => variable.get(exchange) ?? '',
      words[1]!,
      words[2]!,
      link,
    );
  }
  if (/^!?-.$/.test(subject)) {
    if (words.length !== 2) invalid(subject);
    const path = link.template(statement, words[1]!);
    const negated = subject.startsWith('!');
    const test = FILE_TESTS[subject.at(-1)!];
    if (test === undefined) return invalid(subject);
    return (exchange) => fileTest(exchange, path.evaluate(exchange), test) !== negated;
  }
  return invalid(subject);
}

function compileComparison(
  statement: Statement,
  subject: (exchange: Exchange) => string,
  operator: string,
  operand: string,
  link: Link,
): Condition {
  switch (operator) {
    case '=': {
      const value = link.template(statement, operand);
      return (exchange) => subject(exchange) === value.evaluate(exchange);
    }
    case '!=': {
      const value = link.template(statement, operand);
      return (exchange) => subject(exchange) !== value.evaluate(exchange);
    }
    case '~':
    case '~*':
    case '!~':
    case '!~*': {
      const regex = link.regex(statement, operand, operator.endsWith('*'));
      const negated = operator.startsWith('!');
      return (exchange) => regex.match(exchange, subject(exchange)) !== negated;
    }
    default:
      throw new ConfigError(`unexpected "${operator}" in condition`, { statement });
  }
}

type FileTest = (stats: Stats, path: Buffer) => boolean;

const FILE_TESTS: Readonly<Record<string, FileTest>> = {
  f: (stats) => stats.isFile(),
  d: (stats) => stats.isDirectory(),
  e: () => true,
  x: (_stats, path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  },
};

function fileTest(exchange: Exchange, name: string, test: FileTest): boolean {
  const path = Buffer.from(name.startsWith('/') ? name : exchange.site.runtime.prefix + name, 'latin1');
  // A name with a NUL in it names no file.
  if (path.includes(0)) return false;
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats !== undefined && test(stats, path);
}

export const rewrite = defineModule({
  name: 'http_rewrite',
  directives: {
    if: block(
      ['server', 'location'],
      { server: 'if in server', location: 'if in location' },
      [1, Number.POSITIVE_INFINITY],
      { repeat: true, syntax: '(condition) { ... }' },
    ),
    set: statements(CONTEXTS, [2, 2], { syntax: '$variable value', inherited: false }),
    return: statements(CONTEXTS, [1, 2], { syntax: 'code [text]', inherited: false }),
    break: custom(CONTEXTS, [0, 0], false, () => true, { inherited: false }),
  },
  server(_settings, scope, link) {
    return { serverRewrite: handlerOf(compileSteps(scope, link)) };
  },
  location(_settings, scope, link) {
    // The steps of an `if` belong to the block it stands in; those of a server run before a location is chosen.
    if (scope.context !== 'location') return undefined;
    return { rewrite: handlerOf(compileSteps(scope, link)) };
  },
});
