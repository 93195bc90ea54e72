/** The access module: `allow` and `deny`, by the client's address. */
import type { ReadContext } from '../config/directive.ts';
import type { Scope } from '../config/scope.ts';
import { statements } from '../config/setters.ts';
import type { Statement } from '../config/statement.ts';
import type { Exchange } from '../core/exchange.ts';
import { log } from '../core/log.ts';
import { defineModule } from '../core/module.ts';
import { DECLINED, OK, type PhaseHandler, type PhaseResult } from '../core/phases.ts';
import { type AddressPattern, compileAddresses, meaninglessBits, parseCidr } from '../http/cidr.ts';

const NAME = 'http_access';
const CONTEXTS = ['http', 'server', 'location', 'limit_except'];
const SYNTAX = 'address | CIDR | unix: | all';

function parsePattern(text: string): AddressPattern | undefined {
  return text === 'all' || text === 'unix:' ? text : parseCidr(text);
}

function check({ args }: Statement, report: ReadContext): void {
  const pattern = parsePattern(args[0]) ?? report.fail(`invalid parameter "${args[0]}"`);
  if (typeof pattern === 'object' && pattern.hasMeaninglessBits) report.warn(meaninglessBits(args[0]));
}

/** The rules that hold in a scope, in the order of the file: those of the nearest scope that has any of either kind. */
function rulesOf(scope: Scope): Statement[] {
  for (let nearest: Scope | undefined = scope; nearest !== undefined; nearest = nearest.parent) {
    const rules = nearest.entries.filter((entry) => entry.module === NAME);
    if (rules.length > 0) return rules.map((entry) => entry.statement);
  }
  return [];
}

function compileRules(rules: readonly Statement[]): PhaseHandler {
  const match = compileAddresses(
    rules.map(({ args }) => parsePattern(args[0])!),
    'IPv4 if any',
  );
  const denied = rules.map(({ name }) => name === 'deny');
  return (exchange) => {
    const position = match(exchange.remoteAddress);
    if (position < 0) return DECLINED;
    return denied[position] ? refuse(exchange) : OK;
  };
}

function refuse(exchange: Exchange): PhaseResult {
  // Under `satisfy any` another module may still let the request pass.
  if (exchange.location.settings.satisfy === 'all') log(exchange, 'error', 'access forbidden by rule');
  return 403;
}

/** nginx's ngx_http_access_module. */
export const accessModule = defineModule({
  name: NAME,
  directives: {
    allow: statements(CONTEXTS, [1, 1], { syntax: SYNTAX, check }),
    deny: statements(CONTEXTS, [1, 1], { syntax: SYNTAX, check }),
  },
  location(_settings, scope) {
    const rules = rulesOf(scope);
    return rules.length === 0 ? undefined : { access: compileRules(rules) };
  },
});
