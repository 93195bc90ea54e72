/** `index`: what a URI that ends in a slash stands for. */
import { type ReadContext, statements } from '../config/directive.ts';
import type { Statement } from '../config/statement.ts';
import type { Exchange } from '../core/exchange.ts';
import { filePath } from '../core/file-path.ts';
import { internalRedirect } from '../core/finalize.ts';
import { log } from '../core/log.ts';
import { defineModule } from '../core/module.ts';
import {
  describeFailure,
  type FileFailure,
  isForbiddenLink,
  reasonOf,
  statFile,
  whyMissing,
} from '../core/open-file.ts';
import { DECLINED, DONE, OK, type PhaseResult } from '../core/phases.ts';
import { constantTemplate, type Template } from '../core/template.ts';

function findIndex(exchange: Exchange, candidates: readonly Template[]): PhaseResult {
  const { uri, method } = exchange;
  if (uri.charCodeAt(uri.length - 1) !== 47) return DECLINED;
  if (method !== 'GET' && method !== 'HEAD' && method !== 'POST') return DECLINED;
  let directory = '';
  let directoryKnown = false;
  for (let index = 0; index < candidates.length; index++) {
    const candidate = candidates[index]!;
    const name = candidate.constant ?? candidate.evaluate(exchange);
    if (name.charCodeAt(0) === 47) {
      // The last word may be a path of its own, which is taken without looking.
      internalRedirect(exchange, name, exchange.args);
      return DONE;
    }
    if (directory === '') {
      directory = filePath(exchange);
      if (directory === '') return 500;
    }
    const path = directory + name;
    const found = statFile(exchange, path);
    if (found !== undefined && !('call' in found)) {
      internalRedirect(exchange, uri + name, exchange.args);
      return DONE;
    }
    if (found !== undefined) {
      const status = refuse(exchange, path, found);
      if (status !== DECLINED) return status;
    }
    if (!directoryKnown) {
      // A file is looked for first: what is there costs one look, and only what is not costs another.
      const status = checkDirectory(exchange, directory, path);
      if (status !== OK) return status;
      directoryKnown = true;
    }
    if (found === undefined) continue;
    log(exchange, 'crit', describeFailure(path, found));
    return 500;
  }
  return DECLINED;
}

/** A file that cannot be looked at. @returns the status to answer with; DECLINED where the directory has a say first */
function refuse(exchange: Exchange, path: string, failure: FileFailure): PhaseResult {
  if (isForbiddenLink(failure)) return 403;
  switch (failure.error.code) {
    case 'EACCES':
      log(exchange, 'error', `"${path}" is forbidden (${reasonOf(failure)})`);
      return 403;
    case 'ENAMETOOLONG':
      return notFound(exchange, path, failure);
    default:
      return DECLINED;
  }
}

function notFound(exchange: Exchange, path: string, failure: FileFailure | undefined): PhaseResult {
  if (failure !== undefined && exchange.location.settings.log_not_found) {
    log(exchange, 'error', `"${path}" is not found (${reasonOf(failure)})`);
  }
  return 404;
}

/**
 * Is the directory there at all?
 * @param directory with a slash at its end, or the value of an `alias` that has none
 * @param path of the file that was not found in it
 * @returns OK, or the status to answer with
 */
function checkDirectory(exchange: Exchange, directory: string, path: string): PhaseResult {
  const name = directory.length > 1 && directory.endsWith('/') ? directory.slice(0, -1) : directory;
  const found = statFile(exchange, name);
  if (found === undefined) return notFound(exchange, path, whyMissing(exchange, path));
  if ('call' in found) {
    if (isForbiddenLink(found)) return 403;
    // What is in it could be looked for: that it cannot be looked at itself does not matter.
    if (found.error.code === 'EACCES') return OK;
    log(exchange, 'crit', describeFailure(name, found));
    return 500;
  }
  // A file's name with a slash behind it.
  return found.isDirectory() ? OK : notFound(exchange, path, whyMissing(exchange, path));
}

function checkNames({ args, name }: Statement, report: ReadContext): void {
  args.forEach((word, position) => {
    if (word.startsWith('/') && position !== args.length - 1) {
      report.warn(`only the last index in "${name}" directive should be absolute`);
    }
    if (word === '') report.fail(`index "${word}" in "${name}" directive is invalid`);
  });
}

const DEFAULT_INDEX = [constantTemplate('index.html')];

/** nginx's ngx_http_index_module. */
export const indexFiles = defineModule({
  name: 'http_index',
  directives: {
    index: statements(['http', 'server', 'location'], [1, Number.POSITIVE_INFINITY], {
      syntax: 'file ...',
      defaultText: 'index.html',
      check: checkNames,
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
