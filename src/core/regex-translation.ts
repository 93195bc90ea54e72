/**
 * Regular expressions of PCRE2, as nginx takes them, translated to JavaScript's.
 *
 * Letters of both cases, classes and escapes are all written out as sets of bytes, and no flag is used: text is bytes
 * here and not UTF-16, `é` has no other case, and V8's second engine, which cannot be led into exponential time,
 * knows no `i` flag (see regex.ts).
 *
 * What JavaScript cannot say is an error: recursion, conditions, callouts, verbs, `(?|`, `\K`, `\X`, `\p`. Not the same
 * in a corner: a group inside a repeated group forgets its text with each round (`(?:(a)|b)*` on `ab`), a reference to
 * a group that took no part matches the empty string, and a lookbehind may have any length.
 */
import { addOtherCases, byteSet, classSource } from './byte-set.ts';
import { readBracket } from './regex-bracket.ts';
import { escapedClass, PatternCursor, RegexSyntaxError } from './regex-cursor.ts';
import { type Piece, RegexGroups } from './regex-groups.ts';
import { readProperty } from './regex-property.ts';

/** A pattern in JavaScript's terms. */
export interface RegexTranslation {
  /** For a text that does not end with a line feed. */
  readonly source: string;
  /** For one that does: there, `$` also matches before it. Undefined where that makes no difference. */
  readonly sourceBeforeFinalNewline: string | undefined;
  /** Number of the pattern's groups. */
  readonly groups: number;
  /** For each of the pattern's groups, from 1, its number in JavaScript; undefined where they are the same. */
  readonly groupNumbers: readonly number[] | undefined;
  /** Names of groups and the numbers they stand for in the pattern. */
  readonly names: ReadonlyMap<string, number>;
}

interface Options {
  caseless: boolean;
  dotAll: boolean;
  multiline: boolean;
  /** 1: spaces and comments are skipped; 2: spaces in classes too. */
  extended: 0 | 1 | 2;
  noAutoCapture: boolean;
  ungreedy: boolean;
  duplicateNames: boolean;
}

/** A quantifier. */
interface Repeat {
  readonly source: string;
  readonly possessive: boolean;
  /** Of its last character, without what makes it lazy or possessive. */
  readonly offset: number;
}

/** A piece of source that stands for `$`: not a byte, so no pattern has it. */
const SOFT_END = '\uE000';

const MAXIMUM_REPEAT = 65535;

/**
 * @param pattern byte string
 * @param caseless as if it began with `(?i)`
 * @throws RegexSyntaxError
 */
export function translateRegex(pattern: string, caseless: boolean): RegexTranslation {
  const reader = new PatternReader(pattern);
  const pieces: Piece[] = [];
  reader.readAlternatives(pieces, {
    caseless,
    dotAll: false,
    multiline: false,
    extended: 0,
    noAutoCapture: false,
    ungreedy: false,
    duplicateNames: false,
  });
  if (reader.position < pattern.length)
    throw new RegexSyntaxError('unmatched closing parenthesis', reader.position);
  const { groups } = reader;
  let source = '';
  for (const piece of pieces) source += typeof piece === 'string' ? piece : groups.source(piece);
  const soft = source.includes(SOFT_END);
  return {
    source: soft ? source.replaceAll(SOFT_END, '$') : source,
    sourceBeforeFinalNewline: soft ? source.replaceAll(SOFT_END, '(?=\\n?$)') : undefined,
    groups: groups.last,
    groupNumbers: groups.hasOwn ? groups.numbers : undefined,
    names: groups.names,
  };
}

class PatternReader extends PatternCursor {
  readonly groups: RegexGroups;
  /** Inside `\Q` and `\E`. */
  #quoting = false;

  constructor(pattern: string) {
    super(pattern);
    this.groups = new RegexGroups(pattern);
  }

