/** The directives of the ssl module, as data. */
import {
  accepted,
  choice,
  custom,
  flag,
  keyval,
  number,
  type ReadContext,
  seconds,
  size,
  statement,
  text,
} from '../../config/directive.ts';
import type { Statement } from '../../config/statement.ts';
import { parameter, parseNumber, parseSeconds } from '../../config/values.ts';
import type { ClientVerification } from '../../core/tls.ts';
import { protocolsDirective } from '../../core/tls-directives.ts';
import { readSessionCache, type SessionCache } from './session-cache.ts';

const HTTP_SERVER = ['http', 'server'];

const STAPLING = 'Only means something with `ssl_stapling on`, which is not supported.';
const OCSP = 'Only means something with `ssl_ocsp on`, which is not supported.';

/** Something of nginx's that may be turned off only. */
function off(why: string) {
  return flag(HTTP_SERVER, false, {
    differs: `\`on\` is an error: ${why}`,
    check(wanted, report) {
      if (wanted) report.failDirective(`is not supported: ${why}`);
    },
  });
}

function refuseVariables({ args }: Statement, report: ReadContext): void {
  if (args[0]!.includes('$') && !args[0]!.startsWith('data:')) {
    report.failDirective('with variables is not supported: certificates are read when the configuration is');
  }
}

/** A list of files: repeated statements add to it. */
function files(check: (given: Statement, report: ReadContext) => void, differs?: string) {
  return custom<readonly string[], undefined>(
    HTTP_SERVER,
    [1, 1],
    undefined,
    (given, previous, report) => {
      check(given, report);
      return [...(previous ?? []), given.args[0]!];
    },
    { syntax: 'file', differs },
  );
}

function checkCertificateCache({ args }: Statement, report: ReadContext): void {
  let largest = 0;
  let isOff = false;
  for (const word of args) {
    const most = parameter(word, 'max');
    const time = parameter(word, 'inactive') ?? parameter(word, 'valid');
    if (word === 'off') isOff = true;
    else if (most !== undefined) largest = parseNumber(most) || report.fail(`invalid parameter "${word}"`);
    else if (time === undefined || parseSeconds(time) === undefined) {
      report.fail(`invalid parameter "${word}"`);
    }
  }
  if (!isOff && largest === 0) report.fail('"ssl_certificate_cache" must have the "max" parameter');
}

export const sslDirectives = {
  ssl_certificate: files(refuseVariables, 'The name of the file cannot have variables.'),
  ssl_certificate_key: files(
    refuseVariables,
    'The name of the file cannot have variables; keys in engines and stores are not supported.',
  ),
  ssl_password_file: statement(HTTP_SERVER, [1, 1], { syntax: 'file' }),
  ssl_certificate_cache: custom<true, undefined>(
    HTTP_SERVER,
    [1, 3],
    undefined,
    (given, previous, report) => {
      if (previous) report.failDirective('is duplicate');
      checkCertificateCache(given, report);
      return true;
    },
    {
      syntax: 'off | max=N [inactive=time] [valid=time]',
      defaultText: 'off',
      differs: 'Only certificates whose names have variables are cached, and there are none.',
    },
  ),
  ssl_certificate_compression: flag(HTTP_SERVER, false),

  ssl_protocols: protocolsDirective(HTTP_SERVER),
  ssl_ciphers: text(HTTP_SERVER, 'HIGH:!aNULL:!MD5', { syntax: 'ciphers' }),
  ssl_prefer_server_ciphers: flag(HTTP_SERVER, false),
  ssl_dhparam: text(HTTP_SERVER, '', { syntax: 'file' }),
  ssl_ecdh_curve: text(HTTP_SERVER, 'auto', { syntax: 'curve' }),
  ssl_conf_command: keyval(HTTP_SERVER, [], {
    syntax: 'name value',
    differs:
      'Options, CipherString, Ciphersuites, Curves, Groups, SignatureAlgorithms, MinProtocol, MaxProtocol, Protocol, ' +
      'Certificate, PrivateKey and DHParameters; any other is an error.',
  }),
  ssl_buffer_size: size(HTTP_SERVER, 16_384),

  ssl_session_cache: custom<SessionCache, SessionCache>(
    HTTP_SERVER,
    [1, 2],
    { kind: 'none', name: '', size: 0 },
    readSessionCache,
    {
      syntax: 'off | none | [builtin[:size]] [shared:name:size]',
      defaultText: 'none',
      differs: 'What is `builtin` is shared by all workers too.',
    },
  ),
  ssl_session_timeout: seconds(HTTP_SERVER, 300),
  ssl_session_tickets: flag(HTTP_SERVER, true),
  ssl_session_ticket_key: files(() => {}, 'Tickets are encrypted with AES-128 by keys of 80 bytes too.'),

  ssl_verify_client: choice(
    HTTP_SERVER,
    { off: 'off', on: 'on', optional: 'optional', optional_no_ca: 'optional_no_ca' } satisfies Record<
      string,
      ClientVerification
    >,
    'off',
    { differs: 'Sessions of clients that have shown a certificate are not resumed.' },
  ),
  ssl_verify_depth: number(HTTP_SERVER, 1),
  ssl_client_certificate: text(HTTP_SERVER, '', { syntax: 'file' }),
  ssl_trusted_certificate: text(HTTP_SERVER, '', { syntax: 'file' }),
  ssl_crl: text(HTTP_SERVER, '', { syntax: 'file' }),

  ssl_reject_handshake: flag(HTTP_SERVER, false),

  ssl_stapling: off('OCSP stapling is not there'),
  ssl_stapling_file: accepted(HTTP_SERVER, [1, 1], STAPLING),
  ssl_stapling_responder: accepted(HTTP_SERVER, [1, 1], STAPLING),
  ssl_stapling_verify: accepted(HTTP_SERVER, [1, 1], STAPLING, { as: flag([], false) }),
  ssl_ocsp: choice(HTTP_SERVER, { off: 'off', on: 'on', leaf: 'leaf' }, 'off', {
    differs: '`on` and `leaf` are errors: OCSP is not there.',
    check(wanted, report) {
      if (wanted !== 'off') report.failDirective('is not supported: OCSP is not there');
    },
  }),
  ssl_ocsp_responder: accepted(HTTP_SERVER, [1, 1], OCSP),
  ssl_ocsp_cache: accepted(HTTP_SERVER, [1, 1], OCSP),
  ssl_early_data: off('Node.js cannot receive early data'),
  ssl_ech_file: custom<true, undefined>(
    HTTP_SERVER,
    [1, 1],
    undefined,
    (_given, _previous, report) => {
      report.warn('"ssl_ech_file" is not supported on this platform, ignored');
      return true;
    },
    { syntax: 'file', differs: 'Ignored with a warning, as by nginx where its OpenSSL lacks it.' },
  ),
};

export type SslDirectives = typeof sslDirectives;
