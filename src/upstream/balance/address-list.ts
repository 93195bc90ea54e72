/**
 * The balancer of a `proxy_pass` whose host is resolved for the request: its addresses in the order of the answer, each
 * once. Nothing is remembered from one request to the next, so nothing is shared.
 */

import { forgetTried } from './peer-group.ts';
import type { Balancer, PeerDescription } from './types.ts';

/**
 * Makes a balancer for one answer. Slots of the peers are not looked at.
 *
 * @param peers one per address
 */
export function createAddressListBalancer(peers: readonly PeerDescription[]): Balancer {
  const single = peers.length === 1;
  return {
    peers,
    single,
    begin(selection, key) {
      selection.peer = -1;
      selection.line = -1;
      selection.preferred = -1;
      selection.key = key;
      selection.backup = false;
      selection.misses = 0;
      selection.hash = 0;
      selection.rehash = 0;
      selection.tries = peers.length;
      forgetTried(selection);
    },
    choose(selection) {
      if (single) {
        selection.peer = 0;
        return 0;
      }
      // `rehash` counts the addresses tried.
      selection.peer = selection.rehash < peers.length ? selection.rehash++ : -1;
      return selection.peer;
    },
    release(selection) {
      if (selection.peer < 0) {
        return false;
      }
      selection.peer = -1;
      selection.tries = single ? 0 : Math.max(0, selection.tries - 1);
      return false;
    },
  };
}
