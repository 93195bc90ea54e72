/**
 * The backend that all proxies share: nginx, or where there is none, a small one of ours. Each proxy's
 * upstream group may have several of its ports as servers. Messages over WebSockets go to a server of ours.
 */
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findProgram, userDirective } from './machine.ts';
import { freePorts } from './ports.ts';
import type { Keeper, Kept } from './process-keeper.ts';
import { fillFile } from './template.ts';

/** How many servers an upstream group can have at most. */
const BACKEND_PORTS = 32;

/** The files the backend serves, by path, in bytes. */
export const files: Readonly<Record<string, number>> = {
  '/16k': 16_384,
  '/1m': 1_048_576,
  '/100m': 104_857_600,
};

/** The body of /small: 100 bytes. */
const small =
  'A hundred bytes of answer, which is what an API says when it has nothing more to say than yes: ok.'.padEnd(
    100,
    '.',
  );

/** A backend that runs. */
export interface Backend {
  readonly kept: readonly Kept[];
  /** Where it listens; every port serves the same. */
  readonly ports: readonly number[];
  /** Where messages over WebSockets are echoed. */
  readonly echoPort: number;
  readonly description: string;
}

/** Starts the backend on the processors of the load. */
export async function startBackend(keeper: Keeper, cores: readonly number[]): Promise<Backend> {
  const ports = await freePorts(BACKEND_PORTS);
  const [innerPort, echoPort] = await freePorts(2);
  const root = join(keeper.directory, 'files');
  mkdirSync(root, { recursive: true }); // there already when the backend has been moved
  for (const [path, length] of Object.entries(files)) {
    writeFileSync(join(root, path), '');
    truncateSync(join(root, path), length);
  }
  const nginx = findProgram('nginx');
  let kept: Kept;
  if (nginx === undefined) {
    kept = keeper.start({
      name: 'backend',
      program: process.execPath,
      arguments: [fileURLToPath(new URL('backend/node-backend.ts', import.meta.url)), small, ports.join(',')],
      cores,
    });
  } else {
    const configuration = join(keeper.directory, 'backend.conf');
    writeFileSync(
      configuration,
      fillFile(new URL('backend/nginx.conf', import.meta.url), {
        user: userDirective(),
        directory: keeper.directory,
        listen: ports.map((port) => `listen 127.0.0.1:${port} backlog=4096;`).join('\n        '),
        inner_port: String(innerPort),
        small,
      }),
    );
    kept = keeper.start({
      name: 'backend',
      program: nginx,
      arguments: [
        '-p',
        keeper.directory,
        '-e',
        join(keeper.directory, 'backend-error.log'),
        '-c',
        configuration,
      ],
      cores,
    });
  }
  const echo = keeper.start({
    name: 'echo',
    program: process.execPath,
    arguments: [fileURLToPath(new URL('backend/echo.ts', import.meta.url)), String(echoPort)],
    cores,
  });
  await keeper.waitForPort(kept, ports[0]);
  await keeper.waitForPort(echo, echoPort);
  return {
    kept: [kept, echo],
    ports,
    echoPort,
    description: nginx === undefined ? 'node-backend.ts' : 'nginx',
  };
}
