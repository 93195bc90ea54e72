/*
 * Readers of single arguments, for directives and for parameters such as `weight=5` or `timeout=5s`. Each takes
 * the text alone and returns undefined for what nginx refuses. Results above 2^53 are rounded.
 */

/** The largest value of nginx's signed 64-bit numbers. */
const largest = 0x7fff_ffff_ffff_ffffn;

function parseInteger(text: string): bigint | undefined {
  if (text.length === 0) return undefined;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code < 0x30 || code > 0x39) return undefined;
  }
  const value = BigInt(text);
  return value > largest ? undefined : value;
}

/** A whole number, digits only, without a sign. */
export function parseNumber(text: string): number | undefined {
  const value = parseInteger(text);
  return value === undefined ? undefined : Number(value);
}

/**
 * A number with up to `places` digits after a point, as a whole number of the smallest unit:
 * `parseFixedPoint('0.5', 2)` is 50. More digits than that are an error, and so is a text without any digit.
 */
export function parseFixedPoint(text: string, places: number): number | undefined {
  const point = text.indexOf('.');
  const whole = point < 0 ? text : text.slice(0, point);
  const fraction = point < 0 ? '' : text.slice(point + 1);
  if (text.length === 0 || fraction.length > places) return undefined;
  return parseNumber(whole + fraction.padEnd(places, '0'));
}

function parseScaled(text: string, units: Readonly<Record<string, bigint>>): number | undefined {
  const scale = units[text.charAt(text.length - 1).toLowerCase()];
  const value = parseInteger(scale === undefined ? text : text.slice(0, -1));
  if (value === undefined || value > largest / (scale ?? 1n)) return undefined;
  return Number(value * (scale ?? 1n));
}

const sizeUnits = { k: 1024n, m: 1024n * 1024n };
const offsetUnits = { ...sizeUnits, g: 1024n * 1024n * 1024n };

/** A size in bytes: a number, with `k` or `m` for kilobytes and megabytes of 1024, in either case. */
export function parseSize(text: string): number | undefined {
  return parseScaled(text, sizeUnits);
}

/** A size in bytes as {@link parseSize}, and `g`: what nginx takes where files are measured. */
export function parseOffset(text: string): number | undefined {
  return parseScaled(text, offsetUnits);
}

/** Units of time from the longest down, in seconds. The place in the list is what keeps them in order. */
const timeUnits = ['y', 'M', 'w', 'd', 'h', 'm', 's', 'ms'];
const unitSeconds = [31_536_000n, 2_592_000n, 604_800n, 86_400n, 3600n, 60n, 1n];
const monthUnit = 1;
const secondUnit = 6;
const millisecondUnit = 7;
/** After a bare number and a space, which means seconds, no unit may follow. */
const nothingAfter = 8;

/**
 * A time such as `30`, `1h 30m` or `1d12h`; a number without a unit is seconds. Units come from the longest to
 * the shortest: y M w d h m s ms.
 *
 * @param unit `milliseconds` allows `ms` and refuses years and months, `seconds` the other way round, as nginx.
 * @returns the time in that unit
 */
export function parseTime(text: string, unit: 'seconds' | 'milliseconds'): number | undefined {
  const scale = unit === 'seconds' ? 1n : 1000n;
  let total = 0n;
  let digits = 0;
  let anyDigits = false;
  let value = 0n;
  let step = unit === 'seconds' ? -1 : monthUnit;

  for (let index = 0; index < text.length; ) {
    const character = text.charAt(index++);
    if (character >= '0' && character <= '9') {
      value = value * 10n + BigInt(character);
      if (value > largest) return undefined;
      digits++;
      anyDigits = true;
      continue;
    }

    let factor = scale;
    if (character === ' ') {
      if (step >= secondUnit) return undefined;
      step = nothingAfter;
    } else {
      const isMilliseconds = character === 'm' && text.charAt(index) === 's';
      const next = isMilliseconds ? millisecondUnit : timeUnits.indexOf(character);
      if (next <= step || next < 0 || (isMilliseconds && unit === 'seconds')) return undefined;
      if (isMilliseconds) index++;
      factor = isMilliseconds ? 1n : (unitSeconds[next] ?? 1n) * scale;
      step = next;
    }

    total += value * factor;
    if (total > largest) return undefined;
    value = 0n;
    digits = 0;
    while (text.charAt(index) === ' ') index++;
  }

  if (!anyDigits) return undefined;
  if (digits > 0) total += value * scale;
  return total > largest ? undefined : Number(total);
}

/** A time in milliseconds: `500ms`, `5s`, `1m 30s`; no years or months. */
export function parseMilliseconds(text: string): number | undefined {
  return parseTime(text, 'milliseconds');
}

/** A time in whole seconds: `5`, `5s`, `1h 30m`, `1y`; no `ms`. */
export function parseSeconds(text: string): number | undefined {
  return parseTime(text, 'seconds');
}

/** `on` or `off`, in either case. */
export function parseFlag(text: string): boolean | undefined {
  const word = text.toLowerCase();
  return word === 'on' ? true : word === 'off' ? false : undefined;
}

/**
 * The value of a parameter such as `weight=5`: what comes after `name=`, or undefined for any other argument.
 *
 * @example
 * ```ts
 * parameter('weight=5', 'weight'); // '5'
 * ```
 */
export function parameter(argument: string, name: string): string | undefined {
  const length = name.length;
  return argument.startsWith(name) && argument.charAt(length) === '='
    ? argument.slice(length + 1)
    : undefined;
}
