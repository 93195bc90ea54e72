/**
 * The time, as the strings that are written with every response and every log line. Each is made at most once a
 * second and only when somebody asks for it: asking costs one look at the clock and one comparison.
 */

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;

function two(number: number): string {
  return number < 10 ? `0${number}` : String(number);
}

function timeOfDay(date: Date): string {
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** Offset of the local zone at that moment: `+0530` with separator ''. */
function zone(date: Date, separator: string): string {
  const east = -date.getTimezoneOffset();
  const minutes = Math.abs(east);
  return `${east < 0 ? '-' : '+'}${two(Math.trunc(minutes / 60))}${separator}${two(minutes % 60)}`;
}

/** A function that returns `format` of the present second, and calls `format` only when the second has changed. */
function oncePerSecond(format: (date: Date) => string): () => string {
  let cachedSecond = Number.NaN;
  let text = '';
  return () => {
    // Not `| 0`: seconds leave the 32-bit integers in 2038.
    const second = Math.floor(wallMilliseconds() / 1000);
    if (second !== cachedSecond) {
      cachedSecond = second;
      text = format(new Date(second * 1000));
    }
    return text;
  };
}

/** Now, for the Date header (RFC 9110 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`. */
export const httpDate: () => string = oncePerSecond((date) => date.toUTCString());

/** Now, in the local zone, for `$time_local` of the access log: `21/Nov/2026:10:00:00 +0000`. */
export const logTime: () => string = oncePerSecond(
  (date) =>
    `${two(date.getDate())}/${MONTHS[date.getMonth()]}/${date.getFullYear()}:${timeOfDay(date)} ${zone(date, '')}`,
);

/** Now, in the local zone, as a line of the error log begins: `2026/11/21 10:00:00`. */
export const errorLogTime: () => string = oncePerSecond(
  (date) => `${date.getFullYear()}/${two(date.getMonth() + 1)}/${two(date.getDate())} ${timeOfDay(date)}`,
);

/** Now, in the local zone, as a message to syslog has it (RFC 3164, 4.1.2): `Nov  1 10:00:00`. */
export const syslogTime: () => string = oncePerSecond(
  (date) => `${MONTHS[date.getMonth()]} ${String(date.getDate()).padStart(2)} ${timeOfDay(date)}`,
);

/** Now, in the local zone, for `$time_iso8601`: `2026-11-21T10:00:00+00:00`. */
export const iso8601: () => string = oncePerSecond(
  (date) =>
    `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${timeOfDay(date)}${zone(date, ':')}`,
);

let monotonic = 0;
let wall = 0;
let known = false;

/** Looks at the clocks, once for all that is done in this turn of the event loop. */
function look(): void {
  monotonic = performance.now();
  wall = Date.now();
  known = true;
  setImmediate(forget);
}

function forget(): void {
  known = false;
}

/**
 * Milliseconds, with a fraction, since a moment of this thread's own choice (its start). Never goes back and knows
 * nothing of changes to the system's clock, so it is the one to measure how long something takes. The same for all of
 * one turn of the event loop, as nginx's: a request asks for the time a dozen times.
 */
export function nowMilliseconds(): number {
  if (!known) look();
  return monotonic;
}

/** Milliseconds since the epoch; the same for all of one turn of the event loop. */
export function wallMilliseconds(): number {
  if (!known) look();
  return wall;
}
