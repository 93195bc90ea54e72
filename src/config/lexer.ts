import { ConfigError } from './statement.ts';

/** What the lexer finds: a statement's words, or a place where a block or the text ends. */
export type Token =
  | { readonly kind: 'statement' | 'block'; readonly words: readonly string[]; readonly line: number }
  | { readonly kind: 'end of block'; readonly line: number }
  | { readonly kind: 'end of text'; readonly line: number };

/** Cuts configuration text into statements. */
export interface Lexer {
  /**
   * The next statement up to its `;` (`statement`) or `{` (`block`), or what ends here.
   * @throws ConfigError for text that is no configuration
   */
  next(): Token;
}

/** No word, nor comment, of a file may be as long as nginx's buffer, unless it is the end of the file. */
const longestParameter = 4096;

const lineFeed = 0x0a;
const backslash = 0x5c;
const doubleQuote = 0x22;
const singleQuote = 0x27;
const dollar = 0x24;
const semicolon = 0x3b;
const openingBrace = 0x7b;
const closingBrace = 0x7d;
const closingParenthesis = 0x29;
const numberSign = 0x23;

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09 || code === 0x0d || code === lineFeed;
}

/**
 * Reads configuration text as nginx does, byte by byte:
 * - words end at white space, `;` or `{`; `}` and quotes inside a word are part of it
 * - `"` or `'` at the start of a word quotes it; after the closing one come white space, `;`, `{` or `)`
 * - a backslash keeps the next byte from meaning anything; `\"` `\'` `\\` lose it, `\t` `\r` `\n` are control
 *   characters, all others stay as they are
 * - `${` does not open a block; a comment begins with `#` where a word could begin
 *
 * @param text a byte string
 * @param file its full name, for errors; empty for the command line, which has no lines and no limit of length
 */
export function createLexer(text: string, file: string): Lexer {
  const isFile = file !== '';
  const length = text.length;
  let position = 0;
  let line = isFile ? 1 : 0;

  function fail(message: string, at = line): never {
    throw new ConfigError(message, { file, line: at });
  }

  function failAtEnd(): never {
    return fail(
      isFile ? 'unexpected end of file, expecting ";" or "}"' : 'unexpected end of parameter, expecting ";"',
    );
  }

  /** nginx's buffer was filled by what began at `start`, and there is more in the file. */
  function failTooLong(start: number, startLine: number, quote: number): never {
    if (quote === 0) fail(`too long parameter "${text.slice(start, start + 10)}..." started`, startLine);
    const character = String.fromCharCode(quote);
    return fail(`too long parameter, probably missing terminating "${character}" character`, startLine);
  }

  /** The next byte; a line feed is counted as it is passed. Undefined at the end of the text. */
  function take(start: number, startLine: number, quote: number): number | undefined {
    if (position >= length) return undefined;
    if (isFile && position - start === longestParameter) failTooLong(start, startLine, quote);
    const code = text.charCodeAt(position++);
    if (code === lineFeed && isFile) line++;
    return code;
  }

  /** Skips a comment, from behind its `#` to behind its line feed or the end of the text. */
  function skipComment(): void {
    const start = position - 1;
    const startLine = line;
    for (;;) {
      const code = take(start, startLine, 0);
      if (code === undefined || code === lineFeed) return;
    }
  }

  /**
   * Reads the rest of a word whose first byte has been passed, up to and including the byte that ends it.
   * @returns the word and that byte
   */
  function readWord(first: number): { readonly word: string; readonly end: number } {
    const quote = first === doubleQuote || first === singleQuote ? first : 0;
    const start = quote === 0 ? position - 1 : position;
    const startLine = line;
    let escaped = first === backslash;
    let anyEscape = escaped;
    let afterDollar = first === dollar;

    for (;;) {
      const code = take(start, startLine, quote);
      if (code === undefined) return failAtEnd();
      if (escaped) {
        escaped = false;
        continue;
      }
      // As in nginx, the dollar still counts after the brace: "${{" has two of them.
      if (code === openingBrace && afterDollar) continue;
      afterDollar = code === dollar;
      if (code === backslash) {
        escaped = true;
        anyEscape = true;
        continue;
      }
      const ends =
        quote === 0 ? isSpace(code) || code === semicolon || code === openingBrace : code === quote;
      if (ends) {
        const raw = text.slice(start, position - 1);
        return { word: anyEscape ? resolveEscapes(raw) : raw, end: code };
      }
    }
  }

  /** The byte behind a closing quote, which nginx's limit counts as part of the word that began at `start`. */
  function afterQuote(start: number, startLine: number): number {
    const code = take(start, startLine, 0);
    if (code === undefined) return failAtEnd();
    const allowed =
      isSpace(code) || code === semicolon || code === openingBrace || code === closingParenthesis;
    return allowed ? code : fail(`unexpected "${String.fromCharCode(code)}"`);
  }

  return {
    next() {
      const words: string[] = [];
      for (;;) {
        const startLine = line;
        let code = take(position, line, 0);
        if (code === undefined) return words.length > 0 ? failAtEnd() : { kind: 'end of text', line };
        if (isSpace(code)) continue;

        if (code === numberSign) {
          skipComment();
          continue;
        }
        if (code === closingBrace) {
          return words.length > 0 ? fail('unexpected "}"') : { kind: 'end of block', line };
        }
        if (code !== semicolon && code !== openingBrace) {
          const start = position;
          const read = readWord(code);
          words.push(read.word);
          const wasQuoted = code === doubleQuote || code === singleQuote;
          code = wasQuoted ? afterQuote(start, startLine) : read.end;
          if (code === closingParenthesis) {
            // `if ($a = "b")`: the parenthesis begins a word of its own.
            position--;
            continue;
          }
          if (isSpace(code)) continue;
        } else if (words.length === 0) {
          return fail(`unexpected "${String.fromCharCode(code)}"`);
        }
        return { kind: code === openingBrace ? 'block' : 'statement', words, line };
      }
    },
  };
}

const escapes: Readonly<Record<string, string>> = {
  '"': '"',
  "'": "'",
  '\\': '\\',
  t: '\t',
  r: '\r',
  n: '\n',
};

function resolveEscapes(raw: string): string {
  let word = '';
  let from = 0;
  for (let at = raw.indexOf('\\'); at >= 0; at = raw.indexOf('\\', from)) {
    const replacement = escapes[raw.charAt(at + 1)];
    // A backslash before anything else stays, and so does what it stands before, even another escape.
    word += raw.slice(from, at) + (replacement ?? '\\');
    from = at + (replacement === undefined ? 1 : 2);
  }
  return word + raw.slice(from);
}
