/** Reading a `geo` block. */
import type { ReadContext } from '../../config/directive.ts';
import type { Statement } from '../../config/statement.ts';
import { AddressTable } from '../../http/address-table.ts';
import { type AddressPattern, type Cidr, meaninglessBits, parseCidr } from '../../http/cidr.ts';
import { NO_ADDRESS, parseIPv4 } from '../../http/ip-address.ts';
import { GeoRanges } from './ranges.ts';

/** A `geo` block as it was read. */
export interface Geo {
  readonly statement: Statement;
  readonly addresses: AddressTable<string>;
  /** Undefined with `ranges`, which are of IPv4 addresses: other ones are looked up as 255.255.255.255. */
  readonly addresses6: AddressTable<string> | undefined;
  /** `proxy`. */
  readonly proxies: readonly AddressPattern[];
  readonly recursive: boolean;
  readonly volatile: boolean;
}

/** A network, by its text in one form. */
interface Network {
  readonly cidr: Cidr;
  value: string;
}

interface Draft {
  readonly report: ReadContext;
  readonly networks: Map<string, Network>;
  readonly ranges: GeoRanges;
  readonly proxies: AddressPattern[];
  /** Networks, too, have been given. */
  hasNetworks: boolean;
  byRanges: boolean;
  fallback: string | undefined;
  recursive: boolean;
  volatile: boolean;
}

/**
 * Reads a `geo` block.
 * @throws ConfigError `invalid number of the geo parameters`, `invalid network "x"`, `invalid range "x"`, `range "x"
 *   overlaps "y"`, `the "ranges" directive must be the first directive inside "geo" block`
 */
export function readGeo(statement: Statement, report: ReadContext): Geo {
  const draft: Draft = {
    report,
    networks: new Map(),
    ranges: new GeoRanges(),
    proxies: [],
    hasNetworks: false,
    byRanges: false,
    fallback: undefined,
    recursive: false,
    volatile: false,
  };
  for (const child of statement.block ?? []) readEntry(child, draft);
  const { proxies, recursive, volatile } = draft;
  const common = { statement, proxies, recursive, volatile };
  if (draft.byRanges) {
    const addresses = new AddressTable('IPv4', draft.ranges.ranges(), draft.fallback ?? '');
    return { ...common, addresses, addresses6: undefined };
  }
  return {
    ...common,
    addresses: tableOf('IPv4', draft.networks),
    addresses6: tableOf('IPv6', draft.networks),
  };
}

function readEntry(child: Statement, draft: Draft): void {
  const { report } = draft;
  const { name, args } = child;
  if (args.length === 0) {
    if (name === 'ranges') {
      if (draft.hasNetworks) {
        throw report.errorAt(child, 'the "ranges" directive must be the first directive inside "geo" block');
      }
      draft.byRanges = true;
      return;
    }
    if (name === 'proxy_recursive') {
      draft.recursive = true;
      return;
    }
    if (name === 'volatile') {
      draft.volatile = true;
      return;
    }
  }
  if (args.length !== 1) throw report.errorAt(child, 'invalid number of the geo parameters');
  if (name === 'proxy') draft.proxies.push(readNetwork(args[0]!, child, report));
  else if (draft.byRanges) readRange(child, draft);
  else readNetworkEntry(child, draft);
}

// ---- networks ----

const HIGHEST: Cidr = { family: 'IPv4', address: [-1], mask: [-1], hasMeaninglessBits: false };

function readNetwork(text: string, child: Statement, report: ReadContext): Cidr {
  // Elsewhere nginx takes this one for no address.
  if (text === '255.255.255.255') return HIGHEST;
  const cidr = parseCidr(text);
  if (cidr === undefined) throw report.errorAt(child, `invalid network "${text}"`);
  if (cidr.hasMeaninglessBits) report.warn(meaninglessBits(text), child);
  return cidr;
}

function readNetworkEntry(child: Statement, draft: Draft): void {
  const { report, networks } = draft;
  const { name, args } = child;
  const [value = ''] = args;
  draft.hasNetworks = true;
  if (name === 'default') {
    addNetwork(parseCidr('0.0.0.0/0')!, name, value, child, draft);
    addNetwork(parseCidr('::/0')!, name, value, child, draft);
  } else if (name === 'delete') {
    if (!networks.delete(keyOf(readNetwork(value, child, report)))) {
      report.warn(`no network "${value}" to delete`, child);
    }
  } else addNetwork(readNetwork(name, child, report), name, value, child, draft);
}

function addNetwork(cidr: Cidr, text: string, value: string, child: Statement, draft: Draft): void {
  const key = keyOf(cidr);
  const previous = draft.networks.get(key);
  if (previous !== undefined) {
    draft.report.warn(
      `duplicate network "${text}", value: "${value}", old value: "${previous.value}"`,
      child,
    );
  }
  draft.networks.set(key, { cidr, value });
}

function keyOf({ address, mask }: Cidr): string {
  return `${address.join(' ')}/${mask.join(' ')}`;
}

function tableOf(family: Cidr['family'], networks: ReadonlyMap<string, Network>): AddressTable<string> {
  const ranges = [...networks.values()]
    .filter(({ cidr }) => cidr.family === family)
    .map(({ cidr, value }) => {
      const first = bigintOf(cidr.address);
      return { first, last: first | bigintOf(cidr.mask.map((word) => ~word)), value };
    });
  return new AddressTable(family, ranges, '');
}

function bigintOf(words: readonly number[]): bigint {
  return words.reduce((value, word) => (value << 32n) | BigInt(word >>> 0), 0n);
}

// ---- ranges ----

function readRange(child: Statement, draft: Draft): void {
  const { report, ranges } = draft;
  const { name, args } = child;
  const [value = ''] = args;
  if (name === 'default') {
    if (draft.fallback !== undefined) {
      report.warn(`duplicate default geo range value: "${value}", old value: "${draft.fallback}"`, child);
    }
    draft.fallback = value;
    return;
  }
  const text = name === 'delete' ? value : name;
  const [first, last] = parseRange(text) ?? [];
  if (first === undefined || last === undefined) throw report.errorAt(child, `invalid range "${text}"`);
  if (name === 'delete') {
    if (!ranges.delete(first, last)) report.warn(`no address range "${text}" to delete`, child);
    return;
  }
  const obstacle = ranges.add(first, last, value, (previous) => {
    report.warn(`duplicate range "${text}", value: "${value}", old value: "${previous}"`, child);
  });
  if (obstacle !== undefined) throw report.errorAt(child, `range "${text}" overlaps "${obstacle}"`);
}

/** `192.0.2.1-192.0.2.9`, as unsigned numbers. */
function parseRange(text: string): [first: number, last: number] | undefined {
  const dash = text.indexOf('-');
  if (dash < 0) return undefined;
  const first = parseIPv4(text, 0, dash);
  const last = parseIPv4(text, dash + 1);
  if (first === NO_ADDRESS || last === NO_ADDRESS || first >>> 0 > last >>> 0) return undefined;
  return [first >>> 0, last >>> 0];
}
