/** Random requests for the differential test: the same ones from the same seed. */
import { MODIFIED, NAMES, PLACES } from './differential-site.ts';
import { createRandom, type Random } from './fuzz-requests.ts';

/** One conversation on a connection of its own. The last request asks for the connection's end. */
export interface Question {
  /** All bytes, latin1. */
  readonly bytes: string;
  /** Methods of the requests in it, for reading the answers. */
  readonly methods: readonly string[];
}

const METHODS = [
  'GET',
  'GET',
  'GET',
  'GET',
  'GET',
  'GET',
  'HEAD',
  'HEAD',
  'POST',
  'PUT',
  'OPTIONS',
  'DELETE',
  'FOO',
  'TRACE',
];

const HOSTS = [
  'first.example.com',
  'first.example.com',
  'www.example.org',
  'a.example.com',
  'second.example.com',
  'x.second.example.com',
  're42.example.com',
  'third.example.com',
  'THIRD.example.com.',
  'third.example.com:8080',
  'unknown',
  '127.0.0.1',
  '[::1]',
  '[::1]:80',
  'a..b',
  'a/b',
  'a b',
  'first.example.com:x',
  '-',
  '',
];

/** Paths for which the places of the site give no reason. */
const ODD_PATHS = [
  '/',
  '//',
  '/.',
  '/..',
  '/../',
  '/%2e%2e/%2e%2e/etc/passwd',
  '/dir/..',
  '/dir/../',
  '/dir/../../',
  '/dir/./other.txt',
  '/dir//other.txt',
  '///dir///other.txt',
  '/dir/%2e/other.txt',
  '/dir%2fother.txt',
  '/dir%2Fsub%2fleaf.txt',
  '/dir/sub/../other.txt',
  '/%70lain.txt',
  '/plain.txt%00',
  '/plain%',
  '/plain%2',
  '/plain%zz.txt',
  '/plain.txt#fragment',
  '/plain.txt?#x',
  '/plain.txt?',
  '/plain.txt??a',
  '/with%20space.txt',
  '/with+space.txt',
  '/with space.txt',
  '/percent%41.txt',
  '/percent%2541.txt',
  '/caf%c3%a9.txt',
  '/caf\xc3\xa9.txt',
  '/caf%e9.txt',
  '/\x7f',
  '/a\\b',
  '/"quoted"',
  '/<b>',
  '/dir',
  '/dir?a=1',
  '/dir/sub',
  '/list',
  '/indexed/',
  '/no-index/',
  '/no-index',
  '/plain.txt/',
  '/missing',
  '/missing/',
  '/exact/',
  '/exact?x',
  '/EXACT',
  '/a.PNG',
  '/a.png?x=.txt',
  '*',
  'relative',
  '',
  'http://first.example.com/plain.txt',
  'http://third.example.com/missing?a=b',
  'http://third.example.com',
  'http://third.example.com?a',
  'http://:80/',
  'http:/plain.txt',
  'https://second.example.com:99/x',
  'ftp://first.example.com/plain.txt',
  '/regex/123/word',
  '/regex/123/',
  '/regex/x/word',
  '/nested/a.txt',
  '/nested/other.txt',
  '/nested/plain/a.txt',
  '/nested/deeper/aliased.txt',
  '/nested/deeper',
  '/caret/a.txt',
  '/internal/plain.txt',
  '/alias-regex/deep/file.html',
  '/alias-regex/',
  '/alias/deep',
  '/try-dir/deep',
  '/try-dir/deep/',
  '/moved',
  '/name',
  '/proxy-regex/a%20b?c=d',
  '/proxy-regex/',
  '/proxy/status/404',
  '/proxy-errors/status/404',
  '/proxy-errors/status/500',
  '/proxy-errors/status/403',
  '/proxy-hidden/redirect',
  '/proxy/redirect',
  '/proxy/no-length',
  '/proxy/gzip',
  '/twin-always/only.txt',
  '/twin-always/packed.txt',
  '/twin/packed.txt',
];

const QUERIES = [
  '',
  '',
  '',
  'a=1',
  'a=2',
  'a=3',
  'a=x1x',
  'a=',
  'A=5',
  'a=1&a=2',
  'b=2&a=%20',
  'ip=10.0.1.7',
  'ip=192.0.2.200',
  'ip=::1',
  'ip=x',
  'file=/plain.txt',
  'file=/dir',
  'file=/none',
  'ext=php',
  'ext=html',
  'e=1h',
  'e=max',
  'e=epoch',
  'e=off',
  'e=-5',
  'e=@15h',
  'e=modified',
  'a=1&b=Thu, 01 Jan 1970 00:00:00 GMT',
  '%',
  '?',
  'a=1#x',
];

