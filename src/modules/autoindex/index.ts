/** `autoindex`: lists a directory that has no index file. */
import { choice, flag } from '../../config/directive.ts';
import type { Exchange } from '../../core/exchange.ts';
import { filePath } from '../../core/file-path.ts';
import { log } from '../../core/log.ts';
import { defineModule } from '../../core/module.ts';
import { DECLINED, DONE, OK, type PhaseResult } from '../../core/phases.ts';
import { discardRequestBody } from '../../core/request-body.ts';
import { endExchange, sendHead } from '../../core/send.ts';
import { argument } from '../../http/uri.ts';
import { describeFileError, isSystemError } from '../../log/system-errors.ts';
import { type Entry, readEntries } from './entries.ts';
import { htmlListing, jsonListing, xmlListing } from './formats.ts';

const CONTEXTS = ['http', 'server', 'location'];

type Format = 'html' | 'json' | 'jsonp' | 'xml';

interface Listing {
  readonly format: Format;
  readonly exactSize: boolean;
  readonly localTime: boolean;
}

const TYPES: Readonly<Record<Format, string>> = {
  html: 'text/html',
  json: 'application/json',
  jsonp: 'application/javascript',
  xml: 'text/xml',
};

function listDirectory(exchange: Exchange, listing: Listing): PhaseResult | Promise<PhaseResult> {
  const { uri, method } = exchange;
  if (uri.charCodeAt(uri.length - 1) !== 47) return DECLINED;
  if (method !== 'GET' && method !== 'HEAD') return DECLINED;
  const refused = discardRequestBody(exchange);
  if (refused !== OK) return refused;
  const directory = filePath(exchange);
  if (directory === '') return 500;
  const path = directory.length > 1 ? directory.slice(0, -1) : directory;
  let callback: string | undefined;
  let { format } = listing;
  if (format === 'jsonp') {
    callback = argument(exchange.args, 'callback');
    if (callback !== undefined && !isCallback(exchange, callback)) return 400;
    if (callback === undefined || callback === '') format = 'json';
  }
  return answer(exchange, path, { ...listing, format }, callback);
}

async function answer(
  exchange: Exchange,
  path: string,
  listing: Listing,
  callback: string | undefined,
): Promise<PhaseResult> {
  const { epilogues } = exchange;
  let entries: Entry[] | undefined;
  try {
    entries = await readEntries(exchange, path);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return refuse(exchange, path, error);
  }
  if (exchange.overSince(epilogues)) return DONE;
  if (entries === undefined) return 500;
  const { response } = exchange;
  response.status = 200;
  response.contentType = TYPES[listing.format];
  if (listing.format === 'xml') response.charset = 'utf-8';
  const refusal = sendHead(exchange);
  if (refusal !== OK) return refusal;
  // Only now is it known which charset the page has.
  if (!exchange.bodyless) exchange.output.write(compose(exchange, entries, listing, callback));
  endExchange(exchange);
  return DONE;
}

function refuse(exchange: Exchange, path: string, error: NodeJS.ErrnoException): PhaseResult {
  const { code } = error;
  const missing = code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG';
  const status = missing ? 404 : code === 'EACCES' ? 403 : 500;
  log(exchange, status === 500 ? 'crit' : 'error', describeFileError('opendir()', path, error));
  return status;
}

function compose(
  { uri, response }: Exchange,
  entries: readonly Entry[],
  { format, exactSize, localTime }: Listing,
  callback: string | undefined,
): string {
  switch (format) {
    case 'json':
      return jsonListing(entries, undefined);
    case 'jsonp':
      return jsonListing(entries, callback);
    case 'xml':
      return xmlListing(entries);
    default: {
      const utf8 = response.charset.toLowerCase() === 'utf-8';
      // The zone as it is now, also for files that were changed when it was another.
      const offset = localTime ? -new Date().getTimezoneOffset() * 60 : 0;
      return htmlListing(uri, entries, { utf8, exactSize, offset });
    }
  }
}

function isCallback(exchange: Exchange, name: string): boolean {
  if (name.length > 128) {
    log(exchange, 'info', `client sent too long callback name: "${name}"`);
    return false;
  }
  if (/^[A-Za-z0-9_.]*$/.test(name)) return true;
  log(exchange, 'info', `client sent invalid callback name: "${name}"`);
  return false;
}

/** nginx's ngx_http_autoindex_module. */
export const autoindex = defineModule({
  name: 'http_autoindex',
  directives: {
    autoindex: flag(CONTEXTS, false),
    autoindex_format: choice(CONTEXTS, { html: 'html', json: 'json', jsonp: 'jsonp', xml: 'xml' }, 'html'),
    autoindex_localtime: flag(CONTEXTS, false),
    autoindex_exact_size: flag(CONTEXTS, true),
  },
  location(settings) {
    if (!settings.autoindex) return undefined;
    const listing: Listing = {
      format: settings.autoindex_format,
      exactSize: settings.autoindex_exact_size,
      localTime: settings.autoindex_localtime,
    };
    return { content: (exchange) => listDirectory(exchange, listing) };
  },
});
