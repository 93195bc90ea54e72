/** A running Portico over a directory of files, for the tests of this folder. */
import { createSandbox, type RunningPortico, type Sandbox, startPortico } from '../../support/portico.ts';
import { freePort } from '../../support/ports.ts';
import { type Answer, get, type RequestOptions } from '../../support/request.ts';

export interface Site {
  readonly portico: RunningPortico;
  readonly sandbox: Sandbox;
  readonly port: number;
  /** Asks for a path as it is written, and reads the whole answer. */
  get(path: string, options?: RequestOptions): Promise<Answer>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * @param locations what stands in the server; `%ROOT%` is the directory of the files, without a slash at its end
 * @param prepare makes the files below `root/`
 */
export async function startSite(locations: string, prepare: (sandbox: Sandbox) => void): Promise<Site> {
  const sandbox = createSandbox();
  try {
    prepare(sandbox);
    const port = await freePort();
    const root = sandbox.path('root');
    const portico = await startPortico({
      sandbox,
      http: `types { text/html html; text/plain txt; } server { listen 127.0.0.1:${port}; root ${root}; ${locations.replaceAll('%ROOT%', root)} }`,
    });
    return {
      portico,
      sandbox,
      port,
      get: (path, options = {}) => get({ port, path, ...options }),
      async [Symbol.asyncDispose]() {
        await portico[Symbol.asyncDispose]();
        sandbox.remove();
      },
    };
  } catch (error) {
    sandbox.remove();
    throw error;
  }
}
