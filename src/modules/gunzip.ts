/** `gunzip`: what an upstream server, or `gzip_static`, has compressed is decompressed for a client that does not. */
import { createGunzip, type Gunzip } from 'node:zlib';
import { type Buffers, bufs, flag } from '../config/setters.ts';
import { addBodyFilter, BodyFilter } from '../core/body-filter.ts';
import type { Exchange } from '../core/exchange.ts';
import { acceptsGzip } from '../core/gzip-acceptance.ts';
import { log } from '../core/log.ts';
import { defineModule } from '../core/module.ts';
import { fieldValue, lengthChanges, withoutField } from '../core/response-headers.ts';

const CONTEXTS = ['http', 'server', 'location'];

/** Most bytes zlib makes in one go. */
const LARGEST_PIECE = 65_536;

/**
 * Decompresses in zlib's own thread, through a stream of Node's, which also is what holds the body back: a piece is lent
 * to it until it has been decompressed, and that waits for the client to take what came of it.
 */
class GunzipFilter extends BodyFilter {
  private readonly buffers: Buffers;
  private inflater: Gunzip | undefined = undefined;
  /** Pieces the stream has not done with. */
  private inUse = 0;
  private flushing = 0;
  private over = false;

  constructor(exchange: Exchange, buffers: Buffers) {
    super(exchange);
    this.buffers = buffers;
  }

  override write(chunk: Buffer | string): boolean {
    if (this.over) return false;
    const inflater = this.inflater ?? this.start();
    this.inUse++;
    inflater.write(typeof chunk === 'string' ? Buffer.from(chunk, 'latin1') : chunk, () => {
      this.inUse--;
      if (this.inUse === 0 && !this.over) this.tellRoom();
    });
    return false;
  }

  override flush(): void {
    // Everything zlib can make of what it has is on its way already; what follows has to wait for it.
    if (this.inUse === 0) this.next.flush();
    else if (this.flushing++ === 0) this.inflater!.flush(() => this.flushed());
  }

  override end(): void {
    if (this.over) return;
    if (this.inflater === undefined) this.break('inflate() returned -5 on response end');
    else this.inflater.end();
  }

  override onRoom(): void {
    this.inflater?.resume();
  }

  private start(): Gunzip {
    const { size, number } = this.buffers;
    const room = Math.max(64, Math.min(LARGEST_PIECE, size * number));
    const inflater = createGunzip({ chunkSize: room });
    this.inflater = inflater;
    inflater.on('data', (piece: Buffer) => {
      if (!this.over && !this.next.write(piece)) inflater.pause();
    });
    inflater.on('end', () => {
      if (this.over) return;
      this.over = true;
      this.next.end();
    });
    inflater.on('error', (error: NodeJS.ErrnoException) => {
      const isCut = error.code === 'Z_BUF_ERROR';
      this.break(
        isCut ? 'inflate() returned -5 on response end' : `inflate() failed: 0, ${error.errno ?? error.code}`,
      );
    });
    this.exchange.onRelease(() => {
      this.over = true;
      inflater.destroy();
    });
    return inflater;
  }

  private flushed(): void {
    this.flushing = 0;
    if (!this.over) this.next.flush();
  }

  private break(message: string): void {
    if (this.over) return;
    this.over = true;
    log(this.exchange, 'error', message);
    this.fail();
  }
}

export const gunzip = defineModule({
  name: 'http_gunzip_filter',
  directives: {
    gunzip: flag(CONTEXTS, false),
    gunzip_buffers: bufs(CONTEXTS, { number: 32, size: 4096 }),
  },
  location({ gunzip: enabled, gunzip_buffers: buffers }) {
    if (!enabled) return undefined;
    return {
      filtersSubrequests: true,
      headerFilter(exchange) {
        const { response } = exchange;
        if (response.fields === '') return;
        const encoding = fieldValue(response.fields, 'content-encoding');
        if (encoding === undefined || encoding.length !== 4 || encoding.toLowerCase() !== 'gzip') return;
        response.varyEncoding = true;
        if (acceptsGzip(exchange)) return;
        response.fields = withoutField(response.fields, 'content-encoding');
        lengthChanges(response);
        addBodyFilter(exchange, new GunzipFilter(exchange, buffers));
      },
    };
  },
});
