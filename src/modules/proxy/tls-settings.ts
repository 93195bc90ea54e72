/** `proxy_ssl_*`: TLS towards upstream servers prepared, once for all locations that say the same. */
import type { Settings } from '../../config/directive.ts';
import { ConfigError } from '../../config/statement.ts';
import { readAuthorities, readPairs, readPasswords, readRevoked } from '../../core/certificates.ts';
import type { Link } from '../../core/link.ts';
import { allowedProtocols } from '../../core/tls-directives.ts';
import { TLS_PROTOCOLS, type TlsProtocol } from '../../http/tls-protocols.ts';
import { createUpstreamTls, type UpstreamTls } from '../../upstream/tls.ts';
import type { ProxyDirectives } from './directives.ts';

const PREPARED = Symbol('TLS settings of proxied locations');

/**
 * Prepares TLS for a location.
 * @throws ConfigError in nginx's words for files that cannot be read or used, and for settings that lack another
 */
export function prepareTls(settings: Settings<ProxyDirectives>, link: Link): UpstreamTls {
  const certificate = settings.proxy_ssl_certificate?.args[0] ?? '';
  const key = settings.proxy_ssl_certificate_key?.args[0];
  if (certificate !== '' && key === undefined) {
    throw new ConfigError(`no "proxy_ssl_certificate_key" is defined for certificate "${certificate}"`);
  }
  const trusted = settings.proxy_ssl_trusted_certificate;
  if (settings.proxy_ssl_verify && trusted === '') {
    throw new ConfigError('no proxy_ssl_trusted_certificate for proxy_ssl_verify');
  }
  const commands = readConfCommands(settings);
  const passwords = readPasswords(settings.proxy_ssl_password_file, link);
  const pair = certificate === '' ? undefined : readPairs([certificate], [key!], passwords, link)[0];
  const options = {
    ciphers: commands.ciphers,
    protocols: commands.protocols,
    certificate: pair?.certificate,
    key: pair?.key,
    trusted: settings.proxy_ssl_verify ? readAuthorities(trusted, link) : undefined,
    revoked: settings.proxy_ssl_verify ? readRevoked(settings.proxy_ssl_crl, link) : undefined,
    verify: settings.proxy_ssl_verify,
    verifyDepth: settings.proxy_ssl_verify_depth,
    sendName: settings.proxy_ssl_server_name,
    sessionReuse: settings.proxy_ssl_session_reuse,
  };
  const prepared = link.state(PREPARED, () => new Map<string, UpstreamTls>());
  const identity = JSON.stringify(options);
  let tls = prepared.get(identity);
  if (tls === undefined) {
    try {
      tls = createUpstreamTls(options);
    } catch (error) {
      throw new ConfigError(describeTlsError(error, certificate, settings.proxy_ssl_ciphers), {
        cause: error,
      });
    }
    prepared.set(identity, tls);
  }
  return tls;
}

function describeTlsError(error: unknown, certificate: string, ciphers: string): string {
  const text = error instanceof Error ? error.message : String(error);
  const code = (error as { code?: string }).code ?? '';
  if (code === 'ERR_SSL_NO_CIPHER_MATCH') {
    return `SSL_CTX_set_cipher_list("${ciphers}") failed (SSL: ${text})`;
  }
  return certificate === ''
    ? `TLS for upstream servers cannot be prepared (SSL: ${text})`
    : `cannot load certificate "${certificate}" or its key (SSL: ${text})`;
}

/** Protocols and ciphers as `proxy_ssl_protocols`, `proxy_ssl_ciphers` and `proxy_ssl_conf_command` have them. */
function readConfCommands(settings: Settings<ProxyDirectives>): {
  ciphers: string;
  protocols: readonly TlsProtocol[];
} {
  let protocols = allowedProtocols(settings.proxy_ssl_protocols);
  let ciphers = settings.proxy_ssl_ciphers;
  let suites = '';
  for (const { key, value } of settings.proxy_ssl_conf_command) {
    const place = TLS_PROTOCOLS.indexOf(value as TlsProtocol);
    switch (key.toLowerCase()) {
      case 'cipherstring':
        ciphers = value;
        continue;
      case 'ciphersuites':
        suites = value;
        continue;
      case 'minprotocol':
        if (place < 0) break;
        protocols = protocols.filter((name) => TLS_PROTOCOLS.indexOf(name) >= place);
        continue;
      case 'maxprotocol':
        if (place < 0) break;
        protocols = protocols.filter((name) => TLS_PROTOCOLS.indexOf(name) <= place);
        continue;
      default:
        break;
    }
    throw new ConfigError(`SSL_CONF_cmd("${key}", "${value}") failed: not supported`);
  }
  return { ciphers: suites === '' ? ciphers : `${suites}:${ciphers}`, protocols };
}
