/** Header lines of an answer, written and read by name. */
import { parseHttpDate } from '../http/dates.ts';
import type { ResponseHead } from './exchange.ts';

/**
 * Adds a header line, as `add_header` does: Last-Modified and ETag replace what is there, all others are added.
 * An empty value adds nothing, and takes Last-Modified or ETag away.
 */
export function setResponseHeader(response: ResponseHead, name: string, value: string): void {
  switch (name.toLowerCase()) {
    case 'last-modified':
      response.lastModifiedText = value;
      response.lastModified = value === '' ? -1 : (parseHttpDate(value) ?? -1);
      return;
    case 'etag':
      response.etag = value;
      return;
    default:
      if (value !== '') response.fields += `${name}: ${value}\r\n`;
  }
}
