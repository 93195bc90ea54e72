/** The proxy module: `proxy_pass` and all that goes with it (ngx_http_proxy_module). */
import type { Scope } from '../../config/scope.ts';
import type { Exchange } from '../../core/exchange.ts';
import { log } from '../../core/log.ts';
import { defineModule } from '../../core/module.ts';
import type { PhaseResult } from '../../core/phases.ts';
import { KnownHeader } from '../../http/header-names.ts';
import { proxyDirectives } from './directives.ts';
import { linkProxy, type ProxyLocation } from './location.ts';
import { ProxiedExchange } from './proxied-exchange.ts';
import { type Destination, findDestination } from './target.ts';

/** The proxied locations by the scope they were linked from: for the variables. */
const locations = new WeakMap<Scope, ProxyLocation>();

/** Where an exchange goes whose URL has variables. */
const DESTINATION = Symbol('destination of a proxied exchange');

function serve(location: ProxyLocation, exchange: Exchange): PhaseResult {
  const destination = findDestination(location.target, exchange);
  if (typeof destination === 'number') return destination;
  if (location.target.fixed === undefined) exchange.setState(DESTINATION, destination);
  const proxied = new ProxiedExchange(location, exchange, destination);
  try {
    return proxied.begin();
  } catch (error) {
    // Whatever went wrong: no server may be left counted as busy.
    proxied.close();
    throw error;
  }
}

/** Where the exchange goes, or went, as far as its location proxies. */
function destinationOf(exchange: Exchange): Destination | undefined {
  const location = locations.get(exchange.location.scope);
  if (location === undefined) return undefined;
  return location.target.fixed ?? exchange.state<Destination>(DESTINATION);
}

/** The addresses in X-Forwarded-For, and the client's. */
function forwardedFor({ headers, remoteAddress }: Exchange): string {
  let index = headers.known(KnownHeader.xForwardedFor);
  if (index < 0) return remoteAddress;
  let text = '';
  for (; index >= 0; index = headers.known(KnownHeader.xForwardedFor, index + 1))
    text += `${headers.value(index)}, `;
  return text + remoteAddress;
}

export const proxy = defineModule({
  name: 'http_proxy',
  directives: proxyDirectives,
  variables: {
    proxy_host: { get: (exchange) => destinationOf(exchange)?.url.hostHeader, changeable: true },
    proxy_port: { get: (exchange) => destinationOf(exchange)?.url.portText, changeable: true },
    proxy_add_x_forwarded_for: { get: forwardedFor, cached: true },
  },
  location(settings, scope, link) {
    const location = linkProxy(settings, scope, link);
    if (location === undefined) return undefined;
    locations.set(scope, location);
    return {
      handler(exchange) {
        if (exchange.location.scope === scope) return serve(location, exchange);
        // Left by an `if` that another one has come after, which has no `proxy_pass`.
        log(exchange, 'alert', 'no upstream configuration');
        return 500;
      },
      autoRedirect: scope.has('proxy_pass') && scope.context === 'location',
    };
  },
});
