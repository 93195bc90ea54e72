/** Static files: the last handler of the content phase, for `root` and `alias`. */
import type { Exchange } from '../core/exchange.ts';
import { answerWithFile } from '../core/file-body.ts';
import { filePath } from '../core/file-path.ts';
import { log } from '../core/log.ts';
import { defineModule } from '../core/module.ts';
import {
  closeFile,
  describeFailure,
  type FileFailure,
  openFile,
  statusOfFailure,
} from '../core/open-file.ts';
import { DECLINED, OK, type PhaseResult } from '../core/phases.ts';
import { discardRequestBody } from '../core/request-body.ts';
import { escapeUri } from '../http/uri-escape.ts';

function serveFile(exchange: Exchange): PhaseResult {
  const { method, uri } = exchange;
  if (method !== 'GET' && method !== 'HEAD' && method !== 'POST') return 405;
  if (uri.charCodeAt(uri.length - 1) === 47) return DECLINED;
  const path = filePath(exchange);
  if (path === '') return 500;
  const opened = openFile(exchange, path);
  if ('call' in opened) return refuse(exchange, path, opened);
  const { descriptor, stats } = opened;
  let status: PhaseResult;
  if (stats.isDirectory()) {
    exchange.response.location = `${escapeUri(uri, 'uri')}/${exchange.args === '' ? '' : `?${exchange.args}`}`;
    status = 301;
  } else if (!stats.isFile()) {
    log(exchange, 'crit', `"${path}" is not a regular file`);
    status = 404;
  } else if (method === 'POST') status = 405;
  else {
    status = discardRequestBody(exchange);
    if (status === OK) return answerWithFile(exchange, opened, path);
  }
  closeFile(exchange, descriptor, path);
  return status;
}

function refuse(exchange: Exchange, path: string, failure: FileFailure): PhaseResult {
  const status = statusOfFailure(failure);
  if (status !== 404 || exchange.location.settings.log_not_found) {
    log(exchange, status === 500 ? 'crit' : 'error', describeFailure(path, failure));
  }
  return status;
}

/** nginx's ngx_http_static_module. */
export const staticFiles = defineModule({
  name: 'http_static',
  directives: {},
  location: () => ({ content: serveFile }),
});
