/** Reads the tags and lengths of DER (X.690): certificates and sessions of TLS are written in it. */

/** One value, and where its contents lie. */
export interface DerElement {
  /** The first byte: class, constructed or not, number. */
  readonly tag: number;
  /** Where its contents begin and end. */
  readonly start: number;
  readonly end: number;
}

/** Tags that are looked for. */
export const DerTag = {
  octetString: 0x04,
  objectIdentifier: 0x06,
  sequence: 0x30,
  set: 0x31,
} as const;

/**
 * The element that begins at `at`.
 * @throws RangeError where there is none, or it is longer than what there is
 */
export function readDer(bytes: Buffer, at: number): DerElement {
  const tag = bytes.readUInt8(at);
  let length = bytes.readUInt8(at + 1);
  let start = at + 2;
  if (length > 0x80) {
    const size = length & 0x7f;
    if (size > 4) throw new RangeError('a length of more than four bytes');
    length = bytes.readUIntBE(start, size);
    start += size;
  }
  if (start + length > bytes.length) throw new RangeError('a length points past the end');
  return { tag, start, end: start + length };
}

/**
 * The elements inside of one, in order.
 * @throws RangeError
 */
export function readDerSequence(bytes: Buffer, { start, end }: DerElement): DerElement[] {
  const elements: DerElement[] = [];
  for (let at = start; at < end; ) {
    const element = readDer(bytes, at);
    elements.push(element);
    at = element.end;
  }
  return elements;
}
