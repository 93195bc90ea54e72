/** The arguments of `server` in an `upstream` block. */
import type { ReadContext } from '../config/directive.ts';
import type { Statement } from '../config/statement.ts';
import { parameter, parseNumber, parseSeconds } from '../config/values.ts';
import { type ParsedAddress, parseAddress } from './address.ts';

/** What `server` says besides the address. */
export interface ServerParameters {
  readonly weight: number;
  readonly maxFails: number;
  /** Seconds. */
  readonly failTimeout: number;
  /** 0 for no limit. */
  readonly maxConns: number;
  readonly down: boolean;
  /** `drain`: only sessions bound to the server go there. */
  readonly draining: boolean;
  readonly backup: boolean;
}

/** One `server`, its name not yet resolved. */
export interface ServerLine extends ParsedAddress {
  /** The address as written. */
  readonly name: string;
  readonly statement: Statement;
  readonly parameters: ServerParameters;
}

/** What nginx has where nothing is said. */
export const DEFAULT_PARAMETERS: ServerParameters = {
  weight: 1,
  maxFails: 1,
  failTimeout: 10,
  maxConns: 0,
  down: false,
  draining: false,
  backup: false,
};

/** Parameters of nginx's that need what is not there yet, and what that is. */
const NOT_YET: Readonly<Record<string, string>> = {
  resolve: 'resolving names at run time',
  service: 'resolving names at run time',
  route: 'session affinity',
};

/** Reads one `server` directive. @throws ConfigError with nginx's messages */
export function readServerLine(statement: Statement, report: ReadContext): ServerLine {
  const [name = ''] = statement.args;
  const parameters: { -readonly [Key in keyof ServerParameters]: ServerParameters[Key] } = {
    ...DEFAULT_PARAMETERS,
  };
  for (const argument of statement.args.slice(1)) {
    if (!readParameter(argument, parameters, report)) report.fail(`invalid parameter "${argument}"`);
  }
  const parsed = parseAddress(name, 80, false);
  if (typeof parsed === 'string') return report.fail(`${parsed} in upstream "${name}"`);
  return { ...parsed, name, statement, parameters };
}

function readParameter(
  argument: string,
  into: { -readonly [Key in keyof ServerParameters]: ServerParameters[Key] },
  report: ReadContext,
): boolean {
  switch (argument) {
    case 'backup':
      into.backup = true;
      return true;
    case 'down':
      into.down = true;
      into.draining = false;
      return true;
    case 'drain':
      into.draining = true;
      into.down = false;
      return true;
  }
  const equals = argument.indexOf('=');
  const key = equals < 0 ? argument : argument.slice(0, equals);
  const missing = Object.hasOwn(NOT_YET, key) ? NOT_YET[key] : undefined;
  if (missing !== undefined)
    report.fail(`the "${key}" parameter is not supported yet: there is no ${missing}`);
  const text = parameter(argument, key);
  if (text === undefined) return false;
  const value = key === 'fail_timeout' ? parseSeconds(text) : parseNumber(text);
  if (value === undefined) return false;
  switch (key) {
    case 'weight':
      into.weight = value;
      return value > 0;
    case 'max_conns':
      into.maxConns = value;
      return true;
    case 'max_fails':
      into.maxFails = value;
      return true;
    case 'fail_timeout':
      into.failTimeout = value;
      return true;
    default:
      return false;
  }
}
