/**
 * Loaded into the program by a test (`NODE_OPTIONS=--import=.../without-uws.ts`): uWebSockets.js cannot be loaded, as on a
 * system that it has no binary for.
 */
import { registerHooks } from 'node:module';

registerHooks({
  resolve(specifier, context, nextResolve) {
    if (specifier === 'uWebSockets.js') throw new Error('the test has no uWebSockets.js\nand more lines');
    return nextResolve(specifier, context);
  },
});
