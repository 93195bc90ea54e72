/** Character classes of PCRE2, `[a-z[:digit:]_]`, as JavaScript's. */
import {
  addBytes,
  addOtherCases,
  type ByteSet,
  byteSet,
  classSource,
  complement,
  POSIX_CLASSES,
} from './byte-set.ts';
import { escapedClass, type PatternCursor, RegexSyntaxError } from './regex-cursor.ts';
import { readProperty } from './regex-property.ts';

/** What matters to a class of the options that hold around it. */
export interface BracketOptions {
  readonly caseless: boolean;
  /** 2: spaces mean nothing. */
  readonly extended: 0 | 1 | 2;
}

/** A class in brackets; what is after it where PCRE finds words there. */
export function readBracket(cursor: PatternCursor, options: BracketOptions): string {
  const { pattern } = cursor;
  const start = cursor.position;
  if (pattern.startsWith('[[:<:]]', start) || pattern.startsWith('[[:>:]]', start)) {
    cursor.position += 7;
    return pattern[start + 3] === '<' ? '\\b(?=\\w)' : '\\b(?<=\\w)';
  }
  const outside = /^\[([:.=])(.*?)\1\]/s.exec(pattern.slice(start));
  if (outside !== null && /^\^?[a-z]*$/.test(outside[2])) {
    throw new RegexSyntaxError(
      outside[1] === ':'
        ? 'POSIX named classes are supported only within a class'
        : 'POSIX collating elements are not supported',
      outside[1] === ':' ? start : start + outside[0].length - 2,
    );
  }
  cursor.position++;
  const negated = pattern[cursor.position] === '^';
  if (negated) cursor.position++;
  const set = byteSet(() => false);
  let first = true;
  let quoting = false;
  /** The character that may begin a range; -1 after a class or a range. */
  let rangeStart = -1;
  for (; ; first = false) {
    if (cursor.position >= pattern.length) {
      throw new RegexSyntaxError('missing terminating ] for character class', pattern.length);
    }
    if (quoting ? pattern.startsWith('\\E', cursor.position) : pattern.startsWith('\\Q', cursor.position)) {
      quoting = !quoting;
      cursor.position += 2;
      continue;
    }
    const character = pattern[cursor.position];
    if (!quoting) {
      if (pattern.startsWith('\\E', cursor.position)) {
        cursor.position += 2;
        continue;
      }
      if (character === ']' && !first) break;
      if (options.extended === 2 && (character === ' ' || character === '\t')) {
        cursor.position++;
        continue;
      }
      const added = readClassInClass(cursor, options.caseless);
      if (added !== undefined) {
        addBytes(set, added);
        rangeStart = -1;
        if (pattern[cursor.position] === '-' && classEndsRange(cursor)) {
          throw new RegexSyntaxError('invalid range in character class', cursor.position + 1);
        }
        continue;
      }
      if (
        character === '-' &&
        rangeStart >= 0 &&
        pattern[cursor.position + 1] !== ']' &&
        cursor.position + 1 < pattern.length
      ) {
        const hyphen = cursor.position;
        cursor.position++;
        while (pattern.startsWith('\\E', cursor.position) || pattern.startsWith('\\Q', cursor.position)) {
          quoting = pattern[cursor.position + 1] === 'Q';
          cursor.position += 2;
        }
        if (!quoting && pattern[cursor.position] === ']') {
          set[45] = 1;
          rangeStart = -1;
          continue;
        }
        const classStart = cursor.position;
        if (!quoting && readClassInClass(cursor, options.caseless) !== undefined) {
          throw new RegexSyntaxError(
            'invalid range in character class',
            pattern[classStart] === '[' ? hyphen + 1 : cursor.position,
          );
        }
        const last = readClassCharacter(cursor, quoting);
        if (last < rangeStart) {
          throw new RegexSyntaxError('range out of order in character class', cursor.position - 1);
        }
        for (let byte = rangeStart; byte <= last; byte++) set[byte] = 1;
        rangeStart = -1;
        continue;
      }
    }
    rangeStart = readClassCharacter(cursor, quoting);
    set[rangeStart] = 1;
  }
  cursor.position++;
  if (options.caseless) addOtherCases(set);
  return classSource(negated ? complement(set) : set);
}

/** Whether the hyphen at the position stands between a class and something that would end a range. */
function classEndsRange(cursor: PatternCursor): boolean {
  const next = cursor.pattern[cursor.position + 1];
  return next !== undefined && next !== ']';
}

function readClassCharacter(cursor: PatternCursor, quoting: boolean): number {
  if (!quoting && cursor.pattern[cursor.position] === '\\') {
    if (cursor.pattern[cursor.position + 1] === 'b') {
      cursor.position += 2;
      return 8;
    }
    const letter = cursor.pattern[cursor.position + 1] ?? '';
    if (letter === 'g') {
      cursor.position += 2;
      return 103;
    }
    if (letter !== '' && 'ABCEGKRXZkz'.includes(letter)) {
      throw new RegexSyntaxError('escape sequence is invalid in character class', cursor.position + 1);
    }
    if (letter === 'N' && cursor.pattern[cursor.position + 2] !== '{') {
      throw new RegexSyntaxError('\\N is not supported in a class', cursor.position + 2);
    }
    return cursor.readCharacterEscape();
  }
  return cursor.pattern.charCodeAt(cursor.position++);
}

/** `\d` and its kin, or `[:alpha:]`; undefined where something else follows. */
function readClassInClass(cursor: PatternCursor, caseless: boolean): ByteSet | undefined {
  const { pattern } = cursor;
  const start = cursor.position;
  if (pattern[start] === '\\') {
    if (pattern[start + 1] === 'p' || pattern[start + 1] === 'P') return readProperty(cursor, caseless);
    const set = escapedClass(pattern[start + 1] ?? '');
    if (set !== undefined) cursor.position += 2;
    return set;
  }
  if (pattern[start] !== '[') return undefined;
  const posix = /^\[([:.=])(\^?)([a-z]*)\1\]/.exec(pattern.slice(start, start + 64));
  if (posix === null) return undefined;
  if (posix[1] !== ':') {
    throw new RegexSyntaxError('POSIX collating elements are not supported', start + posix[0].length - 2);
  }
  let set = Object.hasOwn(POSIX_CLASSES, posix[3]) ? POSIX_CLASSES[posix[3]] : undefined;
  if (set === undefined) throw new RegexSyntaxError('unknown POSIX class name', start + 2 + posix[2].length);
  if (caseless && (posix[3] === 'upper' || posix[3] === 'lower')) set = POSIX_CLASSES.alpha;
  cursor.position += posix[0].length;
  return posix[2] === '^' ? complement(set) : set;
}
