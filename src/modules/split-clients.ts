/** The split_clients module: variables that part clients into shares, by a hash of some value. */
import { dataBlock, parseFixedPoint } from '../config/directive.ts';
import { ConfigError, errorAtEnd, type Statement } from '../config/statement.ts';
import type { Link } from '../core/link.ts';
import { defineModule } from '../core/module.ts';

/** One share: hashes below `limit` that no share before it has; a limit of 0 stands for all the rest. */
interface Share {
  readonly limit: number;
  readonly value: string;
}

/** Shares are given in hundredths of a percent. */
const WHOLE = 10_000;

/**
 * Reads a `split_clients` block.
 * @throws ConfigError `invalid percent value "x"`, `percent total is greater than 100%`
 */
export function readShares(statement: Statement): readonly Share[] {
  const shares: Share[] = [];
  let sum = 0;
  let limit = 0;
  const parts = (statement.block ?? []).map((child) => ({
    percent: readPercent(child),
    // nginx looks at no further word, and takes a missing one for an empty value.
    value: child.args[0] ?? '',
  }));
  for (const { percent, value } of parts) {
    sum = percent === 0 ? WHOLE : sum + percent;
    if (sum > WHOLE) throw errorAtEnd(statement, 'percent total is greater than 100%');
    if (percent === 0 || sum === WHOLE) shares.push({ limit: 0, value });
    else {
      limit += Math.floor((percent * 0xffffffff) / WHOLE);
      shares.push({ limit, value });
    }
  }
  return shares;
}

function readPercent(child: Statement): number {
  const { name } = child;
  if (name === '*') return 0;
  const percent = name.endsWith('%') ? parseFixedPoint(name.slice(0, -1), 2) : undefined;
  if (percent === undefined || percent === 0) {
    throw new ConfigError(`invalid percent value "${name}"`, { statement: child });
  }
  return percent;
}

const MULTIPLIER = 0x5bd1e995;

/**
 * MurmurHash2 with a seed of 0 and four bytes at a time in little-endian order, as nginx computes it.
 * @param text byte string
 * @returns 32 bits, unsigned
 */
export function murmurHash2(text: string): number {
  const { length } = text;
  let hash = length;
  let index = 0;
  for (; length - index >= 4; index += 4) {
    let word =
      text.charCodeAt(index) |
      (text.charCodeAt(index + 1) << 8) |
      (text.charCodeAt(index + 2) << 16) |
      (text.charCodeAt(index + 3) << 24);
    word = Math.imul(word, MULTIPLIER);
    word ^= word >>> 24;
    hash = Math.imul(hash, MULTIPLIER) ^ Math.imul(word, MULTIPLIER);
  }
  if (index < length) {
    if (length - index > 2) hash ^= text.charCodeAt(index + 2) << 16;
    if (length - index > 1) hash ^= text.charCodeAt(index + 1) << 8;
    hash = Math.imul(hash ^ text.charCodeAt(index), MULTIPLIER);
  }
  hash ^= hash >>> 13;
  hash = Math.imul(hash, MULTIPLIER);
  return (hash ^ (hash >>> 15)) >>> 0;
}

function define(statement: Statement, link: Link): void {
  const [text = '', target = ''] = statement.args;
  const source = link.template(statement, text);
  if (!target.startsWith('$')) throw new ConfigError(`invalid variable name "${target}"`, { statement });
  const shares = readShares(statement);
  link.variables.define(
    target.slice(1),
    {
      cached: true,
      changeable: true,
      get(exchange) {
        const hash = murmurHash2(source.constant ?? source.evaluate(exchange));
        for (let index = 0; index < shares.length; index++) {
          const { limit, value } = shares[index]!;
          if (hash < limit || limit === 0) return value;
        }
        return '';
      },
    },
    statement,
  );
}

/** nginx's ngx_http_split_clients_module. */
export const splitClients = defineModule({
  name: 'http_split_clients',
  directives: {
    split_clients: dataBlock(['http'], [2, 2], { syntax: 'string $variable { ... }' }),
  },
  http(settings, _scope, link) {
    for (const statement of settings.split_clients) define(statement, link);
    return undefined;
  },
});
