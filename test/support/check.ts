/** What the program says of a configuration that it is not to run: `-t`. */
import { createSandbox, runPortico } from './portico.ts';

export interface Check {
  /** The exit code: 0 where the configuration can be used. */
  readonly code: number | null;
  /** All that it has written, the name of the configuration file replaced by `FILE`. */
  readonly text: string;
  /** The first line of it. */
  readonly line: string;
}

/** @param http what stands in `http { }`, which begins in the second line */
export async function check(http: string): Promise<Check> {
  using sandbox = createSandbox();
  const file = sandbox.write('conf/portico.conf', `pid logs/portico.pid; events {}\nhttp { ${http} }\n`);
  const { code, stderr } = await runPortico(['-t', '-p', sandbox.directory, '-c', 'conf/portico.conf']);
  const text = stderr.replaceAll(file, 'FILE');
  return { code, text, line: text.slice(0, text.indexOf('\n')) };
}
