/** What the page of `stub_status` says. */
import assert from 'node:assert/strict';

/** Its figures, the connection of whoever asks among them. */
export interface StubStatus {
  readonly active: number;
  readonly accepted: number;
  readonly handled: number;
  readonly requests: number;
  readonly reading: number;
  readonly writing: number;
  readonly waiting: number;
}

const PAGE =
  /Active connections: (\d+) \n.*\n (\d+) (\d+) (\d+) \nReading: (\d+) Writing: (\d+) Waiting: (\d+) \n/;

/** Reads the page, or a whole answer with it. @throws AssertionError where it is none */
export function parseStubStatus(text: string): StubStatus {
  const match = PAGE.exec(text);
  assert.ok(match, `no stub_status: ${JSON.stringify(text)}`);
  const [active, accepted, handled, requests, reading, writing, waiting] = match.slice(1).map(Number);
  return { active, accepted, handled, requests, reading, writing, waiting };
}

/** Its gauges in one line: `1 Reading: 0 Writing: 1 Waiting: 0`. */
export function gaugesIn(text: string): string {
  const { active, reading, writing, waiting } = parseStubStatus(text);
  return `${active} Reading: ${reading} Writing: ${writing} Waiting: ${waiting}`;
}
