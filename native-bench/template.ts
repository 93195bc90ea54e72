/** Configuration files with a few values left open, written `@name@`: neither nginx nor HAProxy uses that. */
import { readFileSync } from 'node:fs';

/**
 * Fills in a text. A line that holds nothing but a value which is empty goes away.
 * @throws Error for a name that has no value, and for a value that no name asks for
 */
export function fillTemplate(text: string, values: Readonly<Record<string, string>>): string {
  const unused = new Set(Object.keys(values));
  const filled = text.replace(/^[ \t]*@(\w+)@[ \t]*\n|@(\w+)@/gm, (match, line?: string, part?: string) => {
    const name = line ?? part ?? '';
    const value = values[name];
    if (value === undefined) throw new Error(`no value for @${name}@`);
    unused.delete(name);
    if (line === undefined) return value;
    return value === '' ? '' : match.replace(`@${name}@`, () => value);
  });
  if (unused.size > 0) throw new Error(`nothing asks for ${[...unused].join(', ')}`);
  return filled;
}

/** Fills in a file of this folder. */
export function fillFile(path: URL, values: Readonly<Record<string, string>>): string {
  return fillTemplate(readFileSync(path, 'utf8'), values);
}
