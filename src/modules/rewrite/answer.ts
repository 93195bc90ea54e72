/** The `return` directive. */
import { ConfigError, type Statement } from '../../config/statement.ts';
import { parseNumber } from '../../config/values.ts';
import { contentTypeOf } from '../../core/mime-types.ts';
import { DONE, OK } from '../../core/phases.ts';
import { discardRequestBody } from '../../core/request-body.ts';
import { sendWhole } from '../../core/send.ts';
import { constantTemplate, type Template } from '../../core/template.ts';
import type { Step, StepContext } from './steps.ts';
import { isUrl } from './substitution.ts';

const EMPTY = constantTemplate('');

/**
 * Compiles a `return`: a status; a status and the text of the answer, or of a redirect; a URL.
 * @throws ConfigError `invalid return code "x"`, those of templates
 */
export function compileReturn(statement: Statement, { link }: StepContext): Step {
  const [first = '', second] = statement.args;
  const code = parseNumber(first);
  if (code === undefined) {
    if (second === undefined && isUrl(first)) return redirect(302, link.template(statement, first));
    throw new ConfigError(`invalid return code "${first}"`, { statement });
  }
  if (code > 999) throw new ConfigError(`invalid return code "${first}"`, { statement });
  if (code >= 400 && (second === undefined || second === '')) return () => code;
  const text = second === undefined ? EMPTY : link.template(statement, second);
  if (code === 301 || code === 302 || code === 303 || code === 307 || code === 308) {
    return redirect(code, text);
  }
  // A status of 0 leaves the answer to whoever comes last, which is nobody.
  return (exchange) => {
    const refused = discardRequestBody(exchange);
    if (refused !== OK) return refused;
    // The text may speak of it.
    exchange.response.status = code;
    sendWhole(exchange, code, contentTypeOf(exchange), text.constant ?? text.evaluate(exchange));
    return DONE;
  };
}

function redirect(status: number, target: Template): Step {
  return (exchange) => {
    const refused = discardRequestBody(exchange);
    if (refused !== OK) return refused;
    exchange.response.status = status;
    const location = target.constant ?? target.evaluate(exchange);
    exchange.response.location = location;
    // One that says nothing is sent all the same.
    if (location === '') exchange.response.fields += 'Location: \r\n';
    return status;
  };
}
