/**
 * `post_action`: a location a request is sent to when it has been answered (part of nginx's core module, and not in its
 * documentation). What comes of it goes nowhere; the access log is written after it, from where it has led.
 */
import { text } from '../config/setters.ts';
import { internalRedirect, namedLocation } from '../core/finalize.ts';
import { defineModule } from '../core/module.ts';

export const postAction = defineModule({
  name: 'http_post_action',
  directives: {
    post_action: text(['http', 'server', 'location', 'if in location'], '', {
      syntax: 'uri',
      defaultText: '',
    }),
  },
  location({ post_action: target }) {
    if (target === '') return undefined;
    if (!target.startsWith('/')) return { epilogue: (exchange) => namedLocation(exchange, target) };
    return { epilogue: (exchange) => internalRedirect(exchange, target, '') };
  },
});
