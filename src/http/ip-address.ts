/** IP addresses as text, read and written as nginx does: `192.0.2.1`, `2001:db8::1`, `::ffff:192.0.2.1`. */

/** What {@link parseIPv4} gives for text that is no address. As in nginx, 255.255.255.255 is none either. */
export const NO_ADDRESS = -1;

/** An address and the port given with it; 0 without one. */
export interface AddressAndPort {
  /** In the one way nginx writes it, without brackets. */
  readonly address: string;
  readonly port: number;
}

const DOT = 0x2e;
const COLON = 0x3a;

/**
 * Reads four decimal numbers with dots between them. An absent number is 0.
 * @returns the address as a signed 32-bit number, first byte highest; {@link NO_ADDRESS} where it is none
 */
export function parseIPv4(text: string, start = 0, end = text.length): number {
  let address = 0;
  let octet = 0;
  let dots = 0;
  for (let index = start; index < end; index++) {
    const code = text.charCodeAt(index);
    if (code >= 0x30 && code <= 0x39) {
      octet = octet * 10 + code - 0x30;
      if (octet > 255) return NO_ADDRESS;
    } else if (code === DOT) {
      address = (address << 8) | octet;
      octet = 0;
      dots++;
    } else return NO_ADDRESS;
  }
  return dots === 3 ? (address << 8) | octet : NO_ADDRESS;
}

/**
 * Reads an IPv6 address (RFC 4291 2.2); the last two groups may be an IPv4 address. A zone (`%eth0`) is not part of it.
 * @param groups takes the 8 groups; undefined content where the result is false
 * @returns whether it is an address
 */
export function parseIPv6(text: string, groups: Uint16Array, start = 0, end = text.length): boolean {
  let count = 0;
  /** Where `::` stands; -1 without it. */
  let gap = -1;
  let group = 0;
  let digits = 0;
  /** Where the present group starts, once a colon has come: only there may an IPv4 address begin. */
  let groupStart = -1;
  let index = start;
  if (index === end) return false;
  // Of `::` at the beginning, the second colon makes the gap.
  if (text.charCodeAt(index) === COLON) index++;
  for (; index < end; index++) {
    const code = text.charCodeAt(index);
    if (code === COLON) {
      groupStart = index + 1;
      if (digits > 0) {
        groups[count++] = group;
        if (count === 8) return false;
        digits = 0;
        group = 0;
      } else {
        if (gap >= 0) return false;
        gap = count;
      }
      continue;
    }
    if (code === DOT && digits > 0) {
      if (count > 6 || groupStart < 0) return false;
      const address = parseIPv4(text, groupStart, end);
      if (address === NO_ADDRESS) return false;
      groups[count++] = address >>> 16;
      group = address & 0xffff;
      break;
    }
    const digit = hexadecimalDigit(code);
    if (digit < 0 || ++digits > 4) return false;
    group = group * 16 + digit;
  }
  if (digits === 0 && gap < 0) return false;
  groups[count++] = group;
  if (gap < 0) return count === 8;
  if (count === 8) return false;
  const moved = count - gap;
  groups.copyWithin(8 - moved, gap, count);
  groups.fill(0, gap, 8 - moved);
  return true;
}

/** Whether the 8 groups are an IPv4 address in IPv6 clothes: `::ffff:192.0.2.1`. */
export function isMappedIPv4(groups: Uint16Array): boolean {
  return groups[5] === 0xffff && (groups[0] | groups[1] | groups[2] | groups[3] | groups[4]) === 0;
}

/** Writes an address that {@link parseIPv4} has read. */
export function formatIPv4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/**
 * Writes 8 groups: the longest run of two or more zero groups becomes `::`, and what is an IPv4 address in disguise
 * ends as one.
 */
export function formatIPv6(groups: Uint16Array): string {
  let gap = -1;
  let gapLength = 1;
  let run = 0;
  for (let index = 0; index < 8; index++) {
    run = groups[index] === 0 ? run + 1 : 0;
    if (run > gapLength) {
      gapLength = run;
      gap = index - run + 1;
    }
  }
  const last = groups[7];
  const endsAsIPv4 =
    gap === 0 &&
    ((gapLength === 5 && groups[5] === 0xffff) ||
      gapLength === 6 ||
      (gapLength === 7 && last >>> 8 !== 0 && (last & 255) !== 1));
  const end = endsAsIPv4 ? 6 : 8;
  let text = gap === 0 ? ':' : '';
  for (let index = 0; index < end; index++) {
    if (index === gap) {
      text += ':';
      index += gapLength - 1;
    } else {
      text += groups[index].toString(16);
      if (index < 7) text += ':';
    }
  }
  return endsAsIPv4 ? text + formatIPv4((groups[6] << 16) | last) : text;
}

const scratch = new Uint16Array(8);

/**
 * Reads an address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`,
 * `[2001:db8::1]:80`.
 * @returns undefined where it is none, or the port is not 1 to 65535
 */
export function parseAddressAndPort(text: string): AddressAndPort | undefined {
  const plain = canonicalAddress(text);
  if (plain !== undefined) return { address: plain, port: 0 };
  let colon: number;
  let host: string;
  if (text.startsWith('[')) {
    const bracket = text.indexOf(']');
    if (bracket < 0) return undefined;
    host = text.slice(1, bracket);
    colon = bracket + 1;
    if (colon === text.length) {
      const address = canonicalAddress(host);
      return address === undefined ? undefined : { address, port: 0 };
    }
    if (text.charCodeAt(colon) !== COLON) return undefined;
  } else {
    colon = text.indexOf(':');
    if (colon < 0) return undefined;
    host = text.slice(0, colon);
  }
  const port = parseDecimal(text, colon + 1, 65535);
  if (port < 1) return undefined;
  const address = canonicalAddress(host);
  return address === undefined ? undefined : { address, port };
}

/** Reads text[start...] as digits only; -1 where there are none, or others, or the number is above `maximum`. */
export function parseDecimal(text: string, start: number, maximum: number): number {
  if (start >= text.length) return -1;
  let value = 0;
  for (let index = start; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code < 0x30 || code > 0x39) return -1;
    value = value * 10 + code - 0x30;
    if (value > maximum) return -1;
  }
  return value;
}

function canonicalAddress(text: string): string | undefined {
  const address = parseIPv4(text);
  if (address !== NO_ADDRESS) return formatIPv4(address);
  return parseIPv6(text, scratch) ? formatIPv6(scratch) : undefined;
}

function hexadecimalDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