const DATES = [
  'Thu, 02 Jan 2020 03:04:05 GMT',
  'Thu, 02 Jan 2020 03:04:04 GMT',
  'Thu, 02 Jan 2020 03:04:06 GMT',
  'Thursday, 02-Jan-20 03:04:05 GMT',
  'Thu Jan  2 03:04:05 2020',
  'Thu, 02 Jan 2020 03:04:05',
  'Mon, 02 Jan 2020 03:04:05 GMT',
  'Fri, 01 Jan 2100 00:00:00 GMT',
  'Thu, 01 Jan 1970 00:00:00 GMT',
  'yesterday',
  '',
  '0',
];

const RANGES = [
  'bytes=0-0',
  'bytes=0-99',
  'bytes=10-19',
  'bytes=10-',
  'bytes=-10',
  'bytes=-0',
  'bytes=0-',
  'bytes=0-9,20-29',
  'bytes=0-9, 20-29 ,-5',
  'bytes=5-1',
  'bytes=99999-',
  'bytes=0-99999999999999999999',
  'bytes=-99999',
  'bytes=0-1,5-1',
  'bytes=99999-,0-1',
  'bytes=0-1799,0-1799',
  'bytes=',
  'bytes=a-b',
  'bytes=1',
  'BYTES=0-1',
  'lines=0-1',
  'bytes 0-1',
  'bytes=0-1;x',
];

/** The tag nginx gives a file: its time and length. */
const etagOf = (length: number): string => `"${MODIFIED.toString(16)}-${length.toString(16)}"`;

const ETAGS = [
  etagOf(1800),
  etagOf(22),
  etagOf(0),
  '"x"',
  '*',
  `W/${etagOf(1800)}`,
  `"a", ${etagOf(1800)}`,
  `"a",${etagOf(22)}, "b"`,
  'unquoted',
  '',
  ',',
];

function randomPath(random: Random): string {
  if (random.chance(0.25)) return random.pick(ODD_PATHS);
  const place = random.pick(PLACES);
  let path = place;
  if (place.endsWith('/')) {
    if (random.chance(0.12)) path = place.slice(0, -1);
    else if (random.chance(0.85)) path += random.pick(NAMES).replaceAll(' ', '%20');
    else path += random.pick(['missing', 'dir/', 'list/', 'dir', '../', './plain.txt', '%2e%2e/plain.txt']);
  } else if (random.chance(0.1)) path += random.pick(['/', 'x', '/x', '.txt']);
  // The same names as the rewrite rules have.
  if (place === '/rewrite/') {
    path = `/rewrite/${random.pick(['last', 'break', 'moved', 'found', 'question', 'args', 'loop', 'scheme', 'none'])}/${random.pick(['', 'plain.txt', 'a%20b', 'a%3Fb', 'dir', '%C3%A9'])}`;
  }
  if (random.chance(0.05)) path = path.replace('/', '//');
  return path;
}

function randomTarget(random: Random): string {
  const query = random.pick(QUERIES);
  const path = randomPath(random);
  return query === '' ? path : `${path}?${query.replaceAll(' ', '%20')}`;
}

