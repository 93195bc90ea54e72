/** What the directives of both sides of TLS have in common. */
import { bits } from '../config/directive.ts';
import { TLS_PROTOCOLS, type TlsProtocol } from '../http/tls-protocols.ts';

const Bits: Readonly<Record<TlsProtocol, number>> = {
  TLSv1: 4,
  'TLSv1.1': 8,
  'TLSv1.2': 16,
  'TLSv1.3': 32,
};

/** `ssl_protocols` and its kin. @param contexts where it may stand */
export function protocolsDirective(contexts: readonly string[]) {
  return bits(
    contexts,
    {
      sslv2: 1,
      sslv3: 2,
      tlsv1: Bits.TLSv1,
      'tlsv1.1': Bits['TLSv1.1'],
      'tlsv1.2': Bits['TLSv1.2'],
      'tlsv1.3': Bits['TLSv1.3'],
    },
    Bits['TLSv1.2'] | Bits['TLSv1.3'],
    {
      syntax: '[SSLv2] [SSLv3] [TLSv1] [TLSv1.1] [TLSv1.2] [TLSv1.3]',
      defaultText: 'TLSv1.2 TLSv1.3',
      differs: 'SSLv2 and SSLv3 are accepted and never spoken.',
    },
  );
}

/** The protocols that such a directive allows, oldest first. @param value its value in `settings` */
export function allowedProtocols(value: number): readonly TlsProtocol[] {
  return TLS_PROTOCOLS.filter((protocol) => (value & Bits[protocol]) !== 0);
}
