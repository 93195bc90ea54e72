/** `ssl_session_cache`: where sessions are remembered for clients that come back without a ticket. */
import type { ReadContext } from '../../config/directive.ts';
import { ConfigError, type Statement } from '../../config/statement.ts';
import { parseNumber, parseSize } from '../../config/values.ts';
import type { Link } from '../../core/link.ts';
import type { SessionStore } from '../../core/tls.ts';
import { attachSessionTable, SMALLEST_SESSION_TABLE } from '../../shared/session-table.ts';

/** The value of `ssl_session_cache`. */
export interface SessionCache {
  /** `builtin` and `shared`: somewhere. */
  readonly kind: 'off' | 'none' | 'builtin' | 'shared';
  /** Of the shared memory; '' for the others. */
  readonly name: string;
  /** Of the shared memory in bytes; of the builtin cache in sessions. */
  readonly size: number;
}

/** OpenSSL's: how many sessions a builtin cache remembers. */
const BUILTIN_SESSIONS = 20_480;
/** What one of them takes, with its place in the index. */
const SESSION_SIZE = 256;
const LARGEST_BUILTIN = 64 * 1024 * 1024;
/** nginx's least: eight pages. */
const SMALLEST_ZONE = 32_768;

const ZONES = Symbol('shared memory of TLS sessions');

/** Reads one statement; a later one of the same scope changes what it names. */
export function readSessionCache(
  { args }: Statement,
  previous: SessionCache | undefined,
  report: ReadContext,
): SessionCache {
  let cache = previous;
  for (const word of args) {
    const invalid = (): never => report.fail(`invalid session cache "${word}"`);
    if (word === 'off' || word === 'none') cache = { kind: word, name: '', size: 0 };
    else if (word === 'builtin') cache = beside(cache, BUILTIN_SESSIONS);
    else if (word.startsWith('builtin:')) cache = beside(cache, parseNumber(word.slice(8)) ?? invalid());
    else if (word.startsWith('shared:')) {
      const colon = word.indexOf(':', 7);
      if (colon <= 7) invalid();
      const size = parseSize(word.slice(colon + 1)) ?? invalid();
      if (size < SMALLEST_ZONE) report.fail(`session cache "${word}" is too small`);
      cache = { kind: 'shared', name: word.slice(7, colon), size };
    } else invalid();
  }
  return cache!;
}

/** What is shared is shared with `builtin` beside it too. */
function beside(cache: SessionCache | undefined, sessions: number): SessionCache {
  return cache?.kind === 'shared' ? cache : { kind: 'builtin', name: '', size: sessions };
}

/**
 * Notes the size of shared memory.
 * @throws ConfigError where two statements give one zone two sizes
 */
export function declareZone({ kind, name, size }: SessionCache, link: Link): void {
  if (kind !== 'shared') return;
  const sizes = link.state(ZONES, () => new Map<string, number>());
  const declared = sizes.get(name) ?? size;
  sizes.set(name, declared);
  if (declared !== size) {
    throw new ConfigError(
      `the size ${size} of shared memory zone "${name}" conflicts with already declared size ${declared}`,
    );
  }
}

/**
 * Opens the memory of a cache.
 * @param lifetime `ssl_session_timeout` in seconds
 * @returns undefined for `off` and `none`
 */
export function openSessionStore(
  { kind, name, size }: SessionCache,
  lifetime: number,
  link: Link,
): SessionStore | undefined {
  if (kind === 'off' || kind === 'none') return undefined;
  let bytes = size;
  if (kind === 'builtin') {
    bytes = Math.min(LARGEST_BUILTIN, Math.max(SMALLEST_SESSION_TABLE, size * SESSION_SIZE));
  }
  return sessionStore(link, `ssl ${kind} ${name === '' ? bytes : name}`, bytes, lifetime);
}

/** Where sessions are remembered of servers whose clients could have tickets, but are not given any. */
export function openDefaultSessionStore(lifetime: number, link: Link): SessionStore {
  return sessionStore(link, 'ssl', 1024 * 1024, lifetime);
}

function sessionStore(link: Link, key: string, bytes: number, lifetime: number): SessionStore {
  const { runtime } = link;
  const table = attachSessionTable(runtime.sharedMemory(key, bytes), runtime.worker + 2);
  return {
    add: (id, session) => table.add(id, session, lifetime),
    find: (id) => table.find(id),
  };
}
