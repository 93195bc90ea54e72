/** Ranges of addresses, `192.168.0.0/16` or `2001:db8::/32`, and which of them a client's address is in. */
import { isMappedIPv4, NO_ADDRESS, parseDecimal, parseIPv4, parseIPv6 } from './ip-address.ts';

/** One range of addresses. Words are signed 32-bit numbers: one for IPv4, four for IPv6. */
export interface Cidr {
  readonly family: 'IPv4' | 'IPv6';
  /** Without the bits the mask leaves out. */
  readonly address: readonly number[];
  readonly mask: readonly number[];
  /** The text has bits set that the mask leaves out, which nginx warns of. */
  readonly hasMeaninglessBits: boolean;
}

/** What a client's address can be compared with: a range, all addresses there are, any Unix socket. */
export type AddressPattern = Cidr | 'all' | 'unix:';

/**
 * Finds the first pattern that an address matches.
 * @param address as `$remote_addr` has it; `unix:` for a client on a Unix socket
 * @returns the pattern's position in the list, -1 where none matches
 */
export type AddressMatcher = (address: string) => number;

/**
 * What an IPv4 address in IPv6 clothes (`::ffff:192.0.2.1`, a client on a socket that serves both) is compared with:
 * `IPv4`: IPv4 ranges only (nginx's ngx_cidr_match); `IPv4 if any`: IPv6 ranges where there are no IPv4 ones
 * (nginx's access rules).
 */
export type MappedAddresses = 'IPv4' | 'IPv4 if any';

const groups = new Uint16Array(8);

/** The warning nginx gives for a range whose address has bits outside its mask. */
export function meaninglessBits(text: string): string {
  return `low address bits of ${text} are meaningless`;
}

/**
 * Reads an address or a range of addresses.
 * @returns undefined where it is neither
 */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  const end = slash < 0 ? text.length : slash;
  const single = parseIPv4(text, 0, end);
  let family: Cidr['family'];
  let words: number[];
  if (single !== NO_ADDRESS) {
    family = 'IPv4';
    words = [single];
  } else if (parseIPv6(text, groups, 0, end)) {
    family = 'IPv6';
    words = [0, 2, 4, 6].map((index) => (groups[index] << 16) | groups[index + 1]);
  } else return undefined;
  const width = words.length * 32;
  const bits = slash < 0 ? width : parseDecimal(text, slash + 1, width);
  if (bits < 0) return undefined;
  const mask = words.map((_word, index) => maskWord(bits - index * 32));
  const address = words.map((word, index) => word & mask[index]);
  return { family, address, mask, hasMeaninglessBits: address.some((word, index) => word !== words[index]) };
}

/** A word whose first `bits` bits are set. */
function maskWord(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 32 ? -1 : -1 << (32 - bits);
}

/**
 * Compiles a list of patterns. Comparing allocates nothing: reading an address anew costs less than remembering it.
 *
 * @example
 * ```ts
 * const match = compileAddresses([parseCidr('10.0.0.0/8')!, 'unix:'], 'IPv4');
 * match('10.1.2.3'); // 0
 * match('unix:'); // 1
 * match('192.0.2.1'); // -1
 * ```
 */
export function compileAddresses(
  patterns: readonly AddressPattern[],
  mapped: MappedAddresses,
): AddressMatcher {
  const four: number[] = [];
  const six: number[] = [];
  let unix = -1;
  patterns.forEach((pattern, position) => {
    if (pattern === 'all' || pattern === 'unix:') {
      if (unix < 0) unix = position;
      if (pattern === 'unix:') return;
      four.push(position, 0, 0);
      six.push(position, 0, 0, 0, 0, 0, 0, 0, 0);
    } else if (pattern.family === 'IPv4') four.push(position, ...pattern.mask, ...pattern.address);
    else six.push(position, ...pattern.mask, ...pattern.address);
  });
  const rules4 = Int32Array.from(four);
  const rules6 = Int32Array.from(six);
  const mappedAsIPv6 = mapped === 'IPv4 if any' && four.length === 0;
  return (address) => {
    if (address.indexOf(':') < 0) return matchIPv4(rules4, parseIPv4(address));
    if (address.startsWith('unix:')) return unix;
    const zone = address.indexOf('%');
    if (!parseIPv6(address, groups, 0, zone < 0 ? address.length : zone)) return -1;
    if (isMappedIPv4(groups) && !mappedAsIPv6) return matchIPv4(rules4, (groups[6] << 16) | groups[7]);
    return matchIPv6(rules6);
  };
}

/** Three words a rule: its position, mask, address. */
function matchIPv4(rules: Int32Array, address: number): number {
  if (address === NO_ADDRESS) return -1;
  for (let index = 0; index < rules.length; index += 3) {
    if ((address & rules[index + 1]) === rules[index + 2]) return rules[index];
  }
  return -1;
}

/** Nine words a rule: its position, four of mask, four of address. Compares with what is in `groups`. */
function matchIPv6(rules: Int32Array): number {
  if (rules.length === 0) return -1;
  const first = (groups[0] << 16) | groups[1];
  const second = (groups[2] << 16) | groups[3];
  const third = (groups[4] << 16) | groups[5];
  const fourth = (groups[6] << 16) | groups[7];
  for (let index = 0; index < rules.length; index += 9) {
    if (
      (first & rules[index + 1]) === rules[index + 5] &&
      (second & rules[index + 2]) === rules[index + 6] &&
      (third & rules[index + 3]) === rules[index + 7] &&
      (fourth & rules[index + 4]) === rules[index + 8]
    ) {
      return rules[index];
    }
  }
  return -1;
}
