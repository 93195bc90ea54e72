/** The try_files module: the first file or directory there is serves the request, else what the last word says. */
import { parseNumber, statement } from '../config/directive.ts';
import { ConfigError, type Statement } from '../config/statement.ts';
import type { Exchange } from '../core/exchange.ts';
import { documentRoot } from '../core/file-path.ts';
import { internalRedirect, namedLocation } from '../core/finalize.ts';
import type { Link } from '../core/link.ts';
import { log } from '../core/log.ts';
import { defineModule } from '../core/module.ts';
import { findFile } from '../core/open-file.ts';
import { DECLINED, DONE, type PhaseResult } from '../core/phases.ts';
import type { Template } from '../core/template.ts';

/** One of the words. */
interface Candidate {
  readonly name: Template;
  /** It is written with a slash at its end: a directory is looked for. */
  readonly directory: boolean;
}

interface TryFiles {
  readonly candidates: readonly Candidate[];
  /** What is done where there is none of them: a URI or a named location; undefined where there is a status. */
  readonly fallback: Template | undefined;
  readonly status: number;
}

/** @throws ConfigError `invalid code "=x"`, those of templates */
function compile(given: Statement, link: Link): TryFiles {
  const words = [...given.args];
  const last = words.pop() ?? '';
  const candidates = words.map((word): Candidate => {
    const directory = word.endsWith('/');
    return { name: link.template(given, directory ? word.slice(0, -1) : word), directory };
  });
  if (!last.startsWith('=')) return { candidates, fallback: link.template(given, last), status: 0 };
  const status = parseNumber(last.slice(1));
  if (status === undefined || status > 999) {
    throw new ConfigError(`invalid code "${last}"`, { statement: given });
  }
  return { candidates, fallback: undefined, status };
}

function tryFiles(exchange: Exchange, { candidates, fallback, status }: TryFiles): PhaseResult {
  const { alias, replaced } = exchange.location.documentRoot;
  if (alias !== undefined && !exchange.validLocation) {
    log(
      exchange,
      'alert',
      `"alias" cannot be used in location "${exchange.location.name}" where URI was rewritten`,
    );
    return 500;
  }
  const root = documentRoot(exchange);
  for (let index = 0; index < candidates.length; index++) {
    const { name, directory } = candidates[index]!;
    const file = fileName(exchange, name);
    if (!exists(exchange, root + file, directory)) continue;
    if (alias === undefined) exchange.uri = file;
    else if (alias === 'prefix') exchange.uri = exchange.uri.slice(0, replaced.length) + file;
    else if (!directory) {
      exchange.uri = file;
      exchange.uriUnderAlias = true;
    }
    return DECLINED;
  }
  if (fallback === undefined) return status;
  const target = fileName(exchange, fallback);
  if (target.startsWith('@')) namedLocation(exchange, target);
  else {
    const question = target.indexOf('?');
    if (question < 0) internalRedirect(exchange, target, '');
    else internalRedirect(exchange, target.slice(0, question), target.slice(question + 1));
  }
  return DONE;
}

/** A word's value. Below an `alias` one that begins with the location's name is taken for a URI of it. */
function fileName(exchange: Exchange, { constant, evaluate }: Template): string {
  if (constant !== undefined) return constant;
  const name = evaluate(exchange);
  const { alias, replaced } = exchange.location.documentRoot;
  return alias === 'prefix' && name.startsWith(replaced) ? name.slice(replaced.length) : name;
}

function exists(exchange: Exchange, path: string, directory: boolean): boolean {
  return findFile(exchange, path)?.isDirectory() === directory;
}

/** nginx's ngx_http_try_files_module. */
export const tryFilesModule = defineModule({
  name: 'http_try_files',
  directives: {
    try_files: statement(['server', 'location'], [2, Number.POSITIVE_INFINITY], {
      syntax: 'file ... uri | file ... =code',
      inherited: false,
    }),
  },
  location({ try_files: given }, _scope, link) {
    if (given === undefined) return undefined;
    const compiled = compile(given, link);
    return { precontent: (exchange) => tryFiles(exchange, compiled) };
  },
});
