import { glob } from './glob.ts';
import { createLexer } from './lexer.ts';
import { type OpenedFile, type Place, readSourceFile } from './source-file.ts';
import { ConfigError, type Configuration, type SourceFile, type Statement } from './statement.ts';

/** What to read. All byte strings. */
export interface ConfigurationSource {
  /** Full name of the main file. Relative includes start from its directory. */
  readonly path: string;
  /** What `-g` gives: statements of the main context that come before the file's. */
  readonly commandLine?: string;
}

/** Far more than any configuration nests; keeps whoever walks the tree from running out of stack. */
const deepestNesting = 200;

/** A block that is being read. */
interface OpenBlock {
  readonly name: string;
  readonly args: readonly string[];
  readonly file: string;
  readonly line: number;
  readonly block: Statement[];
  endLine?: number;
}

/**
 * Reads a configuration: the file, what it includes, and what `-g` adds. Knows no directive but `include`.
 *
 * @throws ConfigError for a file that cannot be read and for text that is no configuration; its `partial` is what
 *   was read until then
 */
export function readConfiguration(source: ConfigurationSource): Configuration {
  const directory = source.path.slice(0, source.path.lastIndexOf('/') + 1);
  const reader = createReader(directory);
  if (source.commandLine !== undefined) reader.readText(source.commandLine, '');
  reader.readFile(source.path, undefined);
  return reader.configuration;
}

/**
 * Reads statements from text alone: as the main file, or with no `file` as what `-g` gives.
 *
 * @param file its full name, for errors, and for its directory, where relative includes start from
 * @throws ConfigError as {@link readConfiguration}
 */
export function parseText(text: string, file = ''): Configuration {
  const reader = createReader(file.slice(0, file.lastIndexOf('/') + 1));
  if (file !== '') reader.files.push({ path: file, text });
  reader.readText(text, file);
  return reader.configuration;
}

interface Reader {
  readonly configuration: Configuration;
  readonly files: SourceFile[];
  readText(text: string, file: string): void;
  readFile(path: string, place: Place | undefined): void;
}

function createReader(directory: string): Reader {
  const files: SourceFile[] = [];
  const known = new Set<string>();
  const main: Statement[] = [];
  /** The blocks that are open, outermost first, across included files. */
  const openBlocks: OpenBlock[] = [];
  /** The files being read, each included by the one before. */
  const openFiles: OpenedFile[] = [];
  const configuration: Configuration = { statements: main, files };

  function readText(text: string, file: string): void {
    const lexer = createLexer(text, file);
    const depthOutside = openBlocks.length;
    const fail = (message: string, line: number): never => {
      throw new ConfigError(message, { file, line });
    };

    for (;;) {
      const token = withPartial(() => lexer.next());
      const { line } = token;
      if (token.kind === 'end of text') {
        if (openBlocks.length > depthOutside) {
          withPartial(() => fail('unexpected end of file, expecting "}"', line));
        }
        return;
      }
      if (token.kind === 'end of block') {
        if (openBlocks.length === depthOutside) withPartial(() => fail('unexpected "}"', line));
        const closed = openBlocks.pop();
        if (closed !== undefined) closed.endLine = line;
        continue;
      }

      const [name = '', ...args] = token.words;
      const siblings = openBlocks.at(-1)?.block ?? main;
      if (token.kind === 'block') {
        if (file === '') {
          withPartial(() => fail('block directives are not supported in -g option', line));
        }
        if (openBlocks.length === deepestNesting) withPartial(() => fail('too many nested blocks', line));
        const block: OpenBlock = { name, args, file, line, block: [] };
        siblings.push(block);
        openBlocks.push(block);
      } else if (name === 'include' && args.length === 1) {
        include(args[0], { file, line });
      } else {
        siblings.push({ name, args, file, line });
      }
    }
  }

  function include(argument: string, place: Place): void {
    // A file name ends at a NUL byte, as it does for nginx.
    const [name] = argument.split('\0', 1);
    const path = name.startsWith('/') ? name : directory + name;
    if (!/[*?[]/.test(path)) readFile(path, place);
    else for (const found of glob(path)) readFile(found, place);
  }

  function readFile(path: string, place: Place | undefined): void {
    const opened = withPartial(() => readIncluded(path, place));
    if (!known.has(opened.path)) {
      known.add(opened.path);
      files.push({ path: opened.path, text: opened.text });
    }
    openFiles.push(opened);
    readText(opened.text, opened.path);
    openFiles.pop();
  }

  function readIncluded(path: string, place: Place | undefined): OpenedFile {
    const opened = readSourceFile(path, place);
    const loop = openFiles.findIndex((outer) => outer.identity === opened.identity);
    if (loop >= 0) {
      const chain = [...openFiles.slice(loop), opened].map((file) => `"${file.path}"`).join(' includes ');
      throw new ConfigError(`include loop: ${chain}`, place);
    }
    return opened;
  }

  /** Lets an error carry what was read before it. */
  function withPartial<Result>(operation: () => Result): Result {
    try {
      return operation();
    } catch (error) {
      if (error instanceof ConfigError) error.partial ??= configuration;
      throw error;
    }
  }

  return { configuration, files, readText, readFile };
}

/** What `-T` writes: every file that was read, each under its name. A byte string. */
export function dump(files: readonly SourceFile[]): string {
  return files.map(({ path, text }) => `# configuration file ${path}:\n${text}\n`).join('');
}
