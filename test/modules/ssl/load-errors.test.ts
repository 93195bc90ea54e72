/** What is said of TLS settings that cannot be used, in nginx's words. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { createSandbox, runPortico, type Sandbox } from '../../support/portico.ts';
import { writeCertificate } from '../../support/tls-client.ts';

describe('TLS settings', () => {
  let sandbox: Sandbox;
  const directory = () => sandbox.path('conf/');

  before(() => {
    sandbox = createSandbox();
    writeCertificate(sandbox, 'ec', { name: 'ec' });
    writeCertificate(sandbox, 'rsa', { name: 'rsa', algorithm: 'rsa' });
    writeCertificate(sandbox, 'other', { name: 'other' });
    sandbox.write('conf/junk', 'junk\n');
    writeFileSync(sandbox.path('conf/ticket.key'), randomBytes(80));
  });
  after(() => sandbox.remove());

  let files = 0;

  /** @returns the first line that `-t` says, without what stands before the message; '' where all is well */
  async function check(http: string): Promise<string> {
    const file = `conf/${++files}.conf`;
    sandbox.write(
      file,
      `daemon off;\npid logs/${files}.pid;\nerror_log stderr;\nevents { }\nhttp { access_log off;\n${http} }\n`,
    );
    const { code, stderr } = await runPortico(['-t', '-p', sandbox.directory, '-c', file, '-e', 'stderr']);
    const line =
      code === 0
        ? (/\[warn\] [\d#]+: (.*)/.exec(stderr)?.[1] ?? '')
        : /\[emerg\] [\d#]+: (.*)/.exec(stderr)?.[1];
    return (line ?? stderr).replace(sandbox.path(file), `${directory()}FILE`);
  }

  /** Several at a time: each starts the program. */
  async function checkAll(list: readonly (readonly [http: string, expected: string])[]): Promise<void> {
    for (let at = 0; at < list.length; at += 4) {
      await Promise.all(
        list
          .slice(at, at + 4)
          .map(async ([http, expected]) => assert.equal(await check(http), expected, http)),
      );
    }
  }

  const good = 'ssl_certificate ec.crt; ssl_certificate_key ec.key;';
  const server = (more: string) => `server { listen 127.0.0.1:1 ssl; ${more} }`;

  const errors: readonly (readonly [http: string, message: () => string])[] = [
    [
      server(''),
      () => `no "ssl_certificate" is defined for the "listen ... ssl" directive in ${directory()}FILE:6`,
    ],
    [server('ssl_certificate ec.crt;'), () => 'no "ssl_certificate_key" is defined for certificate "ec.crt"'],
    [
      server('ssl_certificate nx; ssl_certificate_key ec.key;'),
      () =>
        `cannot load certificate "${directory()}nx": BIO_new_file() failed (SSL: error:80000002:system library::No such file or directory:calling fopen(${directory()}nx, r) error:10000080:BIO routines::no such file)`,
    ],
    [
      server('ssl_certificate ec.crt; ssl_certificate_key junk;'),
      () =>
        `cannot load certificate key "${directory()}junk": PEM_read_bio_PrivateKey() failed (SSL: error:1E08010C:DECODER routines::unsupported:No supported data to decode. Input type: PEM)`,
    ],
    [
      server('ssl_certificate ec.crt; ssl_certificate_key other.key;'),
      () =>
        `SSL_CTX_use_PrivateKey("${directory()}other.key") failed (SSL: error:05800074:x509 certificate routines::key values mismatch)`,
    ],
    [
      server('ssl_certificate ec.crt; ssl_certificate_key engine:a:b;'),
      () =>
        'cannot load certificate key "engine:a:b": loading "engine:..." certificate keys is not supported',
    ],
    [
      server('ssl_certificate $x.crt; ssl_certificate_key ec.key;'),
      () =>
        `"ssl_certificate" directive with variables is not supported: certificates are read when the configuration is in ${directory()}FILE:6`,
    ],
    [
      server(`${good} ssl_ciphers FOO;`),
      () => 'SSL_CTX_set_cipher_list("FOO") failed (SSL: error:0A0000B9:SSL routines::no cipher match)',
    ],
    [
      server(`${good} ssl_ecdh_curve X25519:foo;`),
      () =>
        `SSL_CTX_set1_curves_list("X25519:foo") failed (SSL: error:0A080106:SSL routines::passed invalid argument:group 'foo' cannot be set)`,
    ],
    [
      server(`${good} ssl_crl junk;`),
      () =>
        `cannot load CRL "${directory()}junk": PEM_read_bio_X509_CRL() failed (SSL: error:0480006C:PEM routines::no start line:Expecting: X509 CRL)`,
    ],
    [
      server(`${good} ssl_dhparam junk;`),
      () =>
        `PEM_read_bio_DHparams("${directory()}junk") failed (SSL: error:0480006C:PEM routines::no start line:Expecting: DH PARAMETERS)`,
    ],
    [
      server(`${good} ssl_verify_client on;`),
      () => 'no ssl_client_certificate or ssl_trusted_certificate for ssl_verify_client',
    ],
    [server(`${good} ssl_session_ticket_key junk;`), () => `"${directory()}junk" must be 48 or 80 bytes`],
    [
      server(`${good} ssl_session_cache shared:a:1k;`),
      () => `session cache "shared:a:1k" is too small in ${directory()}FILE:6`,
    ],
    [
      server(`${good} ssl_session_cache shared::1m;`),
      () => `invalid session cache "shared::1m" in ${directory()}FILE:6`,
    ],
    [
      `ssl_session_cache shared:a:1m; ${server(`${good} ssl_session_cache shared:a:2m;`)}`,
      () => 'the size 2097152 of shared memory zone "a" conflicts with already declared size 1048576',
    ],
    [
      server(`${good} ssl_conf_command MinProtocol foo;`),
      () =>
        'SSL_CONF_cmd("MinProtocol", "foo") failed (SSL: error:0A000180:SSL routines::bad value:cmd=MinProtocol, value=foo)',
    ],
    [
      server(`${good} ssl_conf_command Ciphersuites FOO;`),
      () =>
        'SSL_CONF_cmd("Ciphersuites", "FOO") failed (SSL: error:0A0000B9:SSL routines::no cipher match error:0A000180:SSL routines::bad value:cmd=Ciphersuites, value=FOO)',
    ],
    [
      server(`${good} ssl_conf_command Foo bar;`),
      () => 'SSL_CONF_cmd("Foo", "bar") failed (SSL: error:0A000182:SSL routines::unknown cmd name:cmd=Foo)',
    ],
    [
      server(`${good} ssl_conf_command NumTickets 4;`),
      () => 'SSL_CONF_cmd("NumTickets", "4") failed (not supported: Node.js has nothing like it)',
    ],
    [
      server(`${good} ssl_stapling on;`),
      () => `"ssl_stapling" directive is not supported: OCSP stapling is not there in ${directory()}FILE:6`,
    ],
    [
      server(`${good} ssl_early_data on;`),
      () =>
        `"ssl_early_data" directive is not supported: Node.js cannot receive early data in ${directory()}FILE:6`,
    ],
    [
      server(`${good} return 200 $ssl_sigalg;`),
      () => `unknown "ssl_sigalg" variable in ${directory()}FILE:6`,
    ],
    [
      server(`${good} ssl_certificate_cache inactive=1m;`),
      () => `"ssl_certificate_cache" must have the "max" parameter in ${directory()}FILE:6`,
    ],
  ];

  test('that cannot be used are errors when the configuration is loaded', async () => {
    await checkAll(errors.map(([http, message]) => [http, message()]));
  });

  test('of Debian’s own nginx.conf, and of what people are told to write, are taken', async () => {
    const taken = [
      `ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3; ssl_prefer_server_ciphers on; ${server(good)}`,
      server(
        `${good} ssl_session_timeout 1d; ssl_session_cache shared:MozSSL:10m; ssl_session_tickets off; ssl_stapling off; ` +
          'ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256;',
      ),
      server(
        `${good} ssl_session_cache builtin:1000 shared:SSL:10m; ssl_session_ticket_key ticket.key; ssl_buffer_size 4k;`,
      ),
      server(
        `${good} ssl_conf_command Options PrioritizeChaCha,-SessionTicket; ssl_conf_command Ciphersuites TLS_CHACHA20_POLY1305_SHA256;`,
      ),
      server(
        'ssl_certificate ec.crt; ssl_certificate_key rsa.key; ssl_certificate rsa.crt; ssl_certificate_key ec.key;',
      ),
      server('ssl_reject_handshake on;'),
      server(`${good} ssl_certificate_compression on; ssl_certificate_cache max=10;`),
      `server { listen 127.0.0.1:1; ssl_verify_client on; }`,
    ];
    await checkAll(taken.map((http) => [http, '']));
  });

  test('of the address are those of any of its servers', async () => {
    assert.equal(
      await check(`server { listen 127.0.0.1:1; ${good} } server { listen 127.0.0.1:1 ssl; server_name a; }`),
      '',
    );
    assert.match(
      await check(`server { listen 127.0.0.1:1; } server { listen 127.0.0.1:1 ssl; server_name a; ${good} }`),
      /^no "ssl_certificate" is defined for the "listen \.\.\. ssl" directive/,
    );
    assert.match(
      await check(`${server('ssl_reject_handshake on;')} ${server('server_name a;')}`),
      /^no "ssl_certificate" is defined for the "listen \.\.\. ssl" directive/,
    );
  });
});
