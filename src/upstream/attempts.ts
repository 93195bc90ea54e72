/** The attempts of one exchange: chooses servers one after another, and gives back what each was counted. */

import { wallMilliseconds } from '../event/clock.ts';
import type { PeerAddress } from './address.ts';
import type { AttemptOutcome, Balancer, Selection } from './balance/index.ts';
import { createSelection } from './balance/index.ts';
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
  readonly addresses: readonly PeerAddress[];
  /** By the same. */
  readonly buckets: readonly PoolBucket[];
}

/** Seconds of a clock all workers share, as the peer table has them. */
function nowSeconds(): number {
  return Math.floor(wallMilliseconds() / 1000) | 0;
}

export class Attempts implements UpstreamAttempts {
  headOnly = false;
  localAddress = '';
  tlsName = '';
  readonly #group: AttemptsGroup;
  readonly #settings: UpstreamSettings;
  readonly #selection: Selection = createSelection();
  #receiver: UpstreamReceiver | undefined = undefined;
  #request: HttpRequest | undefined = undefined;

  constructor(group: AttemptsGroup, settings: UpstreamSettings, key: string) {
    this.#group = group;
    this.#settings = settings;
    group.balancer.begin(this.#selection, key);
  }

  get tries(): number {
    return this.#selection.tries;
  }

  set tries(tries: number) {
    this.#selection.tries = tries;
  }

  get request(): HttpRequest | undefined {
    return this.#request;
  }

  get groupName(): string {
    return this.#group.name;
  }

  get refusal(): string {
    return 'no live upstreams while connecting to upstream';
  }

  next(receiver: UpstreamReceiver): HttpRequest | undefined {
    if (this.#request !== undefined) throw new Error('the attempt before is not finished');
    const group = this.#group;
    const settings = this.#settings;
    const peer = group.balancer.choose(this.#selection, nowSeconds());
    if (peer < 0) return undefined;
    this.#receiver = receiver;
    const bucket = group.buckets[peer];
    const { tlsName, localAddress } = this;
    const identity = settings.tls === undefined ? '' : settings.tls.identity;
    const idle = group.home.pool.take(bucket, settings.tag, identity, tlsName, localAddress);
    const connection =
      idle ??
      new UpstreamConnection(group.home, group.addresses[peer], bucket, settings, tlsName, localAddress);
    const server = group.balancer.peers[peer].name;
    this.#request = new HttpRequest(
      connection,
      server,
      receiver,
      settings,
      this.headOnly,
      idle !== undefined,
    );
    return this.#request;
  }

  finish(outcome: AttemptOutcome): void {
    const request = this.#request;
    if (request === undefined) return;
    this.#request = undefined;
    const { action } = request;
    request.abandon();
    const disabled = this.#group.balancer.release(this.#selection, outcome, nowSeconds());
    if (disabled) this.#receiver!.log('warn', `upstream server temporarily disabled while ${action}`);
    this.#receiver = undefined;
  }

  close(): void {
    this.finish('ok');
  }
}
