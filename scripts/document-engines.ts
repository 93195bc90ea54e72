/**
 * Writes docs/engines.md, what tells the engines apart, from the list in src/engines/uws/limits.ts. `npm run docs` writes
 * it; with `--check` it only says whether the file is as it should be, and fails where it is not.
 */
import {
  CERTIFICATE_LIMITS,
  DIRECTIVE_LIMITS,
  type DirectiveLimit,
  GENERAL_LIMITS,
  LISTEN_LIMITS,
  TLS_GENERAL_LIMITS,
  TLS_LIMITS,
  TLS_STATEMENT_LIMITS,
  TLS_VARIABLE_LIMITS,
  VARIABLE_LIMITS,
} from '../src/engines/uws/limits.ts';
import { writePage } from './generated-page.ts';

const HEADER = `# Engines

An engine is what meets the clients: it reads their requests and writes the answers. There are two, and everything behind
them is the same. \`events { use node; }\` or \`events { use uws; }\` chooses for all addresses, \`engine=node\` or
\`engine=uws\` on a \`listen\` for one. This page is made from the program itself (\`npm run docs\`).

- **node**, which is what one gets without asking, is Portico's own HTTP/1.1 on Node.js's sockets. It does what nginx does,
  bytes and messages included.
- **uws** is [uWebSockets.js](https://github.com/uNetworking/uWebSockets.js), written in C++. It needs an eighth of
  the memory for an idle connection, with TLS or without; it does a TLS handshake in little more than half the time; and
  connections are dealt out to the workers exactly in turn, for the master accepts all of them. A small request costs as
  much as with node, and less where there is TLS; where clients have several addresses it costs a tenth more, for uws has to
  ask the system whose request it is.

So uws is the better one for very many connections that rest most of the time (WebSockets, long polling), and for many TLS
handshakes, where clients are browsers and others that speak HTTP/1.1. For everything else there is node: old and odd
clients, the finer points of TLS, certificates of clients, uploads over slow lines, a log with every error in it.
[performance.md](performance.md) has the figures.

uws is there on Linux with glibc, macOS and Windows, for Node.js 20 to 25. Where it cannot be loaded, node serves, and
\`use uws\` is an error that says why.

What follows is what uws does not do as nginx does. A configuration that asks for what it cannot do is refused when it is
read, with the name of the directive and the address: other addresses of the same configuration may be node's.
`;

function escapeCell(text: string): string {
  return text.replaceAll('|', '\\|');
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(escapeCell).join(' | ')} |\n`;
  return `${line(heads)}|${'---|'.repeat(heads.length)}\n${rows.map(line).join('')}`;
}

/** Values as code, unless they are words of ours. */
function values(text: string): string {
  if (text === '') return 'any';
  return /^(above|below|from|all) |`/.test(text) ? text : `\`${text.replaceAll(', ', '`, `')}\``;
}

function directives(limits: readonly DirectiveLimit[]): string {
  return table(
    ['directive', 'values', 'why not'],
    limits.map(({ directive, values: which, why }) => [`\`${directive}\``, values(which), why]),
  );
}

function variables(limits: ReadonlyMap<string, string>): string {
  return table(
    ['variable', 'why not'],
    [...limits].map(([name, why]) => [`\`$${name}\``, why]),
  );
}

function list(sentences: Readonly<Record<string, string>>): string {
  return Object.values(sentences)
    .map((sentence) => `- ${sentence}\n`)
    .join('');
}

/** The page as it should be. */
export function enginesPage(): string {
  const refused = TLS_LIMITS.filter(({ warns }) => !warns);
  const warned = TLS_LIMITS.filter(({ warns }) => warns);
  const parameters = LISTEN_LIMITS.map(({ parameter, why }) => [parameter, why]);
  return [
    HEADER,
    '## Refused\n',
    directives([...DIRECTIVE_LIMITS].sort((one, other) => (one.directive < other.directive ? -1 : 1))),
    table(['`listen` with', 'why not'], parameters),
    `A variable is refused where it would be used, but not in a \`log_format\`, which belongs to no address: there it is empty.\n`,
    variables(VARIABLE_LIMITS),
    '## Refused with TLS\n',
    directives([...refused, ...TLS_STATEMENT_LIMITS]),
    table(
      ['certificates', 'why not'],
      [
        ['several for one server with different kinds of keys', CERTIFICATE_LIMITS.kinds],
        ['one for a `server_name` that is a regular expression or ends with `*`', CERTIFICATE_LIMITS.names],
        ['RSA-PSS, curves other than P-256, P-384 and P-521', CERTIFICATE_LIMITS.certificate],
        ['`ssl_ciphers` of which nothing is left', CERTIFICATE_LIMITS.ciphers],
      ],
    ),
    variables(TLS_VARIABLE_LIMITS),
    'These are accepted with a warning:\n',
    directives(warned),
    '## Different\n',
    list(GENERAL_LIMITS),
    '## Different with TLS\n',
    list(TLS_GENERAL_LIMITS),
  ].join('\n');
}

if (import.meta.main) writePage('engines.md', enginesPage());
