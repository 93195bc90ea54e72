/** The `rewrite` directive. */
import { ConfigError, type Statement } from '../../config/statement.ts';
import { log } from '../../core/log.ts';
import { DECLINED, type PhaseResult } from '../../core/phases.ts';
import { compileTemplate, type Template } from '../../core/template.ts';
import { unescapeRedirect } from '../../http/uri-escape.ts';
import { escapedCapture, type Step, type StepContext, stopEscapingCaptures, trace, traces } from './steps.ts';

/** A URL, and so a redirect whatever the flag says. */
export function isUrl(text: string): boolean {
  return text.startsWith('http://') || text.startsWith('https://') || text.startsWith('$scheme');
}

/** What a `rewrite` makes of a URI that matches. */
interface Substitution {
  /** Of the client's redirect; 0 for a rewritten URI. */
  readonly status: number;
  /** The run ends here, and the URI is not looked up anew. */
  readonly breaks: boolean;
  /** The run ends here. */
  readonly last: boolean;
  /** The request's own arguments are appended. */
  readonly keepsArguments: boolean;
}

function readSubstitution(statement: Statement): Substitution {
  const [, replacement = '', flag] = statement.args;
  if (replacement === '') throw new ConfigError('empty replacement', { statement });
  let status = isUrl(replacement) ? 302 : 0;
  if (flag === 'redirect') status = 302;
  else if (flag === 'permanent') status = 301;
  else if (flag !== undefined && flag !== 'last' && flag !== 'break') {
    throw new ConfigError(`invalid parameter "${flag}"`, { statement });
  }
  return {
    status,
    breaks: flag === 'break',
    last: status !== 0 || flag !== undefined,
    keepsArguments: !replacement.endsWith('?'),
  };
}

/**
 * Compiles a `rewrite`.
 * @throws ConfigError `empty replacement`, `invalid parameter "x"`, those of regular expressions and templates
 */
export function compileRewrite(statement: Statement, context: StepContext): Step {
  const { link } = context;
  const [pattern = '', text = ''] = statement.args;
  const substitution = readSubstitution(statement);
  const regex = link.regex(statement, pattern, false);
  const replacement = substitution.keepsArguments ? text : text.slice(0, -1);
  const apply =
    substitution.status === 0
      ? compileUri(statement, replacement, substitution, context)
      : compileRedirect(statement, replacement, substitution, context);
  return (exchange) => {
    const { uri } = exchange;
    const tracing = traces(exchange, context);
    if (!regex.match(exchange, uri)) {
      if (tracing) trace(exchange, `"${pattern}" does not match "${uri}"`);
      exchange.captures = undefined;
      return undefined;
    }
    if (tracing) trace(exchange, `"${pattern}" matches "${uri}"`);
    exchange.internal = true;
    exchange.plain = false;
    exchange.uriChanged = !substitution.breaks;
    if (substitution.breaks) exchange.validLocation = false;
    const result = apply(exchange);
    stopEscapingCaptures();
    return result;
  };
}

/** A new URI: what follows the first `?` of the replacement are new arguments. */
function compileUri(
  statement: Statement,
  replacement: string,
  { last, keepsArguments }: Substitution,
  context: StepContext,
): Step {
  const { variables } = context.link;
  const question = replacement.indexOf('?');
  const path = question < 0 ? replacement : replacement.slice(0, question);
  const uri = compileTemplate(path, variables, statement);
  const query =
    question < 0
      ? undefined
      : compileTemplate(replacement.slice(question + 1), variables, statement, escapedCapture);
  const end: PhaseResult | undefined = last ? DECLINED : undefined;
  return (exchange) => {
    const rewritten = uri.evaluate(exchange);
    if (query !== undefined) {
      const args = query.evaluate(exchange);
      exchange.args = keepsArguments && exchange.args !== '' ? `${args}&${exchange.args}` : args;
    } else if (!keepsArguments) exchange.args = '';
    if (traces(exchange, context)) {
      trace(exchange, `rewritten data: "${rewritten}", args: "${exchange.args}"`);
    }
    exchange.uri = rewritten;
    if (rewritten !== '') return end;
    log(exchange, 'error', 'the rewritten URI has a zero length');
    return 500;
  };
}

function compileRedirect(
  statement: Statement,
  replacement: string,
  { status, keepsArguments }: Substitution,
  context: StepContext,
): Step {
  const target: Template = compileTemplate(replacement, context.link.variables, statement, escapedCapture);
  const separator = replacement.includes('?') ? '&' : '?';
  return (exchange) => {
    let location = unescapeRedirect(target.constant ?? target.evaluate(exchange));
    if (keepsArguments && exchange.args !== '') location += separator + exchange.args;
    if (traces(exchange, context)) trace(exchange, `rewritten redirect: "${location}"`);
    exchange.response.location = location;
    return status;
  };
}
