/** Listings of a directory as nginx writes them, byte for byte: HTML, JSON, JSONP and XML. */
import { formatHttpDate } from '../../http/dates.ts';
import { escapeHtml, escapeJson, escapeUri } from '../../http/uri-escape.ts';
import { firstCharacters, utf8Length } from '../../http/utf8.ts';
import type { Entry } from './entries.ts';

/** Characters of a name that are shown. */
const WIDTH = 50;

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** How an HTML listing is made. */
interface HtmlOptions {
  /** Names are UTF-8, and one of its characters takes one place. */
  readonly utf8: boolean;
  /** Sizes in bytes, else rounded to K, M and G. */
  readonly exactSize: boolean;
  /** What times are shown later than UTC, in seconds. */
  readonly offset: number;
}

/** @param uri of the directory, as a byte string */
export function htmlListing(uri: string, entries: readonly Entry[], options: HtmlOptions): string {
  const title = escapeHtml(uri);
  let page =
    `<html>\r\n<head><title>Index of ${title}</title></head>\r\n<body>\r\n<h1>Index of ${title}</h1>` +
    '<hr><pre><a href="../">../</a>\r\n';
  for (const entry of entries) page += htmlLine(entry, options);
  return `${page}</pre><hr></body>\r\n</html>\r\n`;
}

function htmlLine({ name, kind, modified, size }: Entry, options: HtmlOptions): string {
  const slash = kind === 'directory' ? '/' : '';
  let length = options.utf8 ? utf8Length(name) : name.length;
  let shown: string;
  if (length > WIDTH) {
    // Where it is not UTF-8 the number of characters is that of bytes.
    const cut = length === name.length ? name.slice(0, WIDTH - 3) : firstCharacters(name, WIDTH - 3);
    shown = `${escapeHtml(cut)}..&gt;</a>`;
    length = WIDTH;
  } else {
    shown = escapeHtml(name);
    if (length < WIDTH && slash !== '') {
      shown += slash;
      length++;
    }
    shown += '</a>';
  }
  const href = escapeUri(name, 'uri-component') + slash;
  const padding = ' '.repeat(WIDTH - length);
  const shownSize = options.exactSize ? exactSize(kind, size) : roundedSize(kind, size);
  return `<a href="${href}">${shown}${padding} ${dateText(modified + options.offset)} ${shownSize}\r\n`;
}

/** `28-Sep-1970 12:00`. */
function dateText(seconds: number): string {
  const date = new Date(seconds * 1000);
  return `${two(date.getUTCDate())}-${MONTHS[date.getUTCMonth()]}-${date.getUTCFullYear()} ${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
}

function two(number: number): string {
  return number < 10 ? `0${number}` : String(number);
}

function exactSize(kind: Entry['kind'], size: number): string {
  return (kind === 'directory' ? '-' : String(size)).padStart(19);
}

const KILO = 1024;
const MEGA = 1024 * KILO;
const GIGA = 1024 * MEGA;

function roundedSize(kind: Entry['kind'], size: number): string {
  if (kind === 'directory') return '      -';
  if (size >= GIGA) return `${inUnits(size, GIGA)}G`;
  if (size >= MEGA) return `${inUnits(size, MEGA)}M`;
  if (size > 9999) return `${inUnits(size, KILO)}K`;
  return ` ${String(size).padStart(6)}`;
}

function inUnits(size: number, unit: number): string {
  return String(Math.floor(size / unit) + (size % unit >= unit / 2 ? 1 : 0)).padStart(6);
}

/** @param callback of JSONP; undefined for plain JSON */
export function jsonListing(entries: readonly Entry[], callback: string | undefined): string {
  const objects = entries.map(({ name, kind, modified, size }) => {
    const last = kind === 'file' ? `"size":${size}` : '';
    const members = `"name":"${escapeJson(name)}", "type":"${kind}", "mtime":"${formatHttpDate(modified)}"`;
    return `\r\n{ ${members}${last === '' ? '' : `, ${last}`} }`;
  });
  const list = `[${objects.join(',')}\r\n]`;
  return callback === undefined ? list : `/* callback */\r\n${callback}(${list});`;
}

export function xmlListing(entries: readonly Entry[]): string {
  let list = '<?xml version="1.0"?>\r\n<list>\r\n';
  for (const { name, kind, modified, size } of entries) {
    const attributes = `mtime="${isoText(modified)}"${kind === 'file' ? ` size="${size}"` : ''}`;
    list += `<${kind} ${attributes}>${escapeHtml(name)}</${kind}>\r\n`;
  }
  return `${list}</list>\r\n`;
}

/** `1986-12-31T10:00:00Z`. */
function isoText(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
}
