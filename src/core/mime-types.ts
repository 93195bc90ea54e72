/** `types` and `default_type`: the media type of a file by its extension. */
import { type Directive, dataBlock, type MimeTypes, type ReadContext } from '../config/directive.ts';
import type { Statement } from '../config/statement.ts';
import type { Exchange } from './exchange.ts';

/** Media types by extension in lower case, without its dot. */
export type MimeTable = ReadonlyMap<string, string>;

const DEFAULT_TYPES: MimeTable = new Map([
  ['html', 'text/html'],
  ['gif', 'image/gif'],
  ['jpg', 'image/jpeg'],
]);

/** `types`: its blocks, of which a scope may have several. An extension that has a type already is a warning. */
export const typesDirective: Directive<readonly Statement[]> = {
  ...dataBlock(['http', 'server', 'location'], [0, 0], { inherited: true }),
  read(statement, previous, report) {
    const blocks = [...(previous ?? []), statement];
    warnOfDuplicates(blocks, report);
    return blocks;
  },
};

function warnOfDuplicates(blocks: readonly Statement[], report: ReadContext): void {
  const known = new Map<string, string>();
  for (const { block } of blocks) {
    for (const child of block ?? []) {
      for (const word of child.args) {
        const extension = word.toLowerCase();
        const type = known.get(extension);
        known.set(extension, child.name);
        // What came before this block has been told already.
        if (type === undefined || !blocks.at(-1)!.block!.includes(child)) continue;
        report.warn(
          `duplicate extension "${extension}", content type: "${child.name}", previous content type: "${type}"`,
          child,
        );
      }
    }
  }
}

const tables = new WeakMap<readonly Statement[], MimeTable>();

/** The table of the `types` blocks that hold in a scope; nginx's three types where there are none. */
export function mimeTable(blocks: readonly Statement[]): MimeTable {
  if (blocks.length === 0) return DEFAULT_TYPES;
  const known = tables.get(blocks);
  if (known !== undefined) return known;
  const table = new Map<string, string>();
  for (const { block } of blocks) {
    for (const { name, args } of block ?? []) {
      for (const extension of args) table.set(extension.toLowerCase(), name);
    }
  }
  tables.set(blocks, table);
  return table;
}

/** The extension of a URI without its dot; '' where the last segment has none, or begins with its only dot. */
export function extensionOf(uri: string): string {
  const dot = uri.lastIndexOf('.');
  return dot < 2 || uri.charCodeAt(dot - 1) === 47 || uri.indexOf('/', dot) >= 0 ? '' : uri.slice(dot + 1);
}

/** The media type of what the exchange's URI names. */
export function contentTypeOf(exchange: Exchange): string {
  // An upstream's answer with X-Accel-Redirect may have said it already.
  if (exchange.response.contentType !== '') return exchange.response.contentType;
  const extension = extensionOf(exchange.uri);
  const { location } = exchange;
  if (extension !== '') {
    const type = location.types.get(extension) ?? location.types.get(extension.toLowerCase());
    if (type !== undefined) return type;
  }
  return location.settings.default_type;
}

/** Whether `gzip_types` and the like name a media type, which has no parameters. */
export function hasMediaType(types: MimeTypes, contentType: string): boolean {
  if (types === '*') return true;
  return contentType !== '' && (types.has(contentType) || types.has(contentType.toLowerCase()));
}
