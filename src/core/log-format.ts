/** `log_format`: a line of the access log, compiled to one closure. */
import { ConfigError, type Statement } from '../config/statement.ts';
import { iso8601, logTime } from '../event/clock.ts';
import { escapeJson } from '../http/uri-escape.ts';
import type { Exchange } from './exchange.ts';
import { bodyBytesSent, requestLength, secondsText, statusText } from './http-variables.ts';
import type { VariableRegistry } from './variables.ts';

/** Makes the line for an exchange, without a line feed at its end. */
export type LogFormat = (exchange: Exchange) => string;

/** The format there is without any `log_format`. */
export const COMBINED =
  '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"';

/** A `log_format` as it was read. */
export interface ParsedLogFormat {
  readonly statement: Statement;
  readonly name: string;
  readonly escape: Escape;
  /** Literal text, and names of variables as they are written. */
  readonly parts: readonly (string | { readonly variable: string })[];
}

/** Makes what is written of a value; undefined stands for none. */
type Escape = (value: string | undefined) => string;

const ESCAPES: Readonly<Record<string, Escape>> = {
  default: (value) => (value === undefined ? '-' : escapeForLog(value)),
  json: (value) => (value === undefined ? '' : escapeJson(value)),
  none: (value) => value ?? '',
};

/**
 * What the log itself knows: values as they are when the line is written, never remembered ones. By names as they
 * are written, for nginx looks at the case of these.
 */
const OWN_VALUES: ReadonlyMap<string, LogFormat> = new Map<string, LogFormat>([
  ['pipe', ({ pipelined }) => (pipelined ? 'p' : '.')],
  ['time_local', logTime],
  ['time_iso8601', iso8601],
  ['msec', () => secondsText(Date.now())],
  ['request_time', ({ startedAt }) => secondsText(Date.now() - startedAt)],
  ['status', statusText],
  ['bytes_sent', ({ carrier }) => String(carrier.bytesSent)],
  ['body_bytes_sent', (exchange) => String(bodyBytesSent(exchange))],
  ['request_length', (exchange) => String(requestLength(exchange))],
]);

/**
 * Variables that always have a value, and whose values never need escaping, whatever the client sends. None of them
 * can be assigned or defined anew.
 */
const PLAIN_VARIABLES: ReadonlySet<string> = new Set([
  'remote_addr',
  'remote_port',
  'server_port',
  'scheme',
  'https',
  'connection',
  'connection_requests',
  'connection_time',
  'request_id',
  'request_completion',
  'is_args',
  'pid',
  'nginx_version',
]);

/**
 * Bytes that would let a client forge lines or confuse a terminal: controls, `"`, `\`, and all from DEL up. Nearly all
 * values have none, and a regular expression sees that in half the time a loop takes.
 */
const ESCAPED = /[\x00-\x1f"\\\x7f-\xff]/;
const ALL_ESCAPED = new RegExp(ESCAPED, 'g');

/** Escapes as nginx does in logs, `\xHH`; the same string where there is nothing to escape. */
export function escapeForLog(text: string): string {
  return ESCAPED.test(text) ? text.replace(ALL_ESCAPED, hexadecimal) : text;
}

function hexadecimal(character: string): string {
  const byte = character.charCodeAt(0);
  return `\\x${byte < 16 ? '0' : ''}${byte.toString(16).toUpperCase()}`;
}

/**
 * Reads a `log_format` statement: name, perhaps `escape=`, and the pieces of the format.
 * @throws ConfigError `unknown log format escaping "x"`, `invalid parameter "$"`, `the closing bracket in "x" variable
 *   is missing`
 */
export function parseLogFormat(statement: Statement): ParsedLogFormat {
  const [name, ...texts] = statement.args;
  let escaping = 'default';
  if (texts[0]?.startsWith('escape=')) {
    escaping = texts[0].slice('escape='.length);
    if (!Object.hasOwn(ESCAPES, escaping)) {
      throw new ConfigError(`unknown log format escaping "${escaping}"`, { statement });
    }
    texts.shift();
  }
  return {
    statement,
    name,
    escape: ESCAPES[escaping],
    parts: texts.flatMap((text) => parseParts(text, statement)),
  };
}

function parseParts(text: string, statement: Statement): (string | { variable: string })[] {
  const parts: (string | { variable: string })[] = [];
  let position = 0;
  while (position < text.length) {
    const dollar = text.indexOf('$', position);
    if (dollar !== position) {
      parts.push(dollar < 0 ? text.slice(position) : text.slice(position, dollar));
      if (dollar < 0) break;
    }
    const bracketed = text[dollar + 1] === '{';
    const start = dollar + (bracketed ? 2 : 1);
    let end = start;
    while (end < text.length && /\w/.test(text[end])) end++;
    const variable = text.slice(start, end);
    if (bracketed && start < text.length && text[end] !== '}') {
      throw new ConfigError(`the closing bracket in "${variable}" variable is missing`, { statement });
    }
    if (variable === '') throw new ConfigError(`invalid parameter "${text.slice(dollar)}"`, { statement });
    parts.push({ variable });
    position = bracketed ? end + 1 : end;
  }
  return parts;
}

/** Compiles a format. Unknown variables are reported by `VariableRegistry.complete`. */
export function compileLogFormat(format: ParsedLogFormat, variables: VariableRegistry): LogFormat {
  // A literal before each value, and one at the end.
  const literals: string[] = [''];
  const values: LogFormat[] = [];
  for (const part of format.parts) {
    if (typeof part === 'string') literals[literals.length - 1] += part;
    else {
      values.push(compileValue(part.variable, format, variables));
      literals.push('');
    }
  }
  const last = literals[values.length];
  return (exchange) => {
    let line = '';
    for (let index = 0; index < values.length; index++) line += literals[index] + values[index](exchange);
    return line + last;
  };
}

function compileValue(
  name: string,
  { escape: written, statement }: ParsedLogFormat,
  variables: VariableRegistry,
): LogFormat {
  const own = OWN_VALUES.get(name);
  if (own !== undefined) return own;
  const variable = variables.lookup(name, statement);
  if (PLAIN_VARIABLES.has(variable.name)) return (exchange) => variable.get(exchange) ?? '-';
  return (exchange) => written(variable.get(exchange));
}
