/** `types` and `default_type`: the media type of a file by its extension. */
import type { Statement } from '../config/statement.ts';
import type { Exchange } from './exchange.ts';

/** Media types by extension in lower case, without its dot. */
export type MimeTable = ReadonlyMap<string, string>;

const DEFAULT_TYPES: MimeTable = new Map([
  ['html', 'text/html'],
  ['gif', 'image/gif'],
  ['jpg', 'image/jpeg'],
]);

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

/** The extension of a URI without its dot; '' where the last segment has none. */
export function extensionOf(uri: string): string {
  const dot = uri.lastIndexOf('.');
  return dot < 0 || uri.indexOf('/', dot) >= 0 ? '' : uri.slice(dot + 1);
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
