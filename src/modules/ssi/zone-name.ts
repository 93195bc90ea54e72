/**
 * What a time zone is called for short: CET, EST. JavaScript knows where the zone stands, but not what it is called
 * there; the names are in the system's database (RFC 9636).
 */
import { readFileSync } from 'node:fs';

/** A kind of local time: how far from UTC, in seconds, and its name. */
interface LocalTime {
  readonly offset: number;
  readonly name: string;
}

/** The kinds of local time by the time they begin, in seconds; the last holds until now. */
type ZoneHistory = readonly { readonly from: number; readonly local: LocalTime }[];

let history: ZoneHistory | undefined;

/**
 * The short name of the system's time zone.
 * @param milliseconds since the epoch
 * @param offset seconds east of UTC at that time
 */
export function zoneName(milliseconds: number, offset: number): string {
  history ??= readHistory();
  const seconds = milliseconds / 1000;
  let name: string | undefined;
  // Beyond the last change in the file the rules go on: winter and summer have the names they had.
  for (const { from, local } of history) {
    if (local.offset === offset && (name === undefined || from <= seconds)) name = local.name;
  }
  return name ?? (offset === 0 ? 'UTC' : numericName(offset));
}

function numericName(offset: number): string {
  const minutes = Math.abs(offset) / 60;
  const hours = String(Math.floor(minutes / 60)).padStart(2, '0');
  const rest = minutes % 60 === 0 ? '' : String(minutes % 60).padStart(2, '0');
  return `${offset < 0 ? '-' : '+'}${hours}${rest}`;
}

function readHistory(): ZoneHistory {
  const zone = process.env.TZ?.replace(/^:/, '');
  const path = zone === undefined || zone === '' ? '/etc/localtime' : `/usr/share/zoneinfo/${zone}`;
  try {
    return parseZoneFile(readFileSync(zone?.startsWith('/') ? zone : path));
  } catch {
    // No such file, or none of that form: the zone has no name but its distance from UTC.
    return [];
  }
}

/**
 * Reads a TZif file.
 * @throws RangeError where it is shorter than it says
 */
export function parseZoneFile(file: Buffer): ZoneHistory {
  if (file.toString('latin1', 0, 4) !== 'TZif') return [];
  // Version 2 and later repeat everything, with times of 64 bits, behind the block of version 1.
  const first = readBlock(file, 0, 4);
  return (file[4] ?? 0) >= 0x32 ? readBlock(file, first.end, 8).history : first.history;
}

function readBlock(file: Buffer, start: number, timeSize: 4 | 8): { history: ZoneHistory; end: number } {
  const count = (index: number) => file.readUInt32BE(start + 20 + index * 4);
  const [utcCount, standardCount, leapCount, timeCount, typeCount, characters] = [
    count(0),
    count(1),
    count(2),
    count(3),
    count(4),
    count(5),
  ];
  const times = start + 44;
  const indexes = times + timeCount * timeSize;
  const types = indexes + timeCount;
  const names = types + typeCount * 6;
  const localTime = (index: number): LocalTime => {
    const at = types + index * 6;
    const nameStart = names + file[at + 5]!;
    const nameEnd = file.indexOf(0, nameStart);
    return { offset: file.readInt32BE(at), name: file.toString('latin1', nameStart, nameEnd) };
  };
  const history = [];
  if (typeCount > 0) history.push({ from: Number.NEGATIVE_INFINITY, local: localTime(0) });
  for (let index = 0; index < timeCount; index++) {
    const at = times + index * timeSize;
    const from = timeSize === 4 ? file.readInt32BE(at) : Number(file.readBigInt64BE(at));
    history.push({ from, local: localTime(file[indexes + index]!) });
  }
  return { history, end: names + characters + leapCount * (timeSize + 4) + standardCount + utcCount };
}
