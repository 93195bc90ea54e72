/** PEM (RFC 7468), cut into its blocks: Node.js looks at the first one only where OpenSSL's tools take them all. */

/**
 * The blocks of PEM with one of the given labels, whole.
 * @param text latin1
 */
export function pemBlocks(text: string, labels: readonly string[]): string[] {
  const blocks: string[] = [];
  for (let start = text.indexOf('-----BEGIN '); start >= 0; ) {
    const labelEnd = text.indexOf('-----', start + 11);
    const label = labelEnd < 0 ? '' : text.slice(start + 11, labelEnd);
    const end = text.indexOf(`-----END ${label}-----`, labelEnd);
    if (labelEnd < 0 || end < 0) break;
    const after = end + label.length + 14;
    if (labels.includes(label)) blocks.push(`${text.slice(start, after)}\n`);
    start = text.indexOf('-----BEGIN ', after);
  }
  return blocks;
}
