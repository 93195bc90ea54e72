/** What the files of the rewrite module have in common: steps, and captures inside them. */

import type { Statement } from '../../config/statement.ts';
import type { Exchange } from '../../core/exchange.ts';
import type { Link } from '../../core/link.ts';
import { log } from '../../core/log.ts';
import type { PhaseResult } from '../../core/phases.ts';
import { captureGetter, compileTemplate, type Template } from '../../core/template.ts';
import type { VariableGetter } from '../../core/variables.ts';
import { escapeUri } from '../../http/uri-escape.ts';
import { debugging } from '../../log/debugging.ts';

/** One step; a number ends the run with it, undefined goes on. */
export type Step = (exchange: Exchange) => PhaseResult | undefined;

/** What the scope says in which steps stand. */
export interface StepContext {
  readonly link: Link;
  /** `rewrite_log`: what matches and what comes of it is logged. */
  readonly trace: boolean;
}

/**
 * Whether `$1` of a `set` or `if` is escaped now: until the first `rewrite` of a run has been carried out, as in nginx.
 * Nothing waits between the steps of a run, so one place will do for all.
 */
let escapesCaptures = true;

/** Runs steps in order, as one handler of the phase. @returns what ended the run; undefined where nothing did */
export function runSteps(exchange: Exchange, steps: readonly Step[]): PhaseResult | undefined {
  escapesCaptures = true;
  return continueSteps(exchange, steps);
}

/** Runs the steps of a block inside the run. */
export function continueSteps(exchange: Exchange, steps: readonly Step[]): PhaseResult | undefined {
  for (let index = 0; index < steps.length; index++) {
    const result = steps[index]!(exchange);
    if (result !== undefined) return result;
  }
  return undefined;
}

/** A `rewrite` has been carried out. */
export function stopEscapingCaptures(): void {
  escapesCaptures = false;
}

/**
 * What a capture stands for where it becomes part of a query or a redirect: escaped, if the request's target had
 * anything escaped in it, or a plus sign.
 */
export function escapedCapture(number: number): VariableGetter {
  return (exchange) => {
    const value = exchange.captures?.[number];
    if (value === undefined || value === '') return value;
    const { head } = exchange;
    return head.quotedUri || head.plusInUri ? escapeUri(value, 'args') : value;
  };
}

function captureInRun(number: number): VariableGetter {
  const plain = captureGetter(number);
  const escaped = escapedCapture(number);
  return (exchange) => (escapesCaptures ? escaped : plain)(exchange);
}

/** Compiles a value of `set` and `if`. */
export function compileValue(statement: Statement, text: string, link: Link): Template {
  return compileTemplate(text, link.variables, statement, captureInRun);
}

/** Says what a step did, for `rewrite_log` and debug logs; called only where `traces`. */
export function trace(exchange: Exchange, message: string): void {
  log(exchange, 'notice', message);
}

/** Whether steps are to say what they do. */
export function traces(exchange: Exchange, { trace: asked }: StepContext): boolean {
  return asked || (debugging.on && exchange.location.errorLog.enabled('debug'));
}
