/**
 * Writes docs/directives.md, the table of directives, from the registry. `npm run docs` writes it; with `--check` it
 * only says whether the file is as it should be, and fails where it is not.
 */
import { createRegistry, type DirectiveListing } from '../src/config/registry.ts';
import { modules } from '../src/modules/index.ts';
import { writePage } from './generated-page.ts';

const HEADER = `# Directives

What Portico understands of nginx's configuration, by name. A directive that is not here is an error when the
configuration is read, as an unknown directive is in nginx. The meaning is nginx's unless the last column says otherwise.
This page is made from the program itself (\`npm run docs\`).

`;

function escapeCell(text: string): string {
  return text.replaceAll('|', '\\|');
}

function row(directive: DirectiveListing): string {
  const { name, syntax, defaultText, contexts, module, accepted, differs } = directive;
  const notes = accepted === undefined ? (differs ?? '') : `Accepted, and means nothing here: ${accepted}`;
  const cells = [
    `\`${name}\`${syntax === undefined ? '' : ` ${syntax}`}`,
    defaultText === undefined ? '' : `\`${defaultText}\``,
    contexts.join(', '),
    module,
    notes,
  ];
  return `| ${cells.map(escapeCell).join(' | ')} |`;
}

/** The page as it should be. */
export function directivesPage(): string {
  const rows = createRegistry(modules).list().map(row);
  return `${HEADER}| directive | default | contexts | module | differences |\n|---|---|---|---|---|\n${rows.join('\n')}\n`;
}

if (import.meta.main) writePage('directives.md', directivesPage());
