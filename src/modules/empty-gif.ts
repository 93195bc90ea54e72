/** `empty_gif`: a picture of one transparent pixel, for counting who looks. */
import { custom } from '../config/directive.ts';
import type { Exchange } from '../core/exchange.ts';
import { defineModule } from '../core/module.ts';
import { DONE, type PhaseResult } from '../core/phases.ts';
import { sendWhole } from '../core/send.ts';

/** The smallest GIF89a there is: a screen of 1 x 1, two colours of which the second is transparent, one code. */
const PIXEL = Buffer.from(
  '47494638396101000100800100000000ffffff21f90401000001002c00000000010001000002024c01003b',
  'hex',
);

/** nginx's date of it, in seconds: 28 September 1970. */
const MODIFIED = 23_349_600;

function sendPixel(exchange: Exchange): PhaseResult {
  if (exchange.method !== 'GET' && exchange.method !== 'HEAD') return 405;
  exchange.response.lastModified = MODIFIED;
  sendWhole(exchange, 200, 'image/gif', PIXEL);
  return DONE;
}

/** nginx's ngx_http_empty_gif_module. */
export const emptyGif = defineModule({
  name: 'http_empty_gif',
  directives: { empty_gif: custom(['location'], [0, 0], false, () => true, { inherited: false }) },
  location: (settings) => (settings.empty_gif ? { handler: sendPixel } : undefined),
});