  /** Reads up to the parenthesis that closes the group, or the end. `options` change where the pattern says so. */
  readAlternatives(pieces: Piece[], options: Options): void {
    const { pattern } = this;
    /** Where the last thing that can be repeated begins in `pieces`; -1 where there is none. */
    let item = -1;
    while (this.position < pattern.length) {
      const start = this.position;
      const character = pattern[start];
      if (this.#quoting) {
        if (pattern.startsWith('\\E', start)) {
          this.position += 2;
          this.#quoting = false;
        } else {
          this.position++;
          item = pieces.length;
          pieces.push(literalSource(pattern.charCodeAt(start), options.caseless));
        }
        continue;
      }
      if (options.extended > 0 && this.#skipExtended()) continue;
      switch (character) {
        case ')':
          return;
        case '|':
          this.position++;
          pieces.push('|');
          item = -1;
          break;
        case '^':
          this.position++;
          // Not after a line feed that ends the text.
          pieces.push(options.multiline ? '(?:^|(?<=\\n)(?!$))' : '^');
          item = -1;
          break;
        case '$':
          this.position++;
          pieces.push(options.multiline ? '(?:$|(?=\\n))' : SOFT_END);
          item = -1;
          break;
        case '.':
          this.position++;
          item = pieces.length;
          pieces.push(options.dotAll ? '[^]' : '[^\\n]');
          break;
        case '[':
          item = pieces.length;
          pieces.push(readBracket(this, options));
          break;
        case '(':
          item = this.#readGroup(pieces, options, item);
          break;
        case '\\':
          item = this.#readEscape(pieces, options, item);
          break;
        default: {
          const repeat = this.#readRepeat(options);
          if (repeat !== undefined) {
            if (item < 0) {
              throw new RegexSyntaxError('quantifier does not follow a repeatable item', repeat.offset);
            }
            this.#applyRepeat(pieces, item, repeat);
            item = -1;
          } else {
            this.position++;
            item = pieces.length;
            pieces.push(literalSource(pattern.charCodeAt(start), options.caseless));
          }
        }
      }
    }
  }

  /** Skips a blank or a comment of `(?x)`. @returns false where there is none */
  #skipExtended(): boolean {
    const { pattern } = this;
    const code = pattern.charCodeAt(this.position);
    if (code === 32 || (code >= 9 && code <= 13)) {
      this.position++;
      return true;
    }
    if (code !== 35) return false;
    const end = pattern.indexOf('\n', this.position);
    this.position = end < 0 ? pattern.length : end + 1;
    return true;
  }

  // ---- repeats ----

  #readRepeat(options: Options): Repeat | undefined {
    const { pattern } = this;
    const character = pattern[this.position];
    let source: string;
    if (character === '*' || character === '+' || character === '?') {
      source = character;
      this.position++;
    } else if (character === '{') {
      const counts = /^\{(\d+)(?:(,)(\d*))?\}/.exec(pattern.slice(this.position, this.position + 64));
      if (counts === null) return undefined;
      const minimum = Number(counts[1]);
      const maximum = counts[3] === undefined || counts[3] === '' ? minimum : Number(counts[3]);
      // PCRE stops at the digit that is too much.
      if (minimum > MAXIMUM_REPEAT) this.#failInRepeat(1, counts[1]);
      if (maximum > MAXIMUM_REPEAT) this.#failInRepeat(counts[1].length + 2, counts[3]);
      this.position += counts[0].length;
      if (maximum < minimum) {
        throw new RegexSyntaxError('numbers out of order in {} quantifier', this.position - 1);
      }
      source = counts[0];
    } else return undefined;

    const offset = this.position - 1;
    if (options.extended > 0) while (this.position < pattern.length && this.#skipExtended());
    const mark = pattern[this.position];
    if (mark === '+') {
      this.position++;
      return { source, possessive: true, offset };
    }
    const lazy = mark === '?';
    if (lazy) this.position++;
    return { source: lazy !== options.ungreedy ? `${source}?` : source, possessive: false, offset };
  }

