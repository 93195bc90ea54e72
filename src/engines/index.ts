/** The one table of engines. */
import type { EngineName } from '../core/engine-name.ts';
import type { Engine } from './engine.ts';
import { openNodeListener } from './node/listener.ts';
import { checkUwsListener, openUwsListener } from './uws/listener.ts';

export const engines: Readonly<Record<EngineName, Engine>> = {
  node: { masterListens: false, check() {}, open: openNodeListener },
  uws: { masterListens: true, check: checkUwsListener, open: openUwsListener },
};
