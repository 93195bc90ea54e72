/** `limit_rate` and `limit_rate_after`: how fast an answer goes to its client. */
import { statement } from '../config/directive.ts';
import { ConfigError, type Statement } from '../config/statement.ts';
import { parseSize } from '../config/values.ts';
import { addBodyFilter, BodyFilter } from '../core/body-filter.ts';
import type { Exchange } from '../core/exchange.ts';
import type { Link } from '../core/link.ts';
import { defineModule } from '../core/module.ts';
import type { Timer } from '../event/timers.ts';

const CONTEXTS = ['http', 'server', 'location', 'if in location'];

/** Compiles a size that may hold variables; one that cannot be understood when a request evaluates it is none. */
function compileSize(given: Statement | undefined, link: Link): (exchange: Exchange) => number {
  if (given === undefined) return () => 0;
  const template = link.template(given, given.args[0]!);
  const { constant } = template;
  if (constant === undefined) return (exchange) => parseSize(template.evaluate(exchange)) ?? 0;
  const size = parseSize(constant);
  if (size === undefined)
    throw new ConfigError(`"${given.name}" directive invalid value`, { statement: given });
  return () => size;
}

/**
 * The innermost filter of a limited answer: passes on what the rate allows, and holds the rest. It takes no more while
 * it holds anything, so what is in it is never more than one piece.
 */
class RateLimit extends BodyFilter {
  private readonly rate: number;
  private readonly after: number;
  private timer: Timer | undefined = undefined;
  private held: Buffer | undefined = undefined;
  private ending = false;
  /** The carrier has as much as it takes. */
  private blocked = false;
  /** Whoever writes has been told to wait. */
  private waited = false;

  constructor(exchange: Exchange, rate: number, after: number) {
    super(exchange);
    this.rate = rate;
    this.after = after;
  }

  override write(chunk: Buffer | string): boolean {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk, 'latin1') : chunk;
    if (this.timer === undefined) this.prepare();
    this.held = this.held === undefined ? bytes : Buffer.concat([this.held, bytes]);
    this.waited = !this.pass();
    return !this.waited;
  }

  override flush(): void {
    // What is held goes when it may, and not before.
    if (this.held === undefined) this.next.flush();
  }

  override end(): void {
    if (this.held === undefined) this.next.end();
    else this.ending = true;
  }

  override onRoom(): void {
    this.blocked = false;
    this.proceed();
  }

  private prepare(): void {
    this.timer = this.exchange.site.runtime.timers.timer(proceed, this);
    this.exchange.onRelease(() => {
      this.timer!.stop();
      this.held = undefined;
    });
  }

  /** Time has gone by, or the client has taken what was sent. */
  proceed(): void {
    if (!this.pass()) return;
    if (this.ending) {
      this.ending = false;
      this.next.end();
    } else if (this.waited) {
      this.waited = false;
      this.tellRoom();
    }
  }

  /** Sends what is allowed now. @returns whether nothing is held, and the carrier takes more */
  private pass(): boolean {
    if (this.blocked) return false;
    const { exchange, rate, held } = this;
    const { carrier } = exchange;
    if (held === undefined) return true;
    // The head counts, and with the head still to be sent there is nothing to wait for.
    carrier.flush();
    const seconds = Math.floor(Date.now() / 1000) - Math.floor(exchange.startedAt / 1000) + 1;
    const allowed = rate * seconds - (carrier.bytesSent - this.after);
    if (allowed <= 0) {
      this.timer!.start(Math.ceil((-allowed * 1000) / rate) + 1);
      return false;
    }
    const piece = held.length <= allowed ? held : held.subarray(0, allowed);
    this.held = piece === held ? undefined : held.subarray(allowed);
    this.blocked = !this.next.write(piece);
    if (this.held === undefined) return !this.blocked;
    this.timer!.start(Math.ceil((piece.length * 1000) / rate));
    return false;
  }
}

function proceed(filter: RateLimit): void {
  filter.proceed();
}

export const limitRate = defineModule({
  name: 'http_limit_rate',
  directives: {
    limit_rate: statement(CONTEXTS, [1, 1], { syntax: 'rate', defaultText: '0' }),
    limit_rate_after: statement(CONTEXTS, [1, 1], { syntax: 'size', defaultText: '0' }),
  },
  location(settings, _scope, link) {
    const configured = compileSize(settings.limit_rate, link);
    const after = compileSize(settings.limit_rate_after, link);
    return {
      headerFilter(exchange) {
        const rate = exchange.limitRate >= 0 ? exchange.limitRate : configured(exchange);
        if (rate <= 0 || exchange.method === 'HEAD') return;
        addBodyFilter(exchange, new RateLimit(exchange, rate, after(exchange)));
      },
    };
  },
});
