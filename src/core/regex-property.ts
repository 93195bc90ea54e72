/** Unicode properties in regular expressions of PCRE2, `\p{Lu}`, of the characters that are one byte: Latin-1. */
import { type ByteSet, byteSet, complement } from './byte-set.ts';
import { type PatternCursor, RegexSyntaxError } from './regex-cursor.ts';

/** PCRE2's own properties, and those that JavaScript names in another way. */
const OWN_PROPERTIES: Readonly<Record<string, string>> = {
  any: '[^]',
  'l&': '\\p{LC}',
  lc: '\\p{LC}',
  xan: '[\\p{L}\\p{N}]',
  xsp: '\\s',
  xps: '\\s',
  xwd: '[\\p{L}\\p{N}\\p{Mn}\\p{Pc}]',
  xuc: '[$@`\\xa0-\\xff]',
};

/** Letters in one case only, which stand for all cases where case does not count. */
const CASED = new Set(['lu', 'll', 'lt']);

const known = new Map<string, ByteSet | undefined>();

/**
 * Reads `\p{Name}`, `\p{^Name}`, `\pL` and their opposites with a capital; the cursor is at the backslash.
 * @throws RegexSyntaxError `malformed \P or \p sequence`, `unknown property after \P or \p`
 */
export function readProperty(cursor: PatternCursor, caseless: boolean): ByteSet {
  const { pattern } = cursor;
  const start = cursor.position;
  const found = /^\\[pP](?:\{(\^?)([^{}]*)\}|([A-Za-z]))/.exec(pattern.slice(start, start + 64));
  if (found === null) throw new RegexSyntaxError('malformed \\P or \\p sequence', start + 2);
  cursor.position += found[0].length;
  // Spaces, hyphens and underscores do not count, and neither does case.
  const name = (found[2] ?? found[3]).toLowerCase().replace(/[\s_-]/g, '');
  const set = propertySet(caseless && CASED.has(name) ? 'l&' : name);
  if (set === undefined) throw new RegexSyntaxError('unknown property after \\P or \\p', cursor.position);
  const negated = (found[1] === '^') !== (pattern[start + 1] === 'P');
  return negated ? complement(set) : set;
}

function propertySet(name: string): ByteSet | undefined {
  if (!known.has(name)) known.set(name, makePropertySet(name));
  return known.get(name);
}

function makePropertySet(name: string): ByteSet | undefined {
  const own = Object.hasOwn(OWN_PROPERTIES, name) ? OWN_PROPERTIES[name] : undefined;
  const expression = own === undefined ? scriptOrCategory(name) : new RegExp(own, 'u');
  return expression && byteSet((byte) => expression.test(String.fromCharCode(byte)));
}

/** The names of general categories and scripts begin with a capital. */
function scriptOrCategory(name: string): RegExp | undefined {
  const capitalised = name.charAt(0).toUpperCase() + name.slice(1);
  for (const source of [`\\p{${capitalised}}`, `\\p{Script=${capitalised}}`]) {
    try {
      return new RegExp(source, 'u');
    } catch (error) {
      // There is no such property.
      if (!(error instanceof SyntaxError)) throw error;
    }
  }
  return undefined;
}
