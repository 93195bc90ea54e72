/** `expires`: how long caches may keep an answer, told in Expires and Cache-Control. */
import type { ReadContext } from '../../config/directive.ts';
import type { Statement } from '../../config/statement.ts';
import { parseSeconds } from '../../config/values.ts';
import type { Exchange } from '../../core/exchange.ts';
import type { Link } from '../../core/link.ts';
import { withField } from '../../core/response-headers.ts';
import { httpDate } from '../../event/clock.ts';
import { formatHttpDate } from '../../http/dates.ts';

/** `off`, and a variable's value that cannot be understood. */
const OFF = 0;
const EPOCH = 1;
const MAX = 2;
/** `time`: from now on. */
const ACCESS = 3;
/** `modified time`: from Last-Modified on. */
const MODIFIED = 4;
/** `@time`: until that time of the day. */
const DAILY = 5;

const DAY = 24 * 60 * 60;

interface Expiry {
  readonly kind: number;
  /** Seconds; below 0 for a time that has passed. */
  readonly seconds: number;
}

const NEVER: Expiry = { kind: OFF, seconds: 0 };

/** @returns what a value says, or the reason why it says nothing, as nginx words it */
function parseExpiry(value: string, modified: boolean): Expiry | string {
  if (!modified) {
    if (value === 'epoch') return { kind: EPOCH, seconds: 0 };
    if (value === 'max') return { kind: MAX, seconds: 0 };
    if (value === 'off') return NEVER;
  }
  const sign = value.charAt(0);
  const isDaily = sign === '@';
  if (isDaily && modified) return 'daily time cannot be used with "modified" parameter';
  const seconds = parseSeconds(isDaily || sign === '+' || sign === '-' ? value.slice(1) : value);
  if (seconds === undefined) return 'invalid value';
  if (isDaily && seconds > DAY) return 'daily time value must be less than 24 hours';
  return {
    kind: isDaily ? DAILY : modified ? MODIFIED : ACCESS,
    // There is no such time as -0.
    seconds: sign === '-' && seconds > 0 ? -seconds : seconds,
  };
}

/** Checks an `expires` as far as that can be done before there is a request. */
export function checkExpires({ args }: Statement, report: ReadContext): void {
  if (args.length === 2 && args[0] !== 'modified') report.failDirective('invalid value');
  const value = args.at(-1)!;
  if (value.includes('$')) return;
  const expiry = parseExpiry(value, args.length === 2);
  if (typeof expiry === 'string') report.failDirective(expiry);
}

/** Compiles an `expires`; undefined for `off`. */
export function compileExpires(statement: Statement, link: Link): ((exchange: Exchange) => void) | undefined {
  const modified = statement.args.length === 2;
  const template = link.template(statement, statement.args.at(-1)!);
  if (template.constant !== undefined) {
    const expiry = parseExpiry(template.constant, modified) as Expiry;
    if (expiry.kind === OFF) return undefined;
    return (exchange) => setExpires(exchange, expiry, expiry.seconds < 0);
  }
  return (exchange) => {
    const expiry = parseExpiry(template.evaluate(exchange), modified);
    if (typeof expiry !== 'string' && expiry.kind !== OFF) setExpires(exchange, expiry, false);
  };
}

/** @param past the time given is one before now, or before the last modification */
function setExpires({ response }: Exchange, { kind, seconds }: Expiry, past: boolean): void {
  let expires: string;
  let cacheControl: string;
  if (kind === EPOCH) {
    expires = 'Thu, 01 Jan 1970 00:00:01 GMT';
    cacheControl = 'no-cache';
  } else if (kind === MAX) {
    expires = 'Thu, 31 Dec 2037 23:55:55 GMT';
    // 10 years.
    cacheControl = 'max-age=315360000';
  } else if (seconds === 0 && kind !== DAILY) {
    expires = httpDate();
    cacheControl = 'max-age=0';
  } else {
    const now = Math.floor(Date.now() / 1000);
    const until =
      kind === DAILY
        ? nextTimeOfDay(seconds)
        : kind === ACCESS || response.lastModified < 0
          ? now + seconds
          : response.lastModified + seconds;
    expires = formatHttpDate(until);
    cacheControl = past || until < now ? 'no-cache' : `max-age=${until - now}`;
  }
  response.fields = withField(withField(response.fields, 'Expires', expires), 'Cache-Control', cacheControl);
}

/** When the local clocks show that many seconds since midnight next, in seconds since the epoch. */
function nextTimeOfDay(seconds: number): number {
  const date = new Date();
  const now = Math.floor(date.getTime() / 1000);
  date.setHours(0, 0, seconds, 0);
  const today = Math.floor(date.getTime() / 1000);
  if (today > now) return today;
  const tomorrow = new Date();
  tomorrow.setDate(tomorrow.getDate() + 1);
  tomorrow.setHours(0, 0, seconds, 0);
  return Math.floor(tomorrow.getTime() / 1000);
}