  #failInRepeat(before: number, digits: string): never {
    let length = 1;
    while (Number(digits.slice(0, length)) <= MAXIMUM_REPEAT) length++;
    throw new RegexSyntaxError('number too big in {} quantifier', this.position + before + length);
  }

  #applyRepeat(pieces: Piece[], item: number, repeat: Repeat): void {
    if (!repeat.possessive) {
      pieces.push(repeat.source);
      return;
    }
    const repeated = pieces.splice(item);
    pieces.push(...this.groups.atomic(repeated.concat(repeat.source)));
  }

  // ---- groups ----

  /** @returns where the group begins in `pieces`, or -1 where it is none that can be repeated */
  #readGroup(pieces: Piece[], options: Options, before: number): number {
    const { pattern } = this;
    const start = this.position;
    const item = pieces.length;
    if (pattern[start + 1] === '*' && pattern[start + 2] !== ')') {
      if (/^[A-Za-z:]/.test(pattern.slice(start + 2))) {
        throw new RegexSyntaxError('verbs such as (*NAME) are not supported', start + 2);
      }
      throw new RegexSyntaxError('(*VERB) not recognized or malformed', start + 2);
    }
    if (pattern[start + 1] !== '?') {
      this.position++;
      if (options.noAutoCapture) this.#readBody(pieces, '(?:', options);
      else this.#readCapture(pieces, options);
      return item;
    }
    const [kind = ''] =
      /^(?:[:|>=!#&R+]|<[=!]|<|'|P[<=>]|P|\(|C|-?\d)/.exec(pattern.slice(start + 2, start + 4)) ?? [];
    this.position = start + 2 + kind.length;
    switch (kind) {
      case ':':
      case '=':
      case '!':
      case '<=':
      case '<!': {
        // JavaScript does not repeat lookarounds.
        const wrapped = kind !== ':';
        if (wrapped) pieces.push('(?:');
        this.#readBody(pieces, `(?${kind}`, options);
        if (wrapped) pieces.push(')');
        return item;
      }
      case '>': {
        const content: Piece[] = [];
        this.readAlternatives(content, { ...options });
        this.#close();
        pieces.push(...this.groups.atomic(content));
        return item;
      }
      case '<':
      case "'":
      case 'P<': {
        const name = this.readName(kind === "'" ? "'" : '>');
        if (!this.groups.name(name, options.duplicateNames)) {
          throw new RegexSyntaxError(
            'two named subpatterns have the same name (PCRE2_DUPNAMES not set)',
            this.position,
          );
        }
        this.#readCapture(pieces, options);
        return item;
      }
      case 'P=': {
        const name = this.readName(')');
        pieces.push({ group: name, offset: this.position - 1 - name.length, caseless: options.caseless });
        return item;
      }
      case '#': {
        const end = pattern.indexOf(')', this.position);
        if (end < 0) throw new RegexSyntaxError('missing ) after (?# comment', pattern.length);
        this.position = end + 1;
        // A comment is nothing at all: what stands before it can be repeated after it.
        return before;
      }
      case 'P':
        throw new RegexSyntaxError('unrecognized character after (?P', this.position + 1);
      case '|':
        throw new RegexSyntaxError('groups that share their numbers, (?|, are not supported', this.position);
      case '(':
        throw new RegexSyntaxError('conditional groups are not supported', this.position);
      case 'C':
        throw new RegexSyntaxError('callouts are not supported', this.position);
      case '':
        return this.#readOptions(pieces, options);
      default:
        if (kind === '+' && !/^\d/.test(pattern.slice(this.position))) {
          throw new RegexSyntaxError('digit expected after (?+ or (?-', this.position - 1);
        }
        throw new RegexSyntaxError('recursion and calls of groups are not supported', this.position);
    }
  }

  /** `(?i)`, `(?i-s)`, `(?^x)`, and `(?i:...)`. */
  #readOptions(pieces: Piece[], options: Options): number {
    const { pattern } = this;
    const changed: Options = { ...options };
    let value = true;
    let first = true;
    for (; ; first = false) {
      const letter = pattern[this.position];
      this.position++;
      switch (letter) {
        case '^':
          if (!first) throw new RegexSyntaxError('unrecognized character after (? or (?-', this.position - 1);
          changed.caseless = false;
          changed.multiline = false;
          changed.dotAll = false;
          changed.extended = 0;
          changed.noAutoCapture = false;
          break;
        case '-':
          if (!value) throw new RegexSyntaxError('invalid hyphen in option setting', this.position);
          value = false;
          break;
        case 'i':
          changed.caseless = value;
          break;
        case 'm':
          changed.multiline = value;
          break;
        case 's':
          changed.dotAll = value;
          break;
        case 'n':
          changed.noAutoCapture = value;
          break;
        case 'U':
          changed.ungreedy = value;
          break;
        case 'J':
          changed.duplicateNames = value;
          break;
        case 'x':
          changed.extended = value ? (pattern[this.position] === 'x' ? 2 : 1) : 0;
          if (pattern[this.position] === 'x') this.position++;
          break;
        case ')':
          // Holds for the rest of the group around it.
          Object.assign(options, changed);
          return -1;
        case ':': {
          const item = pieces.length;
          this.#readBody(pieces, '(?:', changed);
          return item;
        }
        case undefined:
          throw new RegexSyntaxError('missing closing parenthesis', pattern.length);
        default:
          throw new RegexSyntaxError('unrecognized character after (? or (?-', this.position - 1);
      }
    }
  }

  #readCapture(pieces: Piece[], options: Options): void {
    this.groups.open();
    this.#readBody(pieces, '(', options);
  }

  #readBody(pieces: Piece[], opening: string, options: Options): void {
    pieces.push(opening);
    this.readAlternatives(pieces, { ...options });
    this.#close();
    pieces.push(')');
  }

  #close(): void {
    if (this.pattern[this.position] !== ')') {
      throw new RegexSyntaxError('missing closing parenthesis', this.pattern.length);
    }
    this.position++;
  }

  // ---- escapes ----

  /** @returns where the item begins in `pieces`, or -1 where it cannot be repeated */
  #readEscape(pieces: Piece[], options: Options, before: number): number {
    const { pattern } = this;
    const start = this.position;
    const letter = pattern[start + 1];
    const item = pieces.length;
    if (letter === undefined) throw new RegexSyntaxError('\\ at end of pattern', pattern.length);
    this.position += 2;
    switch (letter) {
      case 'Q':
        this.#quoting = true;
        return before;
      case 'E':
        return before;
      case 'A':
      case 'G':
        // Matching always starts at the beginning.
        pieces.push('^');
        return -1;
      case 'z':
        pieces.push('$');
        return -1;
      case 'Z':
        pieces.push(SOFT_END);
        return -1;
      case 'b':
      case 'B':
        pieces.push(`\\${letter}`);
        return -1;
      case 'N':
        if (
          pattern[this.position] === '{' &&
          !/^\{\d+(?:,\d*)?\}/.test(pattern.slice(this.position, this.position + 16))
        )
          break;
        pieces.push('[^\\n]');
        return item;
      case 'R':
        pieces.push('(?:\\r\\n|(?!\\r\\n)[\\n-\\r\\x85])');
        return item;
      case 'C':
        pieces.push('[^]');
        return item;
      case 'g':
      case 'k':
        pieces.push(this.#readReference(letter, options));
        return item;
      case 'p':
      case 'P':
        this.position = start;
        pieces.push(classSource(readProperty(this, options.caseless)));
        return item;
      case 'K':
      case 'X':
        throw new RegexSyntaxError(`\\${letter} is not supported`, this.position);
      default: {
        const set = escapedClass(letter);
        if (set !== undefined) {
          pieces.push(classSource(set));
          return item;
        }
        const number = /^[1-9]\d*/.exec(pattern.slice(start + 1, start + 12))?.[0];
        if (number !== undefined && (number.length === 1 || Number(number) <= this.groups.inAll)) {
          this.position = start + 1 + number.length;
          pieces.push({ group: Number(number), offset: start + 1, caseless: options.caseless });
          return item;
        }
        this.position = start;
        pieces.push(literalSource(this.readCharacterEscape(), options.caseless));
        return item;
      }
    }
    this.position = start;
    this.readCharacterEscape();
    return item;
  }

  /** `\g1`, `\g-1`, `\g{1}`, `\g{name}`, `\k<name>`, `\k'name'`, `\k{name}`. */
  #readReference(letter: 'g' | 'k', options: Options): Piece {
    const { pattern } = this;
    const { caseless } = options;
    const rest = pattern.slice(this.position);
    if (letter === 'g') {
      if (rest.startsWith('<') || rest.startsWith("'")) {
        throw new RegexSyntaxError('recursion and calls of groups are not supported', this.position);
      }
      const found = /^(?:\{([+-]?)(\d+)\}|([+-]?)(\d+))/.exec(rest);
      if (found !== null) {
        const before = this.position;
        this.position += found[0].length;
        const sign = found[1] ?? found[3] ?? '';
        const digits = Number(found[2] ?? found[4]);
        const { last } = this.groups;
        const group = sign === '-' ? last + 1 - digits : sign === '+' ? last + digits : digits;
        if (group < 1) throw new RegexSyntaxError('reference to non-existent subpattern', before);
        return { group, offset: before + found[0].search(/\d/), caseless };
      }
      if (!rest.startsWith('{')) {
        throw new RegexSyntaxError('a numbered reference must not be zero', this.position);
      }
    }
    const terminator = { '{': '}', '<': '>', "'": "'" }[rest[0] ?? ''];
    if (terminator === undefined) {
      throw new RegexSyntaxError(
        '\\k is not followed by a braced, angle-bracketed, or quoted name',
        this.position,
      );
    }
    this.position++;
    const group = this.readName(terminator);
    return { group, offset: this.position - 1 - group.length, caseless };
  }
}

function literalSource(code: number, caseless: boolean): string {
  const set = byteSet((byte) => byte === code);
  if (caseless) addOtherCases(set);
  return classSource(set);
}
