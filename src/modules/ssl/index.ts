/** TLS towards clients: the directives `ssl_*` of a server and the variables `$ssl_*`. Engines do the handshakes. */
import { ConfigError } from '../../config/statement.ts';
import { defineModule } from '../../core/module.ts';
import type { TlsContexts } from '../../core/tls.ts';
import { createContexts } from './contexts.ts';
import { sslDirectives } from './directives.ts';
import { declareZone } from './session-cache.ts';
import { sslVariables } from './variables.ts';

const CONTEXTS = Symbol('contexts for TLS');

export const ssl = defineModule({
  name: 'http_ssl',
  directives: sslDirectives,
  variables: sslVariables,
  http(settings, _scope, link) {
    declareZone(settings.ssl_session_cache, link);
    return undefined;
  },
  server(settings, _scope, link) {
    declareZone(settings.ssl_session_cache, link);
    const {
      ssl_certificate: certificates,
      ssl_certificate_key: keys,
      ssl_verify_client: verify,
      ssl_reject_handshake: rejectsHandshake,
    } = settings;
    if (certificates === undefined) return { tls: { contexts: undefined, rejectsHandshake, verify } };
    if (keys === undefined || keys.length < certificates.length) {
      throw new ConfigError(`no "ssl_certificate_key" is defined for certificate "${certificates.at(-1)}"`);
    }
    const hasAuthorities = settings.ssl_client_certificate !== '' || settings.ssl_trusted_certificate !== '';
    if (verify !== 'off' && verify !== 'optional_no_ca' && !hasAuthorities) {
      throw new ConfigError('no ssl_client_certificate or ssl_trusted_certificate for ssl_verify_client');
    }
    // Servers that say the same share what is dear to make.
    const made = link.state(CONTEXTS, () => new Map<string, TlsContexts>());
    const identity = JSON.stringify(settings);
    let contexts = made.get(identity);
    if (contexts === undefined) {
      contexts = createContexts(settings, certificates, keys, link);
      made.set(identity, contexts);
    }
    return { tls: { contexts, rejectsHandshake, verify } };
  },
});
