/** The Portico of this repository: how it is started, and what it can do. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeNginx } from './configurations.ts';
import type { Setup } from './setup.ts';

/** The program. */
export const launcher = fileURLToPath(new URL('../scripts/portico', import.meta.url));

const answers = new Map<string, string | undefined>();

/**
 * Why this Portico cannot take part: what its `-t` says of its configuration, asked once for each. An
 * engine may not load on a machine, or not know a directive that the workload needs.
 * @returns undefined when it can
 */
export function refusal(engine: 'node' | 'uws', setup: Setup): string | undefined {
  const question = [engine, setup.pipeline > 0, setup.tls, setup.websocket].join();
  if (!answers.has(question)) answers.set(question, ask(engine, setup));
  return answers.get(question);
}

function ask(engine: 'node' | 'uws', setup: Setup): string | undefined {
  const directory = mkdtempSync(join(tmpdir(), 'portico-bench-'));
  try {
    const place = { port: 1, echoPort: 1, setup: { ...setup, servers: 1 }, backendPorts: [1] };
    const configuration = writeNginx({ ...place, directory, sharedDirectory: directory }, engine);
    const arguments_ = ['-t', '-p', directory, '-c', configuration, '-e', 'stderr'];
    const { status, stderr } = spawnSync(launcher, arguments_, { encoding: 'latin1' });
    if (status === 0) return undefined;
    const reason = /\[emerg\] (?:\d+#\d+: )?(.*?)(?: in \S+:\d+)?$/m.exec(stderr)?.[1];
    return reason ?? `its -t fails: ${stderr.trim()}`;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
