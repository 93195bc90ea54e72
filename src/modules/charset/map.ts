/** Reading `charset_map` blocks. */
import { ConfigError, type Statement } from '../../config/statement.ts';
import {
  buildSingleByteTables,
  buildUtf8Tables,
  type CharsetTables,
  characterOf,
  type Recoding,
} from './recoding.ts';

/** The charsets a configuration names, and what recodes which into which. */
export class Charsets {
  readonly #names = new Set<string>();
  /** By both names in lower case. */
  readonly #recodings = new Map<string, Recoding>();

  /** Notes the name of a charset. */
  add(name: string): void {
    this.#names.add(name.toLowerCase());
  }

  /** Whether the configuration names it. */
  has(name: string): boolean {
    return this.#names.has(name.toLowerCase());
  }

  /** What recodes a charset into another; undefined where no `charset_map` does. */
  recoding(from: string, to: string): Recoding | undefined {
    return this.#recodings.get(keyOf(from, to));
  }

  /**
   * Reads a block.
   * @throws ConfigError `"charset_map" between the same charsets "a" and "a"`, `duplicate "charset_map" between "a" and
   *   "b"`, `"charset_map" with "utf-8" charset should be given in the second column`, `invalid parameters number`,
   *   `invalid value "x"`
   */
  addMap(statement: Statement): void {
    const [from, to] = statement.args;
    this.add(from);
    this.add(to);
    if (from.toLowerCase() === to.toLowerCase()) {
      throw new ConfigError(`"charset_map" between the same charsets "${from}" and "${to}"`, { statement });
    }
    if (isUtf8(from)) {
      throw new ConfigError('"charset_map" with "utf-8" charset should be given in the second column', {
        statement,
      });
    }
    if (this.recoding(from, to) !== undefined) {
      throw new ConfigError(`duplicate "charset_map" between "${from}" and "${to}"`, { statement });
    }
    const tables = readTables(statement, isUtf8(to));
    this.#recodings.set(keyOf(from, to), tables.forward);
    this.#recodings.set(keyOf(to, from), tables.backward);
  }
}

function readTables({ block }: Statement, toUtf8: boolean): CharsetTables {
  const lines = block ?? [];
  if (toUtf8) return buildUtf8Tables(lines.map((line) => [readSource(line), readUtf8(line)]));
  return buildSingleByteTables(lines.map((line) => [readSource(line), readByte(line, line.args[0])]));
}

function readSource(line: Statement): number {
  if (line.args.length !== 1) throw new ConfigError('invalid parameters number', { statement: line });
  return readByte(line, line.name);
}

function readByte(line: Statement, text: string): number {
  const byte = isHexadecimal(text) ? Number.parseInt(text, 16) : 256;
  if (byte > 255) throw new ConfigError(`invalid value "${text}"`, { statement: line });
  return byte;
}

function readUtf8(line: Statement): Uint8Array {
  const text = line.args[0];
  const bytes =
    text.length % 2 === 0 && isHexadecimal(text) ? Uint8Array.from(Buffer.from(text, 'hex')) : undefined;
  if (bytes === undefined || characterOf(bytes) === undefined) {
    throw new ConfigError(`invalid value "${text}"`, { statement: line });
  }
  return bytes;
}

function isHexadecimal(text: string): boolean {
  return /^[0-9a-fA-F]+$/.test(text);
}

function isUtf8(name: string): boolean {
  return name.toLowerCase() === 'utf-8';
}

function keyOf(from: string, to: string): string {
  return `${from.toLowerCase()}\n${to.toLowerCase()}`;
}
