import { lstatSync, readdirSync, statSync } from 'node:fs';

/**
 * The names of files that match a pattern, as POSIX glob(3) without flags finds them: `*`, `?` and `[...]` match
 * within one part of a path, a leading dot only matches itself, a backslash quotes. Directories that cannot be
 * read match nothing.
 *
 * @param pattern a path as a byte string
 * @returns byte strings, in the order of their bytes; empty when nothing matches
 */
export function glob(pattern: string): string[] {
  return matchPath(pattern).sort();
}

function matchPath(pattern: string): string[] {
  if (!hasWildcard(pattern)) {
    const path = unquote(pattern);
    return exists(path) ? [path] : [];
  }
  const slash = pattern.lastIndexOf('/');
  const name = pattern.slice(slash + 1);
  const directory = slash < 0 ? '' : pattern.slice(0, slash + 1);
  const directories = hasWildcard(directory)
    ? matchPath(directory.slice(0, -1))
        .filter(isDirectory)
        .map((path) => `${path}/`)
    : [unquote(directory)];

  return directories.flatMap((path) => {
    if (!hasWildcard(name)) return exists(path + unquote(name)) ? [path + unquote(name)] : [];
    const matches = compileName(name);
    return listDirectory(path === '' ? '.' : path)
      .filter(matches)
      .map((found) => path + found);
  });
}

/** A path as fs takes it, whatever its encoding. */
export function pathBytes(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}

function exists(path: string): boolean {
  try {
    lstatSync(pathBytes(path));
    return true;
  } catch {
    return false;
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(pathBytes(path)).isDirectory();
  } catch {
    return false;
  }
}

function listDirectory(path: string): string[] {
  try {
    return readdirSync(pathBytes(path), { encoding: 'latin1' });
  } catch {
    return [];
  }
}

function hasWildcard(pattern: string): boolean {
  for (let index = 0; index < pattern.length; index++) {
    const character = pattern.charAt(index);
    if (character === '\\') index++;
    else if (character === '*' || character === '?') return true;
    else if (character === '[' && readSet(pattern, index) !== undefined) return true;
  }
  return false;
}

function unquote(pattern: string): string {
  return pattern.replace(/\\([\s\S])/g, '$1');
}

/** Whether one character of a name matches. */
type CharacterTest = (character: string) => boolean;

/** One step of a compiled name: a test for one character, or any number of any characters. */
type Step = CharacterTest | '*';

/** Compiles the pattern for one part of a path. */
function compileName(pattern: string): (name: string) => boolean {
  const steps: Step[] = [];
  for (let index = 0; index < pattern.length; index++) {
    const character = pattern.charAt(index);
    const set = character === '[' ? readSet(pattern, index) : undefined;
    if (character === '*') {
      if (steps.at(-1) !== '*') steps.push('*');
    } else if (character === '?') {
      steps.push(() => true);
    } else if (set !== undefined) {
      steps.push(set.test);
      index = set.end;
    } else {
      const quoted = character === '\\' && index + 1 < pattern.length;
      const literal = quoted ? pattern.charAt(++index) : character;
      steps.push((tested) => tested === literal);
    }
  }
  const dotAllowed = pattern.startsWith('.') || pattern.startsWith('\\.');
  return (name) => (dotAllowed || !name.startsWith('.')) && matchSteps(steps, name);
}

/** Matches in time proportional to the product of the lengths: only the last star ever has to give way. */
function matchSteps(steps: readonly Step[], name: string): boolean {
  let step = 0;
  let at = 0;
  let starStep = -1;
  let starAt = 0;
  while (at < name.length) {
    const test = steps[step];
    if (test === '*') {
      starStep = step++;
      starAt = at;
    } else if (test?.(name.charAt(at))) {
      step++;
      at++;
    } else if (starStep >= 0) {
      step = starStep + 1;
      at = ++starAt;
    } else {
      return false;
    }
  }
  while (steps[step] === '*') step++;
  return step === steps.length;
}

/** POSIX character classes in the C locale, which is nginx's. */
const classes: Readonly<Record<string, RegExp>> = {
  alnum: /[0-9A-Za-z]/,
  alpha: /[A-Za-z]/,
  blank: /[ \t]/,
  cntrl: /[\0-\x1f\x7f]/,
  digit: /[0-9]/,
  graph: /[!-~]/,
  lower: /[a-z]/,
  print: /[ -~]/,
  punct: /[!-/:-@[-`{-~]/,
  space: /[\t-\r ]/,
  upper: /[A-Z]/,
  xdigit: /[0-9A-Fa-f]/,
};

/**
 * Reads a set such as `[a-z_]`, `[!0-9]` or `[[:alpha:]]`.
 *
 * @param start where its `[` is
 * @returns its test and where its `]` is; undefined when it is no set, and the bracket stands for itself
 */
function readSet(
  pattern: string,
  start: number,
): { readonly test: CharacterTest; readonly end: number } | undefined {
  let index = start + 1;
  const negated = pattern.charAt(index) === '!' || pattern.charAt(index) === '^';
  if (negated) index++;
  const first = index;
  const tests: CharacterTest[] = [];

  while (index < pattern.length) {
    const character = pattern.charAt(index);
    if (character === '/') return undefined;
    if (character === ']' && index > first) {
      const test: CharacterTest = (tested) => tests.some((member) => member(tested)) !== negated;
      return { test, end: index };
    }
    const namedClass = /^\[:([a-z]*):\]/.exec(pattern.slice(index));
    if (namedClass !== null) {
      const members = classes[namedClass[1]];
      if (members !== undefined) tests.push((tested) => members.test(tested));
      index += namedClass[0].length;
      continue;
    }
    const low = readMember(pattern, index);
    index = low.next;
    let high = low.character;
    if (pattern.charAt(index) === '-' && index + 1 < pattern.length && pattern.charAt(index + 1) !== ']') {
      const upper = readMember(pattern, index + 1);
      high = upper.character;
      index = upper.next;
    }
    tests.push((tested) => tested >= low.character && tested <= high);
  }
  return undefined;
}

/** One member of a set: a character, a quoted one, or a collating element of one character, `[.x.]` or `[=x=]`. */
function readMember(pattern: string, index: number): { readonly character: string; readonly next: number } {
  const collating = /^\[([.=])([\s\S])\1\]/.exec(pattern.slice(index));
  if (collating !== null) return { character: collating[2], next: index + 5 };
  const quoted = pattern.charAt(index) === '\\' && index + 1 < pattern.length;
  return { character: pattern.charAt(quoted ? index + 1 : index), next: index + (quoted ? 2 : 1) };
}
