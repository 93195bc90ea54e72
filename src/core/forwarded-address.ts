/** Whose request it is by the word of trusted proxies: nginx's ngx_http_get_forwarded_addr. */
import type { AddressMatcher } from '../http/cidr.ts';
import type { HeaderBlock } from '../http/header-block.ts';
import { type AddressAndPort, parseAddressAndPort } from '../http/ip-address.ts';

/** Who is believed, and how far back. */
export interface TrustedProxies {
  readonly match: AddressMatcher;
  /** Goes on for as long as the address found is that of a trusted proxy, too. */
  readonly recursive: boolean;
}

/**
 * The client's address by one value: a list of addresses whose last one is the nearest.
 * @param connected the address that sent the request, in text
 * @returns undefined where it is the connected one: it is not trusted, or what it says is no address
 */
export function forwardedAddress(
  connected: string,
  value: string,
  proxies: TrustedProxies,
): AddressAndPort | undefined {
  return lastUntrusted(connected, undefined, value, proxies).client;
}

/**
 * The same by all the lines of a field, which count as one list: from the last line to the first, as far as those who
 * wrote them are believed.
 * @param name in lower case
 */
export function forwardedByField(
  connected: string,
  headers: HeaderBlock,
  name: string,
  proxies: TrustedProxies,
): AddressAndPort | undefined {
  let client: AddressAndPort | undefined;
  for (let index = headers.count - 1; index >= 0; index--) {
    if (!headers.nameIs(index, name)) continue;
    const result = lastUntrusted(connected, client, headers.value(index), proxies);
    client = result.client;
    if (!proxies.recursive || !result.complete) break;
  }
  return client;
}

const SPACE = 0x20;
const COMMA = 0x2c;
const isSeparator = (code: number): boolean => code === SPACE || code === COMMA;

/**
 * Goes through one list of addresses from its end, for as long as the address before is that of a trusted proxy:
 * one step, or with `recursive` as many as there are.
 * @param client the address so far; undefined stands for the connected one
 * @returns the address found, and whether the whole list was believed, so that what stands before it counts too
 */
function lastUntrusted(
  connected: string,
  client: AddressAndPort | undefined,
  value: string,
  { match, recursive }: TrustedProxies,
): { client: AddressAndPort | undefined; complete: boolean } {
  let end = value.length;
  let start: number;
  do {
    if (match(client?.address ?? connected) < 0) return { client, complete: false };
    while (end > 1 && isSeparator(value.charCodeAt(end - 1))) end--;
    // A separator at the very beginning is not looked for, so that it spoils the address, as in nginx.
    start = end - 1;
    while (start > 0 && !isSeparator(value.charCodeAt(start))) start--;
    if (start > 0) start++;
    const next = parseAddressAndPort(value.slice(start, end));
    if (next === undefined) return { client, complete: false };
    client = next;
    end = start - 1;
  } while (recursive && start > 0);
  return { client, complete: true };
}
