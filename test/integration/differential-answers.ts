/** Answers of two servers in a form in which they can be compared. */
import { gunzipSync } from 'node:zlib';

/** One answer. */
export interface Answer {
  readonly statusLine: string;
  /** In order; without those that say nothing about what the server does. */
  readonly fields: readonly string[];
  /** latin1; without chunks and compression. */
  readonly body: string;
}

/** How a built-in page ends. One location of the site has each o replaced. */
const NAMES_PROGRAM = /<center>(?:nginx|p[o0]rtic[o0])<\/center>/;

/** Fields that differ between two servers whatever they do. */
const LEFT_OUT: ReadonlySet<string> = new Set(['date', 'server', 'etag']);

/**
 * Reads all answers on a connection that the server has closed.
 * @param heard all bytes, latin1
 * @param methods of the requests, for answers without a body
 * @param port the server's, which is left out of what it says
 */
export function readAnswers(heard: string, methods: readonly string[], port: number): Answer[] {
  const answers: Answer[] = [];
  let rest = heard;
  for (let index = 0; rest !== ''; ) {
    if (!rest.startsWith('HTTP/1.')) {
      // HTTP/0.9, or what should not be there.
      answers.push({ statusLine: '', fields: [], body: tidy(rest, port) });
      break;
    }
    const read = readOne(rest, methods[index] ?? 'GET', port);
    answers.push(read.answer);
    rest = read.rest;
    if (!/ 1\d\d /.test(read.answer.statusLine)) index++;
  }
  return answers;
}

function readOne(text: string, method: string, port: number): { answer: Answer; rest: string } {
  const headEnd = text.indexOf('\r\n\r\n');
  const [statusLine = '', ...lines] = text.slice(0, headEnd < 0 ? text.length : headEnd).split('\r\n');
  let rest = headEnd < 0 ? '' : text.slice(headEnd + 4);
  const fieldOf = (name: string) =>
    lines
      .find((line) => line.toLowerCase().startsWith(`${name}:`))
      ?.slice(name.length + 1)
      .trim();
  const status = Number(statusLine.split(' ')[1]);
  let body = '';
  const length = fieldOf('content-length');
  if (method !== 'HEAD' && status >= 200 && status !== 204 && status !== 304) {
    if (fieldOf('transfer-encoding') === 'chunked') {
      ({ body, rest } = readChunks(rest));
    } else {
      const end = length === undefined ? rest.length : Number(length);
      body = rest.length < end ? `${rest}<broken off>` : rest.slice(0, end);
      rest = rest.slice(end);
    }
  }
  let whole = body;
  if (fieldOf('content-encoding') === 'gzip' && body !== '') {
    try {
      whole = gunzipSync(Buffer.from(body, 'latin1')).toString('latin1');
    } catch {
      // A range of it: cannot be unpacked, nor compared with what another library has packed. Or an error page that took
      // the place of something compressed.
      if (!NAMES_PROGRAM.test(body)) whole = 'a part of something compressed';
    }
  }
  const isPage = NAMES_PROGRAM.test(whole) || isPageWithoutBody(status, method, lines);
  const date = Date.parse(fieldOf('date') ?? '');
  const fields = lines.flatMap((line) => {
    const name = line.slice(0, line.indexOf(':')).toLowerCase();
    if (LEFT_OUT.has(name)) return [];
    if (name === 'content-length' && isPage) return ['Content-Length: that of a built-in page'];
    if (name === 'expires') return [relativeExpires(line, date)];
    return [tidy(line, port)];
  });
  return { answer: { statusLine, fields, body: tidy(whole, port) }, rest };
}

/** The answer to HEAD where GET would be given a built-in page. */
function isPageWithoutBody(status: number, method: string, lines: readonly string[]): boolean {
  return (
    method === 'HEAD' && status >= 300 && lines.some((line) => line.startsWith('Content-Type: text/html'))
  );
}

/** Both answers are made at different times: seconds from the answer's own date are what can be compared. */
function relativeExpires(line: string, date: number): string {
  const expires = Date.parse(line.slice('expires:'.length));
  if (Number.isNaN(expires) || expires < date - 400_000_000 || expires > date + 400_000_000_000) return line;
  const fixed = expires % 86_400_000 === 54_000_000 || new Date(expires).getUTCFullYear() < 2022;
  return fixed ? line : `Expires: ${(expires - date) / 1000} s from its date`;
}

function tidy(text: string, port: number): string {
  return text
    .replace(NAMES_PROGRAM, '<center>PROGRAM</center>')
    .replaceAll(`:${port}`, ':PORT')
    .replace(/boundary=\d{20}/, 'boundary=N')
    .replace(/^--\d{20}/gm, '--N');
}

function readChunks(text: string): { body: string; rest: string } {
  let body = '';
  let at = 0;
  while (true) {
    const lineEnd = text.indexOf('\r\n', at);
    const size = lineEnd < 0 ? Number.NaN : Number.parseInt(text.slice(at, lineEnd), 16);
    if (Number.isNaN(size)) return { body: `${body}<broken off>`, rest: '' };
    if (size === 0) {
      const end = text.indexOf('\r\n\r\n', lineEnd);
      if (text.startsWith('\r\n', lineEnd + 2)) return { body, rest: text.slice(lineEnd + 4) };
      return { body: body + text.slice(lineEnd + 2, end), rest: text.slice(end + 4) };
    }
    body += text.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 2 + size + 2;
  }
}