function randomFields(random: Random): string[] {
  const fields: string[] = [];
  const sometimes = (probability: number, field: () => string) => {
    if (random.chance(probability)) fields.push(field());
  };
  sometimes(
    0.3,
    () =>
      `Accept-Encoding: ${random.pick(['gzip', 'gzip, deflate, br', 'gzip;q=0', 'gzip;q=0.5', 'identity', '*', 'deflate', 'x-gzip', 'gzip ; q=1.000', 'gzip;q=0.001', 'GZIP'])}`,
  );
  sometimes(0.15, () => `If-Modified-Since: ${random.pick(DATES)}`);
  sometimes(0.06, () => `If-Unmodified-Since: ${random.pick(DATES)}`);
  sometimes(0.1, () => `If-None-Match: ${random.pick(ETAGS)}`);
  sometimes(0.06, () => `If-Match: ${random.pick(ETAGS)}`);
  sometimes(0.2, () => `Range: ${random.pick(RANGES)}`);
  sometimes(0.08, () => `If-Range: ${random.pick([...DATES, ...ETAGS])}`);
  sometimes(
    0.2,
    () =>
      `User-Agent: ${random.pick(['curl/8', 'Mozilla/4.0 (compatible; MSIE 6.0; Windows)', 'Mozilla/5.0 (Mac OS X) Safari/1', 'odd one', ''])}`,
  );
  sometimes(0.15, () => `X-Test: ${random.pick(['1', '', ' padded ', 'caf\xe9', 'a,b', '"q"'])}`);
  sometimes(0.06, () => `X-Test: second`);
  sometimes(0.05, () => 'X_Under_Score: yes');
  sometimes(0.03, () =>
    random.pick([
      'Bad Name: x',
      ': x',
      'X-No-Colon',
      'X-\x80: y',
      'X-Tab\t: z',
      ' leading: x',
      'X-Nul: \x00',
    ]),
  );
  sometimes(0.06, () => `Cookie: ${random.pick(['a=1', 'b=2; a=3', 'a=1; a=2', 'ba=4', 'a'])}`);
  sometimes(0.06, () => `Referer: http://example.com/${random.below(9)}`);
  sometimes(
    0.08,
    () =>
      `X-Forwarded-For: ${random.pick(['10.1.2.3', '10.1.2.3, 127.0.0.1', 'x', '', '2001:db8::1', '10.0.0.1:80'])}`,
  );
  sometimes(0.04, () => `Authorization: ${random.pick(['Basic bWU6cHc=', 'Basic x', 'Bearer t'])}`);
  sometimes(0.03, () => `Via: 1.1 other`);
  sometimes(0.02, () => `X-Long: ${'x'.repeat(random.pick([400, 900, 1100, 3000]))}`);
  sometimes(0.02, () => `Transfer-Encoding: ${random.pick(['gzip', 'identity', 'chunked, chunked'])}`);
  sometimes(0.02, () => `Content-Length: ${random.pick(['x', '-1', '1, 1', '99999', '+1', ' 0'])}`);
  sometimes(0.02, () => 'Expect: nothing');
  return fields;
}

/** A body with its header lines. */
function randomBody(random: Random): { fields: string[]; body: string } {
  const text = 'body '.repeat(random.pick([0, 1, 3, 60, 500]));
  if (!random.chance(0.4)) return { fields: [`Content-Length: ${text.length}`], body: text };
  const half = text.length >> 1;
  const chunk = (piece: string) => (piece === '' ? '' : `${piece.length.toString(16)}\r\n${piece}\r\n`);
  return {
    fields: ['Transfer-Encoding: chunked'],
    body: `${chunk(text.slice(0, half))}${chunk(text.slice(half))}0\r\n\r\n`,
  };
}

function randomRequest(random: Random, last: boolean): { method: string; bytes: string } {
  const method = random.pick(METHODS);
  const target = randomTarget(random);
  const version =
    !last || random.chance(0.8) ? '1.1' : random.pick(['1.0', '1.0', '1.2', '2.0', '0.9', '1.', '']);
  const fields = randomFields(random);
  if (!(version !== '1.1' && random.chance(0.3)) && !random.chance(0.02)) {
    fields.splice(random.below(fields.length + 1), 0, `Host: ${random.pick(HOSTS)}`);
  }
  if (random.chance(0.01)) fields.push('Host: first.example.com');
  let body = '';
  if (method === 'POST' || method === 'PUT' || random.chance(0.03)) {
    const made = randomBody(random);
    fields.push(...made.fields);
    body = made.body;
  }
  fields.push(last ? 'Connection: close' : random.pick(['Connection: keep-alive', 'X-Kept: 1']));
  const start = version === '' ? `${method} ${target}` : `${method} ${target} HTTP/${version}`;
  const end = random.chance(0.03) ? '\n' : '\r\n';
  return { method, bytes: `${start}${end}${fields.map((field) => field + end).join('')}${end}${body}` };
}

/**
 * Makes conversations.
 * @param count how many
 */
export function makeQuestions(seed: number, count: number): Question[] {
  const random = createRandom(seed);
  return Array.from({ length: count }, () => {
    const requests = random.chance(0.15)
      ? [randomRequest(random, false), randomRequest(random, true)]
      : [randomRequest(random, true)];
    return {
      bytes: requests.map(({ bytes }) => bytes).join(''),
      methods: requests.map(({ method }) => method),
    };
  });
}
