/** `mirror`: sends a copy of each request to other places; their answers are thrown away (ngx_http_mirror_module). */
import { custom, flag } from '../config/setters.ts';
import type { Exchange } from '../core/exchange.ts';
import { defineModule } from '../core/module.ts';
import { DECLINED, DONE, type PhaseResult } from '../core/phases.ts';
import { readRequestBody } from '../core/request-body.ts';
import { startSubrequest } from '../core/subrequest.ts';

const CONTEXTS = ['http', 'server', 'location'];

function startMirrors(exchange: Exchange, uris: readonly string[]): PhaseResult {
  const { method, args } = exchange;
  for (let index = 0; index < uris.length; index++) {
    if (startSubrequest(exchange, uris[index]!, args, { kind: 'background', method }) === undefined)
      return 500;
  }
  return DECLINED;
}

/** The mirrors get the body too: it is read first, and the request goes on when it is there. */
function mirrorWithBody(exchange: Exchange, uris: readonly string[]): PhaseResult {
  let result: PhaseResult = DONE;
  let waited = false;
  readRequestBody(exchange, () => {
    result = startMirrors(exchange, uris);
    if (!waited) return;
    if (result === DECLINED) exchange.site.run(exchange);
    else exchange.site.finalize(exchange, result);
  });
  waited = true;
  return result;
}

export const mirror = defineModule({
  name: 'http_mirror',
  directives: {
    mirror: custom(
      CONTEXTS,
      [1, 1],
      [] as readonly string[] | 'off',
      ({ args }, previous: readonly string[] | 'off' | undefined, report) => {
        const uri = args[0]!;
        if (previous === 'off' || (uri === 'off' && previous !== undefined)) {
          return report.failDirective('is duplicate');
        }
        return uri === 'off' ? 'off' : [...(previous ?? []), uri];
      },
      { syntax: 'uri | off', defaultText: 'off' },
    ),
    mirror_request_body: flag(CONTEXTS, true),
  },
  location({ mirror: uris, mirror_request_body: withBody }) {
    if (uris === 'off' || uris.length === 0) return undefined;
    const handler = withBody ? mirrorWithBody : startMirrors;
    return { precontent: (exchange) => (exchange.isSubrequest ? DECLINED : handler(exchange, uris)) };
  },
});
