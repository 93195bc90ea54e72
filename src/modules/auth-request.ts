/** `auth_request`: whether a client may have something is asked of another location (ngx_http_auth_request_module). */
import { statements, text } from '../config/setters.ts';
import type { Statement } from '../config/statement.ts';
import type { Exchange } from '../core/exchange.ts';
import type { Link } from '../core/link.ts';
import { log } from '../core/log.ts';
import { defineModule } from '../core/module.ts';
import { OK, type PhaseResult } from '../core/phases.ts';
import { fieldValues } from '../core/response-headers.ts';
import { startSubrequest } from '../core/subrequest.ts';
import type { Template } from '../core/template.ts';
import type { Variable } from '../core/variables.ts';
import { KnownHeader } from '../http/header-names.ts';

const CONTEXTS = ['http', 'server', 'location'];

interface Assignment {
  readonly variable: Variable;
  readonly value: Template;
}

function compile(statement: Statement, link: Link): Assignment {
  const [target, value] = statement.args;
  const variable = link.variables.assignable(target!.slice(1), statement);
  return { variable, value: link.template(statement, value!) };
}

/** What the answer of the other location means for the request. */
function judge(exchange: Exchange, answer: Exchange, assignments: readonly Assignment[]): PhaseResult {
  for (const { variable, value } of assignments) variable.assign!(exchange, value.evaluate(answer));
  const { status } = answer.response;
  if (status === 401) {
    exchange.response.fields += challenges(answer);
    return 401;
  }
  if (status === 403) return 403;
  if (status >= 200 && status < 300) return OK;
  log(exchange, 'error', `auth request unexpected status: ${status}`);
  return 500;
}

/** The WWW-Authenticate lines of an answer, or of the upstream it came from. */
function challenges({ response, upstream }: Exchange): string {
  const values = fieldValues(response.fields, 'www-authenticate');
  if (values.length > 0) return values.map((value) => `WWW-Authenticate: ${value}\r\n`).join('');
  const headers = upstream?.headers;
  let lines = '';
  let index = headers?.known(KnownHeader.wwwAuthenticate) ?? -1;
  for (; headers !== undefined && index >= 0; index = headers.known(KnownHeader.wwwAuthenticate, index + 1)) {
    lines += headers.lines(index, index + 1);
  }
  return lines;
}

function ask(exchange: Exchange, uri: string, assignments: readonly Assignment[]): Promise<PhaseResult> {
  return new Promise((resolve) => {
    const started = startSubrequest(exchange, uri, '', {
      kind: 'head',
      withoutBody: true,
      ended: (answer) => resolve(judge(exchange, answer, assignments)),
    });
    if (started === undefined) resolve(500);
  });
}

export const authRequest = defineModule({
  name: 'http_auth_request',
  directives: {
    auth_request: text(CONTEXTS, 'off', { syntax: 'uri | off' }),
    auth_request_set: statements(CONTEXTS, [2, 2], {
      syntax: '$variable value',
      check({ args }, report) {
        if (!args[0]!.startsWith('$')) report.fail(`invalid variable name "${args[0]}"`);
      },
    }),
  },
  location({ auth_request: uri, auth_request_set: given }, _scope, link) {
    // Compiled in any case: elsewhere the variables may be used.
    const assignments = given.map((statement) => compile(statement, link));
    if (uri === 'off' || uri === '') return undefined;
    return { access: (exchange) => ask(exchange, uri, assignments) };
  },
});
