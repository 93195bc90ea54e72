/** Byte ranges: of a body that can be had in parts, those the client asks for (RFC 9110, 14). */
import { randomBytes } from 'node:crypto';
import { addOutermostBodyFilter, BodyFilter } from '../core/body-filter.ts';
import type { Exchange } from '../core/exchange.ts';
import { defineModule } from '../core/module.ts';
import { withoutField } from '../core/response-headers.ts';
import { matchesIfRange } from '../http/conditional.ts';
import { KnownHeader } from '../http/header-names.ts';
import {
  ANY_NUMBER_OF_RANGES,
  type ByteRange,
  contentRange,
  isByteRangeField,
  multipartRanges,
  parseByteRanges,
} from '../http/ranges.ts';

function chooseRanges(exchange: Exchange): void {
  const { response } = exchange;
  if (!response.acceptRanges || response.status !== 200 || response.contentLength < 0) return;
  if (exchange.head.version < 10 || exchange.isSubrequest) return;
  const maximum = exchange.location.settings.max_ranges ?? ANY_NUMBER_OF_RANGES;
  if (maximum === 0) return;
  const ranges = wantedRanges(exchange, maximum);
  const length = response.contentLength;
  if (ranges === 'whole') {
    response.fields += 'Accept-Ranges: bytes\r\n';
  } else if (ranges === 'unsatisfiable') {
    setContentRange(exchange, `bytes */${length}`);
    response.contentLength = -1;
    exchange.refusal = 416;
  } else {
    response.status = 206;
    response.statusLine = '';
    if (ranges.length === 1) sendRange(exchange, ranges[0]!, length);
    else sendMultipart(exchange, ranges, length);
  }
}

function wantedRanges(exchange: Exchange, maximum: number): ByteRange[] | 'unsatisfiable' | 'whole' {
  const { headers, response } = exchange;
  const value = headers.knownValue(KnownHeader.range);
  if (value === undefined || !isByteRangeField(value)) return 'whole';
  const condition = headers.knownValue(KnownHeader.ifRange);
  if (condition !== undefined && !matchesIfRange(condition, response)) return 'whole';
  // Several ranges are cut from a body that can be gone back in; what only passes by is good for one.
  const limit = response.singleRange || !response.seekable ? 1 : maximum;
  return parseByteRanges(value, response.contentLength, limit);
}

function setContentRange({ response }: Exchange, value: string): void {
  const rest = response.fields === '' ? '' : withoutField(response.fields, 'content-range');
  response.fields = `${rest}Content-Range: ${value}\r\n`;
}

function sendRange(exchange: Exchange, range: ByteRange, length: number): void {
  const { response } = exchange;
  setContentRange(exchange, contentRange(range, length));
  response.contentLength = range.end - range.start;
  if (response.seekable) response.parts = { ranges: [range], before: undefined, after: '' };
  else addOutermostBodyFilter(exchange, new RangeCutter(exchange, range));
}

function sendMultipart(exchange: Exchange, ranges: readonly ByteRange[], length: number): void {
  const { response } = exchange;
  const { contentType, charset } = response;
  const type = charset === '' || contentType === '' ? contentType : `${contentType}; charset=${charset}`;
  // As long as nginx's, and not to be guessed by who writes what is sent.
  const boundary = randomBytes(8).readBigUInt64BE().toString().padStart(20, '0');
  const body = multipartRanges(ranges, length, type, boundary);
  response.contentType = body.contentType;
  response.charset = '';
  response.contentLength = body.contentLength;
  if (response.fields !== '') response.fields = withoutField(response.fields, 'content-range');
  response.parts = { ranges, before: body.before, after: body.after };
}

/** Lets one range of a body through that comes piece by piece. */
class RangeCutter extends BodyFilter {
  private readonly range: ByteRange;
  /** Where in the body the next piece begins. */
  private offset = 0;

  constructor(exchange: Exchange, range: ByteRange) {
    super(exchange);
    this.range = range;
  }

  override write(chunk: Buffer | string): boolean {
    const { start, end } = this.range;
    const begin = this.offset;
    this.offset += chunk.length;
    if (end <= begin || start >= this.offset) return true;
    if (start <= begin && end >= this.offset) return this.next.write(chunk);
    const from = Math.max(0, start - begin);
    const to = Math.min(chunk.length, end - begin);
    return this.next.write(typeof chunk === 'string' ? chunk.slice(from, to) : chunk.subarray(from, to));
  }
}

/** nginx's ngx_http_range_filter_module. Its directive, `max_ranges`, is the core's. */
export const rangeFilter = defineModule({
  name: 'http_range_filter',
  directives: {},
  location: () => ({ headerFilter: chooseRanges }),
});
