/** `gzip_static`: sends `name.gz` in the place of `name`, compressed once and for all by whoever put it there. */
import { choice } from '../config/directive.ts';
import type { Exchange } from '../core/exchange.ts';
import { answerWithFile } from '../core/file-body.ts';
import { filePath } from '../core/file-path.ts';
import { acceptsGzip } from '../core/gzip-acceptance.ts';
import { log } from '../core/log.ts';
import { defineModule } from '../core/module.ts';
import { closeFile, describeFailure, openFile, statusOfFailure } from '../core/open-file.ts';
import { DECLINED, OK, type PhaseResult } from '../core/phases.ts';
import { discardRequestBody } from '../core/request-body.ts';

function serveCompressed(exchange: Exchange, always: boolean): PhaseResult {
  const { method, uri, response } = exchange;
  if (method !== 'GET' && method !== 'HEAD') return DECLINED;
  if (uri.charCodeAt(uri.length - 1) === 47) return DECLINED;
  const wanted = always || acceptsGzip(exchange);
  // Also a client that gets the plain file has to know that there is another.
  if (!wanted && !exchange.location.settings.gzip_vary) return DECLINED;
  const plain = filePath(exchange);
  if (plain === '') return 500;
  const path = `${plain}.gz`;
  const opened = openFile(exchange, path);
  if ('call' in opened) {
    const status = statusOfFailure(opened);
    if (status !== 404) log(exchange, status === 403 ? 'error' : 'crit', describeFailure(path, opened));
    return DECLINED;
  }
  const { descriptor, stats } = opened;
  if (!always) response.varyEncoding = true;
  let status: PhaseResult = DECLINED;
  if (wanted && !stats.isDirectory()) {
    if (!stats.isFile()) {
      log(exchange, 'crit', `"${path}" is not a regular file`);
      status = 404;
    } else {
      status = discardRequestBody(exchange);
      if (status === OK) {
        response.fields += 'Content-Encoding: gzip\r\n';
        return answerWithFile(exchange, opened, path);
      }
    }
  }
  closeFile(exchange, descriptor, path);
  return status;
}

/** nginx's ngx_http_gzip_static_module. */
export const gzipStatic = defineModule({
  name: 'http_gzip_static',
  directives: {
    gzip_static: choice(['http', 'server', 'location'], { off: 'off', on: 'on', always: 'always' }, 'off'),
  },
  location({ gzip_static: mode }) {
    if (mode === 'off') return undefined;
    return { content: (exchange) => serveCompressed(exchange, mode === 'always') };
  },
});
