/**
 * Where the answers of Debian's nginx are known to differ from ours, each with its reason. Everything else has to be
 * the same.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Answer } from './differential-answers.ts';
import type { Question } from './differential-requests.ts';

/** One difference that is as it should be. */
export interface KnownDifference {
  readonly why: string;
  /** The version of nginx from which on it is no difference any more; undefined: none. */
  readonly before?: string;
  /** Whether it explains the answers to this question. */
  explains(question: Question, theirs: readonly Answer[], ours: readonly Answer[]): boolean;
}

export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  {
    why: 'nginx ends a connection after an answer that a condition refuses, though it has said keep-alive',
    explains: ({ methods }, theirs, ours) =>
      methods.length === 2 &&
      theirs.length === 1 &&
      / 412 /.test(theirs[0]!.statusLine) &&
      isDeepStrictEqual(theirs[0], ours[0]),
  },
  {
    why: 'nginx reads a request that has come with the one before it into what that one has left of the buffer',
    explains: ({ bytes, methods }, theirs, ours) =>
      methods.length === 2 &&
      bytes.includes('\nX-Long: ') &&
      theirs.length === 2 &&
      theirs[1]!.statusLine === 'HTTP/1.1 400 Bad Request' &&
      isDeepStrictEqual(theirs[0], ours[0]),
  },
  {
    why: 'Last-Modified of add_header stands where Last-Modified always does, not among the fields that are added',
    explains: ({ bytes }, theirs, ours) =>
      bytes.includes('/headers') && isDeepStrictEqual(withoutOrder(theirs), withoutOrder(ours)),
  },
  {
    why: 'the port in a Host header has to be a number, since 1.29.4',
    before: '1.29.4',
    explains: ({ bytes }, _theirs, ours) =>
      bytes.includes('\nHost: first.example.com:x') && / 400 /.test(ours.at(-1)?.statusLine ?? ''),
  },
  {
    why: 'a variable has all fields of a name, since 1.23.0, and not only the first',
    before: '1.23.0',
    explains: ({ bytes }, theirs, ours) =>
      bytes.includes('X-Test: second') &&
      theirs.length === ours.length &&
      JSON.stringify(ours).includes(', second'),
  },
  {
    why: 'ranges of files that gzip_static sends are allowed, since 1.29.1',
    before: '1.29.1',
    explains: (_question, theirs, ours) =>
      ours.every(
        (answer, index) =>
          isDeepStrictEqual(answer, theirs[index]) ||
          (answer.fields.includes('Content-Encoding: gzip') && / 20[06] /.test(answer.statusLine)),
      ),
  },
];

function withoutOrder(answers: readonly Answer[]): Answer[] {
  return answers.map((answer) => ({ ...answer, fields: [...answer.fields].sort() }));
}

/** Whether a version is older than another one; both as `1.29.4`. */
export function isOlder(version: string, other: string): boolean {
  const [ours, theirs] = [version, other].map((text) => text.split('.').map(Number));
  for (let index = 0; index < 3; index++) {
    const difference = (ours![index] ?? 0) - (theirs![index] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
