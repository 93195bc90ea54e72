/** IP addresses as text to bytes, for `ip_hash`. */

/**
 * Writes the bytes of an address as `$remote_addr` has it.
 *
 * @param text `192.0.2.1`, `2001:db8::1`, `::ffff:192.0.2.1`; no brackets, no port
 * @param bytes 16 bytes; anything that is no IP address (`unix:`, '') leaves zeros in it
 * @returns how many bytes the address has: 4, 16, or 0 for no IP address
 */
export function parseAddress(text: string, bytes: Uint8Array): 0 | 4 | 16 {
  bytes.fill(0);
  const length = text.indexOf(':') < 0 ? parseIPv4(text, 0, bytes, 0) : parseIPv6(text, bytes);
  if (length === 0) {
    bytes.fill(0);
  }
  return length;
}

function parseIPv4(text: string, start: number, bytes: Uint8Array, offset: number): 0 | 4 {
  let octet = -1;
  let count = 0;
  for (let index = start; index <= text.length; index++) {
    const code = index < text.length ? text.charCodeAt(index) : 0x2e;
    if (code === 0x2e) {
      if (octet < 0 || count === 4) {
        return 0;
      }
      bytes[offset + count++] = octet;
      octet = -1;
    } else if (code >= 0x30 && code <= 0x39) {
      octet = (octet < 0 ? 0 : octet * 10) + code - 0x30;
      if (octet > 255) {
        return 0;
      }
    } else {
      return 0;
    }
  }
  return count === 4 ? 4 : 0;
}

function parseIPv6(text: string, bytes: Uint8Array): 0 | 16 {
  let count = 0;
  let gap = -1;
  let index = 0;
  if (text.startsWith('::')) {
    gap = 0;
    index = 2;
  }
  while (index < text.length) {
    if (count === 16) {
      return 0;
    }
    const start = index;
    let group = 0;
    let code = 0;
    for (; index < text.length; index++) {
      code = text.charCodeAt(index);
      const digit = hexadecimalDigit(code);
      if (digit < 0) {
        break;
      }
      group = group * 16 + digit;
    }
    if (code === 0x2e && index < text.length) {
      if (count > 12 || parseIPv4(text, start, bytes, count) === 0) {
        return 0;
      }
      count += 4;
      break;
    }
    if (index === start || index - start > 4) {
      return 0;
    }
    bytes[count++] = group >>> 8;
    bytes[count++] = group & 255;
    if (index === text.length) {
      break;
    }
    if (code !== 0x3a || ++index === text.length) {
      return 0;
    }
    if (text.charCodeAt(index) === 0x3a) {
      if (gap >= 0) {
        return 0;
      }
      gap = count;
      index++;
    }
  }
  if (gap < 0) {
    return count === 16 ? 16 : 0;
  }
  if (count === 16) {
    return 0;
  }
  const moved = count - gap;
  bytes.copyWithin(16 - moved, gap, count);
  bytes.fill(0, gap, 16 - moved);
  return 16;
}

function hexadecimalDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) {
    return code - 0x30;
  }
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
