/** Programs that a test starts for real, and what they print and leave behind. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';

/** A program under way. */
export interface Program {
  readonly process: ChildProcess;
  /** Every line that it has printed so far, on either stream. */
  readonly lines: readonly string[];
  /** Resolves with the first line that matches, printed already or yet to come; rejects when it ends before. */
  line(pattern: RegExp): Promise<string>;
  /** Resolves with the exit code, or the signal that ended it, and with all the lines read. */
  readonly ended: Promise<number | NodeJS.Signals>;
}

/**
 * Starts a program whose two output streams are read line by line. It is killed after the test if it
 * has not ended by then.
 */
export function startProgram(
  context: TestContext,
  command: string,
  commandArguments: readonly string[],
  options: SpawnOptions = {},
): Program {
  const child = spawn(command, commandArguments, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const look of waiting) look();
  };
  for (const stream of [child.stdout!, child.stderr!]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      wake();
    });
  }
  let over = false;
  const ended = once(child, 'close').then(([code, signal]) => {
    over = true;
    wake();
    return (code ?? signal) as number | NodeJS.Signals;
  });
  context.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return {
    process: child,
    lines,
    ended,
    line(pattern) {
      return new Promise((settle, fail) => {
        const look = () => {
          const found = lines.find((line) => pattern.test(line));
          if (found === undefined && !over) return;
          waiting.delete(look);
          if (found !== undefined) settle(found);
          else fail(new Error(`it ended without printing ${pattern}, but:\n${lines.join('\n')}`));
        };
        waiting.add(look);
        look();
      });
    },
  };
}
