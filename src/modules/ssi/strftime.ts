/** Formats a time as strftime(3) does in the C locale: SSI's `timefmt`. */
import { zoneName } from './zone-name.ts';

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];
const DAY = 86_400_000;

/** A broken-down time, as `struct tm`. */
interface BrokenDown {
  /** A date whose UTC fields are the ones wanted. */
  readonly fields: Date;
  /** Seconds since the epoch. */
  readonly epoch: number;
  /** Minutes east of UTC. */
  readonly offset: number;
  readonly zone: string;
}

/**
 * Formats a time.
 * @param format with glibc's conversions, flags (`_ - 0 ^ #`) and widths; what is none of them stays as it is
 * @param milliseconds since the epoch
 * @param utc true for UTC, whose name is then GMT; false for the system's time zone
 */
export function strftime(format: string, milliseconds: number, utc: boolean): string {
  const offset = utc ? 0 : -new Date(milliseconds).getTimezoneOffset();
  const time: BrokenDown = {
    fields: new Date(milliseconds + offset * 60_000),
    epoch: Math.floor(milliseconds / 1000),
    offset,
    zone: utc ? 'GMT' : zoneName(milliseconds, offset * 60),
  };
  return expand(format, time);
}

function expand(format: string, time: BrokenDown): string {
  let text = '';
  let position = 0;
  for (;;) {
    const percent = format.indexOf('%', position);
    if (percent < 0) return text + format.slice(position);
    text += format.slice(position, percent);
    let index = percent + 1;
    let flags = '';
    while ('_-0^#'.includes(format[index] ?? ' ')) flags += format[index++];
    let width = 0;
    for (let digit = digitAt(format, index); digit >= 0; digit = digitAt(format, ++index)) {
      width = Math.min(1024, width * 10 + digit);
    }
    if (format[index] === 'E' || format[index] === 'O') index++;
    const converted = convert(format[index] ?? '', time, flags, width);
    text += converted ?? format.slice(percent, index + 1);
    position = index + 1;
  }
}

function digitAt(text: string, index: number): number {
  const digit = text.charCodeAt(index) - 48;
  return digit >= 0 && digit <= 9 ? digit : -1;
}

/** One conversion; undefined where there is none of that name. */
function convert(conversion: string, time: BrokenDown, flags: string, width: number): string | undefined {
  const { fields } = time;
  const year = fields.getUTCFullYear();
  const hour = fields.getUTCHours();
  const hour12 = hour % 12 === 0 ? 12 : hour % 12;
  const weekday = fields.getUTCDay();
  const dayOfYear = Math.floor(
    (Date.UTC(year, fields.getUTCMonth(), fields.getUTCDate()) - Date.UTC(year, 0)) / DAY,
  );
  const number = (value: number, digits: number, pad = '0') => padNumber(value, digits, pad, flags, width);
  const words = (text: string) => padText(text, flags, width);
  const composed = (format: string) => words(expand(format, time));
  switch (conversion) {
    case 'a':
      return words(DAYS[weekday]!.slice(0, 3));
    case 'A':
      return words(DAYS[weekday]!);
    case 'b':
    case 'h':
      return words(MONTHS[fields.getUTCMonth()]!.slice(0, 3));
    case 'B':
      return words(MONTHS[fields.getUTCMonth()]!);
    case 'c':
      return composed('%a %b %e %H:%M:%S %Y');
    case 'C':
      return number(Math.floor(year / 100), 2);
    case 'd':
      return number(fields.getUTCDate(), 2);
    case 'D':
    case 'x':
      return composed('%m/%d/%y');
    case 'e':
      return number(fields.getUTCDate(), 2, ' ');
    case 'F':
      return composed('%Y-%m-%d');
    case 'g':
      return number(isoWeek(fields).year % 100, 2);
    case 'G':
      return number(isoWeek(fields).year, 1);
    case 'H':
      return number(hour, 2);
    case 'I':
      return number(hour12, 2);
    case 'j':
      return number(dayOfYear + 1, 3);
    case 'k':
      return number(hour, 2, ' ');
    case 'l':
      return number(hour12, 2, ' ');
    case 'm':
      return number(fields.getUTCMonth() + 1, 2);
    case 'M':
      return number(fields.getUTCMinutes(), 2);
    case 'n':
      return words('\n');
    case 'p':
      return flags.includes('#') ? words(hour < 12 ? 'am' : 'pm') : words(hour < 12 ? 'AM' : 'PM');
    case 'P':
      return words(hour < 12 ? 'am' : 'pm');
    case 'r':
      return composed('%I:%M:%S %p');
    case 'R':
      return composed('%H:%M');
    case 's':
      return number(time.epoch, 1);
    case 'S':
      return number(fields.getUTCSeconds(), 2);
    case 't':
      return words('\t');
    case 'T':
    case 'X':
      return composed('%H:%M:%S');
    case 'u':
      return number(weekday === 0 ? 7 : weekday, 1);
    case 'U':
      return number(Math.floor((dayOfYear + 7 - weekday) / 7), 2);
    case 'V':
      return number(isoWeek(fields).week, 2);
    case 'w':
      return number(weekday, 1);
    case 'W':
      return number(Math.floor((dayOfYear + 7 - ((weekday + 6) % 7)) / 7), 2);
    case 'y':
      return number(year % 100, 2);
    case 'Y':
      return number(year, 1);
    case 'z':
      return zoneOffset(time.offset);
    case 'Z':
      return words(flags.includes('#') ? time.zone.toLowerCase() : time.zone);
    case '%':
      return words('%');
    default:
      return undefined;
  }
}

function zoneOffset(minutes: number): string {
  const absolute = Math.abs(minutes);
  const text = String(Math.floor(absolute / 60) * 100 + (absolute % 60));
  return `${minutes < 0 ? '-' : '+'}${text.padStart(4, '0')}`;
}

function padNumber(value: number, digits: number, pad: string, flags: string, width: number): string {
  const text = String(value);
  // Of several flags the last counts.
  let padding = pad;
  for (const flag of flags) {
    if (flag === '_') padding = ' ';
    else if (flag === '-') padding = '';
    else if (flag === '0') padding = '0';
  }
  return padding === '' && width === 0 ? text : text.padStart(Math.max(width, digits), padding || ' ');
}

function padText(text: string, flags: string, width: number): string {
  const cased = flags.includes('^') || flags.includes('#') ? upper(text, flags) : text;
  return cased.padStart(width, flags.includes('0') ? '0' : ' ');
}

/** `#` swaps the case of what is all lower or all upper, and makes the rest upper. */
function upper(text: string, flags: string): string {
  const loud = text.toUpperCase();
  return flags.includes('#') && !flags.includes('^') && text === loud ? text.toLowerCase() : loud;
}

/** The week of ISO 8601: it begins on Monday and belongs to the year that has its Thursday. */
function isoWeek(fields: Date): { readonly year: number; readonly week: number } {
  const monday = (fields.getUTCDay() + 6) % 7;
  const thursday = new Date(fields.getTime() + (3 - monday) * DAY);
  const year = thursday.getUTCFullYear();
  return { year, week: Math.floor((thursday.getTime() - Date.UTC(year, 0)) / DAY / 7) + 1 };
}
