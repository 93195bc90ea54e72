/** Every directive there is, for the master's check and for the workers, who read the same statements. */
import { createRegistry } from '../config/registry.ts';
import { modules } from '../modules/index.ts';

export { modules };
export const registry = createRegistry(modules);
