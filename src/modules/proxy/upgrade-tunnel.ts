/**
 * A connection that has been upgraded: bytes go both ways as they come, each side no faster than the other reads. As in
 * nginx, the end of one side, once all it has sent is on its way, is the end of both.
 */
import type { Tunnel, TunnelReceiver } from '../../core/carrier.ts';
import type { Exchange } from '../../core/exchange.ts';
import { log } from '../../core/log.ts';
import type { Timer } from '../../event/timers.ts';
import type { UpstreamRequest } from '../../upstream/client.ts';

export class UpgradeTunnel implements TunnelReceiver {
  private readonly exchange: Exchange;
  private readonly request: UpstreamRequest;
  /** Called once, when it is over: gives the upstream connection back and ends the exchange. */
  private readonly finished: () => void;
  private client: Tunnel | undefined = undefined;
  /** The client was to be paused before there was a handle to do it with. */
  private pauseClient = false;
  /** Bytes written to the server, those of the question included. */
  private written: number;
  /** The client has what it takes; it has so long for more. */
  private clientBlocked = false;
  private readonly clientTimer: Timer;
  /** One side has ended, and what it sent is still on its way. */
  private clientEnded = false;
  private upstreamEnded = false;
  private over = false;

  constructor(exchange: Exchange, request: UpstreamRequest, finished: () => void) {
    this.exchange = exchange;
    this.request = request;
    this.finished = finished;
    this.written = request.bytesSent;
    this.clientTimer = exchange.site.runtime.timers.timer(clientTimedOut, this);
  }

  /** Takes the client's connection over; the answer's head has been sent. */
  open(): void {
    // Bytes that have come already are delivered before there is a handle.
    this.client = this.exchange.carrier.tunnel(this);
    if (this.over) this.client.destroy();
    else if (this.pauseClient) this.client.pause();
  }

  // ---- from the client ----

  data(chunk: Buffer): void {
    if (this.over) return;
    this.written += chunk.length;
    if (this.request.write(chunk)) return;
    if (this.client === undefined) this.pauseClient = true;
    else this.client.pause();
  }

  end(): void {
    if (this.over) return;
    this.clientEnded = true;
    if (this.request.bytesSent >= this.written) this.finish();
    // The end goes out behind what is on its way; the server's own end, or its silence, then ends the tunnel.
    else this.request.end();
  }

  drain(): void {
    this.clientTimer.stop();
    this.clientBlocked = false;
    if (this.over) return;
    if (this.upstreamEnded) this.finish();
    else this.request.resume();
  }

  close(): void {
    this.finish();
  }

  // ---- from the server ----

  /** @returns false where the client reads too slowly: `UpstreamRequest.resume` follows */
  fromUpstream(chunk: Buffer): boolean {
    if (this.over || this.client === undefined) return true;
    if (this.client.write(chunk)) return true;
    this.clientBlocked = true;
    this.clientTimer.start(this.exchange.location.settings.send_timeout);
    return false;
  }

  upstreamDrained(): void {
    if (this.over) return;
    if (this.clientEnded) this.finish();
    else {
      this.pauseClient = false;
      this.client?.resume();
    }
  }

  upstreamEnd(): void {
    if (this.over) return;
    this.upstreamEnded = true;
    if (!this.clientBlocked) this.finish();
  }

  /** Ends it at once, whatever is on its way. Harmless at any time. */
  finish(): void {
    if (this.over) return;
    this.over = true;
    this.clientTimer.stop();
    this.finished();
    this.client?.destroy();
  }

  /** The client has not taken anything for `send_timeout`. */
  clientTimedOut(): void {
    log(
      this.exchange,
      'info',
      'client timed out (110: Connection timed out) while proxying upgraded connection',
    );
    this.finish();
  }
}

function clientTimedOut(tunnel: UpgradeTunnel): void {
  tunnel.clientTimedOut();
}
