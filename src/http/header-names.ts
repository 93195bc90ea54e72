/**
 * The header names that every message is asked about. A header block notes, while it is scanned, which of
 * its fields carry one of these names, so that asking later costs no string comparison.
 */

/** Identifier of each known header name; 0 means "some other name". At most 61, so that two masks hold them. */
export const KnownHeader = {
  other: 0,
  host: 1,
  connection: 2,
  contentLength: 3,
  transferEncoding: 4,
  expect: 5,
  upgrade: 6,
  keepAlive: 7,
  te: 8,
  trailer: 9,
  contentType: 10,
  contentEncoding: 11,
  contentRange: 12,
  date: 13,
  server: 14,
  location: 15,
  refresh: 16,
  setCookie: 17,
  cookie: 18,
  range: 19,
  acceptRanges: 20,
  ifRange: 21,
  ifModifiedSince: 22,
  ifUnmodifiedSince: 23,
  ifMatch: 24,
  ifNoneMatch: 25,
  etag: 26,
  lastModified: 27,
  cacheControl: 28,
  expires: 29,
  vary: 30,
  acceptEncoding: 31,
  authorization: 32,
  proxyAuthorization: 33,
  wwwAuthenticate: 34,
  xForwardedFor: 35,
  xRealIp: 36,
  userAgent: 37,
  referer: 38,
  via: 39,
  link: 40,
  proxyConnection: 41,
  xAccelRedirect: 42,
  xAccelExpires: 43,
  xAccelLimitRate: 44,
  xAccelBuffering: 45,
  xAccelCharset: 46,
  accept: 47,
  acceptLanguage: 48,
  origin: 49,
  proxyAuthenticate: 50,
  status: 51,
  contentDisposition: 52,
} as const;

/** One of the numbers in `KnownHeader`. */
export type KnownHeaderId = (typeof KnownHeader)[keyof typeof KnownHeader];

/** The known names in lower case, each at the position of its identifier; '' at 0. */
export const KNOWN_HEADER_NAMES: readonly string[] = [
  '',
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'expect',
  'upgrade',
  'keep-alive',
  'te',
  'trailer',
  'content-type',
  'content-encoding',
  'content-range',
  'date',
  'server',
  'location',
  'refresh',
  'set-cookie',
  'cookie',
  'range',
  'accept-ranges',
  'if-range',
  'if-modified-since',
  'if-unmodified-since',
  'if-match',
  'if-none-match',
  'etag',
  'last-modified',
  'cache-control',
  'expires',
  'vary',
  'accept-encoding',
  'authorization',
  'proxy-authorization',
  'www-authenticate',
  'x-forwarded-for',
  'x-real-ip',
  'user-agent',
  'referer',
  'via',
  'link',
  'proxy-connection',
  'x-accel-redirect',
  'x-accel-expires',
  'x-accel-limit-rate',
  'x-accel-buffering',
  'x-accel-charset',
  'accept',
  'accept-language',
  'origin',
  'proxy-authenticate',
  'status',
  'content-disposition',
];

const LONGEST_NAME = KNOWN_HEADER_NAMES.reduce((longest, name) => Math.max(longest, name.length), 0);

// Length, first and last letter separate nearly all of the names; those that still meet are chained.
const bucketHeads = new Uint8Array(256);
const nextInBucket = new Uint8Array(64);

function bucketOf(length: number, first: number, last: number): number {
  return (length * 23 + first * 5 + last) & 255;
}

for (let id = KNOWN_HEADER_NAMES.length - 1; id > 0; id--) {
  const name = KNOWN_HEADER_NAMES[id];
  const bucket = bucketOf(name.length, name.charCodeAt(0), name.charCodeAt(name.length - 1));
  nextInBucket[id] = bucketHeads[bucket];
  bucketHeads[bucket] = id;
}

/** The known names once more, as bytes, 32 per identifier: byte comparison without string calls. */
const nameBytes = new Uint8Array(64 * 32);
const nameLengths = new Uint8Array(64);
for (let id = 1; id < KNOWN_HEADER_NAMES.length; id++) {
  const name = KNOWN_HEADER_NAMES[id];
  nameLengths[id] = name.length;
  for (let i = 0; i < name.length; i++) nameBytes[id * 32 + i] = name.charCodeAt(i);
}

/**
 * The identifier of the header name in bytes[start, end), 0 if it is none of the known ones. Letters match in
 * either case.
 */
export function knownHeaderId(bytes: Uint8Array, start: number, end: number): KnownHeaderId {
  const length = end - start;
  if (length < 2 || length > LONGEST_NAME) return 0;
  // `| 0x20` folds case. It also folds CR onto '-', but no control character ever gets into a header name.
  const bucket = bucketOf(length, bytes[start] | 0x20, bytes[end - 1] | 0x20);
  for (let id = bucketHeads[bucket]; id !== 0; id = nextInBucket[id]) {
    if (nameLengths[id] !== length) continue;
    let i = 0;
    const base = id * 32;
    while (i < length && (bytes[start + i] | 0x20) === nameBytes[base + i]) i++;
    if (i === length) return id as KnownHeaderId;
  }
  return 0;
}
