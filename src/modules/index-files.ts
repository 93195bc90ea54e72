/** `index`: what a URI that ends in a slash stands for. */
import { statSync } from 'node:fs';
import { statements } from '../config/setters.ts';
import type { Exchange } from '../core/exchange.ts';
import { filePath } from '../core/file-path.ts';
import { internalRedirect } from '../core/finalize.ts';
import { log } from '../core/log.ts';
import { defineModule } from '../core/module.ts';
import { DECLINED, DONE, type PhaseResult } from '../core/phases.ts';
import { constantTemplate, type Template } from '../core/template.ts';
import { describeError, isSystemError } from '../log/system-errors.ts';

function findIndex(exchange: Exchange, candidates: readonly Template[]): PhaseResult {
  if (!exchange.uri.endsWith('/')) return DECLINED;
  if (exchange.method !== 'GET' && exchange.method !== 'HEAD' && exchange.method !== 'POST') return DECLINED;
  const directory = filePath(exchange);
  let directoryKnown = false;
  for (const candidate of candidates) {
    const name = candidate.constant ?? candidate.evaluate(exchange);
    if (name === '') continue;
    if (name.startsWith('/')) {
      // The last word may be a path of its own, which is taken without looking.
      internalRedirect(exchange, name, '');
      return DONE;
    }
    try {
      statSync(Buffer.from(directory + name, 'latin1'));
    } catch (error) {
      if (!isSystemError(error)) throw error;
      if (error.code === 'EACCES') {
        log(exchange, 'error', `"${directory}${name}" is forbidden (${describeError(error)})`);
        return 403;
      }
      if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR' && error.code !== 'ENAMETOOLONG') {
        log(exchange, 'crit', `stat() "${directory}${name}" failed (${describeError(error)})`);
        return 500;
      }
      if (!directoryKnown) {
        const status = checkDirectory(exchange, directory);
        if (status !== 0) return status;
        directoryKnown = true;
      }
      continue;
    }
    internalRedirect(exchange, exchange.uri + name, exchange.args);
    return DONE;
  }
  return DECLINED;
}

/** Is the directory there at all? @returns 0, or the status to answer with */
function checkDirectory(exchange: Exchange, directory: string): number {
  try {
    statSync(Buffer.from(directory, 'latin1'));
    return 0;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    if (error.code === 'ENOENT') {
      if (exchange.location.settings.log_not_found) {
        log(exchange, 'error', `"${directory}index.html" is not found (${describeError(error)})`);
      }
      return 404;
    }
    if (error.code === 'EACCES') {
      log(exchange, 'error', `"${directory}" is forbidden (${describeError(error)})`);
      return 403;
    }
    // Something else than a directory stands in the way: the static module will say so.
    return 0;
  }
}

const DEFAULT_INDEX = [constantTemplate('index.html')];

export const indexFiles = defineModule({
  name: 'http_index',
  directives: {
    index: statements(['http', 'server', 'location'], [1, Number.POSITIVE_INFINITY], {
      syntax: 'file ...',
      defaultText: 'index.html',
    }),
  },
  location(settings, _scope, link) {
    const candidates = settings.index.flatMap((statement) =>
      statement.args.map((name) => link.template(statement, name)),
    );
    const files = candidates.length === 0 ? DEFAULT_INDEX : candidates;
    return { content: (exchange) => findIndex(exchange, files) };
  },
});
