/** `gzip`: answers are compressed for clients that accept it. */
import { accepted, bufs, custom, flag, mimeTypes, number, size } from '../../config/setters.ts';
import { parseSize } from '../../config/values.ts';
import { addBodyFilter, BodyFilter } from '../../core/body-filter.ts';
import type { Exchange } from '../../core/exchange.ts';
import { acceptsGzip } from '../../core/gzip-acceptance.ts';
import { log } from '../../core/log.ts';
import { hasMediaType } from '../../core/mime-types.ts';
import { defineModule } from '../../core/module.ts';
import { fieldValue, lengthChanges } from '../../core/response-headers.ts';
import { Deflater } from './deflater.ts';

const CONTEXTS = ['http', 'server', 'location'];
const WITH_IF = [...CONTEXTS, 'if in location'];

/** Bytes of body that are collected before they are compressed, unless somebody wants them sent. */
const PIECE = 65_536;

const COLLECTED = 'Up to 64 kB are compressed in one go, unless somebody wants them sent earlier.';

const COMPRESSED = Symbol('gzip');

/** Finished: what became of the body, for `$gzip_ratio`. */
interface Compressed {
  readonly bytesIn: number;
  readonly bytesOut: number;
}

class GzipFilter extends BodyFilter {
  private readonly deflater: Deflater;
  /** What has come and is not compressed yet: copies. */
  private pending: Buffer[] = [];
  private pendingSize = 0;
  /** `next` has as much as it takes. */
  private blocked = false;

  constructor(exchange: Exchange, deflater: Deflater) {
    super(exchange);
    this.deflater = deflater;
  }

  override write(chunk: Buffer | string): boolean {
    if (this.pendingSize + chunk.length < PIECE) {
      this.pending.push(typeof chunk === 'string' ? Buffer.from(chunk, 'latin1') : Buffer.from(chunk));
      this.pendingSize += chunk.length;
    } else this.compress(typeof chunk === 'string' ? Buffer.from(chunk, 'latin1') : chunk, false);
    return !this.blocked;
  }

  override flush(): void {
    if (this.pendingSize > 0) this.compress(undefined, false);
    this.next.flush();
  }

  override end(): void {
    const { deflater } = this;
    if (!this.compress(undefined, true)) return;
    this.exchange.setState(COMPRESSED, {
      bytesIn: deflater.bytesIn,
      bytesOut: deflater.bytesOut,
    } satisfies Compressed);
    this.next.end();
  }

  override onRoom(): void {
    this.blocked = false;
    this.tellRoom();
  }

  /** Compresses and passes on what is pending, and then `chunk`. @returns whether that could be done */
  private compress(chunk: Buffer | undefined, last: boolean): boolean {
    const { pending } = this;
    if (chunk !== undefined) pending.push(chunk);
    const piece = pending.length === 1 ? pending[0] : Buffer.concat(pending);
    this.pending = [];
    this.pendingSize = 0;
    let compressed: Buffer;
    try {
      compressed = this.deflater.deflate(piece, last);
    } catch (error) {
      log(this.exchange, 'alert', `deflate() failed: ${(error as Error).message}`);
      this.blocked = true;
      return this.fail();
    }
    if (!this.next.write(compressed)) this.blocked = true;
    return true;
  }
}

/** `gzip_window`, `gzip_hash`: a size that is a power of two, as its exponent less `shift`. */
function powerOfTwo(defaultExponent: number, greatest: number, shift: number, words: string) {
  return custom(
    CONTEXTS,
    [1, 1],
    defaultExponent,
    (statement, previous: number | undefined, report) => {
      if (previous !== undefined) report.failDirective('is duplicate');
      const bytes = parseSize(statement.args[0]!) ?? report.failDirective('invalid value');
      const exponent = Math.log2(bytes);
      if (bytes < 512 || exponent > greatest || !Number.isInteger(exponent)) {
        report.failDirective(`must be ${words}`);
      }
      return exponent - shift;
    },
    { syntax: 'size' },
  );
}

export const gzip = defineModule({
  name: 'http_gzip_filter',
  directives: {
    gzip: flag(WITH_IF, false),
    gzip_buffers: accepted(
      CONTEXTS,
      [2, 2],
      'What is compressed goes on at once; there are no buffers to count.',
      {
        as: bufs([], { number: 32, size: 4096 }),
      },
    ),
    gzip_types: mimeTypes(CONTEXTS, ['text/html']),
    gzip_comp_level: number(CONTEXTS, 1, { minimum: 1, maximum: 9 }),
    gzip_window: powerOfTwo(15, 15, 0, '512, 1k, 2k, 4k, 8k, 16k, or 32k'),
    gzip_hash: powerOfTwo(8, 17, 8, '512, 1k, 2k, 4k, 8k, 16k, 32k, 64k, or 128k'),
    postpone_gzipping: accepted(CONTEXTS, [1, 1], COLLECTED, { as: size([], 0) }),
    gzip_no_buffer: accepted(CONTEXTS, [1, 1], COLLECTED, { as: flag([], false) }),
    gzip_min_length: size(CONTEXTS, 20),
  },
  variables: {
    gzip_ratio: { get: ratio },
  },
  location(settings) {
    if (!settings.gzip) return undefined;
    const {
      gzip_types: types,
      gzip_min_length: minimum,
      gzip_comp_level: level,
      gzip_window: windowBits,
      gzip_hash: memoryLevel,
    } = settings;
    return {
      headerFilter(exchange) {
        const { response } = exchange;
        const { status, contentLength } = response;
        if (status !== 200 && status !== 403 && status !== 404) return;
        if (contentLength >= 0 && contentLength < minimum) return;
        if (!hasMediaType(types, response.contentType)) return;
        if (isEncoded(response.fields)) return;
        response.varyEncoding = true;
        if (!acceptsGzip(exchange)) return;
        addBodyFilter(
          exchange,
          new GzipFilter(exchange, new Deflater(level, windowBits, memoryLevel, contentLength)),
        );
        response.fields += 'Content-Encoding: gzip\r\n';
        lengthChanges(response);
      },
    };
  },
});

/** Whether the answer has a Content-Encoding; an empty one is none. */
function isEncoded(fields: string): boolean {
  return fields !== '' && (fieldValue(fields, 'content-encoding') ?? '') !== '';
}

/** `$gzip_ratio`: how many times smaller the body has become, with two digits; none before its end. */
function ratio(exchange: Exchange): string | undefined {
  const compressed = exchange.state<Compressed>(COMPRESSED);
  if (compressed === undefined || compressed.bytesOut === 0) return undefined;
  const thousandths = Math.floor((compressed.bytesIn * 1000) / compressed.bytesOut);
  const hundredths = Math.floor(thousandths / 10) + (thousandths % 10 > 4 ? 1 : 0);
  return `${Math.floor(hundredths / 100)}.${String(hundredths % 100).padStart(2, '0')}`;
}
