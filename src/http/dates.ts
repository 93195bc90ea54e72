const WEEKDAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'] as const;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;
const DAYS_IN_MONTH = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const;

function two(n: number): string {
  return n < 10 ? `0${n}` : String(n);
}

// Log lines and Date headers ask for the same second again and again.
let httpSecond = Number.NaN;
let httpText = '';
let logSecond = Number.NaN;
let logText = '';
let isoSecond = Number.NaN;
let isoText = '';

/** A point in time, in Unix seconds, as in Date and Last-Modified (RFC 9110 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`. */
export function formatHttpDate(seconds: number): string {
  if (seconds !== httpSecond) {
    const date = new Date(seconds * 1000);
    const year = String(date.getUTCFullYear()).padStart(4, ' ');
    httpText = `${WEEKDAYS[date.getUTCDay()]}, ${two(date.getUTCDate())} ${MONTHS[date.getUTCMonth()]} ${year} ${clock(date)} GMT`;
    httpSecond = seconds;
  }
  return httpText;
}

function clock(date: Date): string {
  return `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`;
}

/** A point in time as the `expires` of a cookie: `Thu, 31-Dec-37 23:55:55 GMT`, four digits for years from 2038. */
export function formatCookieDate(seconds: number): string {
  const date = new Date(seconds * 1000);
  const fullYear = date.getUTCFullYear();
  const year = fullYear > 2037 ? String(fullYear) : two(fullYear % 100);
  return `${WEEKDAYS[date.getUTCDay()]}, ${two(date.getUTCDate())}-${MONTHS[date.getUTCMonth()]}-${year} ${clock(date)} GMT`;
}

function offsetText(date: Date, separator: string): string {
  const offset = -date.getTimezoneOffset();
  const minutes = Math.abs(offset);
  return `${offset < 0 ? '-' : '+'}${two(Math.trunc(minutes / 60))}${separator}${two(minutes % 60)}`;
}

/** $time_local, in the local zone: `28/Sep/1970:12:00:00 +0600`. */
export function formatLogTime(seconds: number): string {
  if (seconds !== logSecond) {
    const date = new Date(seconds * 1000);
    logText =
      `${two(date.getDate())}/${MONTHS[date.getMonth()]}/${date.getFullYear()}:${two(date.getHours())}` +
      `:${two(date.getMinutes())}:${two(date.getSeconds())} ${offsetText(date, '')}`;
    logSecond = seconds;
  }
  return logText;
}

/** $time_iso8601, in the local zone: `1970-09-28T12:00:00+06:00`. */
export function formatIso8601(seconds: number): string {
  if (seconds !== isoSecond) {
    const date = new Date(seconds * 1000);
    isoText =
      `${String(date.getFullYear()).padStart(4, ' ')}-${two(date.getMonth() + 1)}-${two(date.getDate())}` +
      `T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}${offsetText(date, ':')}`;
    isoSecond = seconds;
  }
  return isoText;
}

const IMF_DATE = 1;
const RFC850_DATE = 2;
const ASCTIME_DATE = 3;

/**
 * Unix seconds of an HTTP date in any of the three forms of RFC 9110 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`,
 * `Sunday, 06-Nov-94 08:49:37 GMT`, `Sun Nov  6 08:49:37 1994`. The weekday and what follows the time are not
 * looked at. Undefined if it is none of them.
 */
export function parseHttpDate(text: string): number | undefined {
  let p = 0;
  let form = 0;
  for (; p < text.length; p++) {
    const character = text[p];
    if (character === ',') break;
    if (character === ' ') {
      form = ASCTIME_DATE;
      break;
    }
  }
  p++;
  while (p < text.length && text[p] === ' ') p++;
  if (text.length - p < 18) return undefined;

  let day = -1;
  let year = -1;
  if (form !== ASCTIME_DATE) {
    day = digits(text, p, 2);
    if (day < 0) return undefined;
    p += 2;
    if (text[p] === ' ') form = IMF_DATE;
    else if (text[p] === '-') form = RFC850_DATE;
    else return undefined;
    if (form === IMF_DATE && text.length - p < 18) return undefined;
    p++;
  }

  const month = monthAt(text, p);
  if (month < 0) return undefined;
  p += 3;
  if ((form === IMF_DATE && text[p] !== ' ') || (form === RFC850_DATE && text[p] !== '-')) return undefined;
  p++;

  if (form === IMF_DATE) {
    year = digits(text, p, 4);
    if (year < 0) return undefined;
    p += 4;
  } else if (form === RFC850_DATE) {
    year = digits(text, p, 2);
    if (year < 0) return undefined;
    year += year < 70 ? 2000 : 1900;
    p += 2;
  } else {
    if (text[p] === ' ') p++;
    day = digits(text, p, 1);
    if (day < 0) return undefined;
    p++;
    if (text[p] !== ' ') {
      const second = digits(text, p, 1);
      if (second < 0) return undefined;
      day = day * 10 + second;
      p++;
    }
    if (text.length - p < 14) return undefined;
  }

  if (text[p] !== ' ' || text[p + 3] !== ':' || text[p + 6] !== ':') return undefined;
  const hour = digits(text, p + 1, 2);
  const minute = digits(text, p + 4, 2);
  const second = digits(text, p + 7, 2);
  p += 9;
  if (form === ASCTIME_DATE) {
    if (text[p] !== ' ') return undefined;
    year = digits(text, p + 1, 4);
    if (year < 0) return undefined;
  }
  if (hour < 0 || minute < 0 || second < 0 || hour > 23 || minute > 59 || second > 59) return undefined;
  if (day === 29 && month === 1) {
    if (year % 4 !== 0 || (year % 100 === 0 && year % 400 !== 0)) return undefined;
  } else if (day > DAYS_IN_MONTH[month]) {
    return undefined;
  }
  const date = new Date(0);
  // Not Date.UTC: it takes years below 100 for years of the twentieth century.
  date.setUTCFullYear(year, month, day);
  date.setUTCHours(hour, minute, second);
  return date.getTime() / 1000;
}

/** The number in exactly this many digits at `at`, -1 if there are not that many. */
function digits(text: string, at: number, count: number): number {
  let value = 0;
  for (let i = at; i < at + count; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (!(digit >= 0 && digit <= 9)) return -1;
    value = value * 10 + digit;
  }
  return value;
}

function monthAt(text: string, at: number): number {
  switch (text[at]) {
    case 'J':
      if (text[at + 1] === 'a') return 0;
      return text[at + 2] === 'n' ? 5 : 6;
    case 'F':
      return 1;
    case 'M':
      return text[at + 2] === 'r' ? 2 : 4;
    case 'A':
      return text[at + 1] === 'p' ? 3 : 7;
    case 'S':
      return 8;
    case 'O':
      return 9;
    case 'N':
      return 10;
    case 'D':
      return 11;
    default:
      return -1;
  }
}
