/** What the keys that all workers share are derived from: TLS session tickets. */
import { randomBytes } from 'node:crypto';
import type { ProcessSecret } from '../core/runtime.ts';

/** Makes one; it is made once, when the process starts, and kept over reloads. */
export function createProcessSecret(): ProcessSecret {
  return { bytes: randomBytes(32), madeAt: Date.now() };
}
