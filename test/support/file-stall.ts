/** Files that take as long to be read as a test says: those that are read on another thread. */
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, openSync, rmSync } from 'node:fs';
import type { Sandbox } from './portico.ts';
import { until } from './wait.ts';

export interface FileStall {
  /** For `startPortico`: of a Portico whose files can be stalled. */
  readonly environment: NodeJS.ProcessEnv;
  /** What is read on another thread from now on waits. */
  begin(): Promise<void>;
  /** It goes on, in the order in which it was asked for. */
  end(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** @param sandbox the test's, which the pipe stands in */
export function createFileStall(sandbox: Sandbox): FileStall {
  const pipe = sandbox.path('stall');
  async function end(): Promise<void> {
    if (!existsSync(pipe)) return;
    // For both directions, as this one must not wait.
    const descriptor = openSync(pipe, 'r+');
    rmSync(pipe);
    await until('the files to go on', () => !existsSync(`${pipe}.stalled`));
    closeSync(descriptor);
  }
  return {
    environment: {
      NODE_OPTIONS: `--import=${new URL('stall-files.ts', import.meta.url).href}`,
      NODE_TEST_STALL_PIPE: pipe,
      UV_THREADPOOL_SIZE: '1',
    },
    async begin() {
      execFileSync('mkfifo', [pipe]);
      await until('the files to be stalled', () => existsSync(`${pipe}.stalled`));
    },
    end,
    [Symbol.asyncDispose]: end,
  };
}
