/** `upstream` blocks and their servers, and the `$upstream_*` variables (ngx_http_upstream_module). */
import { block, custom } from '../../config/directive.ts';
import type { Exchange, UpstreamAttempt } from '../../core/exchange.ts';
import { defineModule } from '../../core/module.ts';
import type { VariableDefinition } from '../../core/variables.ts';
import type { HeaderBlock } from '../../http/header-block.ts';
import { KnownHeader } from '../../http/header-names.ts';
import { upstreamGroups } from '../../upstream/groups.ts';
import { readServerLine, type ServerLine } from '../../upstream/server-line.ts';

const directives = {
  upstream: block(['http'], 'upstream', [1, 1], { repeat: true, syntax: 'name { ... }' }),
  server: custom<readonly ServerLine[]>(
    ['upstream'],
    [1, Number.POSITIVE_INFINITY],
    [],
    (statement, previous, report) => [...(previous ?? []), readServerLine(statement, report)],
    {
      inherited: false,
      syntax:
        'address [weight=number] [max_conns=number] [max_fails=number] [fail_timeout=time] [backup] [down] [drain]',
      differs: 'resolve, service= and route= are errors: what they need is not there yet.',
    },
  ),
};

export const upstream = defineModule({
  name: 'http_upstream',
  directives,
  variables: {
    upstream_addr: listOf((attempt) => attempt.address),
    upstream_status: listOf((attempt) => (attempt.status === 0 ? '-' : String(attempt.status))),
    upstream_connect_time: listOf((attempt) => timeText(attempt.connectTime)),
    upstream_header_time: listOf((attempt) => timeText(attempt.headerTime)),
    upstream_response_time: listOf((attempt) => timeText(attempt.responseTime)),
    upstream_response_length: listOf((attempt) => String(attempt.responseLength)),
    upstream_bytes_received: listOf((attempt) => String(attempt.bytesReceived)),
    upstream_bytes_sent: listOf((attempt) => String(attempt.bytesSent)),
    upstream_http_: { prefix: true, get: (exchange, name) => exchange.upstream?.headers?.variable(name) },
    upstream_trailer_: { prefix: true, get: (exchange, name) => exchange.upstream?.trailers?.variable(name) },
    upstream_cookie_: {
      prefix: true,
      get: (exchange, name) => setCookieValue(exchange.upstream?.headers, name),
    },
  },
  http(_settings, scope, link) {
    const groups = upstreamGroups<Exchange>(link);
    for (const child of scope.children('upstream')) groups.define(child, child.settings(directives).server);
    return undefined;
  },
});

/**
 * A variable with one value for each attempt, `, ` between them. Where an internal redirect led to another upstream,
 * an attempt without an address stands in the record, and ` : ` in the variable.
 */
function listOf(textOf: (attempt: UpstreamAttempt) => string): VariableDefinition {
  return {
    get({ upstream: record }) {
      if (record === undefined || record.attempts.length === 0) return undefined;
      const { attempts } = record;
      let list = textOf(attempts[0]);
      for (let index = 1; index < attempts.length; index++) {
        if (attempts[index].address !== '') {
          list += `, ${textOf(attempts[index])}`;
          continue;
        }
        list += ' : ';
        if (++index < attempts.length) list += textOf(attempts[index]);
      }
      return list;
    },
  };
}

/** Seconds with milliseconds: `0.003`; `-` where it did not come to that. */
function timeText(milliseconds: number): string {
  if (milliseconds < 0) return '-';
  const whole = Math.trunc(milliseconds);
  return `${Math.trunc(whole / 1000)}.${String(whole % 1000).padStart(3, '0')}`;
}

/** The value of the first Set-Cookie of that name (letters in either case), without attributes. */
function setCookieValue(headers: HeaderBlock | undefined, name: string): string | undefined {
  if (headers === undefined) return undefined;
  for (
    let i = headers.known(KnownHeader.setCookie);
    i >= 0;
    i = headers.known(KnownHeader.setCookie, i + 1)
  ) {
    const line = headers.value(i);
    if (line.length <= name.length || line.slice(0, name.length).toLowerCase() !== name) continue;
    let start = skipSpaces(line, name.length);
    if (line[start] !== '=') continue;
    start = skipSpaces(line, start + 1);
    const end = line.indexOf(';', start);
    return end < 0 ? line.slice(start) : line.slice(start, end);
  }
  return undefined;
}

function skipSpaces(text: string, position: number): number {
  while (text.charCodeAt(position) === 32) position++;
  return position;
}
