/** The groups of a regular expression: their numbers and names in PCRE's pattern, and what they are in JavaScript's. */
import { RegexSyntaxError } from './regex-cursor.ts';

/** A reference whose number in JavaScript is not known before the pattern has been read to its end. */
export interface GroupReference {
  /** As in the pattern. */
  readonly group: number | string;
  /** Where it is in the pattern. */
  readonly offset: number;
  readonly caseless: boolean;
}

/** Literal source, or a reference. */
export type Piece = string | GroupReference;

/** What an atomic group begins with: a group of its own. */
const ATOMIC = '(?:(?=(';

export class RegexGroups {
  /** In JavaScript, by number in the pattern; the first is the whole match. */
  readonly numbers: number[] = [0];
  /** What names stand for, by number in the pattern. */
  readonly names = new Map<string, number>();
  /** JavaScript has groups that the pattern has not: those of atomic groups. */
  hasOwn = false;
  /** How many groups the pattern has in all: decides whether `\12` is a reference. */
  readonly inAll: number;
  /** In JavaScript. */
  #last = 0;

  constructor(pattern: string) {
    this.inAll = countGroups(pattern);
  }

  /** The number, in the pattern, of the last group that has been opened. */
  get last(): number {
    return this.numbers.length - 1;
  }

  /** A capturing group opens. Its source is a piece of its own: `(`. */
  open(): void {
    this.#last++;
    this.numbers.push(this.#last);
  }

  /**
   * The next group to open has a name.
   * @param mayRepeat others may have had it (`(?J)`); it stands for the first of them
   * @returns false where one has, and may not
   */
  name(name: string, mayRepeat: boolean): boolean {
    if (this.names.has(name)) return mayRepeat;
    this.names.set(name, this.numbers.length);
    return true;
  }

  /**
   * Makes what has just been read atomic: a lookahead keeps what it has matched first; the reference takes that text.
   * @param content its pieces, with all groups that have been opened since
   */
  atomic(content: Piece[]): Piece[] {
    this.hasOwn = true;
    const number = this.#openBefore(content);
    return [ATOMIC, ...content, `))\\${number})`];
  }

  /** Makes room for a group in front of the groups of `content`, and returns its number in JavaScript. */
  #openBefore(content: Piece[]): number {
    let inside = 0;
    for (const piece of content) if (piece === '(' || piece === ATOMIC) inside++;
    const number = this.#last - inside + 1;
    for (let index = 1; index < this.numbers.length; index++) {
      if (this.numbers[index] >= number) this.numbers[index]++;
    }
    for (let index = 0; index < content.length; index++) {
      const piece = content[index];
      const own = typeof piece === 'string' ? /^\)\)\\(\d+)\)$/.exec(piece) : null;
      if (own !== null) content[index] = `))\\${Number(own[1]) + 1})`;
    }
    this.#last++;
    return number;
  }

  /**
   * The source of a reference, once all groups are known.
   * @throws RegexSyntaxError where there is no such group
   */
  source({ group, offset, caseless }: GroupReference): string {
    const number = typeof group === 'number' ? group : this.names.get(group);
    if (number === undefined || number >= this.numbers.length) {
      throw new RegexSyntaxError('reference to non-existent subpattern', offset);
    }
    const source = `\\${this.numbers[number]}`;
    return caseless ? `(?i:${source})` : `(?:${source})`;
  }
}

/** The number of capturing groups, seen without reading the pattern properly: good enough to tell `\12` from octal. */
function countGroups(pattern: string): number {
  let groups = 0;
  for (const [found] of pattern.matchAll(
    /\\Q[\s\S]*?(?:\\E|$)|\\[\s\S]|\[\^?\]?(?:\\[\s\S]|\[:\^?[a-z]*:\]|[^\]\\])*\]|\((?:\?(?:P?<(?![=!])|'))?(?!\?|\*)/g,
  )) {
    if (found.startsWith('(')) groups++;
  }
  return groups;
}
