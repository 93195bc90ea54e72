/** The attempts of one exchange: chooses servers one after another, and gives back what each was counted. */

import { wallMilliseconds } from '../event/clock.ts';
import type { AttemptOutcome, Balancer, Selection } from './balance/index.ts';
import type { UpstreamAttempts, UpstreamSettings } from './client.ts';
import { type ConnectionHome, UpstreamConnection } from './connection.ts';
import type { PoolBucket } from './pool.ts';
import type { UpstreamReceiver } from './receiver.ts';
import { HttpRequest } from './request.ts';

/** What the attempts need of their group, once it is ready. */
export interface AttemptsGroup {
  readonly name: string;
  readonly balancer: Balancer;
  readonly home: ConnectionHome;
  /** By the balancer's index of a peer. */
  readonly buckets: readonly PoolBucket[];
}

/** Seconds of a clock all workers share, as the peer table has them. */
function nowSeconds(): number {
  return Math.floor(wallMilliseconds() / 1000) | 0;
}

/** They are the balancer's selection themselves: one object for each exchange, not two. */
export class Attempts implements UpstreamAttempts, Selection {
  headOnly = false;
  localAddress = '';
  tlsName = '';
  sharing = false;
  readonly settings: UpstreamSettings;
  request: HttpRequest | undefined = undefined;
  readonly #group: AttemptsGroup;

  // The balancer's.
  peer = -1;
  tries = 0;
  preferred = -1;
  key = '';
  backup = false;
  tried = 0;
  triedBeyond: Int32Array | null = null;
  misses = 0;
  hash = 0;
  rehash = 0;
  line = -1;

  constructor(group: AttemptsGroup, settings: UpstreamSettings, key: string) {
    this.#group = group;
    this.settings = settings;
    group.balancer.begin(this, key);
  }

  get groupName(): string {
    return this.#group.name;
  }

  get refusal(): string {
    return 'no live upstreams while connecting to upstream';
  }

  next(receiver: UpstreamReceiver): HttpRequest | undefined {
    if (this.request !== undefined) throw new Error('the attempt before is not finished');
    const { balancer, buckets, home } = this.#group;
    const peer = balancer.choose(this, nowSeconds());
    if (peer < 0) return undefined;
    const bucket = buckets[peer];
    if (this.sharing && bucket.turn !== undefined) {
      this.sharing = false;
      this.request = new HttpRequest(this, bucket, receiver, undefined, false);
      return this.request;
    }
    const { settings, tlsName, localAddress } = this;
    const identity = settings.tls === undefined ? '' : settings.tls.identity;
    const idle = home.pool.take(bucket, settings.tag, identity, tlsName, localAddress);
    const connection = idle ?? new UpstreamConnection(home, bucket, settings, tlsName, localAddress);
    this.request = new HttpRequest(this, bucket, receiver, connection, idle !== undefined);
    return this.request;
  }

  settle(): void {
    this.#group.balancer.release(this, 'ok', nowSeconds());
  }

  finish(outcome: AttemptOutcome): void {
    const { request } = this;
    if (request === undefined) return;
    this.request = undefined;
    const { receiver } = request;
    const action = outcome === 'failed' ? request.action : '';
    request.abandon();
    // Settled already.
    if (this.peer < 0) return;
    const disabled = this.#group.balancer.release(this, outcome, nowSeconds());
    if (disabled) receiver.log('warn', `upstream server temporarily disabled while ${action}`);
  }

  close(): void {
    this.finish('ok');
  }
}
