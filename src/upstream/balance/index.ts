/** Balancing methods over the shared peer table. */

export { createAddressListBalancer } from './address-list.ts';
export { createBalancer, createSelection } from './balancer.ts';
export type {
  AttemptOutcome,
  Balancer,
  BalancerOptions,
  BalancingMethod,
  PeerDescription,
  Selection,
} from './types.ts';
