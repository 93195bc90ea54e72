/** A client's address as uWebSockets.js gives it. */
import { formatIPv4, formatIPv6 } from '../../http/ip-address.ts';

/** How many texts are remembered at most. */
const MOST_TEXTS = 4096;

/** Texts of addresses of four bytes: a connection has no object here that could remember its own from request to request. */
const texts = new Map<number, string>();

/** In text, of four bytes or sixteen; '' for none: a Unix socket has none, nor has a client that is gone. */
export function addressText(address: ArrayBuffer): string {
  const bytes = new Uint8Array(address);
  if (bytes.length === 4) return textOf((bytes[0] << 24) | (bytes[1] << 16) | (bytes[2] << 8) | bytes[3]);
  if (bytes.length !== 16) return '';
  const groups = new Uint16Array(8);
  for (let index = 0; index < 8; index++) groups[index] = (bytes[index * 2] << 8) | bytes[index * 2 + 1];
  return formatIPv6(groups);
}

function textOf(number: number): string {
  let text = texts.get(number);
  if (text === undefined) {
    if (texts.size === MOST_TEXTS) texts.clear();
    text = formatIPv4(number >>> 0);
    texts.set(number, text);
  }
  return text;
}
