/** Reading a regular expression of PCRE2 letter by letter: what is the same inside and outside of brackets. */
import { type ByteSet, complement, ESCAPED_CLASSES } from './byte-set.ts';

/** What is wrong with a pattern, in PCRE2's words. */
export class RegexSyntaxError extends Error {
  /** Where reading stopped, as PCRE2 tells it. */
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

const MAXIMUM_NAME = 32;

/** A place in a pattern. */
export class PatternCursor {
  readonly pattern: string;
  position = 0;

  constructor(pattern: string) {
    this.pattern = pattern;
  }

  /** Reads a name and the character that closes it. */
  readName(terminator: string): string {
    const { pattern } = this;
    const start = this.position;
    if (start >= pattern.length) throw new RegexSyntaxError('subpattern name expected', start);
    const code = pattern.charCodeAt(start);
    if (code >= 48 && code <= 57) {
      throw new RegexSyntaxError('subpattern name must start with a non-digit', start);
    }
    let end = start;
    while (end < pattern.length && ESCAPED_CLASSES.w[pattern.charCodeAt(end)] === 1) end++;
    if (end - start > MAXIMUM_NAME) {
      throw new RegexSyntaxError(
        `subpattern name is too long (maximum ${MAXIMUM_NAME} code units)`,
        start + MAXIMUM_NAME + 1,
      );
    }
    if (end === start) throw new RegexSyntaxError('subpattern name expected', start);
    if (pattern[end] !== terminator) {
      throw new RegexSyntaxError('syntax error in subpattern name (missing terminator?)', end);
    }
    this.position = end + 1;
    return pattern.slice(start, end);
  }

  /** The byte an escape such as `\n`, `\.`, `\x2f` or `\057` stands for, in a class or outside. */
  readCharacterEscape(): number {
    const { pattern } = this;
    const start = this.position;
    const code = pattern.charCodeAt(start + 1);
    this.position = start + 2;
    if (start + 1 >= pattern.length) throw new RegexSyntaxError('\\ at end of pattern', pattern.length);
    const isLetterOrDigit =
      (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122);
    if (!isLetterOrDigit) return code;
    const letter = pattern[start + 1];
    switch (letter) {
      case 'a':
        return 7;
      case 'e':
        return 27;
      case 'f':
        return 12;
      case 'n':
        return 10;
      case 'r':
        return 13;
      case 't':
        return 9;
      case 'c': {
        const control = pattern.charCodeAt(this.position);
        if (Number.isNaN(control)) throw new RegexSyntaxError('\\c at end of pattern', pattern.length);
        this.position++;
        if (control < 32 || control > 126) {
          throw new RegexSyntaxError('\\c must be followed by a printable ASCII character', this.position);
        }
        return (control >= 97 && control <= 122 ? control - 32 : control) ^ 0x40;
      }
      case 'o':
        return this.#readBraced(/^[0-7]*/, 8, '\\o');
      case 'x':
        if (pattern[this.position] === '{') return this.#readBraced(/^[\da-fA-F]*/, 16, '\\x{}');
        return this.#readDigits(/^[\da-fA-F]{0,2}/, 16);
      case '8':
      case '9':
        return code;
      case 'F':
      case 'L':
      case 'l':
      case 'N':
      case 'U':
      case 'u':
        throw new RegexSyntaxError(
          'PCRE2 does not support \\F, \\L, \\l, \\N{name}, \\U, or \\u',
          this.position,
        );
      default:
        if (code >= 48 && code <= 55) {
          this.position = start + 1;
          const value = this.#readDigits(/^[0-7]{1,3}/, 8);
          if (value > 255) {
            throw new RegexSyntaxError(
              'octal value is greater than \\377 in 8-bit non-UTF-8 mode',
              this.position,
            );
          }
          return value;
        }
        throw new RegexSyntaxError('unrecognized character follows \\', this.position - 1);
    }
  }

  #readDigits(digits: RegExp, base: number): number {
    const [text = ''] = digits.exec(this.pattern.slice(this.position, this.position + 64)) ?? [];
    this.position += text.length;
    return text === '' ? 0 : Number.parseInt(text, base);
  }

  #readBraced(digits: RegExp, base: number, name: string): number {
    const { pattern } = this;
    if (pattern[this.position] !== '{') {
      throw new RegexSyntaxError(`missing opening brace after ${name}`, this.position);
    }
    this.position++;
    const start = this.position;
    const value = this.#readDigits(digits, base);
    if (pattern[this.position] === '}' && this.position === start) {
      throw new RegexSyntaxError('digits missing in \\x{} or \\o{} or \\N{U+}', this.position);
    }
    if (pattern[this.position] !== '}') {
      const kind = base === 8 ? 'octal' : 'hex';
      throw new RegexSyntaxError(
        `non-${kind} character in ${name === '\\o' ? '\\o{}' : name} (closing brace missing?)`,
        this.position,
      );
    }
    if (value > 255)
      throw new RegexSyntaxError('character code point value in \\x{} or \\o{} is too large', this.position);
    this.position++;
    return value;
  }
}

/** The set `\d` and its kin stand for, by letter; undefined for other letters. */
export function escapedClass(letter: string): ByteSet | undefined {
  const lower = letter.toLowerCase();
  if (lower === '' || !'dwshv'.includes(lower)) return undefined;
  const set = ESCAPED_CLASSES[lower];
  return letter === lower ? set : complement(set);
}
